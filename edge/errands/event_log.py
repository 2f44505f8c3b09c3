"""A meter's event log, read as it grows: each entry becomes an event once, with the meter's own time.

    layout, once a day ─► how many entries? ─► the newest ─► nothing in common with what is known: more ─► events, noted

By entry number where the meter has selective access, else all of it. What is known is on flash after the events are in
the ring: a cut in between brings the same events again, with the same times, which upstream keeps once.
"""

import logging
import sys
from functools import lru_cache

import msgspec

from edge.dlms.axdr import Integer
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import AccessError, Attribute, Obis
from edge.dlms.selection import by_entry
from edge.errands.means import Means, Subject
from edge.errors import Violation
from edge.meters import eventlog
from edge.meters.loadrows import Layout, Row, rows
from edge.meters.localtime import Reckoning
from edge.meters.profile import Profile
from edge.meters.reading import cut
from edge.model import Field, Kind, Record, Schema, Stream
from edge.poll.errand import Ask

log = logging.getLogger(__name__)

BUFFER, CAPTURED, SORT_METHOD, IN_USE = 2, 3, 5, 7
LAYOUT_S = 86_400.0
RETRY_S = 120.0
LOOK, FIRST_LOOK, MOST = 16, 64, 512
"""Entries of a look, of the very first one (a new meter brings some of its history), and of the longest one."""

KNOWN = 32
"""Newest entries that are remembered, as digests."""

LOG_MS = 100
"""Entries of several logs for one second are told apart upstream by so many milliseconds for each log."""


class _Known(msgspec.Struct, frozen=True):
    """What is kept: digests of the newest entries that are events already, in the order of capture."""

    newest: tuple[str, ...] = ()


class EventLog:
    """The standing errand of one log of one meter. See `edge.poll.errand.Errand`."""

    lasts_s = 2.0

    def __init__(self, subject: Subject, profile: Profile, number: int, reckoning: Reckoning, interval_s: float,
                 means: Means) -> None:
        """`number` is the log's place in the profile; `reckoning` says how the meter's times are read."""
        self._subject = subject
        self._spec = profile.event_logs[number]
        self._codes = profile.event_codes
        self._number = number
        self._reckoning = reckoning
        self._interval_s = interval_s
        self._means = means
        self._duty = f"event_log {self._spec.name}"
        self._known: tuple[str, ...] | None = None
        self._layout: Layout | None = None
        self._layout_at = self._next_at = float("-inf")
        self._size = LOOK
        self._whole = False
        self._trouble = ""

    @property
    def name(self) -> str:
        """See `Errand`."""
        return self._duty

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        return max(now, self._next_at)

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`."""
        del error
        self._next_at = now + min(RETRY_S, self._interval_s)

    async def step(self, ask: Ask) -> None:
        """Look once: how many entries there are, and the newest of them. RegistryError: then it is looked at again."""
        now = self._means.clock.monotonic()
        self._next_at = now + self._interval_s
        if self._layout is None or now >= self._layout_at:
            self._layout = await self._learn_layout(ask, now)
        if self._layout is None:
            return
        if self._known is None:
            self._known = _load(await self._means.progress(self._subject.meter, self._duty))
            self._size = LOOK if self._known else FIRST_LOOK
        [answer] = await ask.get((self._attribute(IN_USE),))
        total = int(answer.data) if answer.error is None and isinstance(answer.data, Integer) else None
        if not total:
            return      # empty, or it does not tell: an empty log has nothing to forget
        read = await self._read(ask, self._layout, total)
        if read is not None:
            await self._take(read, complete=self._whole or self._size >= total)

    # -- reading ---------------------------------------------------------------------------------------------------

    def _attribute(self, number: int, selection: bytes = b"") -> Attribute:
        return Attribute(7, Obis.parse(self._spec.obis), number, selection)

    async def _learn_layout(self, ask: Ask, now: float) -> Layout | None:
        self._layout_at = now + LAYOUT_S
        captured, sort_method = await ask.get((self._attribute(CAPTURED), self._attribute(SORT_METHOD)))
        if captured.error is not None:
            if captured.error.temporary:
                self._layout_at = self._next_at = now + min(RETRY_S, self._interval_s)
            else:
                self._next_at = now + LAYOUT_S
                self._tell(f"is not read: {captured.error.text}")
            return None
        try:
            found = eventlog.layout_of(captured.data, sort_method.data)
        except Violation as nonsense:
            found = str(nonsense)
        if isinstance(found, str):
            self._next_at = now + LAYOUT_S
            self._tell(found)
            return None
        self._whole = Conformance.SELECTIVE_ACCESS not in ask.association.server_conformance
        return found

    async def _read(self, ask: Ask, layout: Layout, total: int) -> list[Row] | None:
        """Read the newest entries, in the order of capture; None where the meter does not give them now."""
        size = min(self._size, total)
        first = 1 if layout.newest_first else total - size + 1
        if self._whole and total > MOST:
            self._tell(f"has {total} entries and gives them only all at once")
            return None
        selection = b"" if self._whole else by_entry(first, first + size - 1)
        [answer] = await ask.get((self._attribute(BUFFER, selection),))
        if answer.error is not None:
            if answer.error.temporary:
                self._next_at = self._means.clock.monotonic() + min(RETRY_S, self._interval_s)
            elif self._whole or answer.error is AccessError.READ_WRITE_DENIED:
                self._tell(f"is not read: {answer.error.text}")
            else:      # no selection by entry, then
                self._whole = True
                self._next_at = self._means.clock.monotonic()
            return None
        stamp = self._means.clock.stamp()
        until_s = stamp.wall_ms // 1000 if stamp.synchronised else sys.maxsize      # a wrong clock vouches for no hour
        try:
            read = rows(layout, answer.data, self._reckoning, until_s)
        except Violation as misfit:      # an answer like any to the association; what is captured may have changed
            self._layout = None
            self._tell(f"is not read now: {misfit}")
            return None
        self._trouble = ""
        return read

    def _tell(self, why: str) -> None:
        level = logging.WARNING if self._spec.confirmed and why != self._trouble else logging.DEBUG
        log.log(level, "meter %s: the event log %s %s", self._subject.meter, self._spec.obis, why)
        self._trouble = why

    # -- events ----------------------------------------------------------------------------------------------------

    async def _take(self, read: list[Row], *, complete: bool) -> None:
        """Make events of what is new, and note it. `complete`: there is nothing older to be read."""
        known = self._known or ()
        digests = [eventlog.digest(row) for row in read]
        begin = eventlog.first_new(known, digests) if known else 0
        if begin is None:
            if not complete and self._size < MOST:
                self._size = min(2 * self._size, MOST)
                self._next_at = self._means.clock.monotonic()      # read further back
                return
            begin = 0
            self._subject.deed(self._means, "event_log_gap", f"{self._spec.name}: cleared or overrun since it was last "
                                                             f"read; {len(read)} entries are there")
        for row in read[begin:]:
            self._keep(row)
        self._size = LOOK
        if begin < len(read):
            newest = tuple((*known, *digests[begin:])[-KNOWN:] if begin else digests[-KNOWN:])
            text = msgspec.json.encode(_Known(newest)).decode()
            await self._means.keep_progress(self._subject.meter, self._duty, text)
            self._known = newest

    def _keep(self, row: Row) -> None:
        assert self._layout is not None
        entry = eventlog.entry_of(row, self._layout, self._spec, self._codes)
        stamp = self._means.clock.stamp()
        if row.at_ms is not None:      # a second that others share is no doubt about the time of an event
            doubtful = row.doubt not in ("", "repeated")
            stamp = stamp.dated_by_meter(row.at_ms + LOG_MS * self._number, trusted=not doubtful)
        self._means.keep(Stream.ALARM, Record(schema(self._subject.profile), self._subject.meter, stamp, (
            entry.name, cut(entry.detail) or None, entry.code, entry.severity, self._spec.name, entry.time or None)))


@lru_cache(maxsize=256)
def schema(profile: str) -> Schema:
    """Return the columns of an entry's record."""
    return Schema(Kind.EVENT, (Field("event"), Field("detail"), Field("code"), Field("severity"), Field("log"),
                               Field("time")), profile)


def _load(text: str) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(text, type=_Known).newest if text else ()
    except msgspec.DecodeError:
        return ()
