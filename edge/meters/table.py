"""What the tables of a profile file are made of: strict structs, and the types of their values (pure)."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from edge.dlms.cosem import UNITS

LONGEST_S = 31 * 86_400.0      # no time in a profile is meant longer, and TOML knows "inf"
Positive = Annotated[float, Meta(gt=0, le=LONGEST_S)]
NotNegative = Annotated[float, Meta(ge=0, le=LONGEST_S)]
Sap = Annotated[int, Meta(ge=0, le=0xFFFF)]      # IEC 62056-46 and 62056-47: what fits the widest address form
ObisText = Annotated[str, Meta(pattern=r"^[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3}){2,3}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\Z", max_length=48)]
Key = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\Z", max_length=48)]

UNITLESS = {"", *UNITS.values()}
"""What may stand as a unit: those of COSEM, or none."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A TOML table: unknown keys are refused, nothing changes after loading."""


def bad_obis(text: str) -> list[str]:
    """Return what is wrong with a code whose form is right: a group that no octet holds."""
    return [f"{text!r}: a group is above 255"] if any(int(part) > 255 for part in re.findall(r"\d+", text)) else []


_KINDS = {"float": "a number", "int": "a whole number", "str": "text", "object": "a table", "array": "an array"}


def in_words(said: str, path: str) -> str:
    """Put msgspec's text about the value at `path` into the words of who writes a profile."""
    if "matching regex" in said:
        key = path.rpartition(".")[2]
        if key.endswith("obis"):
            return "must be an OBIS code, like 1-0:1.8.0"
        if path.startswith("event_codes"):
            return "must be a name in lower case, and info, warning or critical behind it where it is one"
        return "must be lower-case letters, digits and _ (- in names of files and types), no space"
    if found := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", said):
        return f"there is no key {found[2]}" if found[1] == "contains unknown" else f"{found[2]} is missing"
    said = said.replace(" | null", "").replace("Expected", "must be").replace("got", "not")
    return re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[1]), said)
