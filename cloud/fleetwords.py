"""What msgspec finds wrong in a fleet file, in the words of who writes one (pure)."""

import re
from collections.abc import Mapping

_KINDS = {"float": "a number", "int": "a whole number", "str": "text", "object": "a table", "array": "[[tables]]"}
_REGEX = {
    "fleet.name": "must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first",
    "provisioning.key": "must be 8 to 64 letters, digits, dashes or underscores",
}
_NAME = r"must not be empty, hold < > / \ or control characters, or begin or end with a space"


def explained(error: str, tables: Mapping[str, object]) -> str:
    """Say where `error` of msgspec is and what is right there; `tables` were converted, and have the entry's name."""
    said, _, place = error.partition(" - at `$")
    place = place.strip(".`")
    if found := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", said):
        said = f"there is no key {found[2]}" if found[1] == "contains unknown" else f"{found[2]} is missing"
    elif "matching regex" in said:
        said = _REGEX.get(place, _NAME)
    else:
        said = said.replace(" | null", "").replace("Expected", "must be").replace("got", "not")
        said = re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[1]), said)
    return f"{place or 'the file'}{_named(place, tables)}: {said}"


def _named(place: str, tables: Mapping[str, object]) -> str:
    """Tell an entry by its name too: nobody counts to the 1,731st meter."""
    found = re.match(r"(\w+)\[(\d+)\]", place)
    entries = tables.get(found[1]) if found else None
    if not found or not isinstance(entries, list) or not isinstance(entry := entries[int(found[2])], dict):
        return ""
    name = entry.get("name") or entry.get("title")
    return f" ({name[:64]!r})" if isinstance(name, str) else ""
