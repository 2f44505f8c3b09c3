"""Promises: every worker says when it will next report, and one that does not is named (pure).

"The last beat is not older than X" is wrong here: a meter that is polled every fifteen minutes would look stuck. So a
worker promises, each time, how long its next silence may be, its planned rest included.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

Pulse = Callable[[float], None]
"""Handed to each worker: `pulse(within_s)` says "you hear from me again within so many seconds"."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A promise that was not kept, and by how much."""

    name: str
    late_s: float


class Promises:
    """Who reports next, and until when. `now` is monotonic seconds, the same base in every call."""

    def __init__(self) -> None:
        """Begin with nobody owing anything."""
        self._due: dict[str, float] = {}

    def expect(self, name: str, within_s: float, now: float) -> None:
        """Note that `name` reports again within `within_s` seconds; replaces its earlier promise.

        ValueError when `within_s` is not a positive, finite number: an endless promise would blind the watchdog.
        """
        if not (math.isfinite(within_s) and within_s > 0):
            raise ValueError(f"{name}: a promise needs a positive, finite number of seconds, not {within_s!r}")
        self._due[name] = now + within_s

    def release(self, name: str) -> None:
        """Forget `name`: it has ended, or is parked and shown as such. Unknown names are fine."""
        self._due.pop(name, None)

    def overdue(self, now: float) -> tuple[str, ...]:
        """Return the names of broken promises, the longest overdue first."""
        return tuple(broken.name for broken in self.broken(now))

    def broken(self, now: float) -> tuple[Overdue, ...]:
        """Return the broken promises, the longest overdue first. One that falls due exactly now is still kept."""
        late = [Overdue(name, now - due) for name, due in self._due.items() if now > due]
        return tuple(sorted(late, key=lambda broken: (-broken.late_s, broken.name)))

    def owing(self, now: float) -> dict[str, float]:
        """Return every name with the seconds it has left (negative when overdue), for status pages."""
        return {name: due - now for name, due in sorted(self._due.items())}
