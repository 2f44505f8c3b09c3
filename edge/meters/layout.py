"""What a meter's pushes hold, as tables of its profile: the push object list of its push setup, in order (pure).

    [[push]]
    objects = [
        { obis = "0-0:25.9.0", class_id = 40, attribute = 1 },      # which push setup sends this
        { obis = "0-0:1.0.0", class_id = 8 },                       # its clock
        { key = "voltage_l1" },                                     # as [[objects]] has it
        { key = "reactive_power", obis = "1-0:3.7.0", unit = "var", scaler = 0 },
    ]

IEC 62056-6-2, class 40 (push setup), attribute 2: a push body is a structure of what these attributes hold.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from edge.dlms.cosem import Obis
from edge.meters.objectspec import ObjectSpec
from edge.meters.table import UNITLESS, ObisText, Table, bad_obis

CLOCK, PUSH_SETUP = 8, 40
"""Classes that say something about the push itself: its time (8, attribute 2), its setup (40, attribute 1)."""

_TELL_APART = "both have as many objects; put each push setup's name (class_id = 40, attribute = 1) at the same place"

TIME_DOUBT = "time_doubt"
"""The column of a push that says why the meter's own time is not taken as the record's."""


class PushObject(Table, frozen=True):
    """One place of a push body. `key` alone: that entry of `[[objects]]`. Without a key it is expected and not kept.

    `scaler` is only for a meter that is never read, so that nobody can ask it.
    """

    key: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]*)?\Z", max_length=48)] = ""
    obis: ObisText | None = None
    class_id: Annotated[int, Meta(ge=1, le=0xFFFF)] = 3
    attribute: Annotated[int, Meta(ge=1, le=127)] = 2
    unit: str = ""
    scaler: Annotated[int, Meta(ge=-128, le=127)] | None = None


class PushLayout(Table, frozen=True):
    """What one push setup sends. `stream` "billing" for what money depends on: interval values, closings."""

    objects: Annotated[tuple[PushObject, ...], Meta(min_length=1, max_length=1024)]
    stream: Literal["instant", "billing"] = "instant"

    @property
    def setup(self) -> tuple[int, str] | None:
        """Where in the body the push setup's name stands, and which; None where it is not pushed."""
        return next(((at, each.obis) for at, each in enumerate(self.objects)
                     if each.class_id == PUSH_SETUP and each.attribute == 1 and each.obis is not None), None)


def push_problems(
    layouts: Sequence[PushLayout], specs: Sequence[ObjectSpec], reserved: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Return (key path, what is wrong) for what types alone cannot say. `specs` are the profile's `[[objects]]`."""
    by_key = {spec.key: spec for spec in specs}
    found: list[tuple[str, str]] = []
    for index, layout in enumerate(layouts):
        seen: set[str] = set()
        for place, each in enumerate(layout.objects):
            at = f"push[{index}].objects[{place}]"
            found += [(f"{at}.{where}", wrong) for where, wrong in _object_problems(each, by_key.get(each.key))]
            if each.key and each.key in seen:
                found.append((f"{at}.key", f"{each.key!r} stands in this push already"))
            if each.key in reserved:
                found.append((f"{at}.key", f"{each.key!r} {reserved[each.key]}"))
            seen.add(each.key)
        found += [(f"push[{index}]", f"cannot be told from push[{other}]: {_TELL_APART}")
                  for other, earlier in enumerate(layouts[:index]) if _alike(layout, earlier)]
    return found


def _object_problems(each: PushObject, spec: ObjectSpec | None) -> list[tuple[str, str]]:
    if each.obis is None:
        if not each.key:
            return [("obis", "neither this nor a key is given")]
        return [] if spec is not None else [("key", f"{each.key!r} is none of [[objects]], so this needs an obis")]
    if wrong := bad_obis(each.obis):
        return [("obis", text) for text in wrong]
    found = []
    if each.unit not in UNITLESS:
        found.append(("unit", f"{each.unit!r} is not a COSEM unit (IEC 62056-6-2, table of units)"))
    if spec is not None and (Obis.parse(each.obis), each.class_id, each.attribute, each.unit) != (
            spec.target.obis, spec.class_id, spec.attribute, spec.unit):
        found.append(("key", f"{each.key!r} is another object or unit in [[objects]]: leave out all but the key"))
    return found


def _alike(one: PushLayout, other: PushLayout) -> bool:
    if len(one.objects) != len(other.objects):
        return False
    setups = one.setup, other.setup
    return setups[0] is None or setups[1] is None or setups[0][0] != setups[1][0] or setups[0] == setups[1]
