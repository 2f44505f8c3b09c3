"""An order carried out without a gateway: the command connects to the meter itself.

Whatever changes a meter is recorded in the ring, as by the gateway; that also keeps one from starting meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.clock import Clock, SystemClock
from edge.commands.context import State
from edge.commands.read import link_to, registered
from edge.errands import relay, requests
from edge.errands.marks import since_s
from edge.errands.means import Means, Subject
from edge.errands.order import Order, Outcome, refuse
from edge.errands.relay_policy import Facts
from edge.errands.requests import RelayAsked
from edge.errors import EdgeError, OrderRefused
from edge.meters import reading
from edge.model import Record, Stream
from edge.poll.state import Counters
from edge.ring.store import Ring
from edge.store.duties import RELAY

if TYPE_CHECKING:
    from edge.commands.read import Task as Way
    from edge.config import Settings
    from edge.errands.requests import Asked
    from edge.poll.link import Link


def carry_out(state: State, settings: "Settings", name: str, request: dict[str, Any], by: str) -> dict[str, Any]:
    """Do it and return what the control request `order_state` would. EdgeError: refused, or not to be done."""
    ask = requests.asked(request)
    way = registered(state, settings, name, {}, None, trace=False)
    outcome = asyncio.run(_carry_out(state, way, ask, by))
    return {"phase": outcome.phase.value, "result": outcome.result, "error": outcome.error}


async def _carry_out(state: State, way: "Way", ask: "Asked", by: str) -> Outcome:
    clock = SystemClock(trust_wall=way.settings.clock.trust_wall)
    subject = Subject(way.meter.name, way.profile.name)
    link = link_to(way, Counters())
    async with _means(state, way.settings, clock, recorded=not isinstance(ask, requests.GetAsked)) as means:
        doing = requests.task(ask, subject, way.profile, means, way.settings)
        try:
            try:
                facts = await _facts(state, way, ask, link, subject, means) if requests.needs_facts(ask) else None
                refused = "; ".join(requests.refusals(ask, doing, way.settings, facts))
                if refused:
                    raise OrderRefused(f"{doing.words}: {refused}")
                session = await link.stand()
            except EdgeError as error:      # nothing was ordered of the meter
                refuse(doing, subject, means, by, str(error))
                raise
            order = Order(doing, subject, means, by)
            try:
                await order.step(session)
            except EdgeError as error:
                order.failed(error, clock.monotonic())
            outcome = await order.outcome(0)
            assert outcome is not None
            return outcome
        finally:
            await link.close()


@asynccontextmanager
async def _means(state: State, settings: "Settings", clock: Clock, *, recorded: bool) -> AsyncIterator[Means]:
    """Open the ring where something will be recorded; the registry is opened for a moment each time."""
    async def progress(meter: str, duty: str) -> str:
        with state.registry(settings) as registry:
            return registry.progress(meter, duty)

    async def keep_progress(meter: str, duty: str, text: str) -> None:
        with state.registry(settings) as registry:
            registry.keep_progress(meter, duty, text)

    if not recorded:
        yield Means(lambda _stream, _record: None, progress, keep_progress, clock)
        return
    directory = Path(settings.gateway.state_dir) / "ring"
    async with Ring.open(directory, settings.ring, clock, hold_s=settings.clock.hold_s) as ring:
        def keep(stream: Stream, record: Record) -> None:
            ring.put(stream, record)

        yield Means(keep, progress, keep_progress, clock)


async def _facts(state: State, way: "Way", ask: "Asked", link: "Link", subject: Subject, means: Means) -> Facts:
    """Gather what is known. Without a gateway nobody has polled the meter: it is done here, where it matters."""
    assert way.profile.relay is not None
    with state.registry(way.settings) as registry:
        permitted = RELAY in registry.permitted().get(subject.meter, frozenset())
    load_w = age_s = None
    if way.settings.relay.allow and permitted:
        answers = await link.poll()
        record = reading.record(answers.plan, answers.results, means.clock.stamp(), subject.meter)
        load_w, age_s = reading.number(record, way.profile.relay.power_key), 0.0
    return Facts(permitted=permitted, confirmed=isinstance(ask, RelayAsked) and ask.confirm == subject.meter,
                 reading_age_s=age_s, load_w=load_w, since_switch_s=await since_s(subject, relay.DUTY, means))
