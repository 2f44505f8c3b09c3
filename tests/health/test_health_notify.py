"""systemd's notification protocol against a real datagram socket, in the file system and in the abstract namespace."""

import asyncio
import os
import socket
import uuid
from pathlib import Path

import pytest

from edge.health.notify import DEFAULT_PERIOD_S, Notifier, Watchdog, watchdog_interval_s
from edge.health.promise import Promises


class Systemd:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self):
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path, monkeypatch):
    if request.param == "path":
        name = address = str(tmp_path / "notify")
    else:
        name = f"@halow-test-{uuid.uuid4()}"
        address = "\0" + name[1:]
    there = Systemd(address)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    yield there
    there.socket.close()


@pytest.fixture
def no_systemd(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


def test_the_four_messages(systemd):
    notifier = Notifier()
    notifier.ready()
    notifier.status("12 meters,\n  1 silent")
    notifier.watchdog()
    notifier.stopping()
    notifier.close()
    assert systemd.heard() == ["READY=1", "STATUS=12 meters, 1 silent", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_is_utf_8_one_line_and_short(systemd):
    notifier = Notifier()
    notifier.status("Zähler 7 °C " + "x" * 500 + "\nREADY=1")
    (message,) = systemd.heard()
    notifier.close()
    assert message.startswith("STATUS=Zähler 7 °C xxx")
    assert "\n" not in message
    assert len(message) <= 207


def test_without_systemd_nothing_happens(no_systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier = Notifier()
    notifier.ready()
    notifier.status("x")
    notifier.watchdog()
    notifier.close()
    assert notifier.watchdog_s is None


# sdnotify leaves the socket of a failed connect to the reference count
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_systemd_that_went_away_is_a_warning_once_and_is_found_again(tmp_path, monkeypatch, caplog):
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    first = Systemd(address)
    notifier = Notifier()
    notifier.ready()
    first.socket.close()
    for _ in range(3):
        notifier.watchdog()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    Path(address).unlink()
    second = Systemd(address)
    notifier.watchdog()
    assert second.heard() == ["WATCHDOG=1"]
    notifier.close()
    second.socket.close()


def test_a_full_socket_does_not_block(systemd):
    notifier = Notifier()
    for _ in range(10_000):
        notifier.watchdog()
    notifier.close()
    assert systemd.heard()


@pytest.mark.parametrize(("environ", "expected"), [
    ({}, None),
    ({"WATCHDOG_USEC": "30000000"}, 30.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
    ({"WATCHDOG_USEC": "1500"}, 0.0015),
    ({"WATCHDOG_USEC": ""}, None),
    ({"WATCHDOG_USEC": "0"}, None),
    ({"WATCHDOG_USEC": "-5"}, None),
    ({"WATCHDOG_USEC": "soon"}, None),
    ({"WATCHDOG_USEC": "٣"}, None),
])
def test_what_systemd_asks_for(environ, expected):
    assert watchdog_interval_s(environ, pid=42) == expected


class Bench:
    def __init__(self, monkeypatch):
        monkeypatch.setenv("WATCHDOG_USEC", "30000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        self.now = 0.0
        self.line = "3 meters"
        self.promises = Promises()
        self.notifier = Notifier()
        self.watchdog = Watchdog(self.notifier, self.promises, status=lambda: self.line, monotonic=lambda: self.now)


@pytest.fixture
def bench(systemd, monkeypatch):
    there = Bench(monkeypatch)
    yield there
    there.notifier.close()


def test_fed_while_promises_are_kept_and_withheld_with_the_name_of_who_is_stuck(systemd, bench, caplog):
    bench.promises.expect("drain", 10, now=0)
    assert bench.watchdog.check()
    assert systemd.heard() == ["STATUS=3 meters", "WATCHDOG=1"]
    bench.now = 10
    assert bench.watchdog.check()
    assert systemd.heard() == ["WATCHDOG=1"], "the same status is not sent twice"
    bench.now = 13
    assert not bench.watchdog.check()
    assert not bench.watchdog.check()
    assert systemd.heard() == ["STATUS=stuck: drain (3 s overdue)"]
    assert [record.levelname for record in caplog.records] == ["ERROR"], "the first time only"
    bench.promises.expect("drain", 10, now=13)
    bench.line = "4 meters"
    assert bench.watchdog.check()
    assert systemd.heard() == ["STATUS=4 meters", "WATCHDOG=1"]


async def test_the_worker_feeds_three_times_per_interval(systemd, bench):
    assert bench.watchdog.period_s == pytest.approx(0.010)
    pulses = []
    task = asyncio.create_task(bench.watchdog.run(pulses.append))
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    fed = []

    def take():
        fed.extend(message for message in systemd.heard() if message == "WATCHDOG=1")
        if len(fed) >= 4:
            arrived.set()

    loop.add_reader(systemd.socket, take)
    async with asyncio.timeout(5):
        await arrived.wait()
    loop.remove_reader(systemd.socket)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert all(within_s == pytest.approx(0.030) for within_s in pulses)


def test_without_a_wish_promises_are_still_looked_at(no_systemd):
    assert Watchdog(Notifier(), Promises()).period_s == DEFAULT_PERIOD_S
