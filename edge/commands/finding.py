"""What `check` finds."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing looked at. `bad` makes the gateway fail or lose its purpose; `note` is worth knowing."""

    level: Literal["good", "note", "bad"]
    text: str
