"""Writes docs/meters.md, the table of supported meters, from the profiles and the captures they name.

    meters.py            writes the page
    meters.py --check    exit status 1 where the page is not what would be written

Nothing on the page is written by hand: what a cell says, a capture shows. `make docs` runs it.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from edge.demo.meter_objects import REGISTER_SETS
from edge.dlms.cosem import UNITS, Obis
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import Profile, load_profiles

ROOT = Path(__file__).parent.parent.parent
CAPTURES = ROOT / "tests/captures"
PAGE = ROOT / "docs/meters.md"

ORIGINS = {
    "meter": "a meter of this type",
    "independent-server": "an independent DLMS server",
    "independent-library": "an independent library's bytes",
}
"""Best first: a type stands as high as its best capture."""

SHOWN = {"meter": "recorded", "independent-server": "recorded", "independent-library": "library's bytes only"}

HEAD = """# Supported meters

Written by `make docs` from the profiles in `edge/meters/profiles` and the captures that they name; a test holds it
fresh. What a cell calls recorded, an exchange in `tests/captures` shows, and a test plays it back to the client. The
rest is what the type's source says. Any other meter that speaks DLMS/COSEM can be tried: [discovery](discovery.md)
writes a profile for it, [adding a meter](adding-a-meter.md) says how it becomes a supported one.

| type | maker | standing | values and units | identity | clock | load profile | event log | relay | image | pushes |
|---|---|---|---|---|---|---|---|---|---|---|
"""


class Capture(NamedTuple):
    """One recorded exchange: where it came from, how it was spoken, what came of it."""

    name: str
    origin: str
    script: dict[str, Any]

    @property
    def way(self) -> str:
        """Framing, address form and authentication."""
        script = self.script
        size = f", {script['server'].get('address_bytes', 1)}-byte address" if script["framing"] == "hdlc" else ""
        return f"{'HDLC' if size else 'wrapper'}{size}, {script['authentication']}"

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield every result of its own, those of lists one by one."""
        for result in self.script["expected"]:
            for item in result.get("items", ()):
                if isinstance(item, dict) and "class" in item:
                    yield {"kind": "get", **item}
            yield result


def captures_of(profile: Profile) -> list[Capture]:
    """Load what a profile names. Raises OSError for a file that is not there."""
    return [Capture(name, group.origin, json.loads((CAPTURES / f"{name}.json").read_text()))
            for group in profile.captures for name in group.files]


def standing(profile: Profile, captures: Iterable[Capture]) -> str:
    """Say what the type rests on."""
    best = best_origin(captures)
    if best == "meter":
        return f"recorded from {ORIGINS[best]}"
    if best:
        return f"recorded against {ORIGINS[best]}, no meter of a maker"
    return "simulated from what its source says, no capture" if profile.name in REGISTER_SETS else "no capture"


def best_origin(captures: Iterable[Capture]) -> str:
    """Return the best of some captures' origins, "" of none."""
    origins = {capture.origin for capture in captures}
    return next((origin for origin in ORIGINS if origin in origins), "")


def showing(captures: Iterable[Capture], **wanted: object) -> list[Capture]:
    """Return the captures that have a good result with all of these."""
    return [capture for capture in captures
            if any(all(result.get(key) == value for key, value in wanted.items())
                   and not result.get("data_access_result") and not result.get("action_result")
                   for result in capture.results())]


def dotted(obis: str) -> str:
    """Write an OBIS code as captures do."""
    return ".".join(map(str, Obis.parse(obis)))


def value_recorded(spec: ObjectSpec, captures: list[Capture]) -> bool:
    """Tell whether a capture has the value, and scaler_unit with the profile's unit."""
    name = {"class": spec.class_id, "obis": dotted(spec.obis)}
    if not showing(captures, kind="get", attribute=spec.attribute, **name):
        return False
    if spec.scaler_target is None:
        return True
    return any(showing(captures, kind="get", attribute=spec.scaler_target.attribute, unit=code, **name)
               for code, symbol in UNITS.items() if symbol == spec.unit)


def cells(profile: Profile, captures: list[Capture]) -> list[str]:
    """Return one row of the table."""
    def cell(there: object, kind: str, **wanted: object) -> str:
        if there is None or there == ():
            return "-"
        return SHOWN.get(best_origin(showing(captures, kind=kind, **wanted)), "not recorded")

    def named(class_id: int, obis: str) -> dict[str, object]:
        return {"class": class_id, "obis": dotted(obis)}

    identity, clock, load, relay = profile.identity, profile.clock, profile.load_profile, profile.relay
    logs, image = profile.event_logs, profile.image
    shown = sum(value_recorded(spec, captures) for spec in profile.objects)
    return [
        f"`{profile.name}`", profile.vendor, standing(profile, captures), f"{shown} of {len(profile.objects)} recorded",
        cell(identity, "get", **({} if identity is None else named(identity.class_id, identity.obis))),
        cell(clock, "get", **({} if clock is None else named(8, clock.obis))),
        cell(load, "profile", **({} if load is None else named(7, load.obis))),
        cell(logs, "profile", **({} if not logs else named(7, logs[0].obis))),
        cell(relay, "action", **({} if relay is None else named(70, relay.obis))),
        cell(image, "action", **({} if image is None else named(18, image.obis))),
        cell(profile.push, "data-notification"),
    ]


def section(profile: Profile, captures: list[Capture]) -> Iterator[str]:
    """Yield the lines below the table for one type."""
    yield f"## {profile.name}"
    yield f"Source: {profile.source}."
    if not captures:
        yield ("No exchange with such a meter is recorded: what its profile says is not proven. "
               "`halow-gateway read --record` makes one.")
        return
    yield ""
    yield "| spoken | at the other end | files |"
    yield "|---|---|---|"
    ways = dict.fromkeys((capture.way, capture.origin) for capture in captures)
    for way, origin in ways:
        files = ", ".join(f"[{capture.name}](../tests/captures/{capture.name}.json)" for capture in captures
                          if (capture.way, capture.origin) == (way, origin))
        yield f"| {way} | {ORIGINS[origin]} | {files} |"


def page(profiles: Iterable[Profile]) -> str:
    """Return the whole page."""
    table, sections = [], []
    for profile in sorted(profiles, key=lambda each: each.name):
        captures = captures_of(profile)
        table.append(f"| {' | '.join(cells(profile, captures))} |")
        sections += ["", *section(profile, captures)]
    return HEAD + "\n".join([*table, *sections]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = page(load_profiles().values())
    if arguments == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
