"""The recovery ladder at work: commands really run, are recorded, and never run without evidence."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from edge.clock import SystemClock
from edge.config import RecoverySettings
from edge.daemon import radiorecovery
from edge.daemon.radiorecovery import FILE_NAME, RadioRecovery, evidence_of
from edge.errors import ConfigError
from edge.model import Record
from halow.model import DEAF_S, RadioFacts, RadioState

HEALTHY = RadioState(present=True, since=0.0, facts=RadioFacts("wlan0", "morse_sdio", "m"))
GONE = RadioState(present=False, since=0.0, reason="interface_gone", detail="the interface went away")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radiorecovery, "LOOK_S", 0.01)


class Site:
    def __init__(self, folder: Path, **settings: object) -> None:
        self.radio: RadioState | None = HEALTHY
        self.told: list[str] = []
        self.news = asyncio.Event()
        quick = {"after_s": 0.05, "step_wait_s": 0.05, "heal_s": 0.2, "at_most_per_hour": 60, **settings}
        self.recovery = RadioRecovery(RecoverySettings(**quick), lambda: self.radio, self.tell, SystemClock(trust_wall=True), folder)

    def tell(self, record: Record) -> None:
        self.told.append(str(record.values[1]))
        self.news.set()

    async def until(self, count: int) -> None:
        task = asyncio.create_task(self.recovery.run(lambda _within_s: None))
        try:
            async with asyncio.timeout(20):
                while len(self.told) < count:
                    self.news.clear()
                    await self.news.wait()
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_the_steps_are_run_in_order_and_recorded_with_what_came_of_them(tmp_path: Path) -> None:
    mark = tmp_path / "marks"
    add = f"{sys.executable} -c \"open('{mark}', 'a').write('%s '); print('done: %s')\""
    site = Site(tmp_path, restart_daemon=add % ("daemon", "daemon"), reassociate=add % ("again", "again"), reload_driver="/no/such/program x",
                vendor_restart=f"{sys.executable} -c 'raise SystemExit(3)'")
    site.radio = GONE
    await site.until(8)
    assert mark.read_text() == "again daemon "
    assert site.told[:2] == ["reassociate: begins, because no radio: the interface went away", "reassociate: exit status 0, done: again"]
    assert site.told[5] == "vendor_restart: exit status 3"
    assert site.told[7] == "reload_driver: /no/such/program cannot be run: No such file or directory"
    assert site.recovery.state().taken["restart_daemon"] == 1


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    site = Site(tmp_path, reassociate=f"{sys.executable} -c 'import time; time.sleep(600)'", command_timeout_s=0.3)
    site.radio = GONE
    await site.until(2)
    assert site.told[1] == f"reassociate: {sys.executable}: not done within 0.3 s, ended"


async def test_the_count_of_reboots_is_on_flash_before_one_is_asked_for(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    copy = f"{sys.executable} -c \"import shutil; shutil.copy('{tmp_path / FILE_NAME}', '{seen}')\""
    site = Site(tmp_path, reboot=copy)
    site.radio = GONE
    await site.until(2)
    assert msgspec.json.decode(seen.read_bytes()) == {"reboots_in_row": 1}
    assert Site(tmp_path, reboot=copy).recovery.ladder.reboots_in_row == 1, "the next boot knows"
    (tmp_path / FILE_NAME).write_bytes(b"\xff")
    assert Site(tmp_path, reboot=copy).recovery.ladder.reboots_in_row == 0


async def test_a_reboot_that_cannot_be_counted_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()      # nothing can be put in its place
    mark = tmp_path / "mark"
    site = Site(tmp_path, reboot=f"{sys.executable} -c \"open('{mark}', 'w')\"")
    site.radio = GONE
    await site.until(1)
    assert site.told == ["reboot: left out, its count cannot be kept, so they might never end"]
    assert not mark.exists()


def test_only_a_dead_radio_is_evidence() -> None:
    assert evidence_of(None) == evidence_of(HEALTHY) == ""
    assert evidence_of(RadioState(present=False, since=0.0, detail="not looked yet")) == ""
    for reason in ("not_permitted", "ambiguous", "switched_off", "no_nl80211"):
        assert evidence_of(RadioState(present=False, since=0.0, reason=reason, detail="x")) == "", reason
    assert evidence_of(GONE) == "no radio: the interface went away"
    assert evidence_of(RadioState(present=True, since=0.0, deaf_s=DEAF_S)).startswith("deaf: no frame from any peer")
    assert evidence_of(RadioState(present=True, since=0.0, firmware_hangs_s=12.0)) == (
        "the driver gave its firmware up 12 s ago, and nobody was heard since")


def test_commands_are_checked_when_the_gateway_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recovery\.reassociate = .*No closing quotation"):
        Site(tmp_path, reassociate="/bin/sh -c 'x")
    assert not Site(tmp_path).recovery.configured
