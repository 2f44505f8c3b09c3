"""The daemon's way into the ring, past who judges what goes in. Nothing here waits for the flash.

    polls, pushes ──► put_judged ──► ring ─► judge      refused by the ring: RingError, and no ground for an alarm
    errands, vitals ► keep_judged ─► ring ─► judge      refused: told in the log, and judged all the same
    the parts ──────► event, telemetry ─► ring          refused: told in the log, and stops nobody
    links, paths ───► alarm ───────────────► judge      what comes of it is kept by the judge
"""

import logging
from collections.abc import Callable

from edge.errors import RingError
from edge.model import Record, Stream
from edge.ring.lane import Ticket
from edge.ring.store import Ring

log = logging.getLogger(__name__)

Judge = Callable[[Record], object]


def _nobody(_record: Record) -> None:
    """Judge nothing."""


class Intake:
    """One per gateway. First the record, then the judge: what it raises stands behind its cause in the ring."""

    def __init__(self, ring: Ring) -> None:
        """Nobody judges before `judged_by`."""
        self._ring = ring
        self._judge: Judge = _nobody

    def judged_by(self, judge: Judge) -> None:
        """Have this look at records from now on: it neither waits nor raises, and keeps by `event` what it finds."""
        self._judge = judge

    def put_judged(self, stream: Stream, record: Record) -> Ticket:
        """Give the ring a record that alarms may come of. RingError where it is refused."""
        ticket = self._ring.put(stream, record)
        self._judge(record)
        return ticket

    def keep_judged(self, stream: Stream, record: Record) -> None:
        """Keep a record that alarms may come of, also where the ring refuses it."""
        self._keep(stream, record)
        self._judge(record)

    def event(self, record: Record) -> Ticket | None:
        """Keep an event or an alarm; awaiting what it gives waits for the flash, None: it was refused."""
        return self._keep(Stream.ALARM, record)

    def telemetry(self, record: Record) -> Ticket | None:
        """Keep figures of the gateway or of a link that no alarm comes of."""
        return self._keep(Stream.INSTANT, record)

    def alarm(self, record: Record) -> None:
        """Hand on an alarm that a part has found by itself."""
        self._judge(record)

    def _keep(self, stream: Stream, record: Record) -> Ticket | None:
        try:
            return self._ring.put(stream, record)
        except RingError as error:
            log.warning("a record of the gateway itself is lost: %s", error)
            return None
