"""The end has a deadline, also for what cannot be cancelled."""

import subprocess
import sys
import threading
import time

from edge.health.deadline import Deadline

HANGING = """
import logging, sys, threading, time
from edge.health.deadline import Deadline
logging.basicConfig(format="%(message)s")
deadline = Deadline(0.3)
deadline.start()
threading.Thread(target=time.sleep, args=(30,), name="card").start()
{then}
sys.exit(0)
"""


def test_a_thread_that_hangs_is_named_and_left_behind():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGING.format(then="")], check=False, capture_output=True, text=True, timeout=20)
    assert time.monotonic() - began < 10
    assert done.returncode == 1
    assert "card in run (threading.py:" in done.stderr
    assert "took longer than 0.3 s" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_once_everything_is_closed_what_hangs_is_left_without_a_complaint():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGING.format(then="deadline.closed(0)")], check=False, capture_output=True, text=True, timeout=20)
    assert time.monotonic() - began < 10
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_wound_up_once_and_can_be_stopped():
    ended = threading.Event()
    deadline = Deadline(0.05, exit_now=lambda _status: ended.set())
    deadline.start()
    deadline.start()
    assert ended.wait(5)
    stopped = Deadline(0.05, exit_now=lambda _status: ended.clear())
    stopped.start()
    stopped.cancel()
    time.sleep(0.15)      # the time in which it would have run out, and more
    assert ended.is_set()
    Deadline().cancel()


def test_a_process_that_ends_in_time_does_not_wait_for_it():
    began = time.monotonic()
    code = "from edge.health.deadline import Deadline; Deadline(30).start()"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0
    assert time.monotonic() - began < 10
