"""An update from offer to restart: over a real connection, with cuts, lies, full disks, power failures and a roll-back."""

import asyncio
import os
import random
from contextlib import asynccontextmanager

import msgspec
import pytest

from edge import __version__
from edge.clock import SystemClock
from edge.config import OtaSettings, RingSettings, UplinkSettings
from edge.credentials import Login
from edge.daemon.ota import OtaDesk
from edge.daemon.updaters import CommandUpdater, running
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.demo.thingsboard_ota import Package
from edge.ota import store
from edge.ota.offer import Offer
from edge.ota.store import SYNC_BYTES, PackageStore
from edge.ota.updater import NotInstalled, Running
from edge.ring.store import Ring
from edge.uplink.shared import SharedAttributes
from edge.uplink.uplink import Uplink

IMAGE = random.Random(3).randbytes(300_000)
OLD, NEW = Running("gw", "1.0", "build-1", "boot-1"), Running("gw", "1.1", "build-2", "boot-2")
WAY = ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING"]


class FakeUpdater:
    """Takes whatever it gets, until told otherwise."""

    def __init__(self):
        self.installed, self.restarts, self.refuses, self.runs_at_once, self.hangs, self.stays = [], 0, "", False, False, ""

    async def install(self, package, offer):
        if self.refuses:
            raise NotInstalled(self.refuses)
        self.installed.append((package.read_bytes(), offer.version))
        if self.hangs:
            await asyncio.Event().wait()

    async def restart(self):
        self.restarts += 1
        if self.stays:
            raise NotInstalled(self.stays)
        return not self.runs_at_once


class Gateway:
    """A desk and an uplink; `start` is the board's start."""

    def __init__(self, path, port, ring):
        self.path, self.port, self.ring, self.updater, self.records = path, port, ring, FakeUpdater(), []
        self.changed = asyncio.Event()
        self.settings = {"chunk_bytes": 20_000, "link_share": 1.0}

    def tell(self, record):
        values = dict(zip((field.key for field in record.schema.fields), record.values, strict=True))
        self.records.append({key: value for key, value in values.items() if value is not None})
        self.changed.set()

    @property
    def states(self):
        return [value for record in self.records for key, value in record.items() if key.endswith("_state")]

    async def reaches(self, *states):
        async with asyncio.timeout(20):
            while self.states[-len(states):] != list(states):
                self.changed.clear()
                await self.changed.wait()

    @asynccontextmanager
    async def start(self, runs=OLD, what="fw"):
        clock = SystemClock(trust_wall=True)
        shared = SharedAttributes()
        desk = OtaDesk(OtaSettings(**self.settings), self.path, {what: self.updater} if self.updater else {}, {"fw": runs, "sw": Running("", "", *runs[2:])},
                       shared, self.tell, clock, 2.0)
        quick = UplinkSettings(host="127.0.0.1", port=self.port, backoff_first_s=0.02, backoff_max_s=0.05, refused_backoff_s=0.1)
        uplink = Uplink(self.ring, quick, gateway_name="gw", login=Login("a test", "t"), clock=clock, promise=lambda _s: None, rng=random.Random(1),
                        talks=(shared, desk.chunks))
        tasks = [asyncio.create_task(uplink.run()), asyncio.create_task(desk.run(lambda _s: None))]
        try:
            yield desk
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks, timeout=5)
            assert len(done) == 2
            assert [task.exception() for task in done if not task.cancelled()] == []


@pytest.fixture
async def server():
    async with ThingsBoard(Rules(token="t")) as made:
        yield made


@pytest.fixture
async def gateway(tmp_path, server):
    async with Ring.open(tmp_path / "ring", RingSettings(size_mib=1, slot_mib=0.015625), SystemClock(trust_wall=True)) as ring:
        yield Gateway(tmp_path, server.port, ring)


def assign(server, what="fw", version="1.1", data=IMAGE, **changes):
    packages = server.contract.rules.packages
    packages.assigned[what] = Package("gw", version, data, **changes)
    return packages


async def test_an_update_is_fetched_checked_installed_and_told_from_what_runs_after(server, gateway):
    async with gateway.start():
        async with asyncio.timeout(5):
            await gateway.changed.wait()
        assert gateway.records == [{"current_fw_title": "gw", "current_fw_version": "1.0"}]
        packages = assign(server)
        server.publish("v1/devices/me/attributes", msgspec.json.encode(packages.shared()))
        await gateway.reaches(*WAY)
        async with asyncio.timeout(5):
            while not gateway.updater.restarts:
                await asyncio.sleep(0.01)
    assert gateway.updater.installed == [(IMAGE, "1.1")]
    assert [chunk for _, _, chunk in packages.requests] == list(range(15)), "each once, in order"
    async with gateway.start(NEW):
        await gateway.reaches("UPDATED")
        assert gateway.records[-1] == {"fw_state": "UPDATED", "current_fw_title": "gw", "current_fw_version": "1.1"}
        assert not (gateway.path / "ota/fw.package").exists()
    asked = len(packages.requests)
    async with gateway.start(NEW) as desk:
        async with asyncio.timeout(5):
            while desk._attributes is None or desk._woken.is_set():
                await asyncio.sleep(0.01)
    assert (gateway.records[-1], len(packages.requests)) == ({"current_fw_title": "gw", "current_fw_version": "1.1"}, asked)


async def test_a_new_image_that_gave_way_is_told_and_not_tried_again(server, gateway):
    assign(server)
    async with gateway.start():
        await gateway.reaches(*WAY)
        async with asyncio.timeout(5):
            while not gateway.updater.restarts:
                await asyncio.sleep(0.01)
    async with gateway.start(OLD._replace(boot="boot-9")) as desk:
        await gateway.reaches("FAILED")
        assert {"fw_state": "FAILED", "fw_error": "the board has started and still runs 1.0: the new image gave way"} in gateway.records
        assert "1.1" not in str(gateway.records[-1])
        await desk.answer({"retry": True})
        await gateway.reaches(*WAY)
        assert (await desk.answer({}))["fw"] == {"state": "UPDATING", "error": "", "bytes": len(IMAGE), "size_bytes": len(IMAGE)}


async def test_cuts_silences_and_restarts_lose_no_more_than_the_last_of_it(server, gateway):
    packages = assign(server, data=IMAGE * 3)
    packages.cut_at, packages.silent_at = {3, 9, 10}, {20}
    async with gateway.start():
        async with asyncio.timeout(20):
            while len(packages.requests) < 28:
                await asyncio.sleep(0.01)
    size = (gateway.path / "ota/fw.package").stat().st_size
    assert size >= 20_000 * (28 - 1 - 4 - 1)
    before = len(packages.requests)
    async with gateway.start():
        await gateway.reaches("UPDATING")
    assert gateway.updater.installed == [(IMAGE * 3, "1.1")]
    first = packages.requests[before][2] * 20_000
    assert size - SYNC_BYTES - 20_000 < first < size


async def test_what_the_power_cut_left_unwritten_is_fetched_again(server, gateway):
    packages = assign(server, data=IMAGE * 3)
    kept = PackageStore(gateway.path)
    offer = Offer("fw", "gw", "1.1", len(IMAGE) * 3, packages.shared()["fw_checksum"], "SHA256")
    kept.keep(store.Kept(offer, "downloading"))
    # the file has its length, and zeros where the last octets never reached the flash
    kept.package("fw").write_bytes((IMAGE * 3)[:400_000] + bytes(SYNC_BYTES))
    async with gateway.start():
        await gateway.reaches("UPDATING")
    assert gateway.updater.installed == [(IMAGE * 3, "1.1")]
    assert packages.requests[0][2] == 20


async def test_a_wrong_checksum_is_fetched_once_more_and_then_believed(server, gateway):
    packages = assign(server, offered={"checksum": "00" * 32})
    async with gateway.start():
        await gateway.reaches("DOWNLOADING", "DOWNLOADED", "DOWNLOADING", "DOWNLOADED", "FAILED")
    assert "the package's SHA256 is" in gateway.records[-1]["fw_error"]
    assert len(packages.requests) == 30
    assert not gateway.updater.installed
    assert not (gateway.path / "ota/fw.package").exists()


async def test_another_offer_in_the_middle_takes_its_place(server, gateway):
    packages = assign(server, data=IMAGE * 4)
    async with gateway.start():
        async with asyncio.timeout(10):
            while len(packages.requests) < 5:
                await asyncio.sleep(0.005)
        assign(server, version="1.2", data=IMAGE[:70_000])
        server.publish("v1/devices/me/attributes", msgspec.json.encode(packages.shared()))
        await gateway.reaches("UPDATING")
    assert gateway.updater.installed == [(IMAGE[:70_000], "1.2")]


async def test_an_offer_that_is_withdrawn_and_comes_back_goes_on(server, gateway):
    packages = assign(server, data=IMAGE * 4)
    async with gateway.start() as desk:
        async with asyncio.timeout(10):
            while len(packages.requests) < 30:
                await asyncio.sleep(0.005)
        server.publish("v1/devices/me/attributes", b'{"deleted":["fw_title","fw_version"]}')
        async with asyncio.timeout(10):
            while desk.chunks.rest_s(0.0) != float("inf"):
                await asyncio.sleep(0.005)
        asked = len(packages.requests)
        server.publish("v1/devices/me/attributes", msgspec.json.encode(packages.shared()))
        await gateway.reaches("UPDATING")
    assert gateway.updater.installed == [(IMAGE * 4, "1.1")]
    assert packages.requests[asked][2] >= 30 - 1 - 1 - 14


@pytest.mark.parametrize(("offered", "settings", "says"), [
    ({"size": 5 << 20}, {"size_max_mib": 4}, "5242880 bytes are more than ota.size_max_mib allows"),
    ({"size": 0}, {}, "fw_size = '0': must be a number of bytes"),
    ({"checksum_algorithm": "XXH"}, {}, "fw_checksum_algorithm = 'XXH'")])
async def test_what_cannot_be_taken_is_told_and_not_fetched(server, gateway, offered, settings, says):
    packages = assign(server, offered=offered)
    gateway.settings |= settings
    async with gateway.start():
        await gateway.reaches("FAILED")
    assert gateway.records[-1]["fw_error"].startswith(says)
    assert not packages.requests


async def test_no_room_on_flash_no_updater_and_an_updater_that_refuses(server, gateway, monkeypatch):
    assign(server)
    space = os.statvfs(gateway.path)
    monkeypatch.setattr(store.os, "statvfs", lambda _path: type("Space", (), {"f_bavail": 100, "f_frsize": space.f_frsize})())
    async with gateway.start() as desk:
        await gateway.reaches("FAILED")
        assert "300000 bytes do not fit: 0 MiB free, 16 MiB needed" in gateway.records[-1]["fw_error"]
        monkeypatch.undo()
        gateway.updater.refuses = "signature verification failed"
        await desk.answer({"retry": True})
        await gateway.reaches(*WAY, "FAILED")
        assert gateway.records[-1]["fw_error"] == "signature verification failed"
    gateway.updater = None
    gateway.records.clear()
    assign(server, version="1.2")
    async with gateway.start():
        await gateway.reaches("FAILED")
    assert gateway.records[-1]["fw_error"] == "this gateway takes no such packages (ota.firmware_command names no updater)"


async def test_a_board_that_does_not_start_anew_has_not_failed(server, gateway):
    assign(server)
    gateway.updater.stays = "ask: nobody was done with it"
    async with gateway.start():
        await gateway.reaches(*WAY, "UPDATING")
    assert gateway.records[-1]["fw_error"].endswith("which failed: ask: nobody was done with it")
    async with gateway.start(NEW):
        await gateway.reaches("UPDATED")


async def test_a_power_cut_in_the_installation_is_tried_once_more(server, gateway):
    assign(server)
    gateway.updater.hangs = True
    for boot in ("boot-1", "boot-2"):
        before = len(gateway.updater.installed)
        async with gateway.start(OLD._replace(boot=boot)):
            async with asyncio.timeout(10):
                while len(gateway.updater.installed) == before:
                    await asyncio.sleep(0.01)
    async with gateway.start(OLD._replace(boot="boot-3")):
        await gateway.reaches("FAILED")
    assert gateway.records[-1]["fw_error"].startswith("the board went out while it was being installed")
    assert len(gateway.updater.installed) == 2


async def test_software_runs_at_once_and_is_remembered(server, gateway):
    packages = assign(server, "sw", "7", algorithm="MD5")
    gateway.updater.runs_at_once = True
    async with gateway.start(what="sw"):
        await gateway.reaches(*WAY, "UPDATED")
    assert gateway.records[-1] == {"sw_state": "UPDATED", "current_sw_title": "gw", "current_sw_version": "7"}
    assert {what for what, _, _ in packages.requests} == {"sw"}
    gateway.records.clear()
    async with gateway.start(what="sw"):
        async with asyncio.timeout(5):
            while len(gateway.records) < 2:
                gateway.changed.clear()
                await gateway.changed.wait()
    assert {"current_sw_title": "gw", "current_sw_version": "7"} in gateway.records


async def test_what_runs_already_is_not_fetched(server, gateway):
    packages = assign(server, version="1.0")
    async with gateway.start():
        await gateway.reaches("UPDATED")
    assert not packages.requests


async def test_a_command_is_the_updater(tmp_path, monkeypatch):
    script = tmp_path / "install"
    script.write_text('#!/bin/sh\n[ "$3" != 6 ] || { echo wrong signature >&2; exit 1; }\ncp "$1" "$(dirname "$0")/got-$2-$3"\n')
    script.chmod(0o755)
    package = tmp_path / "package"
    package.write_bytes(b"image")
    updater = CommandUpdater(str(script), "", 30.0)
    offer = Offer("fw", "a b", "5", 5, "", "SHA256")
    await updater.install(package, offer)
    assert (tmp_path / "got-a b-5").read_bytes() == b"image"
    assert not await updater.restart()
    assert await CommandUpdater(str(script), "/bin/true", 30.0).restart()
    with pytest.raises(NotInstalled, match="install: wrong signature"):
        await updater.install(package, Offer("fw", "a", "6", 5, "", "SHA256"))
    with pytest.raises(NotInstalled, match="cannot be run"):
        await CommandUpdater("/none", "", 30.0).install(package, offer)


def test_what_runs_is_read_from_the_image(tmp_path):
    (tmp_path / "os-release").write_text('NAME="HaLow gateway"\nVERSION_ID=1.2.0\nBUILD_ID="20261128"\n# x\n')
    (tmp_path / "boot_id").write_text("abc\n")
    found = running(tmp_path / "os-release", tmp_path / "boot_id")["fw"]
    assert (found.title, found.version, found.boot) == ("HaLow gateway", "1.2.0", "abc")
    assert found.build.startswith("20261128/")
    assert running(tmp_path / "none", tmp_path / "none")["fw"][:2] == ("", __version__)
