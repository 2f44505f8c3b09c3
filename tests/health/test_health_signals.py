"""Stopping: signals to a real process on both loops, and closes with a deadline."""

import asyncio
import logging
import os
import signal
import subprocess
import sys

import pytest

from edge.health.signals import close_within, stop_signals

PROGRAM = """
import asyncio, sys, time
from edge.health.signals import on_hangup, stop_signals
if sys.argv[1] == "uvloop":
    import uvloop
    factory = uvloop.new_event_loop
else:
    factory = asyncio.new_event_loop

async def main():
    # as the gateway does: with a handler of the loop's own, a signal also wakes a loop that is just going to sleep
    with on_hangup(lambda: None), stop_signals() as stop:
        print("up", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        if sys.argv[2] == "hangs":
            await asyncio.Event().wait()
        if sys.argv[2] == "stuck":
            while True:
                pass

with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
print("tidied", flush=True)
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def program(request):
    running = []

    def start(behaviour):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, request.param, behaviour], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_is_graceful(program, first):
    process = program("well")
    process.send_signal(first)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "stopping\ntidied\n"), err


@pytest.mark.parametrize("behaviour", ["hangs", "stuck"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_at_once_even_a_stuck_loop(program, behaviour, second):
    process = program(behaviour)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(second)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")


async def test_in_process_the_event_is_set_and_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    exits = []
    with stop_signals(exits.append) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await stop.wait()
        assert exits == []
        signal.raise_signal(signal.SIGTERM)
        assert exits == [130]
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_close_that_ends_in_time():
    closed = []

    async def close():
        closed.append(True)

    assert await close_within("ring", close(), 5)
    assert closed == [True]


async def test_a_close_that_hangs_is_cancelled_and_named(caplog):
    cancelled = []

    async def hangs():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    assert not await close_within("uplink", hangs(), 0.02)
    assert cancelled == [True]
    assert "closing uplink took longer than 0.02 s" in caplog.text


async def test_a_close_that_will_not_be_cancelled_is_left_behind():
    release = asyncio.Event()

    async def stubborn():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.ensure_future(stubborn())
    async with asyncio.timeout(2):
        assert not await close_within("uplink", task, 0.01)
    release.set()
    await task


async def test_a_close_that_fails_is_logged_and_does_not_spread(caplog):
    async def fails():
        raise OSError(5, "Input/output error")

    assert not await close_within("ring", fails(), 5)
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.getMessage() == "closing ring failed"
    assert record.exc_info[0] is OSError


async def test_cancelling_a_close_goes_through():
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def close():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(close_within("ring", close(), 60))
    await started.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    async with asyncio.timeout(5):
        await cancelled.wait()
