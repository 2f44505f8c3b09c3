"""What happens in one slot of the schedule: attempts, as many as the ladder, the air and the time allow; one record.

    slot ──► may try? ── no ──► FAILURE circuit_open (or the reason it waits for)
                │ yes
                ▼
             turn at the gate ─► Link.poll ─► READING ─► Outcomes
                ▲                   │ MeterError
                │                   ▼
                └── back-off ── Recovery.failed ── slot over, or nothing more to try ──► FAILURE with its reason

A slot whose first attempt fails is tried again after the back-off as long as the slot lasts, so that one lost
connection does not cost a quarter-hour value.
"""

import asyncio
import contextlib
import logging
from contextlib import AbstractContextManager

from edge.errors import FailReason, MeterError
from edge.meters import reading
from edge.model import Kind, Record
from edge.poll.common import PROMISE_MARGIN_S, Common
from edge.poll.link import Link
from edge.poll.lockout import Lockout
from edge.poll.outcomes import Outcomes
from edge.poll.recovery import UNANSWERED, Circuit, Level
from edge.poll.schedule import Between
from edge.poll.turn import Crowd, Place

log = logging.getLogger(__name__)


class Slot:
    """One meter's slots, one after the other. Used by its poller's task; `forgive` by any task of the loop."""

    def __init__(self, common: Common, link: Link, outcomes: Outcomes, crowd: Crowd, between: Between,
                 connect_timeout_s: float, lockout: Lockout) -> None:
        """`crowd` is told how each attempt ended, and knows when the link to all is gone."""
        self._common = common
        self._link = link
        self._outcomes = outcomes
        self._crowd = crowd
        self._between = between
        self._connect_timeout_s = connect_timeout_s
        self._lockout = lockout
        self._place: Place | None = None      # while an attempt is made
        self._forgiven = asyncio.Event()

    def use(self, between: Between) -> None:
        """Leave the association as this says from the next attempt on."""
        self._between = between

    def forgive(self) -> None:
        """Try this meter again without its back-off: it was silent because the link was gone."""
        if self._common.recovery.forgive():
            self._forgiven.set()

    def connecting(self) -> AbstractContextManager[None]:
        """Wait for a connection in the block: where that takes long, other meters have the place meanwhile."""
        return contextlib.nullcontext() if self._place is None else self._place.connecting()

    async def serve(self, due: float, end: float) -> None:
        """Leave exactly one record of the slot at `due`, at the latest when `end` has come and no try is open.

        What leaves it is a bug, which is recorded as INTERNAL first. Cancelling ends an open exchange hard.
        """
        common, first = self._common, True
        while True:
            if not await self._may_ask(end, tried=not first):
                return
            doubtful = common.recovery.failures_in_row > 0
            began = common.now()
            try:
                async with common.turn(doubtful=doubtful) as place:
                    began = common.now()
                    if first:
                        common.counters.late(began - due)
                        first = False
                    record = await self._attempt(place)
            except MeterError as error:
                if await self._failed(error, end, link_gone=self._silence(error, began, doubtful=doubtful)):
                    continue
                return
            except Exception as bug:
                common.pulse(PROMISE_MARGIN_S)
                await self._outcomes.failure(FailReason.INTERNAL, f"a fault in the gateway: {type(bug).__name__}")
                raise
            self._crowd.answered(common.name, self._link.took_s)
            await self._succeeded(record)
            return

    async def _may_ask(self, end: float, *, tried: bool) -> bool:
        """Wait until ladder and air let the meter be asked; False where the slot is over before, which is told then."""
        common = self._common
        while True:
            now = common.now()
            if not common.recovery.may_try(now):
                not_before = common.recovery.not_before()
                if not_before >= end:
                    await self._tell_waiting(not_before - now)
                    return False
            else:
                not_before = common.air.ready_at(common.name, now)
                if not_before <= now:
                    return True
                if not_before >= end:
                    await self._hold(tried=tried)
                    return False
            await self._sleep_until(not_before)

    async def _sleep_until(self, at: float) -> None:
        """Return when `at` has come, or earlier when the meter is forgiven."""
        wait_s = max(at - self._common.now(), 0.0)
        self._common.pulse(wait_s + PROMISE_MARGIN_S)
        self._forgiven.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._forgiven.wait()

    async def _hold(self, *, tried: bool) -> None:
        """Leave the slot: the air is used up. One that was tried has its failure recorded."""
        counters = self._common.counters
        counters.held += 1
        if tried:
            await self._outcomes.failure(counters.last_reason, "the duty cycle leaves no time to try again")
        else:
            counters.skipped += 1

    async def _tell_waiting(self, wait_s: float) -> None:
        resting, last_reason = self._common.recovery.circuit is Circuit.OPEN, self._common.counters.last_reason
        reason = FailReason.CIRCUIT_OPEN if resting else last_reason
        what = "circuit open" if resting else "waiting before the next connection"
        await self._outcomes.failure(reason, f"{what}, {wait_s:.0f} s left; last failure: {last_reason.value}")

    async def _attempt(self, place: Place) -> Record:
        common, self._place = self._common, place
        common.pulse(self._connect_timeout_s + PROMISE_MARGIN_S)
        try:
            answers = await self._link.poll()
        finally:
            self._place = None
            self._link.spend(common.air, common.now())
            if self._between is Between.HANG_UP:
                await self._link.close()      # within the turn: behind the same bridge somebody may be next
        if answers.repeated:
            common.recovery.repeats += 1
        return reading.record(answers.plan, answers.results, common.clock.stamp(), common.name)

    def _silence(self, error: MeterError, began: float, *, doubtful: bool) -> bool:
        """Tell the crowd of a meter that did not answer; return whether it is the link to all that is gone."""
        if error.reason not in UNANSWERED:
            return False
        expected = not doubtful and self._common.counters.last_reading_at is not None
        return self._crowd.missed(self._common.name, self._common.now() - began, expected=expected)

    async def _failed(self, error: MeterError, end: float, *, link_gone: bool) -> bool:
        """Climb the ladder; return True when the slot goes on with another attempt, else its record is written."""
        now = self._common.now()
        self._common.counters.last_reason = error.reason
        step = self._common.recovery.failed(
            error.reason, now, temporary=getattr(error, "temporary", False), link_gone=link_gone)
        if step.level in (Level.RECONNECT, Level.REST):
            self._link.abort()
        elif step.level is Level.REPEAT:
            return True
        if step.level is Level.RECONNECT and step.not_before < end:
            log.debug("meter %s: %s; connecting anew in %.1f s", self._common.name, error, step.not_before - now)
            return True
        if step.refused_rest_s:
            await self._lockout.refused(step.refused_rest_s)
        await self._outcomes.failure(error.reason, str(error))
        return False

    async def _succeeded(self, record: Record) -> None:
        """Note an exchange that went well, even where the meter refused every object."""
        recovery = self._common.recovery
        await self._lockout.lifted()
        if record.schema.kind is Kind.FAILURE:
            recovery.failed(FailReason.ACCESS_REFUSED, self._common.now())
            await self._outcomes.no_reading(record)
            return
        recovery.succeeded()
        await self._outcomes.reading(record)
