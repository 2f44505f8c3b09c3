"""Lines to the journal by its native protocol: against a datagram socket of ours, and where it can be had journald itself."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.logs import output as log
from edge.logs.fields import fields_of, places
from edge.logs.journal import JournalHandler, encode


def record(text: str, *args: object, level: int = logging.WARNING, **more: object) -> logging.LogRecord:
    return logging.getLogger("edge.x").makeRecord("edge.x", level, "/src/edge/x.py", 12, text, args, None, "poll", dict(more) or None)


@pytest.mark.parametrize(("template", "args", "fields"), [
    ("meter %s: not read: %s", ("m1", "x"), {"meter": "m1"}),
    ("the page failed method=%s path=%s", ("GET", "/a b"), {"method": "GET", "path": "/a b"}),
    ("%d of %d%% lost (meter %s) peer=%.3s", (1, 2, "m 2", "abcdef"), {"meter": "m 2", "peer": "abcdef"}),
    ("ring %s: storage failed", ("alarm",), {"stream": "alarm"}),
    ("alarm %s %s%s: %s", ("over", "raised", "", "d"), {"alarm": "over"}),
    ("parameter=%s=%s", ("a", "b"), {"parameter": "a"}),
    ("no placeholder meter=", (), {}),
    ("meter %s and meter %s", ("first", "second"), {"meter": "first"}),
])
def test_fields_come_from_the_words_before_placeholders(template: str, args: tuple[object, ...], fields: dict[str, str]) -> None:
    assert fields_of(record(template, *args)) == fields


def test_what_callers_do_wrong_costs_nothing_but_the_field() -> None:
    assert fields_of(record("meter %s path=%s", "only one")) == {"meter": "only one"}
    assert fields_of(record("x", fields={"meter": "m9", "n": 5, "peer": ""})) == {"meter": "m9", "n": "5"}
    assert len(fields_of(record("meter %s", "x" * 10_000))["meter"]) < 300
    assert places("100 %") == ()


def test_the_protocol_keeps_newlines_by_length() -> None:
    assert encode([("A", "x=y"), ("B", "one\ntwo")]) == b"A=x=y\nB\n\x07\0\0\0\0\0\0\0one\ntwo\n"


class Journal:
    """What journald's socket would be handed."""

    def __init__(self, path: Path, receive_bytes: int = 0) -> None:
        self.path, self.files = path, 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def take(self) -> dict[str, str]:
        data, files, _, _ = socket.recv_fds(self.socket, 1 << 22, 4)
        self.files += len(files)
        for file in files:
            assert data == b""
            with os.fdopen(file, "rb") as opened:
                opened.seek(0)
                data = opened.read()
        fields: dict[str, str] = {}
        while data:
            name, data = data.split(b"\n", 1)
            if b"=" in name:
                key, value = name.split(b"=", 1)
            else:
                key, length = name, int.from_bytes(data[:8], "little")
                value, data = data[8 : 8 + length], data[9 + length :]
            fields[key.decode()] = value.decode()
        return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    there = Journal(tmp_path / "socket")
    yield there
    there.socket.close()


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, one: logging.LogRecord) -> None:
        self.texts.append(one.getMessage())


Handling = Callable[[Path], tuple[JournalHandler, Lines]]


@pytest.fixture
def handler_to() -> Iterator[Handling]:
    made: list[JournalHandler] = []

    def handler_to(path: Path) -> tuple[JournalHandler, Lines]:
        otherwise = Lines()
        handler = JournalHandler(otherwise, log.priority, path)
        handler.setFormatter(log.MessageFormatter())
        made.append(handler)
        return handler, otherwise

    yield handler_to
    for handler in made:
        handler.close()


def test_a_line_comes_with_its_fields(journal: Journal, handler_to: Handling) -> None:
    handler, otherwise = handler_to(journal.path)
    try:
        int("two\nlines")
    except ValueError:
        failed = record("meter %s: a fault path=%s", "m1", "/x\ny")
        failed.exc_info = sys.exc_info()
    handler.handle(failed)
    got = journal.take()
    assert got.pop("MESSAGE").startswith("edge.x: meter m1: a fault path=/x\\ny\nTraceback (most recent call last)")
    assert got == {
        "PRIORITY": "4", "SYSLOG_IDENTIFIER": "halow-gateway", "LOGGER": "edge.x", "CODE_FILE": "/src/edge/x.py", "CODE_LINE": "12",
        "CODE_FUNC": "poll", "THREAD_NAME": threading.current_thread().name, "EXCEPTION": "ValueError", "HALOW_METER": "m1",
        "HALOW_PATH": "/x\ny"}
    assert otherwise.texts == []


def test_a_line_that_is_too_long_for_a_datagram_goes_as_a_file(journal: Journal, handler_to: Handling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.logs.journal.SEND_BUFFER_BYTES", 20_000)
    handler, _ = handler_to(journal.path)
    handler.handle(record("%s", "x" * 700_000))
    assert len(journal.take()["MESSAGE"]) == 700_000 + len("edge.x: ")
    handler.handle(record("%s", "y" * 2_000_000))
    assert journal.take()["MESSAGE"].endswith("y ... (cut)")
    assert journal.files == 2
    handler.handle(record("short"))
    assert journal.take()["MESSAGE"] == "edge.x: short"
    assert journal.files == 2


def test_a_journal_that_takes_nothing_stops_nobody_and_is_told_what_it_missed(tmp_path: Path, handler_to: Handling) -> None:
    journal = Journal(tmp_path / "slow", receive_bytes=1)
    handler, otherwise = handler_to(journal.path)
    sent = 0
    while not handler.untaken:
        handler.handle(record("line %d", sent))
        sent += 1
        assert sent < 100_000
    handler.handle(record("another"))
    assert handler.untaken == 2
    for n in range(sent - 1):
        assert journal.take()["MESSAGE"] == f"edge.x: line {n}"
    handler.handle(record("there again"))
    assert journal.take()["MESSAGE"] == "edge.x: there again"
    told = journal.take()
    assert (told["MESSAGE"], told["PRIORITY"]) == ("2 log lines are lost: the journal did not take them", "4")
    assert otherwise.texts == []
    journal.socket.close()


def test_while_the_journal_is_away_lines_go_to_stderr(journal: Journal, handler_to: Handling) -> None:
    handler, otherwise = handler_to(journal.path)
    handler.handle(record("first"))
    assert journal.take()["MESSAGE"] == "edge.x: first"
    journal.socket.close()
    handler.handle(record("gone"))
    journal.path.unlink()
    handler.handle(record("still gone"))
    assert otherwise.texts == ["gone", "still gone"]
    again = Journal(journal.path)
    handler.handle(record("back"))
    assert again.take()["MESSAGE"] == "edge.x: back"
    again.socket.close()


PROGRAM = """
import logging, os, sys
from pathlib import Path
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
from edge.logs import output as log
log.configure("info", journal=Path(sys.argv[1]))
for n in range(13):
    logging.getLogger("edge.poll").warning("meter %s: no reading", f"m{n}")
logging.getLogger("edge.poll").debug("not at this level")
"""


def test_a_program_under_systemd_sends_its_lines_there_and_counts_repeats(journal: Journal) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(journal.path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    got = [journal.take() for _ in range(11)]
    assert [each["HALOW_METER"] for each in got] == [*(f"m{n}" for n in range(10)), "m12"]
    assert "3 more like this" in got[-1]["MESSAGE"]
    journal.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        journal.take()


def test_without_the_journals_socket_lines_go_to_stderr_with_their_priority(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "nothing")], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("<4>edge.poll: meter m0: no reading\n")


JOURNALD = Path("/usr/lib/systemd/systemd-journald")

ALONE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
touch /run/ready
"$1" & child=$!
trap 'kill $child; wait $child || true' EXIT
while ! [ -S /run/systemd/journal/socket ]; do kill -0 $child; sleep 0.05; done
"$2" -c "$3" /run/systemd/journal/socket
for _ in $(seq 100); do
  journalctl -D /run/log/journal -o json --no-pager HALOW_METER=m12 2>/dev/null | grep . && exit 0
  sleep 0.1
done
exit 1
"""


@pytest.mark.skipif(os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("journalctl") is None,
                    reason="root and systemd-journald are needed for a journal of our own")
def test_journald_itself_takes_the_lines_and_finds_them_by_field() -> None:
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", ALONE, "sh", str(JOURNALD), sys.executable, PROGRAM],
                          capture_output=True, text=True, timeout=60, check=False)
    if "not permitted" in done.stderr or "ermission denied" in done.stderr:
        pytest.skip(f"no journal of our own here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[0])
    assert line["PRIORITY"] == "4"
    assert line["LOGGER"] == "edge.poll"
    assert line["SYSLOG_IDENTIFIER"] == "halow-gateway"
    assert "3 more like this" in line["MESSAGE"]
