"""Which anchor dates a record stays the same over starts, rotations and long silences: an hour's step would show it."""

import random
from pathlib import Path

from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.engine import Engine
from edge.ring.lane import Lane
from edge.ring.layout import MAX_ANCHORS
from edge.ring.store import Ring
from edge.ring.timebase import Anchor, Quality

HOUR_MS = 3_600_000
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, billing_commit_window_s=0.0)
S = Stream.BILLING
PAGE = "x" * 3_000      # one record fills a page


class Writer:
    """One stream of an engine, and a clock that steps."""

    def __init__(self) -> None:
        self.fs, self.clock, self.rng, self.n = SimulatedFs(), FakeClock(), random.Random(1), 0
        self.open()

    def open(self) -> None:
        self.engine = Engine(self.fs, Path("ring"), SETTINGS, self.clock.stamp, self.rng.randbytes)
        self.log = self.engine.logs[S]
        self.lane = Lane(self.log, 1.0, 5_000, self.clock.boot_id)

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.n += 1
            self.clock.forward(10)
            self.lane.put(Record(SCHEMA, "m1", self.clock.stamp(), (self.n, PAGE)))

    def anchor(self, step_ms: int = 0) -> None:
        self.clock.forward(10)
        self.clock.wall_ms += step_ms
        self.engine.anchor(S, Anchor(self.engine.boot, self.clock.boottime_ms, self.clock.wall_ms, Quality.NTP, "sync"))

    def commit(self) -> None:
        outcome = self.engine.commit(S, self.lane.take(len(self.lane.pending), state_due=True))
        assert outcome.error is None
        self.lane.done(outcome.end)

    def begin_a_segment(self) -> None:
        known = self.log.pool.last_segment
        while self.log.pool.last_segment == known:
            self.put()
            self.commit()

    def times(self) -> dict[int, int]:
        """When each record that waits was, by its number."""
        return {stored.seq: stored.record.stamp.wall_ms for stored in self.engine.read(S, 0, 1_000, 1 << 24)}


def test_a_commit_that_goes_on_in_another_segment_is_dated_there_by_the_anchor_before_its_own() -> None:
    writer = Writer()
    writer.anchor(HOUR_MS)             # a clock that is wrong and calls itself right
    writer.begin_a_segment()           # its header knows of that one
    writer.anchor(-HOUR_MS)            # mended, and on flash
    writer.put()
    writer.commit()
    writer.put(14)                     # more than the segment has room for
    writer.anchor()                    # and the next one comes before they are written
    writer.commit()
    before, base = writer.times(), writer.log.view.segments[-1].segment.base
    done = [seq & ORDINAL_MASK for seq in before if seq & ORDINAL_MASK < base]
    writer.log.ack(done[0], done[-1], base)
    writer.commit()
    writer.engine.close()
    writer.open()
    after = writer.times()
    assert len(after) > 2
    assert {seq: after[seq] - before[seq] for seq in after} == dict.fromkeys(after, 0)


async def test_a_stream_that_nothing_is_written_to_keeps_the_last_step_of_a_clock_that_is_set_every_hour() -> None:
    fs, clock = SimulatedFs(), FakeClock()
    async with Ring.open(Path("ring"), SETTINGS, clock, fs) as ring:
        for _ in range(2 * MAX_ANCHORS):
            clock.forward(HOUR_MS)
            ring._time.look()
            await ring._committer.settled()
        clock.forward(1)
        clock.wall_ms -= 20 * HOUR_MS
        ring._time.look()
        await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (1, "")))
        [stored] = await ring.read(S)
        assert stored.record.stamp.wall_ms == clock.wall_ms
        assert ring.status().streams["billing"].syncs < 10


async def test_a_wrong_clock_that_only_a_new_segment_saw_dates_nothing_behind_the_next_look() -> None:
    fs, clock = SimulatedFs(), FakeClock()
    async with Ring.open(Path("ring"), SETTINGS, clock, fs) as ring:
        clock.wall_ms += HOUR_MS                        # between two looks, of which there is one in a second
        for n in range(20):
            clock.forward(1)
            await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (n, PAGE)))
        clock.wall_ms -= HOUR_MS
        ring._time.look()
        clock.forward(1)
        await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (99, "")))
        assert (await ring.read_newest(S))[-1].record.stamp.wall_ms == clock.wall_ms
