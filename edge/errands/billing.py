"""Billing registers: tariffs, maximum demands and their times, once a day and after each end of a billing period.

    due ─► the counter of billing periods, where the profile names one ─► it has moved, or a day is over ─► all of them

They go to the ring's billing stream. When they were last read is on flash, so that a restart does not read them again.
"""

import dataclasses
import logging

import msgspec

from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.errands.means import Means, Subject
from edge.meters import reading
from edge.meters.profile import BillingSpec, Profile
from edge.model import Kind, Learned, Stream
from edge.poll.errand import Ask

log = logging.getLogger(__name__)

DUTY = "billing"
LOOK_S = 3_600.0
"""How often the counter of billing periods is asked, where there is one."""

RETRY_S = 300.0


class _Last(msgspec.Struct, frozen=True):
    """What is kept: when all were last read (Unix milliseconds), and what the counter said then."""

    at_ms: int
    counter: int | None = None


class Billing:
    """The standing errand of one meter. See `edge.poll.errand.Errand`."""

    name = DUTY
    lasts_s = 3.0

    def __init__(self, subject: Subject, profile: Profile, spec: BillingSpec, interval_s: float, means: Means) -> None:
        """`interval_s` between two readings of all registers."""
        self._subject = subject
        self._spec = spec
        # The same planning as for polls, of other objects; who the meter is, the session knows already.
        self._profile = msgspec.structs.replace(profile, objects=spec.objects, identity=None)
        self._interval_s = interval_s
        self._means = means
        self._learned = Learned()
        self._next_at = float("-inf")
        self._trouble = ""

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        return max(now, self._next_at)

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`."""
        del error
        self._next_at = now + min(RETRY_S, self._interval_s)

    async def step(self, ask: Ask) -> None:
        """Look whether it is time, and read them all. RegistryError: then they are read again."""
        clock = self._means.clock
        last = _load(await self._means.progress(self._subject.meter, DUTY))
        counter = await self._counter(ask)
        since_s = None if last is None else (clock.stamp().wall_ms - last.at_ms) / 1000
        moved = last is not None and counter is not None and counter != last.counter
        if since_s is not None and 0 <= since_s < self._interval_s and not moved:
            self._rest(self._interval_s - since_s)
            return
        if await self._read(ask):
            text = msgspec.json.encode(_Last(clock.stamp().wall_ms, counter)).decode()
            await self._means.keep_progress(self._subject.meter, DUTY, text)
            self._rest(self._interval_s)

    def _rest(self, left_s: float) -> None:
        wait_s = min(left_s, LOOK_S) if self._spec.counter_obis else left_s
        self._next_at = self._means.clock.monotonic() + wait_s

    async def _counter(self, ask: Ask) -> int | None:
        """Return how many billing periods there have been, None where the meter does not tell."""
        if not self._spec.counter_obis:
            return None
        [result] = await ask.get((Attribute(1, Obis.parse(self._spec.counter_obis), 2),))
        return int(result.data) if result.error is None and isinstance(result.data, Integer) else None

    async def _read(self, ask: Ask) -> bool:
        """Read all registers and keep them; False where not one of them could be had."""
        plan = dataclasses.replace(reading.plan(self._profile, self._learned), kind=Kind.BILLING)
        results = await ask.get(plan.attributes)
        self._learned = reading.learn(plan, results)
        record = reading.record(plan, results, self._means.clock.stamp(), self._subject.meter)
        if record.schema.kind is Kind.BILLING:
            self._trouble = ""
            self._means.keep(Stream.BILLING, record)
            return True
        why = str(record.values[-1])
        log.log(logging.DEBUG if why == self._trouble else logging.WARNING, "meter %s: no billing register is read: %s",
                self._subject.meter, why)
        self._trouble = why
        self._next_at = self._means.clock.monotonic() + self._interval_s
        return False


def _load(text: str) -> _Last | None:
    try:
        return msgspec.json.decode(text, type=_Last) if text else None
    except msgspec.DecodeError:
        return None
