"""Log lines: their form, the journal's priorities, no line from a peer passes for ours, repeats are counted."""

import io
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from edge.logs import output as log
from edge.logs import repeats

logger = logging.getLogger("edge.test_log")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("debug", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def captured(formatter: logging.Formatter, limit: int = 10) -> tuple[io.StringIO, repeats.RepeatFilter, list[float]]:
    stream, now = io.StringIO(), [0.0]
    handler = log.LineHandler(stream)
    handler.setFormatter(formatter)
    counted = repeats.RepeatFilter(handler, limit=limit, monotonic=lambda: now[0])
    handler.addFilter(counted)
    return stream, counted, now


def record(level: int, text: str, *args: object, name: str = "edge.x") -> logging.LogRecord:
    return logging.LogRecord(name, level, "file.py", 1, text, args, None)


def test_plain_lines_carry_utc_time_level_logger_and_pairs(out: io.StringIO) -> None:
    logger.warning("poll failed meter=%s reason=%s", "m1", "no_answer")
    time, _, rest = out.getvalue().partition(" ")
    assert time.endswith("Z")
    assert rest == "WARNING edge.test_log: poll failed meter=m1 reason=no_answer\n"


@pytest.mark.parametrize(("level", "prefix"), [
    (logging.CRITICAL, "<2>"), (logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.DEBUG, "<7>"),
])
def test_journal_lines_carry_the_priority(level: int, prefix: str) -> None:
    assert log.JournalFormatter().format(record(level, "a=%d", 5)) == f"{prefix}edge.x: a=5"


def test_every_line_of_a_traceback_carries_the_priority() -> None:
    try:
        int("first\nsecond")
    except ValueError:
        failed = logging.LogRecord("edge.x", logging.ERROR, "f", 1, "boom", None, sys.exc_info())
    lines = log.JournalFormatter().format(failed).split("\n")
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines)


@pytest.mark.parametrize("formatter", [log.PlainFormatter(), log.JournalFormatter()])
def test_what_a_peer_sent_stays_on_its_line(formatter: logging.Formatter) -> None:
    text = formatter.format(record(logging.INFO, "said %s", "x\n<0>kernel: dead\r\x1b[2J\u2028"))
    assert text.isprintable()
    assert "\\n<0>kernel: dead\\r\\x1b[2J\\u2028" in text


def test_repeats_are_counted_and_reported_when_the_minute_is_over() -> None:
    stream, counted, now = captured(logging.Formatter("%(levelname)s %(message)s"), limit=3)
    passed = [counted.filter(record(logging.WARNING, "lost meter=%s", f"m{i}")) for i in range(8)]
    assert passed == [True] * 3 + [False] * 5
    assert counted.filter(record(logging.WARNING, "another"))
    assert counted.filter(record(logging.ERROR, "lost meter=%s", "m")), "another level is another message"
    now[0] = 59.9
    assert not counted.filter(record(logging.WARNING, "lost meter=%s", "m9"))
    assert stream.getvalue() == ""
    now[0] = 60.0
    assert counted.filter(record(logging.WARNING, "lost meter=%s", "m10"))
    assert re.fullmatch(r"WARNING 6 more like this from \d\d:\d\d:\d\dZ to \d\d:\d\d:\d\dZ, the last: lost meter=m9\n", stream.getvalue())


def test_what_was_counted_is_told_when_the_program_ends() -> None:
    program = ("from edge.logs import output as log; import logging; log.configure('info')\n"
               "for i in range(25): logging.getLogger('edge.x').info('meter m%d: readings again', i)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == repeats.REPEATS_PER_MINUTE + 1
    assert " 15 more like this from " in done.stderr
    assert done.stderr.endswith("the last: meter m24: readings again\n")


def test_a_held_back_message_whose_arguments_do_not_fit_breaks_nothing() -> None:
    stream, counted, _ = captured(logging.Formatter("%(message)s"), limit=1)
    for _ in range(2):
        counted.filter(record(logging.WARNING, "%d and %s", "x"))
    counted.tell()
    assert stream.getvalue().endswith("the last: %d and %s\n")


def test_debug_is_never_held_back() -> None:
    _, counted, _ = captured(logging.Formatter(), limit=1)
    assert all(counted.filter(record(logging.DEBUG, "x")) for _ in range(5))


def test_a_flood_of_different_messages_takes_bounded_memory() -> None:
    _, counted, _ = captured(logging.Formatter())
    for i in range(3 * repeats.TEMPLATES_LIMIT):
        counted.filter(record(logging.INFO, f"message {i}"))
    assert len(counted._windows) == repeats.TEMPLATES_LIMIT


def test_threads_may_log_at_once(out: io.StringIO) -> None:
    threads = [threading.Thread(target=lambda: [logger.info("tick") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out.getvalue().count("tick") == repeats.REPEATS_PER_MINUTE


def test_the_level_changes_at_run_time_and_quiets_third_parties(out: io.StringIO) -> None:
    log.set_level("warning")
    logger.info("hidden")
    log.set_level("debug")
    logger.debug("shown")
    logging.getLogger("gmqtt").info("third party")
    assert "hidden" not in out.getvalue()
    assert "shown" in out.getvalue()
    assert "third party" not in out.getvalue()
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        log.set_level("loud")


def test_configuring_twice_does_not_write_twice(out: io.StringIO) -> None:
    log.configure("info", stream=out)
    logger.info("once")
    assert out.getvalue().count("once") == 1


def test_the_journal_form_is_chosen_only_for_the_journal_s_own_stream() -> None:
    program = "from edge.logs import output as log; import logging; log.configure('info'); logging.getLogger('edge.x').info('hello')"
    reader, writer = os.pipe()
    status = os.fstat(writer)
    told = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with os.fdopen(reader, "rb") as read_end:
        subprocess.run([sys.executable, "-c", program], stderr=writer, env=os.environ | told, check=True)
        os.close(writer)
        assert read_end.read() == b"<6>edge.x: hello\n"
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | told, check=True)
    assert plain.stderr.endswith("INFO    edge.x: hello\n")
