"""Which records come next, against a ring of plain lists: the cases that a real ring gives only after reboots."""

from dataclasses import dataclass

import pytest

from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.uplink.source import Lane, Source

SCHEMA = Schema(Kind.READING, (Field("v"),))


@dataclass
class Backlog:
    records: int
    newest_seq: int


class Lists:
    """Records by stream; `held` numbers are there but not handed out yet."""

    def __init__(self, **streams):
        self.streams = {stream: [] for stream in Stream} | {Stream[name]: rows for name, rows in streams.items()}
        self.held = set()
        self.reads = []

    def backlog(self, stream):
        rows = self.streams[stream]
        return Backlog(len(rows), rows[-1].seq if rows else 0)

    async def read(self, stream, *, after, limit_records, limit_bytes):
        del limit_bytes
        rows = [row for row in self.streams[stream] if (after is None or row.seq > after) and row.seq not in self.held]
        self.reads.append((stream.name, after))
        return rows[:limit_records]

    async def read_newest(self, stream, *, before, limit_records, limit_bytes):
        del limit_bytes
        rows = [row for row in self.streams[stream] if (before is None or row.seq < before) and row.seq not in self.held]
        self.reads.append((stream.name, "newest"))
        return rows[-limit_records:]


def row(seq, boot="b1", stream=Stream.INSTANT):
    return Stored(stream, seq, Record(SCHEMA, "A", Stamp(seq, seq, boot, synchronised=True), (seq,)))


def held(on_its_way):
    """Return what a connection says of records, from what is true of each."""
    return lambda records: {stored.seq for stored in records if on_its_way(stored)}


async def next_run(source, *, skip=(), alone=()):
    lane = await source.choose()
    if lane is None:
        return None, []
    run = list(source.run_of(lane, lambda stored: stored.seq in skip, lambda stored: stored.seq in alone))
    source.take(lane, len(run))
    return lane, [stored.seq for stored in run]


async def test_a_run_never_spans_two_boots():
    """Between 2 and 6 a boot may lie that the ring still holds; acknowledging 1..7 would delete it."""
    source = Source(Lists(INSTANT=[row(1), row(2), row(6, "b3"), row(7, "b3")]), "oldest")
    assert await next_run(source) == (Lane.FRESH, [1, 2])
    assert await next_run(source) == (Lane.FRESH, [6, 7])
    assert await next_run(source) == (None, [])


async def test_held_records_are_found_by_looking_back():
    ring = Lists(INSTANT=[row(1), row(2), row(3)])
    ring.held = {1, 2}
    source = Source(ring, "oldest")
    assert await next_run(source) == (Lane.FRESH, [3])
    ring.held, ring.streams[Stream.INSTANT] = set(), [row(1), row(2)]
    assert await next_run(source) == (None, [])
    source.look_back(Lane.FRESH)
    assert await next_run(source) == (Lane.FRESH, [1, 2])


async def test_skipped_and_lone_records_cut_a_run():
    source = Source(Lists(INSTANT=[row(n) for n in range(1, 8)]), "oldest")
    runs = [(await next_run(source, skip={1, 4}, alone={6}))[1] for _ in range(4)]
    assert runs == [[2, 3], [5], [6], [7]]


async def test_fresh_begins_after_what_was_there():
    ring = Lists(INSTANT=[row(1), row(2)])
    sent = {3}
    source = Source(ring, "live+backfill", held(lambda stored: stored.seq in sent))
    assert await next_run(source) == (Lane.BACKFILL, [1, 2])
    ring.streams[Stream.INSTANT].append(row(3))
    assert await next_run(source) == (None, []), "dry until a commit is told"
    source.committed()
    assert await next_run(source) == (Lane.FRESH, [3])
    source.look_back(Lane.BACKFILL)
    assert await next_run(source) == (Lane.BACKFILL, [1, 2]), "not acknowledged yet, and not what is on its way"


async def test_an_empty_ring_gives_its_first_record():
    """Ordinals begin at 0, so that an empty stream's 0 is no border."""
    ring = Lists()
    source = Source(ring, "live+backfill")
    assert await next_run(source) == (None, [])
    ring.streams[Stream.INSTANT].append(row(0))
    source.committed()
    assert await next_run(source) == (Lane.FRESH, [0])


async def test_given_back_comes_first():
    source = Source(Lists(INSTANT=[row(1), row(2), row(3)]), "oldest")
    assert await next_run(source, alone={1}) == (Lane.FRESH, [1])
    source.give_back(Lane.FRESH, (row(1),))
    assert await next_run(source) == (Lane.FRESH, [1, 2, 3])


async def test_alarms_and_billing_go_first_even_when_they_come_last():
    ring = Lists(INSTANT=[row(1)], BILLING=[row(5, stream=Stream.BILLING)])
    source = Source(ring, "oldest")
    assert await next_run(source) == (Lane.BILLING, [5])
    ring.streams[Stream.ALARM].append(row(9, stream=Stream.ALARM))
    source.committed()
    assert await next_run(source) == (Lane.ALARM, [9])
    assert await next_run(source) == (Lane.FRESH, [1])


async def test_a_link_that_falls_behind_still_gets_the_newest_first():
    """1,000 records came while one was sent: the newest go next, what was left out goes with the backlog."""
    ring = Lists(INSTANT=[row(1)])
    sent = set()
    source = Source(ring, "live+backfill", held(lambda stored: stored.seq in sent))
    assert await next_run(source) == (Lane.BACKFILL, [1])
    ring.streams[Stream.INSTANT] += [row(n) for n in range(2, 1_002)]
    source.committed()
    lane, seqs = await next_run(source)
    sent.update([1, *seqs])
    assert (lane, seqs[0], seqs[-1]) == (Lane.FRESH, 746, 1_001)
    ring.streams[Stream.INSTANT] += [row(n) for n in range(1_002, 1_010)]
    source.committed()
    runs = [await next_run(source) for _ in range(3)]
    assert {(lane, seqs[0], seqs[-1]) for lane, seqs in runs} == {
        (Lane.FRESH, 1_002, 1_009), (Lane.BACKFILL, 2, 513), (Lane.BACKFILL, 514, 745)}
    sent.update(range(1, 1_010))
    source.committed()
    assert await next_run(source) == (None, [])


async def test_a_run_never_covers_what_another_hand_holds():
    ring = Lists(INSTANT=[row(n) for n in range(1, 10)])
    source = Source(ring, "live+backfill", held(lambda stored: stored.seq in {3, 4, 8}))
    assert [(await next_run(source))[1] for _ in range(3)] == [[1, 2], [5, 6, 7], [9]]


async def test_steady_records_are_read_once():
    ring = Lists(INSTANT=[])
    source = Source(ring, "live+backfill", held(lambda stored: stored.seq < len(ring.streams[Stream.INSTANT]) + 1))
    await next_run(source)
    for n in range(1, 20):
        ring.streams[Stream.INSTANT].append(row(n))
        ring.reads.clear()
        source.committed()
        assert await next_run(source) == (Lane.FRESH, [n])
        assert await next_run(source) == (None, [])
        assert n == 1 or [read for read in ring.reads if read[0] == "INSTANT"] == [("INSTANT", "newest")]


async def test_no_backlog_keeps_another_lane_silent():
    """Thousands of billing rows, old and fresh values: each lane gets its share of the turns; alarms get all they want."""
    ring = Lists(BILLING=[row(n, stream=Stream.BILLING) for n in range(1, 9_000)], INSTANT=[row(n) for n in range(1, 9_000)])
    source = Source(ring, "live+backfill")
    ring.streams[Stream.INSTANT] += [row(n) for n in range(9_000, 9_200)]
    turns = []
    for _ in range(80):
        lane = await source.choose()
        turns.append(lane)
        source.take(lane, 1)
    assert (turns.count(Lane.BILLING), turns.count(Lane.FRESH), turns.count(Lane.BACKFILL)) == (40, 30, 10)
    ring.streams[Stream.ALARM] = [row(1, stream=Stream.ALARM)]
    source.committed()
    assert await source.choose() is Lane.ALARM


async def test_newest_first_goes_down_piece_by_piece_and_what_comes_is_first():
    ring = Lists(INSTANT=[row(n) for n in range(1, 151)])
    source = Source(ring, "newest")
    assert await next_run(source) == (Lane.BACKFILL, list(range(87, 151)))
    ring.streams[Stream.INSTANT].append(row(151))
    source.committed()
    assert await next_run(source) == (Lane.FRESH, [151])
    assert await next_run(source) == (Lane.BACKFILL, list(range(23, 87)))
    assert await next_run(source) == (Lane.BACKFILL, list(range(1, 23)))
    assert await next_run(source) == (None, [])


async def test_newest_first_what_a_slow_link_left_out_is_sent_before_what_is_older_and_nothing_twice():
    ring = Lists(INSTANT=[row(n) for n in range(1, 101)])
    sent = set()
    source = Source(ring, "newest", held(lambda stored: stored.seq in sent))

    async def step():
        lane, run = await next_run(source)
        assert not sent & set(run), "sent twice on one connection"
        sent.update(run)
        return lane, run

    assert await step() == (Lane.BACKFILL, list(range(37, 101)))
    await source.choose()                                          # 1..36 are at hand
    ring.streams[Stream.INSTANT] += [row(n) for n in range(101, 201)]
    source.committed()
    assert await step() == (Lane.FRESH, list(range(137, 201)))
    assert await step() == (Lane.BACKFILL, list(range(101, 137)))
    assert await step() == (Lane.BACKFILL, list(range(1, 37)))
    assert await step() == (None, [])


async def test_newest_first_looks_past_what_is_on_its_way_or_skipped_and_finds_it_again():
    ring = Lists(INSTANT=[row(n) for n in range(1, 9)])
    source = Source(ring, "newest", held(lambda stored: stored.seq == 5))
    assert await next_run(source) == (Lane.BACKFILL, [6, 7, 8])
    assert await next_run(source, skip={2}) == (Lane.BACKFILL, [1])
    assert await next_run(source) == (Lane.BACKFILL, [2, 3, 4])


@pytest.mark.parametrize("order", ["oldest", "newest", "live+backfill"])
async def test_alarms_are_behind_no_backlog_in_any_order(order):
    ring = Lists(INSTANT=[row(n) for n in range(1, 600)], BILLING=[row(n, stream=Stream.BILLING) for n in range(1, 600)])
    source = Source(ring, order)
    await next_run(source)
    ring.streams[Stream.ALARM] = [row(1, stream=Stream.ALARM)]
    source.committed()
    assert await next_run(source) == (Lane.ALARM, [1])
