"""What became of each slot: counted, said in the log where it is news, and one record given to the ring."""

import logging
from collections.abc import Awaitable, Callable

from edge.errors import FailReason, RingError
from edge.meters import reading
from edge.meters.profile import Profile
from edge.model import Record
from edge.poll.common import PROMISE_MARGIN_S, Common

log = logging.getLogger(__name__)

Sink = Callable[[Record], Awaitable[int]]
"""Where records go: `Ring.append` bound to Stream.INSTANT. Raises RingError."""


class Outcomes:
    """One meter's. A record that the ring refuses is counted, and stops nobody."""

    def __init__(self, common: Common, profile: Profile, sink: Sink) -> None:
        """Nothing has become of anything yet."""
        self._common = common
        self._profile = profile
        self._sink = sink

    async def reading(self, record: Record) -> None:
        """Keep a reading, whole or in part."""
        name, counters = self._common.name, self._common.counters
        if counters.last_failure:
            log.info("meter %s: readings again", name)
        counters.last_failure = ""
        counters.last_reading_at = self._common.now()
        counters.readings += 1
        not_read = str(record.values[-1]) if record.schema.fields[-1].key == "not_read" else ""
        counters.partial += bool(not_read)
        if not_read and not_read != counters.not_read:
            log.warning("meter %s: not read: %s", name, not_read)
        counters.not_read = not_read
        await self._append(record)

    async def failure(self, reason: FailReason, detail: str) -> None:
        """Keep that there is no reading, and why."""
        await self.no_reading(
            reading.failure(self._common.name, self._profile, reason, detail, self._common.clock.stamp()))

    async def no_reading(self, record: Record) -> None:
        """Keep a FAILURE; the first of its kind in a row is a warning, the others are debug."""
        reason, detail, counters = FailReason(str(record.values[0])), str(record.values[1]), self._common.counters
        repeated = counters.last_failure.startswith(reason.value) or reason is FailReason.CIRCUIT_OPEN
        log.log(logging.DEBUG if repeated else logging.WARNING, "meter %s: no reading: %s: %s", self._common.name,
                reason.value, detail)
        counters.failures[reason] += 1
        counters.last_failure = f"{reason.value}: {detail}"
        await self._append(record)

    async def _append(self, record: Record) -> None:
        self._common.pulse(PROMISE_MARGIN_S)
        try:
            await self._sink(record)
        except RingError as error:
            level = logging.DEBUG if self._common.counters.lost_records else logging.ERROR
            log.log(level, "meter %s: the ring took no record: %s", self._common.name, error)
            self._common.counters.lost_records += 1
