"""When a ring's records get their time: anchors when the clock is right, and what happens while it is not.

Anchors are made here and become durable with the stream's next commit. Records of a boot that has none are held, of the
running one as of those before: until this boot's clock is right, which also bounds when the others ended, or until
`hold_s` has passed. An alarm never waits: whoever asks for it first fixes its time as far as that is known, so that
every later delivery carries the same.
"""

from collections.abc import Callable
from typing import Protocol

from edge.clock import Clock
from edge.model import Stream
from edge.ring.engine import Engine
from edge.ring.timebase import MAX_METERS, METER, Anchor, AnchorPolicy, Quality


class Spread(Protocol):
    """Let an anchor ride with all streams' next commits, or see to it that they come `at_once`."""

    def __call__(self, anchor: Anchor, *, at_once: bool) -> None: ...


class Timekeeper:
    """One per run; lives in the event loop."""

    def __init__(self, engine: Engine, clock: Clock, hold_s: float, spread: Spread, wake: Callable[[], None]) -> None:
        """Start with what the opening made durable. `wake` tells readers to ask again."""
        self._engine, self._clock, self._hold_s, self._spread, self._wake = engine, clock, hold_s, spread, wake
        self._policy = AnchorPolicy(engine.opened)
        self._timed = engine.opened.synchronised      # this run has an anchor from a right clock
        self._waited = False
        self._opened_at = clock.monotonic()
        self._meters: set[str] = set()

    def look(self) -> None:
        """Look at the clock; about once a second."""
        stamp = self._clock.stamp()
        anchor = self._policy.observe(stamp.boottime_ms, stamp.wall_ms, synchronised=stamp.synchronised,
                                      glimpsed=self._engine.segment_clocks(stamp.boottime_ms))
        if anchor is not None:
            first, self._timed = not self._timed, True
            self._spread(anchor, at_once=first)
        elif not self._waited and self._clock.monotonic() - self._opened_at >= self._hold_s:
            self._waited = True
            self._wake()

    def may_date(self, stream: Stream) -> bool:
        """Tell whether a stream's records without a time get one now, the best there is."""
        return self._timed or self._waited or stream is Stream.ALARM

    def meter_clock(self, meter: str, wall_ms: int, boottime_ms: int, error_ms: int | None, *, sound: bool) -> None:
        """Keep what a meter's clock said, where this boot may come to need it: once per meter, of a few meters."""
        if self._timed or len(self._meters) >= MAX_METERS or meter in self._meters:
            return
        self._meters.add(meter)
        quality = Quality.RESTORED if sound else Quality.UNKNOWN
        self._spread(Anchor(self._engine.boot, boottime_ms, wall_ms, quality, METER + meter, error_ms), at_once=False)
