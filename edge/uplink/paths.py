"""Which of several paths to the server is taken (pure): the first that works, without flapping.

    in use, not a word from the server for dead_after_s           ─► another one that answers probes, else the next
    a better one has answered every probe for return_after_s      ─► back to it

A probe only shows that somebody answers; whether a path is good shows in use. So what keeps it calm, besides the times:
  - failing over without a steady stretch in between takes twice as long each time (`DOUBLINGS`), and goes through the
    paths that were not tried yet: where the server itself is away, changing paths helps nothing;
  - a path that was returned to and soon died must answer for twice as long before the next return;
  - a path that was left for dead must answer anew, whatever it answered before;
  - never two switches within dead_after_s, never more than `MOST_PER_HOUR`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge.uplink.pace import Rng

DOUBLINGS = 4
MOST_PER_HOUR = 12
HOUR_S = 3_600.0
METERED_TIMES = 15         # a metered path is probed so many times as seldom
FEWEST_PROBES = 2          # in a row, before a path is returned to


@dataclass(frozen=True, slots=True)
class Rule:
    """The times of edge.config.PathsSettings."""

    dead_after_s: float
    return_after_s: float
    probe_interval_s: float


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of path, by index, and one line on why."""

    before: int
    path: int
    why: str


@dataclass(slots=True)
class Probed:
    """What probes showed of one path. Times are monotonic seconds."""

    interval_s: float
    due_at: float
    at: float | None = None            # of the last probe
    answered: bool = False             # whether it was answered
    detail: str = "not tried yet"
    since: float | None = None         # every probe since then was answered
    in_row: int = 0
    doublings: int = 0                 # of return_after_s


class Chooser:
    """Decides; asked again and again by `step`. The best path is number 0, and taken first."""

    def __init__(self, metered: Sequence[bool], rule: Rule, rng: Rng, now: float) -> None:
        """`metered` of each path, the best first."""
        times = [METERED_TIMES if costs else 1 for costs in metered]
        self.probes = [Probed(rule.probe_interval_s * each, now) for each in times]
        self.current = 0
        self.since = now                       # in use since then
        self.why = "the first at the start"
        self.heard_at: float | None = None     # the server was last heard on it then
        self._rule, self._rng = rule, rng
        self._returned = False                 # it was taken because it is better, not because another was dead
        self._in_vain = 0                      # failovers since a path was steady
        self._tried = {0}                      # paths in use since then
        self._switches: deque[float] = deque(maxlen=MOST_PER_HOUR)

    def heard(self, at: float) -> None:
        """Note when the server was last heard over the path in use."""
        if at < self.since or (self.heard_at is not None and at <= self.heard_at):
            return
        self.heard_at = at
        if at - self.since >= self._rule.return_after_s:
            self._in_vain, self._tried = 0, {self.current}
        if at - self.since >= self._return_after_s(self.current):
            self.probes[self.current].doublings = 0

    def begin(self, now: float) -> None:
        """Count silence from now on: until now nobody asked the server for anything."""
        self.since, self.heard_at = now, None

    def probed(self, path: int, *, answered: bool, detail: str, now: float) -> None:
        """Note the outcome of a probe of a path."""
        probe = self.probes[path]
        probe.at, probe.answered, probe.detail = now, answered, detail
        probe.due_at = now + self._rng.uniform(probe.interval_s / 2, probe.interval_s)
        if answered:
            probe.since = now if probe.since is None else probe.since
            probe.in_row += 1
        else:
            probe.since, probe.in_row = None, 0

    def due(self, now: float) -> list[int]:
        """Return the paths to be probed now: those not in use, all of them once the one in use is suspect."""
        fresh = now - self._rule.dead_after_s / 2
        suspect = self._silent_s(now) >= self._rule.dead_after_s / 2
        return [path for path, probe in enumerate(self.probes) if path != self.current and (
            now >= probe.due_at or (suspect and (probe.at is None or probe.at < fresh)))]

    def step(self, now: float) -> Switch | None:
        """Return the switch that is due now, made already; None: stay."""
        busy = len(self._switches) == MOST_PER_HOUR and now - self._switches[0] < HOUR_S
        if busy or now - self.since < self._rule.dead_after_s:
            return None
        silent_s = self._silent_s(now)
        if silent_s >= self._rule.dead_after_s * 2**min(self._in_vain, DOUBLINGS):
            return self._fail_over(silent_s, now)
        return self._come_back(now)

    def _silent_s(self, now: float) -> float:
        return now - (self.since if self.heard_at is None else self.heard_at)

    def _return_after_s(self, path: int) -> float:
        return self._rule.return_after_s * 2.0**self.probes[path].doublings

    def _fail_over(self, silent_s: float, now: float) -> Switch | None:
        others = [path for path in range(len(self.probes)) if path != self.current]
        if not others:
            return None
        left = self.probes[self.current]
        if self._returned:
            left.doublings = min(left.doublings + 1, DOUBLINGS)
        left.since, left.in_row = None, 0
        if set(others) <= self._tried:
            self._tried = {self.current}
        fresh = [path for path in others if path not in self._tried]
        chosen = next((path for path in fresh if self.probes[path].answered), None)
        if chosen is None:
            chosen = next((path for path in others if self.probes[path].answered), fresh[0])
        self._in_vain += 1
        return self._take(chosen, f"not a word from the server for {silent_s:.0f} s", now, returned=False)

    def _come_back(self, now: float) -> Switch | None:
        for path, probe in enumerate(self.probes[:self.current]):
            answered_s = 0.0 if probe.since is None else now - probe.since
            if answered_s >= self._return_after_s(path) and probe.in_row >= FEWEST_PROBES:
                return self._take(path, f"a better path has answered for {answered_s:.0f} s", now, returned=True)
        return None

    def _take(self, path: int, why: str, now: float, *, returned: bool) -> Switch:
        switch = Switch(self.current, path, why)
        self._tried.add(path)
        self._switches.append(now)
        # What is left is next probed in its own time, for the return; it is not asked at once what it just failed.
        left = self.probes[self.current]
        left.due_at = now + self._rng.uniform(left.interval_s / 2, left.interval_s)
        self.current, self.since, self.why, self.heard_at, self._returned = path, now, why, None, returned
        return switch
