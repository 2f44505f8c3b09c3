"""When a ring's records get their time: anchors when the clock is right, and what happens while it is not.

Anchors are made here and become durable with the stream's next commit. An alarm never waits for a clock: the first one
that is asked for fixes the time as it stands, so that its every delivery carries the same. Other records of a boot that
is not synchronised wait `hold_s`.
"""

from collections.abc import Iterable
from typing import Protocol

from edge.clock import Clock
from edge.model import Stream
from edge.ring.ackset import FIRST_ORDINAL
from edge.ring.engine import Engine, anchor_of
from edge.ring.lane import Lane
from edge.ring.timebase import Anchor, AnchorPolicy


class Spread(Protocol):
    """Let an anchor ride with the streams' next commits, or see to it that they come `at_once`."""

    def __call__(self, anchor: Anchor, streams: Iterable[Stream], *, at_once: bool, unless_known: bool = False
                 ) -> None: ...


class Timekeeper:
    """One per run; lives in the event loop."""

    def __init__(self, engine: Engine, clock: Clock, hold_s: float, spread: Spread) -> None:
        """Start with what the opening made durable."""
        self._engine, self._clock, self._hold_s, self._spread = engine, clock, hold_s, spread
        self._policy = AnchorPolicy(engine.opened)
        self._timed = engine.opened.synchronised      # this run has an anchor from a right clock
        self._held = set(Stream)                      # streams that wait for one
        self._opened_at = clock.monotonic()

    def look(self) -> None:
        """Look at the clock; about once a second."""
        stamp = self._clock.stamp()
        anchor = self._policy.observe(stamp.boottime_ms, stamp.wall_ms, synchronised=stamp.synchronised)
        if anchor is not None:
            first, self._timed = not self._timed, True
            self._spread(anchor, tuple(Stream), at_once=first)
        elif self._clock.monotonic() - self._opened_at >= self._hold_s:
            self._hand_out(self._held - {Stream.ALARM})

    def asked_for(self, lane: Lane, first: int) -> None:
        """Note that somebody reads a stream from ordinal `first` on."""
        if lane.stream is Stream.ALARM and lane.stream in self._held and not self._timed:
            end = lane.end if lane.failed else lane.log.view.next_ordinal
            if end > max(first, FIRST_ORDINAL) and lane.log.backlog() + lane.waiting():
                self._hand_out({Stream.ALARM})

    def _hand_out(self, streams: set[Stream]) -> None:
        if streams and not self._timed:
            self._held -= streams
            anchor = anchor_of(self._clock.stamp(), self._engine.boot, "held")
            self._spread(anchor, tuple(streams), at_once=True, unless_known=True)
