"""A foreign client reads back what errands wrote: clock, relay, image, and one attribute of an engineer's."""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from errands_site import PASSWORD, Site
from gurux_client import GuruxReader
from gurux_dlms import GXDateTime
from gurux_dlms.objects import GXDLMSClock, GXDLMSDisconnectControl, GXDLMSImageTransfer

from edge.config import ClockSyncSettings, ImageSettings
from edge.demo.meter_device import Fittings, central_europe
from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.errands import image_job, relay
from edge.errands.clock_keeper import ClockKeeper
from edge.errands.image_job import Job, Phase
from edge.errands.image_store import ImageStore
from edge.errands.image_transfer import ImageTransfer
from edge.errands.lowlevel import Set
from edge.errands.order import Order
from edge.errands.relay import Switch
from edge.meters.dutyspec import ClockSpec, ImageSpec, RelaySpec


async def foreign(site: Site, read: Callable[[GuruxReader], Any]) -> Any:
    """Let the foreign client associate and read, in a thread."""
    host, port = site.meter.address

    def run() -> Any:
        with GuruxReader(host, port, "wrapper", 1, 1, PASSWORD) as reader:
            return read(reader)

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("drift_s", [-40.0, -250.0])
async def test_the_clock_that_was_moved(drift_s: float) -> None:
    async with Site(fittings=Fittings(zone=central_europe()), clock_drift_s=drift_s).running() as site:
        await site.steps(ClockKeeper(site.subject, ClockSpec(), ClockSyncSettings(allow=True), 3_600.0, site.means))
        assert site.events() == ["clock_moved"]
        told = await foreign(site, lambda reader: reader.read(GXDLMSClock(), 2))
        moment = (told.value if isinstance(told, GXDateTime) else told).astimezone(dt.UTC)
        assert abs(moment.timestamp() - site.clock.wall_s) <= 1.5


async def test_the_relay_that_was_opened_and_its_mode_that_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LOOKS_AFTER_S", (0.0,))
    async with Site().running() as site:
        mode = Set(Attribute(70, Obis.parse("0-0:96.3.10"), 4), Integer(22, 1))
        for task in (Switch(RelaySpec(), "off", site.subject, site.means), mode):
            await site.steps(Order(task, site.subject, site.means, "alice"))
        control = GXDLMSDisconnectControl("0.0.96.3.10.255")
        states = await foreign(site, lambda reader: [reader.read(control, number) for number in (2, 3, 4)])
        assert [int(state) for state in states] == [0, 0, 1]


async def test_the_image_that_was_sent(tmp_path: Path) -> None:
    async with Site().running() as site:
        store, data = ImageStore(tmp_path), bytes(range(256)) * 3
        errand = ImageTransfer(site.subject, ImageSpec(), ImageSettings(allow=True), store, site.means, lambda: None)
        job = Job(identifier=b"fw-9".hex(), size_bytes=len(data), sha256=store.put(data), by="alice")
        await errand.order(lambda before: image_job.begin(job, before), "image_ordered", "", "alice")
        await site.steps(errand, 8)
        assert errand.job is not None
        assert errand.job.phase is Phase.VERIFIED
        transfer = GXDLMSImageTransfer("0.0.44.0.0.255")
        status, first = await foreign(site, lambda reader: [reader.read(transfer, number) for number in (6, 4)])
        assert (int(status), int(first)) == (3, 6)
