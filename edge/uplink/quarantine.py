"""The end of a record that no server takes: told in the alarm stream, counted, and let go of, in this order.

The report carries the record's own JSON as text, so that its values are still there to be read.
"""

import logging
from typing import NoReturn

from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.uplink.poison import place
from edge.uplink.ports import Shared
from edge.uplink.thingsboard import element

log = logging.getLogger(__name__)

EVENT = "record_quarantined"
MAX_TEXT = 2_000           # characters of the record in its report
SCHEMA = Schema(Kind.EVENT, tuple(Field(key) for key in ("event", "detail", "device", "stream", "seq", "record")))


async def report_for_ever(shared: Shared) -> NoReturn:
    """Take from `shared.reports` until cancelled. While storage fails this waits, and only this."""
    while True:
        report = await shared.reports.get()
        if isinstance(report, Record):
            await _append(shared, report)
            continue
        stored, reason = report
        try:
            await quarantine(shared, stored, reason)
        finally:
            shared.condemned.discard(place(stored))


async def quarantine(shared: Shared, stored: Stored, reason: str) -> None:
    """Report `stored` durably, then acknowledge it in the ring. Cancelling in between leaves it in the ring.

    A report that is itself refused is only logged: no report of a report. One that the ring refuses is tried without
    the record; if that does not help, the record stays.
    """
    record = stored.record
    log.warning("record %s/%d of %s is quarantined: %s", stored.stream.name.lower(), stored.seq,
                record.device or "the gateway", reason)
    is_report = record.schema == SCHEMA and record.values[0] == EVENT
    if not is_report:
        for text in (element(record)[0].decode()[:MAX_TEXT], None):
            values = (EVENT, reason, record.device or None, stored.stream.name.lower(), stored.seq, text)
            if await _append(shared, Record(SCHEMA, "", shared.clock.stamp(), values)):
                break
        else:
            return
    shared.let_go(SeqSpan(stored.stream, stored.seq, stored.seq))
    shared.tally.quarantined += 1


async def _append(shared: Shared, record: Record) -> bool:
    try:
        await shared.ring.append(Stream.ALARM, record)
    except RingError as error:
        log.warning("the ring does not take a report of %s: %s", record.values[0], error)
        return False
    return True
