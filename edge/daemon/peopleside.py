"""The people's side: who answers at the box, on the network, and through ThingsBoard. It owns nothing of the field.

    control socket ─┐
    page ───────────┼─► status, metrics, and the desks of the other sides
    remote calls ───┘
"""

import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.control import Handler
from edge.daemon.box import Box
from edge.daemon.cloudside import CloudSide
from edge.daemon.fieldside import FieldSide
from edge.daemon.ground import Ground
from edge.daemon.metrics import MetricsDesk
from edge.daemon.remote import Parts, RemoteDesk
from edge.daemon.status import StatusDesk
from edge.errors import ConfigError
from edge.health.supervise import Worker
from edge.model import Stream

if TYPE_CHECKING:
    from edge.api.page import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSide:
    """Its parts. `requests`: who answers which request on the control socket, all but the page's."""

    status: StatusDesk
    metrics: MetricsDesk
    remote: RemoteDesk
    requests: Mapping[str, Handler]


def people_side(ground: Ground, field: FieldSide, cloud: CloudSide) -> PeopleSide:
    """Make the parts."""
    settings, clock, enrolment, ring = ground.settings, ground.clock, ground.enrolment, ground.ring
    links, upstream, tail, levels = field.links, cloud.upstream, ground.tail, ground.levels
    status = StatusDesk(
        settings.gateway.name, ground.identity, ring=ring, fleet=field.fleet, enrolment=enrolment, links=links,
        pushes=field.pushes, uplink=upstream.state, workers=ground.workers, promises=ground.promises, clock=clock,
        uptime_s=lambda: cloud.vitals.uptime_s, recovery=field.recovery.state, alarms=field.alarms.standing,
        backfill=field.backfill.states)
    metrics = MetricsDesk(cloud.vitals, field.fleet, links, ring, upstream.state, clock)
    backfill = field.backfill.handlers(field.fleet.nudge)
    box = Box(ground.desk.now, lambda: links.states, {
        "status": status.answer, "ota": cloud.ota.answer, "alarms": field.alarms.answer,
        "backfill": backfill["backfill"], "logs": tail.answer}, functools.partial(ring.append, Stream.ALARM), clock)
    remote = RemoteDesk(settings.remote, upstream.hands, ground.state_dir, Parts(
        field.orders, enrolment, field.latest, field.means, status.answer, backfill["backfill_again"], box, levels))
    return PeopleSide(status=status, metrics=metrics, remote=remote, requests={
        "status": status.answer, "reload": enrolment.answer, "order": field.orders.order,
        "order_state": field.orders.state, "image": field.images.answer, "credentials": upstream.admission.answer,
        "claim": upstream.claiming.answer, "ota": cloud.ota.answer, "config_reload": ground.desk.answer,
        "logs": tail.answer, "metrics": metrics.answer, "log_level": levels.answer, **field.alarms.handlers,
        **backfill})


@asynccontextmanager
async def page_of(ground: Ground, field: FieldSide, cloud: CloudSide, people: PeopleSide
                  ) -> AsyncIterator["Page | NoPage"]:
    """Yield the local page; where the settings want none, nothing of it is loaded.

    Whoever sends a technician to it learns from ThingsBoard which certificate he has to see.
    """
    def certified(sha256: str) -> None:
        cloud.upstream.attributes.tell("", {"page_certificate_sha256": sha256})

    if not ground.settings.api.enabled:
        certified("")
        yield NoPage()
        return
    from edge.daemon.page import opened  # noqa: PLC0415 - see above

    async with opened(
        ground.desk.now, clock=ground.clock, status=people.status, enrolment=ground.enrolment,
        library=ground.profiles, orders=field.orders, alarms=field.alarms, latest=field.latest, links=field.links,
        ring=ground.ring, metrics=people.metrics, tail=ground.tail, levels=ground.levels,
        reload_config=ground.desk.answer, certified=certified,
    ) as page:
        yield page


class NoPage:
    """What stands where no page is wanted."""

    workers: Sequence[tuple[str, Worker]] = ()

    async def control(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `page`."""
        raise ConfigError("the local page is switched off: set api.enabled = true in gateway.toml, "
                          "and start the gateway again")
