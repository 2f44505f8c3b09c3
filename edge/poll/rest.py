"""What happens between two polls of a meter: keep-alives, errands, or nothing.

An errand's step begins only where it fits before the next poll, and in a place at the gate that no poll wants. Two
exceptions, so that nobody waits for ever where polls leave no room: an operator's order, and a standing errand that has
waited for STARVED_INTERVALS; the poll after it comes late then, by one step.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from edge.errors import EdgeError, LocalStateError, MeterError
from edge.poll.common import PROMISE_MARGIN_S, Common
from edge.poll.errand import Errand, Errands
from edge.poll.link import Link
from edge.poll.schedule import Between

log = logging.getLogger(__name__)

STARVED_INTERVALS = 5
"""So many poll intervals without room, and an errand is served all the same."""

OPENING_S = 2.0
"""What connecting, associating and asking for the identity is thought to take where no association is kept."""

TURN_S = 5.0
"""After so long a meter's errands give their place at the gate to another meter's."""


class Rest:
    """One meter's time between polls. Used by its poller's task; `nudge` by any task of the loop."""

    def __init__(self, common: Common, link: Link, errands: Errands, *, interval_s: float, between: Between,
                 keep_alive_s: float) -> None:
        """Nothing runs yet. `between` and `keep_alive_s` as the schedule and the profile have them."""
        self._common = common
        self._link = link
        self._errands = errands
        self._interval_s = interval_s
        self._between = between
        self._keep_alive_s = keep_alive_s
        self._nudged = asyncio.Event()
        self._starving: dict[str, float] = {}      # errand -> since when it is due and finds no room

    def nudge(self) -> None:
        """Look again at what is due: an order came, or an errand changed its mind."""
        self._nudged.set()

    def use(self, interval_s: float, between: Between) -> None:
        """Go on for another interval; who waits in `until` looks anew when the slot is."""
        self._interval_s, self._between = interval_s, between
        self.nudge()

    async def until(self, slot_at: Callable[[], float]) -> None:
        """Return when the slot has come. Cancelling ends a step and its connection hard.

        `slot_at` says when it is, in monotonic seconds; it is asked again after each nudge and step.
        """
        while (now := self._common.now()) < (at := slot_at()):
            errand, errand_at = self._next(now, at)
            alive_at = self._alive_at(now, at)
            first = min(at, errand_at, alive_at)
            if first > now:
                await self._sleep(first - now)
            elif errand is not None and errand_at <= now:
                await self._serve(errand, at)
            else:
                await self._keep_alive()

    async def _sleep(self, wait_s: float) -> None:
        self._nudged.clear()
        self._common.pulse(wait_s + PROMISE_MARGIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._nudged.wait()

    # -- keep-alives -----------------------------------------------------------------------------------------------

    def _alive_at(self, now: float, at: float) -> float:
        """Return when a keep-alive is due and there is air for it, `at` when none is before it."""
        if self._between is not Between.KEEP_ALIVE or not self._link.is_open:
            return at
        due = self._link.last_exchange_at + self._keep_alive_s
        return due if due >= at else max(due, self._common.air.ready_at(self._common.name, now))

    async def _keep_alive(self) -> None:
        try:
            async with self._common.turn():
                await self._link.keep_alive()
        except MeterError as ended:
            self._common.counters.drops_idle += 1
            log.debug("meter %s: a keep-alive failed, the next poll connects anew: %s", self._common.name, ended)
            self._link.abort()
        finally:
            self._link.spend(self._common.air, self._common.now())

    # -- errands ---------------------------------------------------------------------------------------------------

    def _next(self, now: float, at: float) -> tuple[Errand | None, float]:
        """Return the errand to serve and when, (None, `at`) where none is to be served before the slot at `at`."""
        best: tuple[Errand | None, float] = (None, at)
        if self._common.counters.last_reading_at is None or self._common.recovery.failures_in_row:
            return best      # the way to the meter, and that it is the right one, is for a poll to find out
        orders = self._errands.orders()
        ready_at = self._common.air.ready_at(self._common.name, now)
        for errand, wanted_at in self._errands.wanted(now):
            due = max(wanted_at, ready_at)
            cost_s = errand.lasts_s + (0.0 if self._link.is_open else OPENING_S)
            since = self._starving.setdefault(errand.name, now) if due <= now and due + cost_s > at else now
            starved = now - since >= STARVED_INTERVALS * self._interval_s
            if (due + cost_s <= at or errand in orders or starved) and due < best[1]:
                best = (errand, due)
        return best

    async def _serve(self, errand: Errand | None, at: float) -> None:
        """Take a turn behind all polls, and do steps in it as long as they fit and no poll wants the place."""
        async with contextlib.AsyncExitStack() as inside:
            ordered = errand in self._errands.orders()
            try:
                async with asyncio.timeout(max(at - self._common.now(), 0.0)):
                    await inside.enter_async_context(self._common.turn(background=not ordered))
            except TimeoutError:      # the slot has come first
                return
            entered = self._common.now()
            while errand is not None:
                self._starving.pop(errand.name, None)
                await self._step(errand, at)
                self._errands.served(errand)
                now = self._common.now()
                if now >= at or now - entered >= TURN_S or self._common.gate.wanted(self._common.lane):
                    break
                errand, due = self._next(now, at)
                if due > now:
                    break
            if self._between is Between.HANG_UP:
                await self._link.close()      # within the turn: behind the same bridge somebody may be next

    async def _step(self, errand: Errand, at: float) -> None:
        try:
            await self._try(errand, at)
        finally:
            self._link.spend(self._common.air, self._common.now())

    async def _try(self, errand: Errand, at: float) -> None:
        """Do one step. What goes wrong in it is the errand's to know: no fault of it ever stops the polls."""
        limit_s = max(at - self._common.now() + self._interval_s / 2, 2 * errand.lasts_s, OPENING_S)
        self._common.pulse(limit_s + PROMISE_MARGIN_S)
        self._common.counters.steps += 1
        try:
            async with asyncio.timeout(limit_s):
                await errand.step(await self._link.stand())
        except (EdgeError, TimeoutError) as error:
            self._common.counters.steps_failed += 1
            log.debug("meter %s: %s: %s", self._common.name, errand.name, error or f"not done within {limit_s:.0f} s")
            if not isinstance(error, LocalStateError):
                self._link.abort()
            errand.failed(error, self._common.now())
        except Exception as bug:
            self._common.counters.steps_failed += 1
            log.exception("meter %s: %s: a fault in the gateway", self._common.name, errand.name)
            self._link.abort()
            errand.failed(bug, self._common.now())
