"""The asyncio face under random use: nothing lost, nothing twice, whatever runs at the same time."""

import asyncio
import errno
import random
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stream
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
SETTINGS = RingSettings(size_mib=4, slot_mib=0.0625, instant_commit_window_s=0.002, billing_commit_window_s=0.0,
                        alarm_commit_window_s=0.001, ack_commit_s=0.003)


class Use:
    """Random calls on one ring, and what must come of them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fs, self.clock = SimulatedFs(), FakeClock()
        self.values: dict[tuple[Stream, int], int] = {}
        self.acked: set[tuple[Stream, int]] = set()
        self.tickets: list = []
        self.n = 0

    def put(self, ring: Ring) -> None:
        stream = self.rng.choice((Stream.BILLING, Stream.INSTANT, Stream.INSTANT))
        for _ in range(self.rng.choice((1, 1, 2, 40, 200))):
            self.n += 1
            text = "x" * self.rng.choice((0, 10, 10, 200))
            ticket = ring.put(stream, Record(SCHEMA, f"m{self.n % 5}", self.clock.stamp(), (self.n, text)))
            assert (stream, ticket.seq) not in self.values
            self.values[stream, ticket.seq] = self.n
            self.tickets.append(ticket)

    async def ack(self, ring: Ring) -> None:
        stream = self.rng.choice((Stream.BILLING, Stream.INSTANT))
        reading = ring.read if self.rng.random() < 0.5 else ring.read_newest
        found = await reading(stream, limit_records=self.rng.randrange(1, 80))
        for stored in found:
            assert (stream, stored.seq) not in self.acked, "delivered after its acknowledgement"
            assert stored.record.values[0] == self.values[stream, stored.seq]
        assert [s.seq for s in found] == sorted({s.seq for s in found})
        if found:
            ring.ack(SeqSpan(stream, found[0].seq, found[-1].seq))
            self.acked |= {(stream, s.seq) for s in found}

    async def step(self, ring: Ring, faults: bool) -> None:
        kind = self.rng.random()
        self.clock.forward(self.rng.randrange(50))
        if kind < 0.45:
            self.put(ring)
        elif kind < 0.75:
            await self.ack(ring)
        elif kind < 0.85:
            await asyncio.sleep(self.rng.choice((0, 0.001, 0.005)))
        elif kind < 0.9 and self.tickets and ring.status().healthy and not self.fs.read_only and not any(self.fs.faults.values()):
            waiting = [asyncio.ensure_future(_wait(t)) for t in self.rng.sample(self.tickets, min(5, len(self.tickets)))]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        elif faults:
            fault = self.rng.choice(("eio", "read_only", "read_only"))
            if fault == "eio":
                self.fs.faults[self.rng.choice(("sync", "pwrite"))] = [OSError(errno.EIO, "Input/output error")]
            else:
                self.fs.read_only = not self.fs.read_only

    async def all_of(self, ring: Ring, stream: Stream) -> list[int]:
        seqs: list[int] = []
        while found := await ring.read(stream, after=seqs[-1] if seqs else 0, limit_records=97):
            seqs += [s.seq for s in found]
        return seqs

    async def check(self, ring: Ring) -> None:
        for stream in (Stream.BILLING, Stream.INSTANT):
            expected = sorted(seq for one, seq in self.values if one is stream and (one, seq) not in self.acked)
            assert await self.all_of(ring, stream) == expected
            assert ring.backlog(stream).records == len(expected)
        assert ring.status().lost == 0


async def _wait(ticket) -> int:
    return await ticket


@pytest.mark.parametrize("seed", range(30))
async def test_any_mixture_of_calls_keeps_the_account(seed: int) -> None:
    use = Use(seed)
    for _ in range(3):
        async with Ring.open(Path("ring"), SETTINGS, use.clock, use.fs, retry_first_s=0.004) as ring:
            for _ in range(60):
                await use.step(ring, faults=seed % 2 == 1)
            use.fs.read_only, use.fs.faults = False, {}
            await asyncio.wait_for(asyncio.gather(*map(_wait, use.tickets)), 10)
            while not ring.status().healthy:      # what failed last is tried again after a growing rest
                await asyncio.sleep(0.005)
            await use.check(ring)
        use.clock.forward(1000)
    async with Ring.open(Path("ring"), SETTINGS, use.clock, use.fs) as ring:
        await use.check(ring)
