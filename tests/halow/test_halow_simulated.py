"""The radio that plays a trace, alone and under a monitor, and the commands that show it."""

import asyncio
import json
import subprocess
import sys

import pytest

from halow.__main__ import main
from halow.errors import AbsentReason, RadioAbsent
from halow.model import Change, Grade, LinkEvent
from halow.monitor import Monitor, MonitorSettings
from halow.radios.simulated import SimulatedRadio

A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
TRACE = f"""t_s,mac,signal_dbm
0,*,-101
0,{A},-66
2,{B},-85
4,{B},
6,*,
8,*,-101
10,{A},-66
"""


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


class Time:
    now = 100.0

    def __call__(self):
        return self.now


async def test_samples_follow_the_trace_and_its_loop(trace):
    time = Time()
    radio = SimulatedRadio(trace, width_mhz=4, monotonic=time)
    await radio.open()
    sample = await radio.sample()
    assert [(peer.mac, peer.signal_dbm) for peer in sample.peers] == [(A, -66)]
    assert (sample.facts.driver, sample.facts.width_mhz, sample.facts.noise_dbm) == ("simulated", 4, -101)
    time.now += 2.5
    assert [peer.mac for peer in (await radio.sample()).peers] == [A, B]
    time.now += 4
    with pytest.raises(RadioAbsent) as absent:
        await radio.sample()
    assert absent.value.reason is AbsentReason.SWITCHED_OFF
    await radio.close()
    await radio.open()
    time.now += 4
    assert [peer.mac for peer in (await radio.sample()).peers] == [A], "opening anew does not begin anew"


async def test_events_tell_what_changes(trace):
    radio = SimulatedRadio(trace, speed=10)      # slow enough that a busy machine misses no step of the trace
    await radio.open()
    async with asyncio.timeout(20):
        events = [await radio.wait_event() for _ in range(4)]
    assert events == [LinkEvent(Change.PEER_ADDED, B), LinkEvent(Change.PEER_REMOVED, B),
                      LinkEvent(Change.INTERFACE_GONE), LinkEvent(Change.INTERFACE_ADDED)]


@pytest.mark.parametrize("text", [None, "", "nonsense\n1\n", "\x00\xff"])
async def test_a_trace_that_is_none_is_a_reason(tmp_path, text):
    path = tmp_path / "trace.csv"
    if text is not None:
        path.write_text(text, "latin-1")
    with pytest.raises(RadioAbsent) as absent:
        await SimulatedRadio(path).open()
    assert absent.value.reason is AbsentReason.NO_TRACE
    assert str(path) in str(absent.value)
    assert "\n" not in str(absent.value)


async def test_a_monitor_over_a_trace_sees_the_fade_the_loss_and_the_dead_radio(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(f"t_s,mac,signal_dbm\n0,{A},-60\n100,{A},-95\n200,{A},\n300,*,\n400,*,-100\n400,{A},-60\n500,{A},-60\n")
    seen = []
    over = asyncio.Event()

    def tell(states, radio):
        grade = states[0].grade if states else None
        if not seen or seen[-1] != (radio.present, grade):
            seen.append((radio.present, grade))
        if (False, Grade.LOST) in seen and grade is Grade.EXCELLENT:
            over.set()

    monitor = Monitor(SimulatedRadio(path, speed=500), tell, MonitorSettings(interval_s=0.005))
    task = asyncio.create_task(monitor.run(lambda _within_s: None))
    async with asyncio.timeout(20):
        await over.wait()
    task.cancel()
    await asyncio.wait({task})
    assert seen[0] == (True, Grade.EXCELLENT)
    lost = seen.index((True, Grade.LOST))
    assert (True, Grade.POOR) in seen[:lost] or (True, Grade.FAIR) in seen[:lost]
    assert seen.index((False, Grade.LOST)) > lost
    assert seen[-1] == (True, Grade.EXCELLENT)


def test_the_package_shows_a_table(trace, capsys):
    assert main(["--simulated", str(trace)]) == 0
    radio, heading, peer = capsys.readouterr().out.splitlines()
    assert radio.startswith("radio: sim0 (simulated, ")
    assert heading.split()[:3] == ["PEER", "GRADE", "RSSI"]
    assert peer.split()[:4] == [A, "excellent", "-66.0", "dBm"]


def test_the_package_prints_json(trace, capsys):
    assert main(["--simulated", str(trace), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["radio"]["present"] is True
    assert (shown["peers"][0]["grade"], shown["peers"][0]["rssi_avg_dbm"], shown["peers"][0]["age_s"]) == ("excellent", -66, 0)


def test_no_radio_is_one_line_and_status_1(capsys):
    assert main(["--interface", "no-such-wlan"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("radio: none (no_")
    assert out.count("\n") == 1


def test_python_m_halow(trace):
    done = subprocess.run([sys.executable, "-m", "halow", "--simulated", str(trace)], capture_output=True, text=True, check=False,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert A in done.stdout


def link(*arguments):
    return subprocess.run([sys.executable, "-m", "edge", "link", *arguments], capture_output=True, text=True, check=False,
                          timeout=60)


def test_link_show(trace):
    done = link("show", "--simulated", str(trace))
    assert done.returncode == 0, done.stderr
    assert A in done.stdout
    shown = json.loads(link("show", "--simulated", str(trace), "--json").stdout)
    assert shown["peers"][0]["mac"] == A


def test_link_watch_as_json_is_one_line_per_look(trace):
    done = link("watch", "--simulated", str(trace), "--interval", "0.2", "--count", "2", "--json")
    assert done.returncode == 0
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(looks) == 2
    assert all(look["radio"]["present"] and look["peers"][0]["mac"] for look in looks)
    assert looks[0]["time"] < looks[1]["time"]
    absent = link("watch", "--interface", "no-such-wlan", "--interval", "0.2", "--count", "1", "--json")
    (look,) = [json.loads(line) for line in absent.stdout.splitlines()]
    assert (look["radio"]["present"], look["peers"]) == (False, [])


def test_link_watch_prints_lines_and_stops(trace):
    done = link("watch", "--simulated", str(trace), "--interval", "0.2", "--count", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) >= 3
    assert all(A in line or "no peer" in line for line in lines)


def test_link_show_without_a_radio(tmp_path):
    done = link("show", "--interface", "no-such-wlan")
    assert done.returncode == 1
    assert "radio: none" in done.stdout
    assert "Traceback" not in done.stderr


def test_link_takes_the_radio_of_the_settings_file(tmp_path, trace):
    settings = tmp_path / "gateway.toml"
    settings.write_text(f'[radio]\nkind = "simulated"\ntrace = "{trace}"\n')
    done = subprocess.run([sys.executable, "-m", "edge", "--config", str(settings), "link", "show"], capture_output=True,
                          text=True, check=False,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert A in done.stdout
