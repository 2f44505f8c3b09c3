"""A gateway's desks for orders and images, with the real registry, pollers and simulated meters, in one loop."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from errands_site import PASSWORD, Site
from poll_bench import QUICK

from edge.clock import SystemClock
from edge.config import ImageSettings, OrderSettings, RelaySettings, Settings
from edge.daemon.enrolment import Enrolment
from edge.daemon.errands import ErrandDesk
from edge.daemon.images import ImageDesk
from edge.daemon.latest import Latest
from edge.daemon.orders import OrderDesk
from edge.errands.image_store import ImageStore
from edge.errands.means import Means
from edge.errors import OrderRefused
from edge.health.promise import Promises
from edge.meters.library import Library
from edge.model import Kind, Record
from edge.poll.fleet import Fleet
from edge.store.registry import Registry

ALLOWING = Settings(relay=RelaySettings(allow=True, load_limit_w=1e6, min_between_s=0.0), image=ImageSettings(allow=True, line_share=0.999),
                    orders=OrderSettings(allow_set=True, allow_action=True), poll=QUICK)


class Post:
    """The desk, and everything that it needs of a gateway."""

    def __init__(self, desk: OrderDesk, images: ImageDesk, registry: Registry, site: Site, latest: Latest) -> None:
        self.desk, self.images, self.registry, self.site, self.latest = desk, images, registry, site, latest

    async def done(self, **ask: Any) -> Any:
        """Give an order and wait for what comes of it."""
        number = (await self.desk.order({"request": "order", "meter": "m1", "by": "alice", "ask": ask}))["order"]
        while True:
            answer = await self.desk.state({"request": "order_state", "order": number, "wait_s": 10})
            if answer["phase"] not in ("waiting", "running"):
                return answer

    async def refused(self, **ask: Any) -> str:
        with pytest.raises(OrderRefused) as caught:
            await self.done(**ask)
        return str(caught.value)


@asynccontextmanager
async def post(tmp_path: Path, settings: Settings = ALLOWING, kind: str = "wrapper", *, paused: bool = False) -> AsyncIterator[Post]:
    """One meter, and a gateway that has read it once."""
    async with Site(kind).running() as site:
        with Registry.open(tmp_path / "registry.db") as registry:
            registry.add(replace(site.row(), paused=paused), PASSWORD)
        async with gateway(tmp_path, site, settings, paused=paused) as there:
            yield there


@asynccontextmanager
async def gateway(tmp_path: Path, site: Site, settings: Settings = ALLOWING, *, paused: bool = False) -> AsyncIterator[Post]:
    """Start on a registry that is there; leaving it is a stop of the gateway, and another may follow."""
    clock = SystemClock(trust_wall=True)
    profiles = Library(tmp_path / "profiles")
    enrolment = Enrolment(tmp_path / "registry.db", profiles)
    latest, heard = Latest(clock), asyncio.Event()

    async def sink(record: Record) -> int:
        latest.heard(record)
        if record.schema.kind is Kind.READING:
            heard.set()
        return 1

    means = Means(site.means.keep, enrolment.progress, enrolment.keep_progress, clock)
    images = ImageDesk(settings, ImageStore(tmp_path), enrolment, means)
    async with Fleet(profiles, settings=settings.poll, sink=sink, on_learned=enrolment.keep_learned, clock=clock, promises=Promises(),
                     rng=random.Random(1), reserve=enrolment.reserve_counters, errands_of=ErrandDesk([images.of]).of) as fleet:
        images.nudge = fleet.nudge
        following = asyncio.create_task(enrolment.run(fleet, lambda _: None))
        try:
            async with asyncio.timeout(20):
                await (enrolment.reload() if paused else heard.wait())
            with Registry.open(tmp_path / "registry.db") as registry:
                yield Post(OrderDesk(settings, profiles, enrolment, fleet.order, latest, means), images, registry, site, latest)
        finally:
            following.cancel()
            await asyncio.wait({following})
    await enrolment.close()
