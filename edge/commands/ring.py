"""`halow-gateway ring`: look into the ring on flash, save what a broken one holds. Read only; needs no running gateway.

    0  done, and nothing wrong     1  `verify` found damage, or there is no ring to read     2  wrong usage
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state, work_as_owner
from edge.rights import as_owner

if TYPE_CHECKING:
    from edge.health.wear import StorageWear
    from edge.model import Scalar, Stored
    from edge.ring.key import KeyPort
    from edge.ring.look import RingLook
    from edge.ring.salvage import SavedRing

STREAMS = ("alarm", "billing", "instant")


@click.group()
@click.option("--state-dir", type=click.Path(path_type=Path), help="State directory; default: as the settings say.")
@click.option("--config", type=click.Path(path_type=Path, readable=False),
              help="Settings file that names the state directory.")
@click.pass_context
@pass_state
def ring(state: State, context: click.Context, state_dir: Path | None, config: Path | None) -> None:
    """Look into the ring on flash: read only, with or without a running gateway."""
    if config is not None:
        state.config = config
    context.meta["ring.state_dir"] = state_dir


def _look(state: State) -> "RingLook":
    from edge.ring.look import RingLook

    directory = _directory(state)
    work_as_owner(directory)
    return RingLook(directory, key=_KeyOfSettings(state))


def _directory(state: State) -> Path:
    chosen = click.get_current_context().meta.get("ring.state_dir")
    return (chosen or Path(state.load().gateway.state_dir)) / "ring"


class _KeyOfSettings:
    """The key as the settings say. They are not read for a ring that needs none: a broken file must not hide it."""

    where = "the settings"

    def __init__(self, state: State) -> None:
        self._state = state

    def key(self, *, fresh: bool) -> bytes:
        from edge.ring.key import key_port

        directory = _directory(self._state)
        port = key_port(self._state.load().ring, directory)
        self.where = port.where
        with as_owner(directory):
            return port.key(fresh=fresh)


class _KeyOfFile:
    """The key in a file that the operator names, also while a ring is written with its owner's rights."""

    def __init__(self, path: Path) -> None:
        from edge.ring.key import KeyFile

        self._file = KeyFile(path)
        self.where = self._file.where

    def key(self, *, fresh: bool) -> bytes:
        with as_owner(self._file.path):
            return self._file.key(fresh=fresh)


def _place(function: Any) -> Any:
    """Let `--state-dir` also stand behind the subcommand."""
    def keep(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            context.meta["ring.state_dir"] = value

    return click.option("--state-dir", type=click.Path(path_type=Path), callback=keep, expose_value=False,
                        help="State directory; default: as the settings say.")(function)


@ring.command(short_help="Fill, losses and wear on one screen.")
@_place
@click.option("--json", "as_json", is_flag=True, help="As JSON: sizes in bytes.")
@pass_state
def status(state: State, as_json: bool) -> None:
    """Tell how full the ring is, what it lost since it was made, and how worn the flash under it is.

    Read from flash and from the kernel; the running gateway's own counters are in `halow-gateway status`.
    """
    from edge.health import wear

    look = _look(state)
    streams: dict[str, dict[str, int]] = {}
    for slot in look.ls():
        row = streams.setdefault(slot.stream, {"slots": 0, "size_bytes": 0, "waiting": 0, "lost": 0})
        row["slots"] += 1
        row["size_bytes"] += slot.size_bytes
        row["waiting"] += slot.waiting or 0
    for stream, view in look.views.items():
        if stream.name.lower() in streams:
            streams[stream.name.lower()]["lost"] = view.state.losses.total
    worn = wear.look(look.directory, state.settings().ring.flash_overwrites)
    if as_json:
        click.echo(json.dumps({"streams": streams, "storage": asdict(worn)}, indent=2))
        return
    rows = [[name, row["slots"], table.size(row["size_bytes"]), row["waiting"], row["lost"]]
            for name, row in streams.items()]
    click.echo(table.render(["STREAM", "SLOTS", "SIZE", "WAITING", "LOST"], rows))
    click.echo(_worn(worn))


def _worn(worn: "StorageWear") -> str:
    """Return the wear in one line (pure)."""
    parts = [] if worn.capacity_bytes is None else [f"{table.size(worn.capacity_bytes)}"]
    if worn.life_used_pct is not None:
        parts.append("beyond its life time" if worn.life_used_pct > 100 else
                     f"up to {worn.life_used_pct} % of its life used")
    if worn.pre_eol is not None:
        parts.append(f"spare blocks {worn.pre_eol}")
    if worn.written_bytes_per_day is not None:
        parts.append(f"{table.size(worn.written_bytes_per_day)} written a day since boot")
    if worn.forecast_days is not None:
        parts.append(f"lasts {worn.forecast_days} days like this")
    return f"storage {worn.device or 'not known'}" + (f": {', '.join(parts)}" if parts else "")


@ring.command(short_help="List the slots, and what waits in each.")
@_place
@click.option("--json", "as_json", is_flag=True, help="As JSON: sizes in bytes, times in UTC milliseconds.")
@pass_state
def ls(state: State, as_json: bool) -> None:
    """List the slots: what each holds, how many records wait, and when its segment began."""
    look = _look(state)
    if as_json:
        totals = {stream.name.lower(): view.state.losses.total for stream, view in look.views.items()}
        click.echo(json.dumps({"slots": [asdict(slot) for slot in look.ls()], "lost": totals}, indent=2))
        return
    rows = [[slot.stream, slot.slot, table.size(slot.size_bytes), slot.condition, slot.segment, slot.epoch,
             slot.records, slot.waiting, _began(slot.began_ms, synchronised=slot.synchronised)] for slot in look.ls()]
    click.echo(table.render(["STREAM", "SLOT", "SIZE", "HOLDS", "SEGMENT", "RUN", "RECORDS", "WAITING", "BEGAN (UTC)"],
                            rows))
    for stream, view in look.views.items():
        lost = view.state.losses.total
        if lost:
            click.echo(f"{stream.name.lower()}: {lost} records lost since the ring was made")


@ring.command()
@_place
@click.option("--json", "as_json", is_flag=True, help="As JSON; the status is the same.")
@pass_state
def verify(state: State, as_json: bool) -> int:
    """Read every page and say what is damaged. Status 1 when something is.

    While the gateway runs, a page that is just being written may be reported; look again before believing it.
    """
    checks = list(_look(state).verify())
    bad = [check for check in checks if not check.sound]
    if as_json:
        click.echo(json.dumps([asdict(check) | {"sound": check.sound} for check in checks], indent=2))
        return 1 if bad else 0
    for check in bad:
        click.echo(f"{check.stream}/{check.slot}: {check.problem}" if check.problem else
                   f"{check.stream}/{check.slot}: {check.damaged_pages} damaged pages, {check.unknown_frames} unknown "
                   f"frames, {check.missing} records missing")
    frames = sum(check.frames for check in checks)
    click.echo(f"{len(checks)} segments, {frames} frames, {len(bad)} segments with damage")
    return 1 if bad else 0


@ring.command(short_help="Print records, one JSON object per line.")
@_place
@click.option("--stream", type=click.Choice(STREAMS), help="Only this stream.")
@click.option("--all", "everything", is_flag=True, help="Acknowledged records too, as far as they are still readable.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many records.")
@pass_state
def dump(state: State, stream: str | None, limit: int | None, *, everything: bool) -> None:
    """Print records, oldest first, one JSON object per line; numbers as exact decimal text."""
    from edge.model import Stream

    look = _look(state)
    chosen = [one for one in Stream if stream in (None, one.name.lower())]
    left = limit
    for one in chosen:
        for stored, acknowledged in look.records(one):
            if acknowledged and not everything:
                continue
            click.echo(json.dumps(row(stored, acknowledged=acknowledged), ensure_ascii=False))
            if left is not None:
                left -= 1
                if not left:
                    return


@ring.command(short_help="Print all that can be read of damaged or copied slots.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--waiting", is_flag=True, help="Only what the server has not acknowledged, as far as that is known.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Key of an encrypted ring; else as the settings say.")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="Print nothing; make a fresh ring there for a gateway to go on with.")
@click.option("--ring", "uuid", metavar="UUID", help="With --into: which one, where there are several.")
@pass_state
def salvage(state: State, sources: tuple[Path, ...], key_file: Path | None, into: Path | None, uuid: str | None, *,
            waiting: bool) -> int:
    """Print every readable record, one JSON object per line as `dump` does; what is damaged goes to standard error.

    PATH is a ring's directory, one that holds copied slots, a slot, or the image of a whole card or partition; it is
    only read. Headers that are gone are made anew from the frames. Status 1: something is damaged, or nothing found.

    With --into the records keep their numbers and times, and what is missing is told to the server as a loss.
    """
    from edge.model import Stream
    from edge.ring.salvage import rings_in

    key = _KeyOfSettings(state) if key_file is None else _KeyOfFile(key_file)
    rings, problems = rings_in(sources, key)
    if into is not None:
        return _restore(state, [one for one in rings if uuid in (None, one.uuid)], problems, into, key)
    count = 0
    for one in rings:
        problems += one.damage()      # first: reading takes what is missing as told
        for stream in Stream:
            for stored, acknowledged in one.look.records(stream):
                if not (acknowledged and waiting):
                    text = row(stored, acknowledged=acknowledged) | {"ring": one.uuid}
                    click.echo(json.dumps(text, ensure_ascii=False))
                    count += 1
    for line in problems:
        click.echo(line, err=True)
    segments = sum(one.segments for one in rings)
    click.echo(f"{count} records of {segments} segments, {len(rings)} rings; {len(problems)} things damaged", err=True)
    return 1 if problems or not segments else 0


def _restore(state: State, rings: "list[SavedRing]", problems: list[str], into: Path, key: "KeyPort") -> int:
    """Make a fresh ring of the one that was found, and say what it holds."""
    from edge.clock import SystemClock
    from edge.errors import RingError
    from edge.ring.restore import restore

    for line in problems:
        click.echo(line, err=True)
    if len(rings) != 1:
        found = ", ".join(f"{one.uuid} ({one.segments} segments)" for one in rings)
        raise RingError(f"{len(rings)} rings found; name one of them by --ring: {found}" if rings else "no ring found")
    settings = state.load()
    with as_owner(into):
        done = restore(rings[0], into, settings.ring, SystemClock(trust_wall=settings.clock.trust_wall).stamp, key)
    click.echo(table.render(["STREAM", "WAITING", "LOST EVER"], [[name, done.waiting[name], done.lost[name]]
                                                            for name in done.waiting]))
    click.echo(f"{into}: ring {rings[0].uuid}, {done.slots} slots. As <state_dir>/ring of a gateway it is delivered; "
               "the ring that it comes from must not be used any more.")
    return 1 if problems else 0


def row(stored: "Stored", *, acknowledged: bool) -> dict[str, Any]:
    """Return a record as `dump` prints it (pure)."""
    record = stored.record
    return {
        "stream": stored.stream.name.lower(), "seq": stored.seq, "device": record.device,
        "kind": record.schema.kind.name.lower(), "ts_ms": record.stamp.wall_ms,
        "synchronised": record.stamp.synchronised, "time": record.stamp.source,
        "latest_ts_ms": record.stamp.latest_ms, "acked": acknowledged, "values": dict(_values(stored)),
    }


def _values(stored: "Stored") -> Iterator[tuple[str, str | None]]:
    for field, value in zip(stored.record.schema.fields, stored.record.values, strict=True):
        yield field.key, exact_text(value, field.scaler)


def exact_text(value: "Scalar", scaler: int) -> str | None:
    """Return `value * 10**scaler` as decimal text without rounding; text and None stay as they are (pure)."""
    if value is None or isinstance(value, str):
        return value
    if scaler >= 0:
        return str(value * 10**scaler)
    digits = str(abs(value)).rjust(1 - scaler, "0")
    return f"{'-' if value < 0 else ''}{digits[:scaler]}.{digits[scaler:]}"


def _began(ms: int | None, *, synchronised: bool) -> str | None:
    if ms is None:
        return None
    try:
        text = datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "?"
    return text if synchronised else f"{text} ?"
