"""Serial lines on pseudo-terminals: what a tty does, who may have it, what is said when it is not there."""

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from poll_bench import Bench, moved, shown
from serial_site import ENERGY, PATIENT, serial_line

from edge.demo.meter_tty import SerialMeters
from edge.endpoint import SerialLine
from edge.errors import BridgeBusy, ConnectionLost, NoAnswer, Unreachable
from edge.model import Meter
from edge.poll import serial
from edge.poll.serial import SerialTransport
from edge.poll.transport import connect_for

SHARED_MEMORY = Path("/dev/shm")


@asynccontextmanager
async def pty() -> AsyncIterator[tuple[int, SerialTransport]]:
    """The far end of a line, and our transport on the near one."""
    far, near = os.openpty()
    transport = await SerialTransport.open(SerialLine(os.ttyname(near)), timeout_s=5.0)
    os.set_blocking(far, False)
    try:
        yield far, transport
    finally:
        transport.abort()
        os.close(near)
        with contextlib.suppress(OSError):      # a test may have pulled it out
            os.close(far)


async def heard(transport: SerialTransport, count: int) -> bytes:
    data, deadline = b"", asyncio.get_running_loop().time() + 10
    while len(data) < count:
        data += await transport.read(deadline)
    return data


async def written(far: int, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(10):
        while len(data) < count:
            try:
                data += os.read(far, 65_536)
            except BlockingIOError:
                await asyncio.sleep(0.002)
    return data


async def read_three(line: SerialMeters, row: Meter) -> None:
    async with Bench(row, settings=PATIENT).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 3)
    assert bench.sink.reasons() == []
    assert {shown(record)["active_energy"] for record in bench.sink.records} == {ENERGY + 17}
    assert line.counters.associations == 1, "one association, kept"
    assert {speed for speed, _ in line.heard} == {9600}


async def test_a_meter_on_a_line_is_polled_as_any_other() -> None:
    with serial_line() as (line, [row]):
        await read_three(line, row)


def test_so_it_is_on_the_loop_that_the_gateway_runs_on() -> None:
    async def polled() -> None:
        with serial_line() as (line, [row]):
            await read_three(line, row)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(polled())


async def test_an_adapter_pulled_out_is_a_lost_connection_and_polled_again_when_it_is_back() -> None:
    name = SHARED_MEMORY / f"halow-line-{os.getpid()}"      # as udev's links in /dev/serial/by-id: the same name again
    with serial_line(name=name) as (line, [row]):
        async with Bench(row, settings=PATIENT).running() as bench:
            await bench.sink.until(lambda records: records)
            line.silent = True      # so that it is pulled out under an exchange, whenever that is
            count = len(line.heard)
            while len(line.heard) == count:
                await asyncio.sleep(0.005)
            line.unplug()
            await bench.sink.until(lambda _: "unreachable" in bench.sink.reasons())
            assert set(bench.sink.reasons()) <= {"connection_lost", "unreachable", "circuit_open"}
            told = next(record for record in bench.sink.records if record.values[0] == "unreachable")
            assert "is not there" in str(told.values[1])
            line.silent = False
            line.plug_in(name)
            count = len(bench.sink.readings())
            await bench.sink.until(lambda _: len(bench.sink.readings()) > count)
        assert bench.poller.state().last_failure == ""


async def test_a_hang_up_is_told_to_whoever_reads_and_to_whoever_only_looks() -> None:
    async with pty() as (far, transport):
        reading = asyncio.create_task(transport.read(None))
        await asyncio.sleep(0)
        os.close(far)
        with pytest.raises(ConnectionLost, match="the serial line is gone"):
            await asyncio.wait_for(reading, 5)
        with pytest.raises(ConnectionLost, match="gone"):
            transport.waiting()
        transport.write(b"nobody hears it")
        with pytest.raises(ConnectionLost):
            transport.set_line(300)
        await transport.close(1.0)


async def test_every_octet_passes_unaltered_both_ways() -> None:
    everything = bytes(range(256)) * 100      # more than a tty buffers, so that it goes out in pieces
    async with pty() as (far, transport):
        transport.write(everything[:12_800])
        transport.write(everything[12_800:])
        assert await written(far, len(everything)) == everything
        os.write(far, everything[:1024])
        assert await heard(transport, 1024) == everything[:1024]
        with pytest.raises(NoAnswer, match="silence"):
            await transport.read(asyncio.get_running_loop().time() + 0.01)


async def test_what_was_on_the_line_before_is_not_heard() -> None:
    far, near = os.openpty()
    os.write(far, b"a late answer\n")
    transport = await SerialTransport.open(SerialLine(os.ttyname(near)), timeout_s=5.0)
    os.write(far, b"news")
    assert await heard(transport, 4) == b"news"
    transport.abort()
    os.close(far)
    os.close(near)


async def test_one_program_has_the_line() -> None:
    async with pty() as (_, transport):
        with pytest.raises(BridgeBusy, match="another program has it"):
            await SerialTransport.open(transport.line, timeout_s=5.0)
        await transport.close(1.0)
        again = await SerialTransport.open(transport.line, timeout_s=5.0)
        again.abort()


@pytest.mark.parametrize("baud", [300, 1200, 9600, 19200, 115200])
async def test_the_speed_is_set_and_can_be_changed(baud: int) -> None:
    with serial_line() as (line, [row]):
        transport = await connect_for(moved(row, host=f"{row.host}?baud={baud}"), 5.0)
        assert (line.client_baud, transport.top_baud) == (baud, baud)
        transport.set_line(300, "8N1")
        assert line.client_baud == 300
        transport.set_line(baud)
        assert line.client_baud == baud
        transport.abort()


@pytest.mark.parametrize(("place", "what"), [
    (SerialLine("/dev/serial/by-id/none"), "is not there: is the adapter plugged in"),
    (SerialLine("/dev/null"), "is no serial line"),
    (SerialLine("/dev"), "is no serial line"),
])
async def test_what_does_not_open_says_why_and_what_to_do(place: SerialLine, what: str) -> None:
    with pytest.raises(Unreachable, match=what) as told:
        await SerialTransport.open(place, timeout_s=5.0)
    assert "\n" not in str(told.value)
    assert place.device in str(told.value)


def test_a_missing_permission_names_the_group() -> None:
    assert "dialout" in str(serial.trouble(SerialLine("/dev/ttyUSB0"), PermissionError(errno.EACCES, "Permission denied")))


async def test_a_format_that_the_driver_drops_silently_is_refused() -> None:
    far, near = os.openpty()      # a pseudo-terminal knows no parity
    with pytest.raises(Unreachable, match="does not take 9600 baud 8E1"):
        await SerialTransport.open(SerialLine(os.ttyname(near), 9600, "8E1"), timeout_s=5.0)
    os.close(far)
    os.close(near)


async def test_between_an_answer_and_the_next_request_the_line_rests() -> None:
    loop = asyncio.get_running_loop()
    async with pty() as (far, transport):
        os.write(far, b"answer")
        await heard(transport, 6)
        came = transport._inbox._heard_at
        await transport.ready(0.0)
        assert loop.time() - came >= serial.TURN_AROUND_S
        await transport.ready(0.05)
        assert loop.time() - came >= 0.05


async def test_a_line_that_never_stops_is_given_up() -> None:
    async with pty() as (far, transport):
        while not transport._inbox.ended:
            with contextlib.suppress(BlockingIOError):
                os.write(far, bytes(4_096))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost, match="arrived unasked"):
            transport.waiting()


@pytest.mark.parametrize("how", ["cancelled", "too slow"])
async def test_a_line_that_opens_after_everybody_has_gone_is_closed(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far, near = os.openpty()
    go, original = threading.Event(), serial._open
    opened: list[int] = []

    def slow(line: SerialLine) -> int:
        go.wait(10)
        opened.append(original(line))
        return opened[0]

    monkeypatch.setattr(serial, "_open", slow)
    opening = asyncio.create_task(SerialTransport.open(SerialLine(os.ttyname(near)), timeout_s=60.0 if how == "cancelled" else 0.01))
    await asyncio.sleep(0)
    if how == "cancelled":
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    else:
        with pytest.raises(Unreachable, match="does not open within"):
            await opening
    go.set()
    async with asyncio.timeout(10):
        while not opened:
            await asyncio.sleep(0.002)
        while True:
            try:
                os.fstat(opened[0])
            except OSError:
                break
            await asyncio.sleep(0.002)
    os.close(far)
    os.close(near)
