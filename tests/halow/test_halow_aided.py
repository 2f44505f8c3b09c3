"""Tools that really run: their answers, their absence, their end; a box that tells its stations; the notice of a hanging firmware."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest
from test_halow_vendor_words import CHANNEL, IWINFO, OLD_RATES, PLAIN, A

from halow import child
from halow.aided import AidedRadio, Tools
from halow.errors import AbsentReason, RadioAbsent
from halow.model import LinkEvent, LinkSample, RadioFacts, RadioSample
from halow.radios.external import External, ExternalRadio

MORSE = RadioFacts("wlan0", "morse_sdio", "m", vendor="morse", kernel_mhz=5610, channel="kernel 5610 MHz")


class Base:
    """Plays the kernel, with one peer; `absent` raises."""

    def __init__(self, facts: RadioFacts = MORSE) -> None:
        self.facts, self.inactive_ms, self.absent = facts, 100, False

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def wait_event(self) -> LinkEvent:
        raise NotImplementedError

    async def sample(self) -> RadioSample:
        if self.absent:
            raise RadioAbsent(AbsentReason.INTERFACE_GONE, "gone")
        return RadioSample(self.facts, (LinkSample(A, -66, inactive_ms=self.inactive_ms),))


def tool(folder: Path, body: str) -> str:
    path = folder / "morse_cli"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def debugfs(sys_folder: Path) -> None:
    table = sys_folder / "kernel/debug/ieee80211/phy3/morse/mmrc_table_csv"
    table.parent.mkdir(parents=True)
    table.write_bytes(OLD_RATES)
    (sys_folder / "class/net/wlan0").mkdir(parents=True)
    (sys_folder / "class/net/wlan0/phy80211").symlink_to("../../../ieee80211/phy3")


async def sampled(radio: AidedRadio) -> RadioSample:
    async with asyncio.timeout(30):
        while not (sample := await radio.sample()).facts.sources:      # a slow machine needs longer than a first look waits
            await asyncio.sleep(0.05)
    return sample


async def test_a_morse_radio_with_its_tool_and_its_rate_table(tmp_path: Path) -> None:
    debugfs(tmp_path / "sys")
    asked = ["-i", "wlan0", "channel", "-j"]
    command = "/usr/bin/env " + tool(tmp_path, f"assert sys.argv[1:] == {asked}; os.write(1, {CHANNEL!r})")
    radio = AidedRadio(Base(), lambda: Tools(command, sys=tmp_path / "sys"))
    try:
        async with asyncio.timeout(30):
            while len((sample := await radio.sample()).facts.sources) < 2:
                await asyncio.sleep(0.05)
    finally:
        await radio.close()
    assert (sample.facts.channel, sample.facts.primary_index) == ("918.0 MHz, 4 MHz wide (kernel 5610)", 1)
    assert sample.facts.sources == (("channel", "morse_cli"), ("tx rate", "debugfs mmrc_table_csv"))
    assert sample.peers[0].tx_rate is not None
    assert sample.peers[0].tx_rate.kbps == 7222


@pytest.mark.parametrize(("body", "said"), [
    ("sys.exit('Operation not permitted')", "morse_cli: exit status 1: Operation not permitted; it needs root"),
    ("print('{}')", "channel_op_bw = None"), (None, "/no/such/morse_cli cannot be run: No such file or directory")])
async def test_a_tool_that_does_not_serve_is_told_once_and_left_alone(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, body: str | None, said: str) -> None:
    caplog.set_level(logging.INFO)
    command = "/no/such/morse_cli" if body is None else tool(tmp_path, f"open('{tmp_path}/asked', 'a').write('x')\n{body}")
    tools = Tools(command, sys=tmp_path, ask_s=0.01)
    task = asyncio.create_task(tools.follow("wlan0", "morse"))
    async with asyncio.timeout(30):
        await tools.tried.wait()
    for _ in range(20):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert [message for message in caplog.messages if said in message] != []
    assert len(caplog.messages) == 2, "one line for the tool, one for the rate table"
    assert body is None or (tmp_path / "asked").read_text() == "x"
    assert tools.extras() == []


async def test_answers_that_are_old_do_not_count(tmp_path: Path) -> None:
    now = [1_000.0]
    tools = Tools(tool(tmp_path, f"os.write(1, {CHANNEL!r})"), sys=tmp_path, ask_s=10.0, monotonic=lambda: now[0])
    task = asyncio.create_task(tools.follow("wlan0", "morse"))
    async with asyncio.timeout(30):
        await tools.tried.wait()
    assert len(tools.extras()) == 1
    now[0] += 31.0
    assert tools.extras() == []
    task.cancel()
    await asyncio.wait({task})


async def test_a_hanging_firmware_stands_until_somebody_is_heard_or_the_driver_is_loaded_again() -> None:
    now, base = [100.0], Base(RadioFacts("wlan0", "nrc80211", "m", vendor="other"))
    tools = Tools(monotonic=lambda: now[0])
    radio = AidedRadio(base, lambda: tools, monotonic=lambda: now[0])
    assert (await radio.sample()).firmware_hangs_s is None
    tools.notice_at = 95.0
    base.inactive_ms = 6_000
    assert (await radio.sample()).firmware_hangs_s == 5.0
    now[0] = 160.0
    base.inactive_ms = 66_000
    assert (await radio.sample()).firmware_hangs_s == 65.0
    base.inactive_ms = 100
    assert (await radio.sample()).firmware_hangs_s is None
    assert tools.notice_at is None


async def test_a_radio_that_goes_away_ends_its_tools(tmp_path: Path) -> None:
    base = Base()
    made: list[Tools] = []

    def make() -> Tools:
        made.append(Tools(tool(tmp_path, f"os.write(1, {CHANNEL!r})"), sys=tmp_path))
        return made[-1]

    radio = AidedRadio(base, make)
    assert (await sampled(radio)).facts.primary_mhz == 2
    base.absent = True
    with pytest.raises(RadioAbsent):
        await radio.sample()
    assert made[-1].extras() == []
    base.absent = False
    assert (await sampled(radio)).facts.primary_mhz == 2
    await radio.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["time-out", "cancel"])
async def test_what_a_script_had_started_ends_with_it(tmp_path: Path, how: str) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    script = ["/bin/sh", "-c", f"sleep 600 & echo $! > {pipe}; wait"]
    task = asyncio.create_task(child.run(script, 2.0 if how == "time-out" else 600.0))
    pid = int(await asyncio.wait_for(asyncio.to_thread(pipe.read_text), 20))
    if how == "cancel":
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    else:
        with pytest.raises(child.NotRun, match=r"/bin/sh: not done within 2 s, ended"):
            await task
    async with asyncio.timeout(60):      # a machine whose storage stalls keeps a killed process for long
        while alive(pid):
            await asyncio.sleep(0.02)


async def test_output_without_end_is_bounded() -> None:
    done = await child.run([sys.executable, "-c", "import sys; sys.stdout.write('a' * 3_000_000 + 'end')"], 30.0, output_bytes=10)
    assert (done.output, done.cut, done.status) == (b"aaaaaaaend", True, 0)


async def test_a_box_is_asked_by_command(tmp_path: Path) -> None:
    peers = (await ExternalRadio(External((sys.executable, "-c", f"import os; os.write(1, {IWINFO!r})"))).sample()).peers
    assert [(peer.mac, peer.signal_dbm) for peer in peers] == [(A, -71)]
    for words, reason, said in (
            (("/bin/sh", "-c", "echo no route >&2; exit 255"), AbsentReason.NO_ANSWER, "/bin/sh: exit status 255: no route"),
            (("/bin/echo", "x"), AbsentReason.FAULT, "/bin/echo: not JSON"), (("/no/such",), AbsentReason.NO_ANSWER, "/no/such cannot be run")):
        with pytest.raises(RadioAbsent, match=said) as absent:
            await ExternalRadio(External(words)).sample()
        assert absent.value.reason is reason


async def test_a_file_is_believed_as_long_as_it_is_fresh(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    radio = ExternalRadio(External(file=str(file)), wall=lambda: 10_030.0)
    with pytest.raises(RadioAbsent, match=r"peers\.json: No such file"):
        await radio.sample()
    file.write_bytes(PLAIN)
    os.utime(file, (10_000, 10_000))
    assert (await radio.sample()).peers[0].signal_dbm == -71
    os.utime(file, (9_960, 9_960))
    with pytest.raises(RadioAbsent, match=r"72 s old, more than the 60 s"):
        await radio.sample()
