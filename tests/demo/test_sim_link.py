"""The simulated radio link: bytes arrive whole and in order, late by what the profile says, and outages tell nobody."""

import asyncio
import itertools
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from edge.demo.linkprofile import PROFILES, LinkProfile, LossModel, Medium, next_retransmission
from edge.demo.linkproxy import LinkProxy

QUICK = LinkProfile("quick", -60, (0.002, 0.002), 0.001, 0.0, 1.0, 1e8)


class Echo(asyncio.Protocol):
    """Sends back what comes; remembers how connections end."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen.append("open")

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append("reset" if exc else "closed")


@asynccontextmanager
async def echo_over(profile: LinkProfile, *, medium: Medium | None = None, seed: int = 1) -> AsyncIterator[
        tuple[LinkProxy, tuple[str, int], list[str]]]:
    seen: list[str] = []
    server = await asyncio.get_running_loop().create_server(lambda: Echo(seen), "127.0.0.1", 0)
    proxy = LinkProxy(profile, seed=seed, medium=medium)
    address = await proxy.start(server.sockets[0].getsockname()[:2])
    try:
        yield proxy, address, seen
    finally:
        await proxy.close()
        server.close()
        await server.wait_closed()


async def until(condition: object, within_s: float = 2.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_carries_a_stream_whole_and_in_order_with_loss_and_back_pressure() -> None:
    lossy = replace(QUICK, loss=0.05, burst=2.0, rate_bps=2e8, delay_range_s=(0.0, 0.001))
    async with echo_over(lossy) as (proxy, address, _):
        reader, writer = await asyncio.open_connection(*address)
        data = random.Random(1).randbytes(400_000)
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 30) == data
        assert proxy.counters.up_bytes == proxy.counters.down_bytes == len(data)
        assert proxy.counters.lost_segments > 0
        assert proxy.counters.stall_s >= 0.2 * proxy.counters.lost_segments
        writer.close()


async def test_round_trip_takes_delay_both_ways() -> None:
    async with echo_over(replace(QUICK, delay_range_s=(0.03, 0.03))) as (_, address, _):
        reader, writer = await asyncio.open_connection(*address)
        loop = asyncio.get_running_loop()
        writer.write(b"warm")
        await reader.readexactly(4)
        started = loop.time()
        writer.write(b"ping")
        await reader.readexactly(4)
        assert 0.06 <= loop.time() - started < 0.2
        writer.close()


async def test_one_air_is_shared() -> None:
    """Two links over one air take together what one would need for both."""
    slow = replace(QUICK, rate_bps=400e3)
    medium = Medium()
    loop = asyncio.get_running_loop()
    async with echo_over(slow, medium=medium) as (_, one, _), echo_over(slow, medium=medium) as (_, two, _):
        ends = [await asyncio.open_connection(*address) for address in (one, two)]
        started = loop.time()
        for _, writer in ends:
            writer.write(bytes(4_000))
        await asyncio.gather(*(reader.readexactly(4_000) for reader, _ in ends))
        # 16,000 bytes in all directions and 400 kbit/s: 0.32 s at least
        assert loop.time() - started >= 0.32
        assert medium.busy_s >= 0.32
        for _, writer in ends:
            writer.close()


async def test_black_hole_tells_nobody_and_the_bytes_come_afterwards() -> None:
    async with echo_over(QUICK) as (proxy, address, seen):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.down()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        fresh_reader, fresh_writer = await asyncio.open_connection(*address)
        fresh_writer.write(b"new")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fresh_reader.read(1), 0.05)
        assert seen == ["open"]                   # the server does not hear of the new client
        proxy.restore()
        assert await asyncio.wait_for(reader.readexactly(3), 2) == b"two"
        assert await asyncio.wait_for(fresh_reader.readexactly(3), 2) == b"new"
        writer.close()
        fresh_writer.close()


async def test_a_close_during_the_outage_arrives_after_it() -> None:
    async with echo_over(QUICK) as (proxy, address, seen):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.down()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert seen == ["open"]
        proxy.restore()
        await until(lambda: seen == ["open", "closed"])


async def test_reset_and_refusal() -> None:
    async with echo_over(QUICK) as (proxy, address, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 2)
        writer.close()
        assert proxy.counters.resets == 1
        proxy.target = ("127.0.0.1", 1)           # nobody listens there
        reader, writer = await asyncio.open_connection(*address)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 2)
        assert proxy.counters.failed_connections == 1
        writer.close()
        await until(lambda: not proxy.paths)


async def test_closed_connections_leave_nothing_behind() -> None:
    async with echo_over(QUICK) as (proxy, address, seen):
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            await reader.readexactly(1)
            writer.close()
            await writer.wait_closed()
        await until(lambda: not proxy.paths)
        assert seen.count("closed") == 20


@pytest.mark.parametrize("name", ["good", "fair", "poor", "eu-duty", "sleepy"])
def test_losses_are_those_of_the_profile(name: str) -> None:
    """Segments at random moments: the share that is lost at first is the profile's, stalls are TCP's."""
    profile = PROFILES[name]
    rng = random.Random(3)
    model = LossModel(rng)
    at, stalls = 0.0, []
    for _ in range(40_000):
        at += rng.expovariate(1.0)
        stalls.append(model.stall_s(profile, at))
    share = sum(stall > 0 for stall in stalls) / len(stalls)
    assert share == pytest.approx(profile.loss, rel=0.3)
    assert {round(stall, 6) for stall in stalls if 0 < stall < 2} <= {0.2, 0.6, 1.4}
    assert statistics.mean(stalls) < profile.loss * 2.0


def test_losses_come_in_bursts() -> None:
    profile = PROFILES["poor"]
    spacing = 1_500 * 8 / profile.rate_bps
    model = LossModel(random.Random(3))
    lost = [model.stall_s(profile, n * spacing) > 0 for n in range(40_000)]
    starts = sum(now and not before for before, now in itertools.pairwise(lost))
    assert 3.5 < sum(lost) / starts < 6.5                      # mean burst 5


@pytest.mark.parametrize(("outage_s", "at_s"), [(0.0, 0.2), (0.3, 0.6), (5.0, 6.2), (30.0, 51.0), (300.0, 342.2)])
def test_next_retransmission(outage_s: float, at_s: float) -> None:
    assert next_retransmission(outage_s) == pytest.approx(at_s)
