"""cloud/keys.toml -> which keys a gateway may send, and of which device they are (pure but for the reading)."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "keys.toml"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One entry of the contract. `unit` "" is none; `profile` covers an operator's own meter types, by pattern."""

    name: str
    device: str  # "gateway", "meter" or "any"
    type: str  # "number", "text", "boolean"
    unit: str
    pattern: bool = False
    profile: bool = False

    def covers(self, key: str) -> bool:
        """Tell whether this entry is the key's."""
        return re.fullmatch(self.name, key) is not None if self.pattern else self.name == key


@dataclass(frozen=True, slots=True)
class Contract:
    """The telemetry keys, and the client attributes where the contract has some."""

    keys: tuple[KeyEntry, ...]
    attributes: frozenset[str] = frozenset()

    def find(self, key: str, device: str) -> KeyEntry | None:
        """Return the entry of a key of "gateway" or "meter"; entries for operators' own meter types do not count."""
        for entry in self.keys:
            if not entry.profile and entry.device in (device, "any") and entry.covers(key):
                return entry
        return None


def load(path: Path = FILE) -> Contract:
    """Read the contract."""
    document = tomllib.loads(path.read_text())
    entries = tuple(
        KeyEntry(
            one["name"], one["device"], one["type"], one["unit"], bool(one.get("pattern")), bool(one.get("profile"))
        )
        for one in document["key"]
    )
    return Contract(entries, frozenset(one["name"] for one in document.get("attribute", ())))
