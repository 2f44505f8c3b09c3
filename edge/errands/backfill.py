"""Backfill: read from the meter's load profile what upstream does not have (IEC 62056-6-2, 4.3.6, profile generic).

    layout ─► scalers ─► look ─► fetch ─► fetch ─► … ─► nothing is missing ── until the next interval ends ─► look
      │                   │ the meter's clock: which intervals have ended, was it set
      └─ once a day       └─ once per capture period

One request per step, of a size that its answer is there in good time. Only the meter's own clock counts here, so a
gateway without the time backfills as well as any. What is known of the intervals is the ledger's (edge.meters.ledger).
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from edge.clock import Clock
from edge.dlms.axdr import Integer
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import AccessError
from edge.dlms.selection import by_entry
from edge.errands.backfillstate import BackfillState, Progress
from edge.errands.loadfacts import LoadFacts
from edge.errands.meterclock import Look, MeterClock
from edge.errands.pace import Pace
from edge.errands.ways import Access, Way
from edge.errors import FailReason, Refused, RegistryError, RingError, Violation
from edge.meters.ledger import Ledger, Order, next_span
from edge.meters.loadrecord import Columns
from edge.meters.loadrows import REPEATED, Layout, Row, moment, rows
from edge.meters.localtime import DAY_S, Reckoning
from edge.meters.profile import Profile
from edge.meters.ranges import Pair, Ranges
from edge.model import Meter, Record
from edge.poll.errand import Ask

log = logging.getLogger(__name__)

SETTLE_S = 5
"""After an interval has ended, its row is thought to be in the buffer so much later."""

SPREAD_S = 60.0
"""Meters of one period do not all look in the same second; up to so much later, and a quarter of the period at most."""

LAYOUT_S = float(DAY_S)
"""How often capture objects and scalers are read again: a meter may be given others."""

REFUSED_S = 3_600.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 15.0, 900.0


class Book(Protocol):
    """What a backfill needs of the gateway: one meter's ledger, and the ring."""

    ledger: Ledger

    async def load(self) -> None:
        """Read the ledger that was kept. Raises RegistryError."""

    def room(self) -> bool:
        """Tell whether the ring and its writer can take more: while not, the rows wait in the meter."""

    def keep(self, records: Sequence[Record], known: Ranges, held: Ranges) -> None:
        """Put rows into the ring, and note in the ledger what is known by them once they are durable.

        Returns at once. Raises RingError where the ring refuses them; nothing is noted then.
        """


class Backfill:
    """A standing errand (edge.poll.errand.Errand) of one meter."""

    name = "backfill"

    def __init__(self, meter: Meter, profile: Profile, book: Book, *, clock: Clock, reckoning: Reckoning, pace: Pace,
                 order: Order, history_s: int, share: float) -> None:
        """`profile` has a load profile. `history_s`: how far back is read. `share` 0..1 spreads meters over time."""
        assert profile.load_profile is not None
        self.progress = Progress()
        self._meter = meter
        self._spec = profile.load_profile
        self._facts = LoadFacts(meter.name, profile, reckoning)
        self._book = book
        self._clock = clock
        self._pace = pace
        self._order: Order = order
        self._history_s = history_s
        self._share = share
        self._meter_clock = MeterClock()
        self._loaded = False
        self._access = Access()
        self._way: Way | None = None             # made at each look
        self._oldest_asked = False
        self._edge = False                       # the interval that has just ended has no row yet
        self._layout_at = self._look_at = self._fetch_at = self._not_before = 0.0      # monotonic: when each is due
        self._learned_at = 0.0
        self._fetching = False
        self._failures = 0

    # -- edge.poll.errand.Errand -----------------------------------------------------------------------------------

    @property
    def lasts_s(self) -> float:
        """See `Errand`."""
        ready = self._facts.layout is not None and not self._facts.wanted
        if ready and self._clock.monotonic() < self._look_at:
            return self._pace.lasts_s
        return (2 if ready else self._facts.requests) * self._pace.overhead_s

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        if self._facts.layout is None:
            return max(self._layout_at, self._not_before)
        if self._facts.wanted:
            return max(now, self._not_before)
        first = min(self._layout_at, self._look_at)
        if self._fetch_at < first and self._wanted() and self._book.room():
            first = self._fetch_at
        return max(first, self._not_before)

    async def step(self, ask: Ask) -> None:
        """See `Errand`: one of the steps of the picture above."""
        now = self._clock.monotonic()
        self._fetching = False
        layout, columns = self._facts.layout, self._facts.columns
        if not self._loaded:
            await self._load(now)
        elif layout is None or columns is None or now >= self._layout_at:
            await self._learn(ask, now)
        elif columns.wanted:
            if not await self._facts.learn_scalers(ask):
                self._rest(now + BACKOFF_FIRST_S, "the meter cannot tell its scalers now")
        elif now >= self._look_at:
            await self._look(ask, layout)
        else:
            self._fetching = True
            await self._fetch(ask, layout, columns)
        self._failures = 0
        if self._not_before <= now:
            self.progress.trouble = ""

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`: waits longer after each failure in a row, and asks for less or in another way."""
        self._failures += 1
        self._rest(now + min(BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 10), BACKOFF_MAX_S),
                   str(error) or "not done in time")
        if not self._fetching:
            return
        self._pace.failed()
        if isinstance(error, Violation):      # it may capture something else now, or be odd for good
            self._layout_at = min(self._layout_at, max(self._learned_at + REFUSED_S, now))
        if isinstance(error, Refused) and error.reason is FailReason.EXCEPTION_RESPONSE and not error.temporary:
            self._strike(str(error), now)
        elif self._access.name == "entry":      # where entries stand may have changed: look again
            self._look_at = now

    # -- what the daemon asks --------------------------------------------------------------------------------------

    def state(self) -> BackfillState:
        """Return how it stands: plain data."""
        facts = self._facts
        return self.progress.state(
            self._meter.name, self._book.ledger.counts(), self._clock.monotonic(), access=self._access.name,
            period_s=facts.layout.period_s if facts.layout else None, room=self._book.room(),
            not_read=facts.columns.problems if facts.columns else {}, problem=facts.problem)

    # -- what must be known first ----------------------------------------------------------------------------------

    async def _load(self, now: float) -> None:
        """Read the ledger, once; what keeps the registry from it is no fault of the meter, nor of its association."""
        try:
            await self._book.load()
            self._loaded = True
        except RegistryError as error:
            self._rest(now + BACKOFF_FIRST_S, str(error))

    async def _learn(self, ask: Ask, now: float) -> None:
        await self._facts.learn(ask)
        self._learned_at, self._layout_at, self._look_at = now, now + LAYOUT_S, now
        self._oldest_asked = False
        self._access.begin(selective=Conformance.SELECTIVE_ACCESS in ask.association.server_conformance)
        if self._facts.layout is not None and not self._book.ledger.rests_on(self._facts.basis):
            log.warning("meter %s: its intervals are read anew: another meter, or its times mean something else (%s)",
                        self._meter.name, self._facts.basis)

    # -- look ------------------------------------------------------------------------------------------------------

    async def _look(self, ask: Ask, layout: Layout) -> None:
        """Ask the meter for its time, and with it which intervals have ended."""
        began = self._clock.monotonic()
        told, in_use = await ask.get((layout.clock_attribute, self._spec.attribute(7)))
        now = self._clock.monotonic()
        self._pace.small(now - began)
        instant, shown = moment(told.data, self._facts.reckoning) if told.error is None else (None, None)
        if instant is None:
            self._look_at = now + max(layout.period_s, 60)
            why = f": {told.error.text}" if told.error is not None else ""
            self.progress.problem = f"the meter's clock shows no date{why}"
            return
        stamp = self._clock.stamp()
        look = self._meter_clock.look(instant, shown, now, now - began,
                                      stamp.wall_ms / 1000 if stamp.synchronised else None)
        end = self._set_window(layout.period_s, look)
        late_s = SETTLE_S + self._share * min(SPREAD_S, layout.period_s / 4)
        self._look_at = now + max(end + layout.period_s + late_s - look.at_s, 1.0)
        self._edge = False
        self.progress.looked(now)
        total = int(in_use.data) if isinstance(in_use.data, Integer) else 0
        if self._facts.outdated(total, now):
            self._layout_at, self._way = now, None
            return
        way = self._access.way(layout, total, self._facts.reckoning, self._meter_clock.shown)
        self.progress.problem = way if isinstance(way, str) else ""
        self._way = None if isinstance(way, str) else way
        if not self._oldest_asked and total and self._access.name == "range":
            self._oldest_asked = True
            await self._ask_oldest(ask, layout, total if layout.newest_first else 1, look.at_s)

    def _set_window(self, period_s: int, look: Look) -> int:
        """Have the ledger look at the intervals that have ended by the meter's clock; return when the last one did.

        What a clock that was set back makes the meter capture once more is forgotten, and so read again.
        """
        ledger, phase = self._book.ledger, self._meter_clock.phase(look.at_s, period_s)
        end = (look.at_s - SETTLE_S - phase) // period_s * period_s + phase
        if look.back_to_s is not None:
            log.info("meter %s: its clock was set back; the intervals since then are read again", self._meter.name)
            end_before = ledger.known.end if ledger.known else end
            ledger.again(look.back_to_s - (look.back_to_s - phase) % period_s, max(end, end_before))
        ledger.look(end - self._history_s // period_s * period_s, end, period_s)
        if ledger.known and ledger.known.end > end:      # set back while nobody looked
            ledger.again(end, ledger.known.end)
        return end

    async def _ask_oldest(self, ask: Ask, layout: Layout, entry: int, at_s: int) -> None:
        """Read the oldest entry: the meter has nothing before it, so nobody need ask."""
        result, = await ask.get((self._spec.attribute(2)._replace(selection=by_entry(entry, entry)),))
        found = rows(layout, result.data, self._facts.reckoning, at_s) if result.error is None else []
        ledger = self._book.ledger
        if len(found) == 1 and found[0].at_ms is not None and not found[0].doubt and found[0].at_s <= at_s:
            ledger.taken(Ranges.of((ledger.window[0], found[0].at_s - layout.period_s)) - ledger.known, Ranges())

    # -- fetch -----------------------------------------------------------------------------------------------------

    def _wanted(self) -> Pair | None:
        """Return the intervals to read next, None when none are missing or nobody can read them."""
        if self._way is None:
            return None
        ledger = self._book.ledger
        missing = ledger.missing()
        return next_span(missing - self._newest() if self._edge else missing, self._order, self._pace.rows,
                         ledger.period_s)

    def _newest(self) -> Ranges:
        """Return the interval that ended last."""
        ledger = self._book.ledger
        return Ranges.of((ledger.window[1] - ledger.period_s, ledger.window[1]))

    async def _fetch(self, ask: Ask, layout: Layout, columns: Columns) -> None:
        """Read one piece of what is missing."""
        span, way = self._wanted(), self._way
        if span is None or way is None:
            return
        began = self._clock.monotonic()
        selection = way.selection(span, self._pace.rows)
        result, = await ask.get((self._spec.attribute(2)._replace(selection=selection),))
        now = self._clock.monotonic()
        if result.error is not None:
            self._refused(result.error, now)
            return
        found = rows(layout, result.data, self._facts.reckoning, self._meter_clock.at(now))
        self._fetch_at = now + self._pace.answered(len(found), now - began)
        covered = way.covered(span, self._book.ledger.window, found)
        if isinstance(covered, str):
            self._strike(covered, now)
            return
        self._access.worked()
        known = covered.within(*self._book.ledger.window)
        if not any(row.at_ms is not None and row.at_s > self._newest().first for row in found):
            # no row of the interval that ended last: it may be late, so the next look asks again
            self._edge = self._edge or span[1] == self._book.ledger.window[1]
            known -= self._newest()
        self._keep(columns, known, found, now)

    def _keep(self, columns: Columns, known: Ranges, found: Sequence[Row], now: float) -> None:
        """Hand over what is new among the rows, and note of which intervals all is known now."""
        ledger, taken = self._book.ledger, self._clock.stamp()
        dated = [row for row in found if row.at_ms is not None]
        fresh = [row for row in dated if ledger.wants(row.at_s) and (row.at_s - 1) in known]
        held = ledger.rows_at(row.at_s for row in dated) & known
        try:
            self._book.keep([columns.record(row, taken, self._meter.name) for row in fresh], known, held)
        except RingError as error:
            self._rest(now + BACKOFF_FIRST_S, str(error))
            return
        self.progress.read(len(fresh), undated=len(found) - len(dated), now=now,
                           repeated=sum(row.doubt == REPEATED for row in fresh))

    def _refused(self, error: AccessError, now: float) -> None:
        if error.temporary:
            self._rest(now + BACKOFF_FIRST_S, f"the load profile: {error.text}")
        else:
            self._next_way(error.text, now)

    def _strike(self, why: str, now: float) -> None:
        """Note an answer that is none to what was asked: look again, and in the end ask in another way."""
        self._look_at = now
        if self._access.struck():
            self._next_way(why, now)

    def _next_way(self, why: str, now: float) -> None:
        """Try another way of access; after the last of them the first again, in an hour."""
        self._look_at = now
        if not self._access.following():
            self._rest(now + REFUSED_S, f"the meter refuses its load profile: {why}")
            return
        log.info("meter %s: its load profile is not to be had so (%s); now by %s", self._meter.name, why,
                 self._access.name)

    def _rest(self, until: float, trouble: str) -> None:
        self._not_before = until
        self.progress.trouble = trouble
