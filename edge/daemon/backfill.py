"""Backfill of all meters: makes each meter's errand, tells how they stand, and takes an operator's wishes."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from edge.clock import Clock
from edge.config import Settings
from edge.daemon.enrolment import Enrolment
from edge.daemon.ledgers import Book, Ledgers
from edge.errands.backfill import Backfill
from edge.errands.backfillstate import BackfillState
from edge.errands.pace import Pace
from edge.errors import LocalStateError
from edge.meters.dutyspec import reckoning
from edge.meters.localtime import DAY_S
from edge.meters.profile import Profile
from edge.model import Field, Kind, Meter, Record, Schema, Stream
from edge.poll.addressing import poll_interval_s
from edge.poll.errand import Errand
from edge.poll.schedule import phase
from edge.ring.store import Ring

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

STEP_BUDGET_S = 4.0
"""How long one request for rows may take at the most; less where polls come often or answers must come soon."""

SCHEMA = Schema(Kind.GATEWAY, (
    Field("load_missing_intervals"), Field("load_absent_intervals"), Field("load_oldest_missing_age_s", unit="s")))
"""What is told of each meter."""


class BackfillDesk:
    """One loop; `ledgers.run` is its worker."""

    def __init__(self, settings: Settings, ring: Ring, enrolment: Enrolment, clock: Clock,
                 keep: Callable[[Record], object]) -> None:
        """Nothing is read before a meter's poller starts. `keep` takes what is told of each meter."""
        self.ledgers = Ledgers(ring, enrolment, clock, self._tell)
        self._settings = settings
        self._keep = keep
        self._enrolment = enrolment
        self._clock = clock
        self._meters: dict[str, tuple[Book, Backfill]] = {}
        self._told: dict[str, tuple[int | None, ...]] = {}
        self._tell_at = 0.0

    def use(self, settings: Settings) -> None:
        """Make the next errands by other settings."""
        self._settings = settings

    def of(self, meter: Meter, profile: Profile) -> Iterator[Errand]:
        """Yield the meter's backfill, if its profile names a load profile (`edge.poll.errand.ErrandsOf`)."""
        spec, settings = profile.load_profile, self._settings
        if spec is None or not settings.backfill.enabled:
            self._meters.pop(meter.name, None)
            self.ledgers.forget(meter.name)
            return
        book = self.ledgers.open(meter.name, Stream.BILLING if spec.billing else Stream.INSTANT)
        exchange_s = profile.timing.exchange_timeout_s or settings.poll.exchange_timeout_s
        budget_s = min(exchange_s / 2, poll_interval_s(meter, profile, settings.poll) / 4, STEP_BUDGET_S)
        days = min(settings.backfill.history_days, spec.retention_days or settings.backfill.history_days)
        backfill = Backfill(
            meter, profile, book, clock=self._clock, reckoning=reckoning(profile.clock, settings.clock.meters_zone),
            pace=Pace(budget_s, settings.backfill.line_share), order=settings.backfill.order, history_s=days * DAY_S,
            share=phase(meter.name))
        self._meters[meter.name] = (book, backfill)
        yield backfill

    def forget(self, meters: Iterable[str]) -> None:
        """Tell no more of names that are registered no longer; whoever goes by one now has an errand of its own."""
        there = {meter.name for meter in self._enrolment.meters}
        for name in (name for name in meters if name not in there):
            self._meters.pop(name, None)
            self._told.pop(name, None)
            self.ledgers.forget(name)

    def states(self) -> Mapping[str, BackfillState]:
        """Return how every registered meter's backfill stands, by name."""
        return {name: backfill.state() for name, (_, backfill) in sorted(self._meters.items())}

    def handlers(self, nudge: Callable[[str], None]) -> Mapping[str, Handler]:
        """Return the control requests `backfill` and `backfill_again`; `nudge` wakes up a meter's errands."""

        async def again(request: dict[str, Any]) -> dict[str, Any]:
            answer = await self.again(request)
            nudge(str(answer["meter"]))
            return answer

        return {"backfill": self.answer, "backfill_again": again}

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `backfill`: all meters, or the one of `meter`."""
        name = request.get("meter")
        states = self.states() if name is None else {name: self._found(name)[1].state()}
        return {"meters": [msgspec.to_builtins(state) for state in states.values()]}

    async def again(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `backfill_again`: read `from_s` to `to_s` (Unix seconds) of `meter` once more."""
        book, _ = self._found(request.get("meter"))
        first, last = request.get("from_s"), request.get("to_s")
        if type(first) is not int or type(last) is not int or first >= last:
            raise LocalStateError("from and to must be times, the first before the second")
        if not book.loaded or not book.ledger.window[1]:
            raise LocalStateError(f"meter {book.meter} has not been asked for its time yet; try again in a minute")
        before = book.ledger.counts().missing
        book.ledger.again(first, last)
        return {"meter": book.meter, "intervals": book.ledger.counts().missing - before}

    def _found(self, name: object) -> tuple[Book, Backfill]:
        found = self._meters.get(name) if isinstance(name, str) else None
        if found is None:
            raise LocalStateError(f"there is no backfill for a meter {name!r}: it is not registered, its type names no "
                                  "load profile, or backfill.enabled is false")
        return found

    def _tell(self) -> None:
        """Write a record for each meter that has something missing or something new to tell, now and then."""
        now = self._clock.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + self._settings.uplink.health_interval_s
        for name, (book, _) in self._meters.items():
            counts = book.ledger.counts()
            if not counts.expected or (counts == self._told.get(name) and not counts.missing):
                continue
            self._told[name] = counts
            age_s = None if counts.oldest_missing_s is None else book.ledger.window[1] - counts.oldest_missing_s
            self._keep(Record(SCHEMA, name, self._clock.stamp(), (counts.missing, counts.absent, age_s)))
