"""The contract against a model, with power cuts at every call of the file system (docs/ring-format.md)."""

import errno
import os
import random
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ring_sim import CRASHES, FakeClock, PowerCut, SimulatedFs

from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, Stored, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.engine import Engine
from edge.ring.lane import Lane
from edge.ring.pool import StreamFull
from edge.ring.timebase import Anchor, Quality

EXAMPLES = int(os.environ.get("RING_EXAMPLES", "400"))
SETTINGS = RingSettings(size_mib=1, slot_mib=12 * 4096 / (1 << 20), alarm_share=0.0625, billing_share=0.7)
FULL = ("drop_oldest", "drop_oldest", "drop_newest", "block")
SCHEMAS = [Schema(Kind.READING, (*(Field(f"v{i}") for i in range(n)), Field("text"))) for n in (1, 2, 3)]
TEXT = "x" * 330        # a dozen records fill a page: as much happens to pages as with a hundred, and less to read
S = Stream.INSTANT
STATISTICS: Counter[str] = Counter()


def content(record: Record) -> tuple:
    own = (record.stamp.wall_ms, record.stamp.synchronised) if record.stamp.source == "meter" else None
    return (record.device, record.stamp.boottime_ms, own, *record.values)


class RingMachine(RuleBasedStateMachine):
    """One stream under load; the alarm stream takes the gap records."""

    @initialize(seed=st.integers(0, 2**32), when_full=st.sampled_from(FULL))
    def begin(self, seed: int, when_full: str) -> None:
        self.when_full = when_full
        self.settings = msgspec.structs.replace(SETTINGS, instant_when_full=when_full)
        self.rng = random.Random(seed)
        self.fs, self.clock = SimulatedFs(), FakeClock()
        self.durable: dict[int, tuple] = {}     # seq -> values, resolved durable and neither acked nor lost
        self.maybe: dict[int, tuple] = {}       # handed to a commit that was cut: may be there or not
        self.refused: set[int] = set()          # turned away, though pages of them may have been written
        self.given: dict[int, tuple] = {}       # every number ever given -> its values
        self.count = 0
        self.rotten: dict[tuple[Path, int], set[int]] = {}    # pages that were damaged, by slot and its use
        self.damaged: set[int] = set()                    # the records that were in them
        self.missing = 0
        self.turned_away = 0                              # refused at once, and counted as flash knows
        self.cut = 0                                      # records of commits that a power cut may have interrupted
        self.unsaid = 0                                   # acknowledged, which flash may not know
        self.boots, self.true_ms = 0, self.clock.wall_ms
        self.owner: dict[int, int] = {}                   # ordinal -> the number it was given under last
        self.engine: Engine | None = None
        self.times: dict[int, tuple] = {}                 # when each record was when it was first read
        self.hurt = False                                 # pages were damaged, or hidden for a while
        self._open()

    # ---- opening -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        # delivered again, or counted where the opening itself has to evict them
        self.cut, self.unsaid = self.cut + self.unsaid, 0
        self.clock.forward(1000)
        self.engine = Engine(self.fs, Path("ring"), self.settings, self.clock.stamp, self.rng.randbytes)
        assert not set(self.engine.errors) - {S}
        assert all(isinstance(error, StreamFull) for error in self.engine.errors.values())
        self.lanes = {stream: Lane(self.engine.logs[stream], 1.0, 5000, self.clock.boot_id, elides=stream is S,
                                   when_full=self.when_full if stream is S else "drop_oldest") for stream in Stream}
        self._tell(self.engine.untold())
        self._settle()

    def _tell(self, losses) -> None:
        from edge.ring.losses import GAP_SCHEMA

        lane = self.lanes[Stream.ALARM]
        for stream, loss in losses:
            lane.gaps.append((lane.end, int(stream), loss.no))
            lane.put(Record(GAP_SCHEMA, "", self.clock.stamp(), loss.values(stream)))
        if lane.pending:
            self._commit(Stream.ALARM)

    def _commit(self, stream: Stream, *, state_due: bool = False) -> None:
        lane = self.lanes[stream]
        taken = {lane.seq(lane.first + i) for i in range(len(lane.pending))}
        outcome = self.engine.commit(stream, lane.take(len(lane.pending), state_due=state_due))
        assert outcome.error is None or (isinstance(outcome.error, StreamFull) and stream is S and self.when_full != "drop_oldest")
        lane.done(outcome.end)
        lane.stuck = outcome.error is not None
        if lane.stuck:
            taken -= {lane.seq(lane.first + i) for i in range(len(lane.pending))}
            if self.when_full == "drop_newest":
                self._give_up(lane)
        assert not lane.pending or lane.stuck
        if stream is S and not lane.stuck and not lane.log.acks_unwritten:
            self.unsaid = 0
        self.hurt |= stream is S and bool(lane.log.waiting_anchors)      # no page for it: the time is not kept
        if outcome.slot_wanted:
            self.engine.prepare(stream)         # a step; the next one behind the next commit
        if stream is S:
            for seq in taken & self.maybe.keys():
                self.durable[seq] = self.maybe.pop(seq)
            STATISTICS["elided"] += lane.elided
            lane.elided = 0
        self._tell(outcome.untold)

    def _give_up(self, lane: Lane) -> None:
        STATISTICS["turned away"] += lane.waiting()
        self.cut += lane.waiting()
        for index in range(len(lane.pending)):
            self.maybe.pop(lane.seq(lane.first + index), None)
            self.refused.add(lane.seq(lane.first + index))
        lane.give_up()
        for first, last, reason in lane.dropped[lane.dropped_told :]:
            self.engine.lose(lane.stream, first, last, reason)
        lane.dropped_told = len(lane.dropped)
        assert not lane.pending

    def _crash(self, choice: str) -> None:
        STATISTICS["crashes"] += 1
        self.cut += len(self.maybe)
        self.fs.crash(choice, self.rng)
        if self.rng.random() < 0.3:
            # frames (headers, see docs/ring-format.md) that were being written cannot be read at first, later they can
            self.fs.unreadable = {(path, page) for path, page in self.fs.was_being_written
                                  if page >= 2 and self.rng.random() < 0.6}
            self.hurt |= bool(self.fs.unreadable)
        for _ in range(4):
            try:
                if self.rng.random() < 0.3:
                    self.fs.calls_left = self.rng.randrange(30)
                self._open()
            except PowerCut:
                self.fs.crash(self.rng.choice(CRASHES), self.rng)
            else:
                self.fs.calls_left = None
                self.fs.unreadable = set()
                return
        self.fs.unreadable = set()
        self._open()

    # ---- the oracle ----------------------------------------------------------------------------------------------

    def _readable(self) -> dict[int, tuple]:
        found: dict[int, tuple] = {}
        view = self.engine.logs[S].view
        for _ in range(3):
            found.clear()
            after = 0
            while part := self.engine.read(S, after, 500, 100_000):
                for stored in part:
                    assert not found or stored.seq > max(found), "out of order"
                    found[stored.seq] = content(stored.record)
                    self._time_stays(stored)
                after = (part[-1].seq & ORDINAL_MASK) + 1
            if not view.undated:
                break
            self.engine.date(S, self.clock.stamp())
            self._commit(S, state_due=True)
        assert not view.undated
        return found

    def _time_stays(self, stored: Stored) -> None:
        """Whatever becomes known later: what was handed out once keeps its time."""
        stamp = stored.record.stamp
        time = (stamp.wall_ms, stamp.latest_ms, stamp.source, stamp.synchronised)
        if self.hurt:
            self.times.clear()
        assert self.times.setdefault(stored.seq, time) == time, f"{stored.seq:x} is from another time now"

    def _settle(self) -> None:
        """Compare what is readable with what was promised, and move what was announced as lost aside."""
        found = self._readable()
        for seq, values in found.items():
            assert seq in self.given, f"{seq:x} was never appended"
            assert self.owner[seq & ORDINAL_MASK] == seq, f"{seq:x} comes back although its ordinal is another's now"
            assert self.given[seq] == values, "bytes that were not appended"
            if seq in self.maybe and self._stands(seq):
                self.durable[seq] = self.maybe.pop(seq)      # the cut commit made it after all
        self._missing_are_counted(found)
        self.maybe = {seq: values for seq, values in found.items() if seq not in self.durable and not self._stands(seq)}
        # what was acknowledged may come back once after a cut; it is not counted as new
        for seq in found.keys() - self.maybe.keys():
            self.durable.setdefault(seq, self.given[seq])

    def _stands(self, seq: int) -> bool:
        """Tell whether what a start found will be there after a cut, too: pages of a failed sync are in the cache only.

        Their records were refused or still waited, so nobody was promised them, and a full stream's start may have no
        page to sync.
        """
        return not self.fs.unsynced or (seq not in self.refused and S not in self.engine.errors)

    def _missing_are_counted(self, found: dict[int, tuple]) -> None:
        """Only the oldest may be missing (evicted), and each of them is counted."""
        missing = [seq for seq in self.durable if seq not in found]
        assert found or not set(self.durable) - self.damaged, "every durable record is gone"
        for seq in missing:
            assert seq in self.damaged or self.when_full == "drop_oldest", "what was to be kept is gone"
            assert seq in self.damaged or seq < min(found), "a durable record is gone that was not the oldest"
            del self.durable[seq]
        self.missing += len(missing)
        total = self.engine.logs[S].view.state.losses.total
        assert total >= self.missing, f"{self.missing} durable records are gone, {total} are counted"
        if not self.hurt:      # the page that says how many were refused may have been damaged: nothing else knows
            least = self.missing + self.turned_away
            assert total >= least, f"{self.turned_away} were refused and {self.missing} are gone, {total} are counted"
            assert total <= least + self.cut, f"{total} are counted, {least} are gone or refused and {self.cut} were cut"
        STATISTICS["missing"] += len(missing)
        STATISTICS["checks"] += 1

    # ---- what happens --------------------------------------------------------------------------------------------

    @rule(n=st.integers(1, 15), width=st.integers(0, 2), device=st.integers(0, 3), big=st.booleans())
    def put(self, n: int, width: int, device: int, big: bool) -> None:
        lane = self.lanes[S]
        for _ in range(n):
            self.count += 1
            schema = SCHEMAS[width]
            values = (*(self.count * 10 + i if not (big and i == 0) else self.count << 900 for i in range(width + 1)), TEXT)
            stamp = self.clock.stamp()
            if device == 3:
                stamp = stamp.dated_by_meter(self.count * 900_000, trusted=width != 1)
            record = Record(schema, f"m{device}", stamp, values)
            try:
                ticket = lane.put(record)
            except RingError:
                assert lane.stuck
                self.engine.turn_away(S, lane.uncounted, self.clock.wall_ms)
                self.turned_away += lane.uncounted
                lane.uncounted = 0
                self._commit(Stream.ALARM, state_due=True)      # as the committer does it, a little later
                lane.stuck = not lane.log.pool.has_free(lane.log.view)      # as the facade sees it at an acknowledgement
                return
            # a start that could write nothing reserves nothing: its numbers may come again where none of them became durable
            unreserved = S in self.engine.errors and ticket.seq not in self.durable
            assert ticket.seq not in self.given or unreserved, "a sequence number was given twice"
            self.given[ticket.seq] = self.maybe[ticket.seq] = content(record)
            self.owner[ticket.seq & ORDINAL_MASK] = ticket.seq

    @rule()
    def commit(self) -> None:
        if self.lanes[S].pending:
            self._commit(S)

    @rule(n=st.integers(1, 3))
    def put_and_commit(self, n: int) -> None:
        for _ in range(n):
            self.put(1, 1, 1, False)
            self._commit(S)

    @rule(where=st.floats(0, 1), n=st.integers(1, 30), flush=st.booleans())
    def ack(self, where: float, n: int, flush: bool) -> None:
        waiting = sorted(self._readable())
        if not waiting:
            return
        at = int(where * (len(waiting) - 1))
        span = waiting[at : at + n]
        self._ack(span)
        if flush:
            self._commit(S, state_due=True)

    def _ack(self, span: list[int]) -> None:
        """Neighbours, of those that may be read, as the ring's facade does it."""
        lane = self.lanes[S]
        lane.log.ack(span[0] & ORDINAL_MASK, span[-1] & ORDINAL_MASK, lane.first + lane.inflight)
        lane.acknowledge(span[0] & ORDINAL_MASK, span[-1] & ORDINAL_MASK)
        self.unsaid += len(span)
        for seq in span:
            self.durable.pop(seq, None)
            self.maybe.pop(seq, None)

    @rule(n=st.integers(1, 15), keep=st.integers(0, 3), back=st.integers(0, 3))
    def the_server_is_quick(self, n: int, keep: int, back: int) -> None:
        """What comes is acknowledged before its window closes, but for the last few; some of what waits longer, too."""
        self.put(n, 0, 0, False)
        lane = self.lanes[S]
        fresh = lane.stored(0, lane.end, 1000, 1 << 20)
        for stored in fresh:
            assert self.given[stored.seq] == content(stored.record)
            self._time_stays(stored)
        waiting = [stored.seq for stored in fresh]
        if not back:
            waiting = sorted(self._readable()) + waiting
        if span := waiting[: len(waiting) - keep]:
            self._ack(span)
        self._commit(S)

    @rule(n=st.integers(1, 15), more=st.integers(0, 2), choice=st.sampled_from(CRASHES))
    def the_power_fails_on_a_quiet_day(self, n: int, more: int, choice: str) -> None:
        """All that came was acknowledged in time; then perhaps an anchor, and a little that was not."""
        self.the_server_is_quick(n, 0, 0)
        if more:
            self.the_clock_is_set(at_once=False)
        if more == 2:
            self.put_and_commit(1)
        self._crash(choice)

    def it_fills_up(self) -> None:
        """Nothing is acknowledged until there is no room, and more comes. No rule: few histories would do anything else."""
        for _ in range(40):
            if self.lanes[S].stuck:
                break
            self.put(15, 1, 1, False)
            self.commit()
        for _ in range(2):
            self.put(1, 1, 1, False)

    @rule()
    def ack_all(self) -> None:
        self.ack(0.0, 10**6, True)

    @rule()
    def reopen(self) -> None:
        self._shut(state_due=True)

    def _shut(self, *, state_due: bool) -> None:
        if self.lanes[S].pending:
            self._commit(S)
        if state_due:
            self._commit(S, state_due=True)
        self.engine.close()
        self._open()

    @rule(choice=st.sampled_from(CRASHES))
    def power_cut(self, choice: str) -> None:
        self._crash(choice)

    @rule(choice=st.sampled_from(CRASHES), calls=st.integers(0, 12), n=st.integers(1, 60))
    def power_cut_while_committing(self, choice: str, calls: int, n: int) -> None:
        self.put(n, 2, 0, False)
        self.fs.calls_left = calls
        try:
            self._commit(S)
        except PowerCut:
            self._crash(choice)
        else:
            self.fs.calls_left = None

    @rule(where=st.floats(0, 1), bit=st.integers(0, 110 * 8 - 1), copy=st.integers(0, 1))
    def one_header_copy_rots(self, where: float, bit: int, copy: int) -> None:
        """Nothing at all may come of it."""
        slots = self.engine.logs[S].view.segments
        slot = slots[int(where * (len(slots) - 1))]
        pages = [bytes(self.fs.durable[slot.path][at : at + 4096]) for at in (0, 4096)]
        if pages[0] == pages[1]:
            changed = bytearray(pages[copy])
            changed[bit // 8] ^= 1 << bit % 8
            self.fs.rot(slot.path, copy * 4096, bytes(changed))
            self._shut(state_due=False)

    @rule(where=st.floats(0, 1), which=st.floats(0, 1), how=st.sampled_from(("bit", "zeros", "garbage", "sector")))
    def a_page_rots(self, where: float, which: float, how: str) -> None:
        """It costs what it holds, not more; the newest page is left out (docs/ring-format.md, limits)."""
        view = self.engine.logs[S].view
        slot = view.segments[int(where * (len(view.segments) - 1))]
        index = view.index(slot)
        last = index.next_page - (2 if slot is view.segments[-1] else 1)
        page = 2 + int(which * (last - 2))
        wanted = [entry.page for entry in index.entries if view.state.acks.missing(entry.first, entry.end - 1)]
        if wanted and self.rng.random() < 0.7:
            page = wanted[int(which * (len(wanted) - 1))]
        rotten = self.rotten.setdefault((slot.path, slot.segment.uid), set())
        if page > last or rotten & {page - 1, page, page + 1}:
            return
        rotten.add(page)
        for entry in index.entries:
            if entry.page <= page < entry.page + entry.pages:
                high = entry.first_seq & ~ORDINAL_MASK
                self.damaged |= {high | ordinal for ordinal in range(entry.first, entry.end)}
        self.hurt = True
        old = bytearray(self.fs.durable[slot.path][page * 4096 : page * 4096 + 4096])
        if how == "bit":
            used = len(old.rstrip(b"\0"))
            old[self.rng.randrange(max(1, used))] ^= 1 << self.rng.randrange(8)
        elif how == "sector":
            at = 512 * self.rng.randrange(8)
            old[at : at + 512] = self.rng.randbytes(512)
        else:
            old[:] = bytes(4096) if how == "zeros" else self.rng.randbytes(4096)
        self.fs.rot(slot.path, page * 4096, bytes(old))
        self._crash("none")

    @rule(n=st.integers(8, 40), acks=st.integers(0, 20), state=st.booleans())
    def a_cut_commit_is_found_later(self, n: int, acks: int, state: bool) -> None:
        """All of it came to flash before the power failed, but the first start after that cannot read it."""
        waiting = sorted(self._readable())[-acks:] if acks else []
        for seq in waiting:
            self._ack([seq])
        self.put(n, 0, 0, True)
        self.fs.calls_left = 1
        try:
            self._commit(S, state_due=state)
        except PowerCut:
            self.fs.crash("all", self.rng)
            pages = {one for one in self.fs.was_being_written if one[1] >= 2}
            newest = max((page for _, page in pages), default=0)
            self.fs.unreadable = {one for one in pages if not state or one[1] != newest}
            self.hurt = True
            self._open()
            self.fs.unreadable = set()
            self.put_and_commit(1)
            self._shut(state_due=False)
        self.fs.calls_left = None

    @rule(n=st.integers(1, 20))
    def a_sync_fails_and_the_commit_is_tried_again(self, n: int) -> None:
        """Not for the medium's sake: the same records are written twice, perhaps in other frames."""
        self.put(n, 1, 1, False)
        self.fs.faults["sync"] = [OSError(errno.ENOSPC, "No space left on device")]
        lane = self.lanes[S]
        outcome = self.engine.commit(S, lane.take(len(lane.pending), state_due=False))
        lane.done(outcome.end)
        self.fs.faults.clear()
        self.commit()

    @rule(blind=st.booleans(), choice=st.sampled_from(CRASHES))
    def next_boot(self, blind: bool, choice: str) -> None:
        self.boots += 1
        self.true_ms += 60_000
        self.clock.reboot(f"{self.boots:08x}-1111-4111-8111-111111111111", wall_ms=5_000 if blind else self.true_ms,
                          synchronised=not blind)
        self._crash(choice)

    @rule(boots=st.integers(1, 3), clock=st.booleans())
    def blind_boots(self, boots: int, clock: bool) -> None:
        """They are dated by what is known then, and stay so when more is known, and after a start."""
        for _ in range(boots):
            self.next_boot(blind=True, choice="none")
            self.put_and_commit(1)
        if clock:
            self.the_clock_is_set(at_once=True)
            self._shut(state_due=False)

    @rule(at_once=st.booleans())
    def the_clock_is_set(self, at_once: bool) -> None:
        self.true_ms += 1_000
        self.clock.forward(10)                    # no two stamps of a real clock are of one millisecond
        self.clock.sync, self.clock.wall_ms = True, self.true_ms
        self._anchor(Anchor(self.engine.boot, self.clock.boottime_ms, self.true_ms, Quality.NTP, "sync"), at_once=at_once)

    @rule(meter=st.integers(0, 3), off_ms=st.integers(-10**7, 10**7), sound=st.booleans())
    def a_meters_clock_is_read(self, meter: int, off_ms: int, sound: bool) -> None:
        self._anchor(Anchor(self.engine.boot, self.clock.boottime_ms, self.true_ms + off_ms, int(sound), f"meter:m{meter}"),
                     at_once=False)

    def _anchor(self, anchor: Anchor, *, at_once: bool) -> None:
        for stream in Stream:
            self.engine.anchor(stream, anchor)
            self._commit(stream, state_due=at_once)
        self.clock.forward(10)

    # ---- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def everything_promised_is_readable(self) -> None:
        if self.engine is None:
            return
        pending = dict(self.maybe)
        found = self._readable()
        self._missing_are_counted(found)
        for seq, values in found.items():
            assert seq in self.durable or seq in pending, f"{seq:x} is delivered and nobody waits for it"
            assert self.given[seq] == values
        assert self.lanes[S].log.backlog(self.lanes[S].first) == len(found), "the backlog is not what waits"

    @invariant()
    def never_larger_than_allowed(self) -> None:
        for stream, log in self.engine.logs.items():
            size = sum(len(data) for path, data in self.fs.cached.items() if path.parent.name == stream.name.lower())
            assert size <= log.pool.quota_bytes


RingMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, derandomize=bool(os.environ.get("RING_FIXED")),
    suppress_health_check=list(HealthCheck), database=None,
    # shrinking takes longer than finding; the history as it was found is printed in any case
    phases=list(Phase) if os.environ.get("RING_SHRINK") else [Phase.generate],
)
# 400 histories take a minute and a half of a quiet core
TestRingMachine = pytest.mark.timeout(900 * max(1, EXAMPLES // 400))(RingMachine.TestCase)


@pytest.mark.parametrize("choice", CRASHES)
@pytest.mark.parametrize("seed", range(4))
def test_a_stream_that_keeps_the_oldest_counts_what_it_refuses(seed: int, choice: str) -> None:
    """A way that one random history in a hundred goes, over power cuts of each kind."""
    machine = RingMachine()
    machine.begin(seed=seed, when_full="drop_newest")
    for _ in range(2):
        machine.it_fills_up()
        assert machine.turned_away
        machine.everything_promised_is_readable()
        machine.power_cut(choice)
        machine.everything_promised_is_readable()
        machine.never_larger_than_allowed()
        machine.ack_all()
        machine.reopen()
        machine.everything_promised_is_readable()


def test_the_machine_really_crashed_and_evicted() -> None:
    """Runs after the machine, in the same process; guards against a generator that never gets anywhere."""
    if not STATISTICS["checks"]:
        pytest.skip("the machine did not run")
    assert STATISTICS["crashes"] > EXAMPLES
    assert STATISTICS["missing"] > 0
    assert STATISTICS["elided"] > 0
    assert STATISTICS["turned away"] > 0 or EXAMPLES < 300
