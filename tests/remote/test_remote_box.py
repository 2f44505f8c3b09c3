"""Calls about the box itself: its radio watched, its archive fetched in parts, its board rebooted once."""

import asyncio
import base64
import hashlib
import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from test_remote_calls import Place, said

from edge.clock import SystemClock
from edge.config import GatewaySettings, OtaSettings, RadioSettings, RecoverySettings, Settings
from edge.daemon.box import PART_BYTES, Box
from edge.errors import EdgeError, RingError
from halow.model import Grade, LinkState

MAC = "02:00:00:00:00:01"


def settings(path: Path, **more: object) -> Settings:
    return Settings(gateway=GatewaySettings(name="gate-7", state_dir=str(path), runtime_dir=str(path / "run")),
                    radio=RadioSettings(kind="none"), **more)


def box_of(path: Path, *, states=tuple, answers=None, append=None, **more: object) -> Box:
    async def keep(_record: object) -> int:
        return 1

    wished = settings(path, **more)
    return Box(lambda: wished, states, answers or {}, append or keep, SystemClock(trust_wall=True))


async def test_a_survey_sums_up_what_was_heard_and_takes_no_look_twice(tmp_path):
    looks = iter([-80, -80, -70, -60])
    newest = []

    def states():
        level = next(looks, None)
        if level is not None:
            newest[:] = [LinkState(mac=MAC, grade=Grade.GOOD, rssi_dbm=level)]
        return tuple(newest)

    async with Place(tmp_path, box=box_of(tmp_path, states=states)) as place:
        told, _ = await place.ask(1, "link_survey", {"seconds": 2}, own=True)
        [peer] = told["peers"]
        assert (peer["mac"], peer["grade"], peer["looks"]) == (MAC, "good", 4)
        assert (peer["rssi_min_dbm"], peer["rssi_mean_dbm"], peer["rssi_max_dbm"]) == (-80, -72.5, -60)
        for wrong in ({"seconds": 0}, {"seconds": 46}, {"for": 3}):
            assert "link_survey: " in (await place.ask(2, "link_survey", wrong, own=True))[0]["error"]


async def test_an_archive_is_made_named_and_fetched_in_parts_that_fit_a_message(tmp_path):
    async def status(_request):
        return {"gateway": {"name": "gate-7"}, "noise": [hashlib.sha256(bytes([n % 256, n >> 8])).hexdigest() for n in range(600)]}

    async def ota(_request):
        raise EdgeError("not now")

    (tmp_path / "uplink.token").write_text("tok3n-of-the-gateway")
    async with Place(tmp_path, box=box_of(tmp_path, answers={"status": status, "ota": ota})) as place:
        assert "call bundle first" in (await place.ask(1, "bundle_part", {"part": 1}, own=True))[0]["error"]
        made, due = await place.ask(2, "bundle", own=True)
        due.answered(0)
        assert made["path"] == str(tmp_path / "bundle.tar.gz")
        assert any(line.startswith("ota.json: not now") for line in made["missing"])
        assert made["parts"] == -(-made["size_bytes"] // PART_BYTES) > 1
        whole = b""
        for number in range(1, made["parts"] + 1):
            part, due = await place.ask(number + 2, "bundle_part", {"part": number}, own=True)
            assert len(due.publish.payload) < 16_384
            whole += base64.b64decode(part["data"])
        assert hashlib.sha256(whole).hexdigest() == made["sha256"] == part["sha256"]
        assert "there are" in (await place.ask(900, "bundle_part", {"part": number + 1}, own=True))[0]["error"]
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        files = {Path(entry.name).name: tar.extractfile(entry).read() for entry in tar}
    assert b"tok3n" not in b"".join(files.values())
    assert msgspec.json.decode(files["status.json"])["gateway"] == {"name": "gate-7"}


@pytest.mark.parametrize("section", ["ota", "recovery"])
async def test_a_reboot_comes_after_the_answer_and_the_record_and_once(tmp_path, section):
    mark = tmp_path / "down"
    script = tmp_path / "reboot"
    script.write_text(f"#!{sys.executable}\nopen({str(mark)!r}, 'a').write('x')\n")
    script.chmod(0o755)
    more = {"ota": OtaSettings(reboot_command=str(script))} if section == "ota" else {"recovery": RecoverySettings(reboot=str(script))}
    kept, down = [], asyncio.Event()

    async def append(record):
        assert not mark.exists(), "who asked is on flash before it goes down"
        kept.append(record.values)
        return 1

    box = box_of(tmp_path, append=append, **more)
    before = box.reboot

    async def reboot(by):
        assert taken, "the server has the answer before it goes down"
        came = await before(by)
        down.set()
        return came

    box.reboot = reboot
    taken = []
    async with Place(tmp_path, box=box) as place:
        told, due = await place.ask(1, "reboot", own=True)
        assert told == {"summary": f"the board goes down by {script}"}
        await asyncio.sleep(0)
        assert not mark.exists()
        taken.append(1)
        due.answered(0)
        async with asyncio.timeout(30):
            await down.wait()
    assert mark.read_text() == "x"
    assert kept == [("reboot", str(script), "thingsboard rpc 1")]
    async with Place(tmp_path, box=box) as after:      # the board is up again, and the server delivers the call once more
        again, _ = await after.ask(1, "reboot", own=True)
        assert again == told
        assert said(after.hands) is None
    assert mark.read_text() == "x"


async def test_a_reboot_that_nothing_is_set_for_or_that_fails_is_told(tmp_path):
    async def broken(_record):
        raise RingError("the disk is gone")

    async with Place(tmp_path, box=box_of(tmp_path)) as place:
        told, _ = await place.ask(1, "reboot", own=True)
        assert told == {"error": "nothing is set that reboots this board (ota.reboot_command, recovery.reboot)"}
    failing = box_of(tmp_path, append=broken, ota=OtaSettings(reboot_command="/bin/false"))
    assert (await failing.reboot("me")).startswith("status 1")
    assert "/none" in await box_of(tmp_path, ota=OtaSettings(reboot_command="/none")).reboot("me")


async def test_none_of_it_is_allowed_at_first_but_the_survey(tmp_path):
    async with Place(tmp_path, allow=Settings().remote.allow, box=SimpleNamespace()) as place:
        for number, method in enumerate(("bundle", "bundle_part", "reboot")):
            assert "remote.allow" in (await place.ask(number, method, own=True))[0]["error"]
