"""The time of boots whose clock was never right: bounds from their neighbours, or a meter's clock; the same at every delivery."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.ring.dating import dated, dated_now
from edge.ring.store import Ring
from edge.ring.timebase import MAX_METERS, Anchor, Quality, Timebase, median_clock, stamps_by

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.0,
                        billing_commit_window_s=0.0, alarm_commit_window_s=0.0, ack_commit_s=0.05)
INSTANT, BILLING, ALARM = Stream.INSTANT, Stream.BILLING, Stream.ALARM
RING = Path("ring")
BOOTS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-1111-4111-8111-111111111111" for n in range(1, 8)]
BEFORE_MS = 1_700_000_000_000        # what the first boot's clock shows at 1,000 ms
LATER_MS = BEFORE_MS + 3_600_000     # what the last one's shows at 500 ms


def record(clock: FakeClock, n: int, text: str = "") -> Record:
    return Record(SCHEMA, "m1", clock.stamp(), (n, text))


async def stamps(ring: Ring, stream: Stream = INSTANT) -> dict[int, Stamp]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0):
        found += part
    return {stored.record.values[0]: stored.record.stamp for stored in found}


def time_of(stamp: Stamp) -> tuple[int, int | None, str]:
    return stamp.wall_ms, stamp.latest_ms, stamp.source


async def one_right_boot(fs: SimulatedFs) -> FakeClock:
    """Its last record is from BEFORE_MS + 9,000."""
    clock = FakeClock(BOOTS[0])
    clock.wall_ms = BEFORE_MS
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await ring.append(INSTANT, record(clock, 1))
        clock.forward(9_000)
        await ring.append(INSTANT, record(clock, 2))
        clock.forward(1_000)
    return clock


async def one_blind_boot(fs: SimulatedFs, clock: FakeClock, *, boot: str = BOOTS[1], first: int = 11, wall_ms: int = 70_000) -> None:
    """Records at 2,500 and 6,500 ms after its begin."""
    clock.reboot(boot, wall_ms=wall_ms, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        clock.forward(2_000)
        await ring.append(INSTANT, record(clock, first))
        await ring.append(ALARM, record(clock, first))
        clock.forward(4_000)
        await ring.append(INSTANT, record(clock, first + 1))
        assert first not in await stamps(ring), "nothing is handed out before it has a time"


async def test_a_blind_boot_is_bracketed_by_its_neighbours() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    await one_blind_boot(fs, clock)
    clock.reboot(BOOTS[2], wall_ms=LATER_MS)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        found = await stamps(ring)
        # began after the last record before it; its last record came before this boot began
        low, high = BEFORE_MS + 9_000, LATER_MS - 500 - 6_500
        assert time_of(found[11]) == (low + 2_500, high + 2_500, "bracket")
        assert time_of(found[12]) == (low + 6_500, high + 6_500, "bracket")
        assert not found[11].synchronised
        assert time_of(found[1]) == (BEFORE_MS, None, "clock")
        alarm = (await stamps(ring, ALARM))[11]
        assert time_of(alarm) == (low + 2_500, high + 2_500, "bracket"), "the same in every stream"
    clock.reboot(BOOTS[3], wall_ms=LATER_MS + 86_400_000)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        assert await stamps(ring) == found, "a later delivery says the same"
        for n in range(100, 180):
            await ring.append(INSTANT, record(clock, n, "x" * 3_000))
        assert {n: (await stamps(ring))[n] for n in found} == found
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        assert {n: (await stamps(ring))[n] for n in found} == found, "off headers of later segments too"


async def test_it_waits_for_this_boots_clock_and_then_no_longer() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    await one_blind_boot(fs, clock)
    clock.reboot(BOOTS[2], wall_ms=80_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs, hold_s=600) as ring:
        assert set(await stamps(ring)) == {1, 2}
        clock.forward(1_000)
        clock.wall_ms, clock.sync = LATER_MS + 1_000, True
        ring._time.look()
        async with asyncio.timeout(5):
            while 11 not in (found := await stamps(ring)):
                await ring.wait_committed()
        assert time_of(found[11]) == (BEFORE_MS + 9_000 + 2_500, LATER_MS - 500 - 6_500 + 2_500, "bracket")


async def test_without_any_right_clock_only_the_earliest_time_is_told() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    await one_blind_boot(fs, clock)
    await one_blind_boot(fs, clock, boot=BOOTS[2], first=21)
    clock.reboot(BOOTS[3], wall_ms=80_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs, hold_s=10) as ring:
        await ring.append(INSTANT, record(clock, 31))
        clock.forward(11_000)
        ring._time.look()
        await asyncio.wait_for(ring.wait_committed(), 5)
        found = await stamps(ring)
        second = BEFORE_MS + 9_000 + 6_500       # each boot began after the one before it
        assert time_of(found[11]) == (BEFORE_MS + 9_000 + 2_500, None, "bracket")
        assert time_of(found[21]) == (second + 2_500, None, "bracket")
        assert time_of(found[31]) == (second + 6_500 + 500, None, "bracket"), "this boot's clock is behind what has passed"
        clock.wall_ms, clock.sync = LATER_MS, True
        ring._time.look()
        await ring.append(INSTANT, record(clock, 32))
        assert {n: stamp for n, stamp in (await stamps(ring)).items() if n != 32} == found


async def test_a_restored_clock_that_is_ahead_of_the_bound_counts_as_it_stands() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    clock.reboot(BOOTS[1], wall_ms=BEFORE_MS + 60_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs, hold_s=10) as ring:
        await ring.append(INSTANT, record(clock, 11))
        clock.forward(11_000)
        ring._time.look()
        assert time_of((await stamps(ring))[11]) == (BEFORE_MS + 60_000, None, "clock")


async def test_an_alarm_of_a_blind_boot_goes_out_at_once() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    await one_blind_boot(fs, clock)
    clock.reboot(BOOTS[2], wall_ms=80_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs, hold_s=600) as ring:
        alarm = (await stamps(ring, ALARM))[11]
        assert time_of(alarm) == (BEFORE_MS + 9_000 + 2_500, None, "bracket")
        clock.wall_ms, clock.sync = LATER_MS, True
        ring._time.look()
        await ring.append(ALARM, record(clock, 99))
        assert (await stamps(ring, ALARM))[11] == alarm
        assert (await stamps(ring))[11].wall_ms == alarm.wall_ms, "one boot, one time, in every stream"


async def test_the_bound_survives_in_the_segments_header_alone() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    clock.reboot(BOOTS[1], wall_ms=70_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        seqs = [await ring.append(INSTANT, record(clock, n, "x" * 3_000)) for n in range(11, 60)]
        segments = ring._engine.logs[INSTANT].view.segments
        assert segments[-1].segment.after_ms == BEFORE_MS + 9_000
        assert segments[-2].segment.boot == segments[-1].segment.boot
    clock.reboot(BOOTS[2], wall_ms=LATER_MS)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        found = await ring.read(INSTANT, after=seqs[-2])
        assert found[0].record.stamp.wall_ms == BEFORE_MS + 9_000 + 500


async def test_a_read_only_card_is_drained_of_its_blind_boots_too() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    await one_blind_boot(fs, clock)
    clock.reboot(BOOTS[2], wall_ms=LATER_MS)
    fs.read_only = True
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        assert not ring.status().healthy
        assert time_of((await stamps(ring))[11]) == (BEFORE_MS + 9_000 + 2_500, LATER_MS - 500 - 6_500 + 2_500, "bracket")


# ---- meters' clocks --------------------------------------------------------------------------------------------------


async def test_a_meters_clock_dates_a_boot_that_has_nothing_better() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    clock.reboot(BOOTS[1], wall_ms=70_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs, hold_s=10) as ring:
        ring.meter_clock("m1", wall_ms=BEFORE_MS + 500_000, boottime_ms=clock.boottime_ms, sound=True)
        await ring.append(INSTANT, record(clock, 11))
        clock.forward(11_000)
        ring._time.look()
        found = await stamps(ring)
        assert time_of(found[11]) == (BEFORE_MS + 500_000, None, "meter_clock")
        assert not found[11].synchronised
        clock.wall_ms, clock.sync = LATER_MS, True
        ring._time.look()
        await ring.append(INSTANT, record(clock, 12))
        again = await stamps(ring)
        assert again[11] == found[11]
        assert time_of(again[12]) == (LATER_MS, None, "clock")
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        assert await stamps(ring) == again


async def test_a_meters_clock_that_was_asked_is_known_to_the_next_boot() -> None:
    fs = SimulatedFs()
    clock = await one_right_boot(fs)
    clock.reboot(BOOTS[1], wall_ms=70_000, synchronised=False)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        for meter, off_ms in (("m1", 500_000), ("m2", 502_000), ("m3", -9_000_000_000)):
            ring.meter_clock(meter, wall_ms=BEFORE_MS + off_ms, boottime_ms=500, sound=True)
        ring.meter_clock("m4", wall_ms=7, boottime_ms=500, sound=False)
        for n in range(11, 60):
            await ring.append(INSTANT, record(clock, n, "x" * 3_000))
    clock.reboot(BOOTS[2], wall_ms=LATER_MS)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        found = await stamps(ring)
        assert {time_of(found[n]) for n in range(11, 60)} == {(BEFORE_MS + 500_000, None, "meter_clock")}, "the one in the middle"


async def test_where_the_gateways_clock_is_right_no_meter_is_asked() -> None:
    fs, clock = SimulatedFs(), FakeClock(BOOTS[0])
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await ring.append(INSTANT, record(clock, 1))
        ring.meter_clock("m1", wall_ms=5, boottime_ms=500, sound=True)
        await ring.append(INSTANT, record(clock, 2))
        assert not ring._engine.logs[INSTANT].view.timebase.meters(ring._engine.boot)


BOOT = bytes(range(16))
TIMES = st.integers(-(10**12), 10**13)


@given(TIMES, st.lists(st.tuples(TIMES, st.integers(0, 1)), max_size=6), TIMES | st.none(), TIMES | st.none())
@example(0, [], 5, 3)
@example(10, [], None, 3)
@example(10, [(50, 1)], 20, 30)
@example(10, [], 20, None)
def test_a_dated_boot_lies_within_its_bounds(clock_ms: int, said: list[tuple[int, int]], low: int | None, high: int | None) -> None:
    meters = [Anchor(BOOT, 1_000, zero + 1_000, quality, f"meter:{n}") for n, (zero, quality) in enumerate(said)]
    anchor = dated(BOOT, clock_ms, meters, low, high)
    stamp = stamps_by(anchor, "b")(0)
    assert not stamp.synchronised
    if high is not None:
        assert stamp.wall_ms <= high
    if low is not None and (high is None or low <= high):
        assert stamp.wall_ms >= low
        assert stamp.source == ("meter_clock" if said else "bracket")
    if stamp.source == "bracket":
        assert stamp.latest_ms == high
    now = dated_now(Anchor(BOOT, 9, clock_ms + 9, 0, "held"), meters, low)
    assert low is None or now.zero_ms >= low


@given(st.lists(st.tuples(TIMES, st.integers(0, 1)), min_size=1, max_size=9))
def test_the_middle_clock_of_the_best(said: list[tuple[int, int]]) -> None:
    (one,) = median_clock([Anchor(BOOT, 0, zero, quality, f"meter:{n}") for n, (zero, quality) in enumerate(said)])
    best = sorted(zero for zero, quality in said if quality == max(q for _, q in said))
    assert sum(1 for zero in best if zero < one.zero_ms) <= len(best) / 2
    assert sum(1 for zero in best if zero > one.zero_ms) <= len(best) / 2
    assert median_clock([]) == []


def test_what_meters_said_dates_nothing_by_itself_and_is_bounded() -> None:
    base = Timebase()
    for n in range(MAX_METERS + 5):
        base.add(Anchor(BOOT, 5, n, Quality.RESTORED, f"meter:{n}"))
    assert not base.knows(BOOT)
    assert base.anchor(BOOT, 7) is None
    assert len(base.meters(BOOT)) == MAX_METERS
    assert base.summary(32, BOOT) == median_clock(base.meters(BOOT))
    base.add(Anchor(BOOT, 9, 9, Quality.NTP, "sync"))
    assert [anchor.source for anchor in base.summary(32, BOOT)] == ["sync"]


def test_a_boot_dated_late_does_not_push_this_boots_last_anchor_out_of_the_header() -> None:
    base, other = Timebase(), bytes(16)
    for moment in (5, 6, 7):
        base.add(Anchor(BOOT, moment, moment, Quality.NTP, "sync"))
    base.add(Anchor(other, 0, 1, Quality.UNKNOWN, "bracket", 9))
    assert base.summary(32, BOOT) == [base.of(other)[0], base.of(BOOT)[0], base.of(BOOT)[-1]]


@pytest.mark.parametrize(("anchor", "expected"), [
    (Anchor(BOOT, 10, 1_000, 3, "sync"), (1_090, True, "clock", None)),
    (Anchor(BOOT, 10, 1_000, 0, "held"), (1_090, False, "clock", None)),
    (Anchor(BOOT, 0, 1_000, 0, "bracket", 50), (1_100, False, "bracket", 1_150)),
    (Anchor(BOOT, 0, 1_000, 0, "bracket"), (1_100, False, "bracket", None)),
    (Anchor(BOOT, 0, 1_000, 1, "by meter:7", 50), (1_100, False, "meter_clock", None)),
    (Anchor(BOOT, 0, 1_000, 0, "by meter:7"), (1_100, False, "meter_clock", None)),
])
def test_whose_time_it_is(anchor: Anchor, expected: tuple) -> None:
    stamp = stamps_by(anchor, "b")(100)
    assert (stamp.wall_ms, stamp.synchronised, stamp.source, stamp.latest_ms) == expected
