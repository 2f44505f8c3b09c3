"""The radio's recovery ladder (pure policy): which step is due, on which evidence, and when it is enough.

    healthy ──evidence for after_s──► step 1 ─step_wait_s─► step 2 ─ ... ─► the last one, then rest
       ▲                                │                     │
       └──── healthy for heal_s ────────┴─────────────────────┘

Evidence is of a dead radio: it is gone, or it speaks and hears nobody. One silent meter is none. Steps are the
operator's commands, from the gentlest to the reboot; those that are not configured are left out, and without any the
ladder does nothing. It never climbs more often than `at_most_per_hour`; reboots in a row are counted over boots, so
that a radio that stays dead does not keep the gateway rebooting for ever.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HOUR_S = 3_600.0


class Rung(StrEnum):
    """The steps, gentlest first. Stored and sent upstream, so a name is never changed or reused."""

    REASSOCIATE = "reassociate"
    RESTART_DAEMON = "restart_daemon"
    VENDOR_RESTART = "vendor_restart"
    RELOAD_DRIVER = "reload_driver"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Limits:
    """All times in seconds. `reboots_in_row`: so many without the radio getting healthy in between."""

    after_s: float = 180.0
    step_wait_s: float = 90.0
    heal_s: float = 600.0
    at_most_per_hour: int = 6
    reboots_in_row: int = 2


@dataclass(frozen=True, slots=True)
class LadderState:
    """Where it stands: plain data for status. `taken` counts each rung since the start."""

    evidence: str
    since_s: float
    next_rung: str
    taken: Mapping[str, int]
    exhausted: str


class Ladder:
    """One radio's ladder. `now` is monotonic seconds. `rungs` are the configured steps, in any order."""

    def __init__(self, rungs: frozenset[Rung], limits: Limits, *, reboots_in_row: int = 0) -> None:
        """`reboots_in_row` as `reboots_in_row` said before the last reboot."""
        self.limits = limits
        self.reboots_in_row = reboots_in_row
        self._rungs = [rung for rung in Rung if rung in rungs]
        self._place = 0
        self._evidence = ""
        self._evident_at: float | None = None
        self._healthy_at: float | None = None
        self._not_before = float("-inf")
        self._taken: deque[float] = deque()
        self._counts = dict.fromkeys(self._rungs, 0)
        self._exhausted = ""

    def look(self, evidence: str, now: float) -> Rung | None:
        """Take in what the radio shows ("" = it is healthy); return the step that is due now, None for none."""
        if not evidence:
            self._heal(now)
            return None
        self._healthy_at = None
        if self._evident_at is None:
            self._evident_at = now
        self._evidence = evidence
        if not self._rungs or now - self._evident_at < self.limits.after_s or now < self._not_before:
            return None
        return self._climb(now)

    def state(self, now: float) -> LadderState:
        """Return where it stands."""
        since_s = 0.0 if self._evident_at is None else now - self._evident_at
        following = self._rungs[self._place] if self._place < len(self._rungs) else ""
        return LadderState(self._evidence, since_s, str(following), {str(r): n for r, n in self._counts.items()},
                           self._exhausted)

    def _heal(self, now: float) -> None:
        """A radio that is back for a moment is not well yet: the next step stays the next step until it has held."""
        self._evidence, self._evident_at = "", None
        if self._healthy_at is None:
            self._healthy_at = now
        if now - self._healthy_at >= self.limits.heal_s:
            self._place, self.reboots_in_row, self._exhausted = 0, 0, ""

    def _climb(self, now: float) -> Rung | None:
        while self._taken and self._taken[0] <= now - HOUR_S:
            self._taken.popleft()
        if len(self._taken) >= self.limits.at_most_per_hour:
            self._exhausted = (f"{len(self._taken)} steps were taken within an hour, the most that at_most_per_hour "
                               "allows; the next one when the first of them is an hour old")
            return None
        if self._place >= len(self._rungs):      # all of them, and no better: from the beginning, an hour later
            self._place, self._not_before = 0, now + HOUR_S
            self._exhausted = f"every step was taken, none helped{self._held()}; from the first one again in an hour"
            return None
        rung = self._rungs[self._place]
        if rung is Rung.REBOOT and self.reboots_in_row >= self.limits.reboots_in_row:
            self._place += 1
            return self._climb(now)
        self._place, self._exhausted = self._place + 1, ""
        self._taken.append(now)
        self._counts[rung] += 1
        self._not_before = now + self.limits.step_wait_s
        if rung is Rung.REBOOT:
            self.reboots_in_row += 1
        return rung

    def _held(self) -> str:
        if Rung.REBOOT not in self._rungs or self.reboots_in_row < self.limits.reboots_in_row:
            return ""
        return (f" (no further reboot after {self.reboots_in_row} in a row, until the radio has been healthy for "
                f"{self.limits.heal_s:g} s)")
