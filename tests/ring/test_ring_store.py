"""The ring as the other rooms see it, on the real file system and on a failing one."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring import lane as lane_module
from edge.ring import view as view_module
from edge.ring.look import RingLook
from edge.ring.segment import rows
from edge.ring.store import Ring
from edge.ring.timebase import Quality

SCHEMA = Schema(Kind.READING, (Field("a", -1, "V", "1-0:32.7.0"), Field("t")), "profile")
SMALL = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.01,
                     billing_commit_window_s=0.01, alarm_commit_window_s=0.01, ack_commit_s=0.05)
INSTANT, ALARM = Stream.INSTANT, Stream.ALARM


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def record(clock, n: int, text: str | None = None, device: str = "m1") -> Record:
    return Record(SCHEMA, device, clock.stamp(), (n, text))


async def everything(ring: Ring, stream: Stream = INSTANT) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0, limit_records=100):
        found += part
    return found


async def fill(ring: Ring, clock, count: int, start: int = 0) -> list[int]:
    tickets = [ring.put(INSTANT, record(clock, start + n, "x" * 300)) for n in range(count)]
    return [await ticket for ticket in tickets]


async def test_what_is_appended_is_read_and_acknowledged_once(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = [await ring.append(INSTANT, record(clock, n)) for n in range(5)]
        found = await everything(ring)
        assert [s.seq for s in found] == seqs
        assert [s.record for s in found] == [record(clock, n) for n in range(5)]
        assert ring.backlog(INSTANT).records == 5
        assert ring.backlog(INSTANT).newest_seq == seqs[-1]
        assert await ring.read(INSTANT, after=seqs[2]) == found[3:]
        assert await ring.read_newest(INSTANT, limit_records=2) == found[3:]
        assert await ring.read_newest(INSTANT, before=seqs[3], limit_records=2) == found[1:3]
        ring.ack(SeqSpan(INSTANT, seqs[1], seqs[2]))
        assert [s.seq for s in await everything(ring)] == [seqs[0], seqs[3], seqs[4]]
        assert ring.backlog(INSTANT).records == 3
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        assert await everything(ring) == [found[0], found[3], found[4]]
        new = await ring.append(INSTANT, record(clock, 9))
        assert new > seqs[-1]


async def test_limits_bound_a_read_and_one_record_always_comes(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await fill(ring, clock, 50)
        assert len(await ring.read(INSTANT, limit_records=7)) == 7
        assert 3 <= len(await ring.read(INSTANT, limit_bytes=1500)) <= 5
        assert len(await ring.read(INSTANT, limit_bytes=1)) == 1
        assert len(await ring.read_newest(INSTANT, limit_bytes=1)) == 1


@pytest.mark.parametrize(("limit_records", "limit_bytes"), [(1, 1 << 16), (2, 700), (7, 1 << 16), (13, 4_000), (30, 1 << 16), (500, 1)])
async def test_reading_in_pieces_is_reading_at_once(tmp_path: Path, clock: FakeClock, limit_records: int, limit_bytes: int) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 90)
        for first, last in ((0, 0), (5, 9), (26, 51), (60, 60), (62, 62), (88, 88)):
            ring.ack(SeqSpan(INSTANT, seqs[first], seqs[last]))
        waiting = await ring.read(INSTANT)
        assert len(waiting) == 90 - 35
        up, down = list[Stored](), list[Stored]()
        while part := await ring.read(INSTANT, after=up[-1].seq if up else None, limit_records=limit_records, limit_bytes=limit_bytes):
            assert len(part) <= limit_records
            up += part
        while part := await ring.read_newest(INSTANT, before=down[0].seq if down else None, limit_records=limit_records, limit_bytes=limit_bytes):
            assert len(part) <= limit_records
            down = part + down
        assert up == down == waiting


async def test_a_backlog_is_decoded_once(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await fill(ring, clock, 200)
        decoded: list[int] = []
        monkeypatch.setattr(view_module, "rows", lambda frame: decoded.append(frame.records) or rows(frame))
        found: list[Stored] = []
        while part := await ring.read(INSTANT, after=found[-1].seq if found else None, limit_records=60):
            found += part
        assert len(found) == sum(decoded) == 200


async def test_too_large_and_not_storable_records_are_refused(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        with pytest.raises(RingError, match="limit"):
            await ring.append(INSTANT, record(clock, 1, "x" * 70_000))
        with pytest.raises(RingError, match="cannot be stored"):
            await ring.append(INSTANT, record(clock, 1, "\ud800"))
        with pytest.raises(RingError, match="another boot"):
            await ring.append(INSTANT, record(FakeClock("0"), 1))
        seq = await ring.append(INSTANT, record(clock, 2**900, "x" * 12_000))
        assert [s.seq for s in await everything(ring)] == [seq]
        assert (await everything(ring))[0].record.values == (2**900, "x" * 12_000)


async def test_a_commit_waits_for_its_window_or_a_full_page(tmp_path: Path, clock: FakeClock) -> None:
    settings = RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=60, elide=False)
    async with Ring.open(tmp_path / "ring", settings, clock) as ring:
        tickets = [ring.put(INSTANT, record(clock, n, "x" * 300)) for n in range(14)]
        await asyncio.wait_for(ring.wait_committed(), 5)
        committed = await everything(ring)
        assert 10 <= len(committed) < 14, "whole pages go at once, the rest waits"
        assert [s.seq for s in committed] == [t.seq for t in tickets][: len(committed)]
        assert ring.status().streams["instant"].in_memory == 14 - len(committed)
        late = asyncio.ensure_future(_wait(tickets[-1]))
        await asyncio.sleep(0)
        assert not late.done()
    assert await late == tickets[-1].seq


async def _wait(ticket) -> int:
    return await ticket


async def test_a_cancelled_waiter_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        ticket = ring.put(INSTANT, record(clock, 1))
        first, second = asyncio.ensure_future(_wait(ticket)), asyncio.ensure_future(_wait(ticket))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ticket.seq
        assert len(await everything(ring)) == 1


async def test_no_wake_up_is_lost(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await ring.append(INSTANT, record(clock, 1))
        await asyncio.wait_for(ring.wait_committed(), 5)
        waiting = asyncio.ensure_future(ring.wait_committed())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await ring.append(INSTANT, record(clock, 2))
        await asyncio.wait_for(waiting, 5)


async def test_eviction_leaves_one_gap_record_that_counts(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 3000)
        found = await everything(ring)
        assert 0 < len(found) < 3000
        assert [s.seq for s in found] == seqs[-len(found) :]
        lost = ring.status().streams["instant"].lost
        assert lost == 3000 - len(found)
        await asyncio.sleep(0.1)
        gaps = await everything(ring, ALARM)
    assert {s.record.schema.kind for s in gaps} == {Kind.GAP}
    assert sum(s.record.values[3] for s in gaps) == lost
    assert all(s.record.values[0] == "instant" and s.record.values[4] == "evicted" for s in gaps)
    assert gaps[0].record.values[1] == seqs[0]
    for _ in range(3):
        async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
            await asyncio.sleep(0.05)
            again = await everything(ring, ALARM)
            assert again[: len(gaps)] == gaps, "told once, not at every start"
            assert sum(s.record.values[3] for s in again) == ring.status().streams["instant"].lost


async def test_the_size_stays_within_its_bound(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await fill(ring, clock, 4000)
    size = sum(path.stat().st_size for path in (tmp_path / "ring").rglob("*.slot"))
    assert size <= 1 << 20


async def test_acknowledged_slots_are_used_again_without_loss(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        for turn in range(6):
            seqs = await fill(ring, clock, 1000, turn * 1000)
            ring.ack(SeqSpan(INSTANT, seqs[0], seqs[-1]))
        assert ring.status().lost == 0
        assert ring.backlog(INSTANT).records == 0


async def test_acknowledgements_become_durable_by_themselves(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 30)
        ring.ack(SeqSpan(INSTANT, seqs[10], seqs[12]))
        while ring._lanes[INSTANT].log.acks_unwritten:
            await asyncio.sleep(0.01)
        await ring._committer.call(int)
        waiting = [s.seq for s, acked in RingLook(tmp_path / "ring").records(INSTANT) if not acked]
        assert waiting == seqs[:10] + seqs[13:]


async def test_only_one_process_may_write(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock):
        with pytest.raises(RingError, match="another process"):
            async with Ring.open(tmp_path / "ring", SMALL, clock):
                pass


# ---- time ------------------------------------------------------------------------------------------------------------


async def test_an_unsynchronised_boot_is_held_until_its_clock_is_right(tmp_path: Path) -> None:
    clock = FakeClock(synchronised=False)
    clock.wall_ms = 5_000
    async with Ring.open(tmp_path / "ring", SMALL, clock, hold_s=600) as ring:
        await ring.append(INSTANT, record(clock, 1))
        assert await everything(ring) == []
        clock.forward(2_000)
        clock.wall_ms, clock.sync = 1_700_000_000_000, True
        await asyncio.wait_for(_until(ring), 5)
        first = (await everything(ring))[0].record.stamp
        assert (first.wall_ms, first.synchronised) == (1_699_999_998_000, True)
    clock.reboot("22222222-1111-4111-8111-111111111111")
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        assert (await everything(ring))[0].record.stamp == first


async def _until(ring: Ring) -> None:
    while not await ring.read(INSTANT):
        await asyncio.sleep(0.05)


async def test_held_records_go_out_flagged_and_keep_their_time(tmp_path: Path) -> None:
    clock = FakeClock(synchronised=False)
    clock.wall_ms = 5_000
    async with Ring.open(tmp_path / "ring", SMALL, clock, hold_s=10) as ring:
        await ring.append(INSTANT, record(clock, 1))
        clock.forward(11_000)
        await asyncio.wait_for(_until(ring), 5)
        held = (await everything(ring))[0].record.stamp
        assert (held.wall_ms, held.synchronised) == (5_000, False)
        clock.forward(1_000)
        clock.wall_ms, clock.sync = 1_700_000_000_000, True
        await asyncio.sleep(1.2)
        assert (await everything(ring))[0].record.stamp == held
        later = await ring.append(INSTANT, record(clock, 2))
        fresh = (await ring.read(INSTANT, after=later - 1))[0].record.stamp
        assert (fresh.wall_ms, fresh.synchronised) == (1_700_000_000_000, True)


async def test_a_boot_that_ended_without_an_anchor_is_flagged(tmp_path: Path) -> None:
    clock = FakeClock(synchronised=False)
    clock.wall_ms = 7_000
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await ring.append(INSTANT, record(clock, 1))
    clock.reboot("22222222-1111-4111-8111-111111111111", wall_ms=1_700_000_000_000)
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        stamp = (await everything(ring))[0].record.stamp
        assert (stamp.wall_ms, stamp.synchronised) == (7_000, False)
        assert stamp.boot_id == "11111111-1111-4111-8111-111111111111"


async def test_an_anchor_by_hand(tmp_path: Path) -> None:
    clock = FakeClock(synchronised=False)
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        await ring.append(INSTANT, record(clock, 1))
        await ring.anchor(wall_ms=50_000, boottime_ms=clock.boottime_ms, quality=Quality.OPERATOR, source="operator")
        stamp = (await everything(ring))[0].record.stamp
        assert (stamp.wall_ms, stamp.synchronised) == (50_000, True)


# ---- failing storage -------------------------------------------------------------------------------------------------


async def test_a_full_disk_from_the_start_keeps_running_in_memory_and_says_so(clock: FakeClock) -> None:
    fs = SimulatedFs()
    fs.capacity = 0
    async with Ring.open(Path("ring"), SMALL, clock, fs, retry_first_s=0.05) as ring:
        assert not ring.status().healthy
        assert "space" in ring.status().problem
        ticket = ring.put(INSTANT, record(clock, 1))
        found = await everything(ring)
        assert [s.seq for s in found] == [ticket.seq]
        assert ring.backlog(INSTANT).records == 1
        assert [s.seq for s in await ring.read_newest(INSTANT)] == [ticket.seq]
        later = [ring.put(INSTANT, record(clock, n)) for n in range(2, 5)]
        ring.ack(SeqSpan(INSTANT, ticket.seq, ticket.seq))
        assert await ticket == ticket.seq, "acknowledged before it had to be durable"
        assert ring.backlog(INSTANT).records == 3
        fs.capacity = None
        await asyncio.wait_for(asyncio.gather(*map(_wait, later)), 5)
        assert ring.status().healthy
        assert [s.seq for s in await everything(ring)] == [t.seq for t in later]
        assert ring.status().lost == 0
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        assert [s.seq for s in await everything(ring)] == [t.seq for t in later]


async def test_a_disk_that_fills_up_only_makes_the_ring_smaller(clock: FakeClock) -> None:
    fs = SimulatedFs()
    fs.capacity = 6 * 65536
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        seqs = await fill(ring, clock, 2000)
        assert ring.status().healthy
        found = await everything(ring)
        assert [s.seq for s in found] == seqs[-len(found) :]
        assert ring.status().streams["instant"].lost == 2000 - len(found)


async def test_read_only_storage_drains_and_comes_back(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(Path("ring"), SMALL, clock, fs, retry_first_s=0.05) as ring:
        before = await fill(ring, clock, 20)
        fs.read_only = True
        ticket = ring.put(INSTANT, record(clock, 100))
        while ring.status().healthy:
            await asyncio.sleep(0.01)
        assert [s.seq for s in await everything(ring)] == [*before, ticket.seq]
        ring.ack(SeqSpan(INSTANT, before[0], before[-1]))
        assert [s.seq for s in await everything(ring)] == [ticket.seq]
        fs.read_only = False
        assert await asyncio.wait_for(_wait(ticket), 5) == ticket.seq
        assert ring.status().healthy


async def test_memory_is_bounded_and_what_is_dropped_is_counted(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MEMORY_RECORDS", 50)
    fs = SimulatedFs()
    async with Ring.open(Path("ring"), SMALL, clock, fs, retry_first_s=0.1) as ring:
        fs.read_only = True
        first = ring.put(INSTANT, record(clock, 0))
        while ring.status().healthy:
            await asyncio.sleep(0.01)
        waiter = asyncio.ensure_future(_wait(first))
        await asyncio.sleep(0)
        tickets = [ring.put(INSTANT, record(clock, n)) for n in range(1, 120)]
        with pytest.raises(RingError, match="dropped"):
            await waiter
        with pytest.raises(RingError, match="dropped"):
            await first
        fs.read_only = False
        await asyncio.wait_for(_wait(tickets[-1]), 5)
        found = await everything(ring)
        assert [s.seq for s in found] == [t.seq for t in tickets[-len(found) :]]
        assert len(found) == 50
        while not (gaps := await everything(ring, ALARM)):
            await asyncio.sleep(0.01)
        assert gaps[0].record.values[3:5] == (70, "memory")
        assert ring.status().lost == 70
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        assert ring.status().lost == 70
        assert await everything(ring, ALARM) == gaps


@pytest.mark.parametrize("call", ["sync", "pwrite"])
async def test_a_medium_error_is_not_retried_in_place(clock: FakeClock, call: str) -> None:
    fs = SimulatedFs()
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        before = await fill(ring, clock, 5)
        fs.faults[call] = [OSError(errno.EIO, "Input/output error")]
        seq = await ring.append(INSTANT, record(clock, 77))
        status = ring.status()
        assert status.healthy
        assert status.streams["instant"].slots_quarantined == 1
        assert status.streams["instant"].io_errors == 1
        assert [s.seq for s in await everything(ring)] == [*before, seq]
        assert ring.status().lost == 0
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        assert [s.seq for s in await everything(ring)] == [*before, seq]


async def test_medium_errors_everywhere_end_in_memory_and_heal(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(Path("ring"), SMALL, clock, fs, retry_first_s=0.05) as ring:
        before = await fill(ring, clock, 5)
        fs.faults["sync"] = [OSError(errno.EIO, "Input/output error") for _ in range(7)]
        ticket = ring.put(INSTANT, record(clock, 77))
        while ring.status().healthy:
            await asyncio.sleep(0.01)
        assert [s.seq for s in await everything(ring)][:5] == before
        await asyncio.wait_for(_wait(ticket), 5)
        assert [s.seq for s in await everything(ring)] == [*before, ticket.seq]
        assert ring.status().healthy


async def test_closing_on_a_dead_disk_ends(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(Path("ring"), SMALL, clock, fs) as ring:
        fs.read_only = True
        ticket = ring.put(INSTANT, record(clock, 1))
        waiter = asyncio.ensure_future(_wait(ticket))
        await asyncio.sleep(0)
    with pytest.raises(RingError, match="closed"):
        await waiter


# ---- strange directories ---------------------------------------------------------------------------------------------


async def test_any_bytes_open(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "ring" / "instant"
    place.mkdir(parents=True)
    for n in range(4):
        (place / f"{n:05d}.slot").write_bytes(os.urandom(65536))
    (place / "00004.slot").write_bytes(b"EGR1" * 20)
    (place / "00005.slot").write_bytes(b"")
    (place / "nonsense.slot").write_bytes(b"x")
    (place / "00006.slot").mkdir()
    (place / "00007.slot.tmp").write_bytes(b"left over")
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        assert ring.status().healthy
        seqs = await fill(ring, clock, 100)
        assert [s.seq for s in await everything(ring)] == seqs
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        assert [s.seq for s in await everything(ring)] == seqs
        assert ring.status().lost == 0


async def test_truncated_slots_lose_only_what_was_cut(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 600)
    slots = sorted((tmp_path / "ring" / "instant").glob("*.slot"))
    os.truncate(slots[0], 40_000)
    os.truncate(slots[1], 100)
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        found = await everything(ring)
        assert {s.seq for s in found} < set(seqs)
        assert ring.status().streams["instant"].lost == len(seqs) - len(found)
        more = await fill(ring, clock, 50)
        assert [s.seq for s in await everything(ring)] == [s.seq for s in found] + more


@pytest.mark.parametrize("page", [0, 1, 2, 5])
async def test_one_damaged_page_costs_at_most_itself(tmp_path: Path, clock: FakeClock, page: int) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 600)
    slots = sorted((tmp_path / "ring" / "instant").glob("*.slot"))
    data = bytearray(slots[0].read_bytes())
    data[page * 4096 + 100 : page * 4096 + 130] = bytes(30)
    slots[0].write_bytes(data)
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        found = await everything(ring)
        lost = ring.status().streams["instant"].lost
        assert lost == len(seqs) - len(found)
        if page < 2:
            assert lost == 0, "the other copy of the header stands"
        elif page > 2:
            assert 0 < lost <= 14, "the page's own records"
        if lost:
            while not (gaps := await everything(ring, ALARM)):
                await asyncio.sleep(0.01)
            assert [g.record.values[3:5] for g in gaps] == [(lost, "damaged")]


async def test_a_slot_without_a_header_is_counted(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        seqs = await fill(ring, clock, 600)
    slots = sorted((tmp_path / "ring" / "instant").glob("*.slot"))
    for slot in slots[:2]:
        slot.write_bytes(bytes(8192) + slot.read_bytes()[8192:])
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        found = await everything(ring)
        assert [s.seq for s in found] == seqs[-len(found) :]
        assert ring.status().streams["instant"].lost == len(seqs) - len(found) > 0


async def test_another_rings_slots_are_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    async with Ring.open(tmp_path / "one", SMALL, clock) as ring:
        mine = await fill(ring, clock, 400)
    async with Ring.open(tmp_path / "two", SMALL, clock) as ring:
        await fill(ring, clock, 10, 5000)
    stranger = (tmp_path / "two" / "instant" / "00000.slot").read_bytes()
    (tmp_path / "one" / "instant" / "00009.slot").write_bytes(stranger)
    async with Ring.open(tmp_path / "one", SMALL, clock) as ring:
        assert [s.seq for s in await everything(ring)] == mine
        assert ring.status().streams["instant"].slots_strange == 1
        await fill(ring, clock, 3000)
    assert (tmp_path / "one" / "instant" / "00009.slot").read_bytes() == stranger


# ---- process death ---------------------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from edge.clock import SystemClock
from edge.config import RingSettings
from edge.model import *
from edge.ring.store import Ring
SCHEMA = Schema(Kind.READING, (Field("a"), Field("t")))
async def main():
    clock = SystemClock(trust_wall=True)
    settings = RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=0.0)
    async with Ring.open(Path(sys.argv[1]), settings, clock) as ring:
        for n in range(400):
            seq = await ring.append(Stream.INSTANT, Record(SCHEMA, "m", clock.stamp(), (n, "x" * 200)))
            print(seq, flush=True)
asyncio.run(main())
"""


def strace_works() -> bool:
    try:
        done = subprocess.run(["strace", "-f", "-e", "trace=none", "true"], capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@pytest.mark.parametrize(("call", "when"), [("fdatasync", n) for n in (1, 3, 4, 7, 30, 60)] + [("pwrite64", n) for n in (2, 5, 40)])
async def test_killed_at_a_system_call_nothing_durable_is_gone(tmp_path: Path, call: str, when: int) -> None:
    if not strace_works():
        pytest.skip("strace is missing or may not trace here: apt install strace")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}",
         sys.executable, "-c", WRITER, str(tmp_path / "ring")],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[2])
    durable = [int(line) for line in done.stdout.split()]
    assert done.returncode != 0, "it was to be killed"
    async with Ring.open(tmp_path / "ring", SMALL, SystemClock(trust_wall=True)) as ring:
        found = await everything(ring)
        assert [s.seq for s in found][: len(durable)] == durable
        assert [s.record.values[0] for s in found] == list(range(len(found)))
        assert ring.status().lost == 0
        assert await ring.append(INSTANT, record(SystemClock(trust_wall=True), 1)) not in durable
