"""The contract against a model, with power cuts at every call of the file system (docs/ring-format.md)."""

import os
import random
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ring_sim import CRASHES, FakeClock, PowerCut, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.engine import Engine
from edge.ring.lane import Lane

EXAMPLES = int(os.environ.get("RING_EXAMPLES", "40"))
SETTINGS = RingSettings(size_mib=1, slot_mib=8 * 4096 / (1 << 20), alarm_share=0.0625, billing_share=0.8)
SCHEMAS = [Schema(Kind.READING, tuple(Field(f"v{i}") for i in range(n))) for n in (1, 2, 3)]
S = Stream.INSTANT
STATISTICS: Counter[str] = Counter()


class RingMachine(RuleBasedStateMachine):
    """One stream under load; the alarm stream takes the gap records."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fs, self.clock = SimulatedFs(), FakeClock()
        self.durable: dict[int, tuple[int, ...]] = {}     # seq -> values, resolved durable and neither acked nor lost
        self.maybe: dict[int, tuple[int, ...]] = {}       # handed to a commit that was cut: may be there or not
        self.acked: set[int] = set()
        self.given: dict[int, tuple[int, ...]] = {}       # every number ever given -> its values
        self.count = 0
        self.announced: set[tuple[str, int]] = set()
        self.evicted_or_lost = 0
        self.engine: Engine | None = None
        self._open()

    # ---- opening -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.clock.forward(1000)
        self.engine = Engine(self.fs, Path("ring"), SETTINGS, self.clock.stamp, self.rng.randbytes)
        assert not self.engine.errors
        self.lanes = {stream: Lane(self.engine.logs[stream], 1.0, 5000, self.clock.boot_id) for stream in Stream}
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
        taken = {lane.seq(lane.first + i): row for i, row in enumerate(lane.pending)}
        outcome = self.engine.commit(stream, lane.take(len(lane.pending), state_due=state_due))
        assert outcome.error is None
        lane.done(outcome.end)
        assert not lane.pending
        if stream is S:
            for seq in taken:
                self.durable[seq] = self.maybe.pop(seq)
        self._tell(outcome.untold)

    def _crash(self, choice: str) -> None:
        STATISTICS["crashes"] += 1
        self.fs.crash(choice, self.rng)
        for _ in range(4):
            try:
                if self.rng.random() < 0.3:
                    self.fs.calls_left = self.rng.randrange(30)
                self._open()
            except PowerCut:
                self.fs.crash(self.rng.choice(CRASHES), self.rng)
            else:
                self.fs.calls_left = None
                return
        self._open()

    # ---- the oracle ----------------------------------------------------------------------------------------------

    def _readable(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        after = 0
        while True:
            part = self.engine.read(S, after, 50, 4000)
            if not part:
                return found
            for stored in part:
                assert not found or stored.seq > max(found), "out of order"
                found[stored.seq] = stored.record.values
            after = (part[-1].seq & ORDINAL_MASK) + 1

    def _settle(self) -> None:
        """Compare what is readable with what was promised, and move what was announced as lost aside."""
        found = self._readable()
        for seq, values in found.items():
            assert seq in self.given, f"{seq:x} was never appended"
            assert self.given[seq] == values, "bytes that were not appended"
            if seq in self.maybe:
                self.durable[seq] = self.maybe.pop(seq)      # the cut commit made it after all
        self._missing_are_counted(found)
        self.maybe.clear()
        # what was acknowledged may come back once after a cut; it is not counted as new
        for seq in found:
            self.durable.setdefault(seq, self.given[seq])

    def _missing_are_counted(self, found: dict[int, tuple[int, ...]]) -> None:
        """Only the oldest may be missing (evicted), and each of them is counted."""
        missing = [seq for seq in self.durable if seq not in found]
        if self.durable:
            assert max(self.durable) in found, "the newest durable record is gone"
        for seq in missing:
            assert seq < min(found), "a durable record is gone that was not the oldest"
            del self.durable[seq]
        self.missing = getattr(self, "missing", 0) + len(missing)
        total = self.engine.logs[S].view.state.losses.total
        assert total >= self.missing, f"{self.missing} durable records are gone, {total} are counted"
        STATISTICS["missing"] += len(missing)
        STATISTICS["checks"] += 1

    # ---- what happens --------------------------------------------------------------------------------------------

    @rule(n=st.integers(1, 40), width=st.integers(0, 2), device=st.integers(0, 3), big=st.booleans())
    def put(self, n: int, width: int, device: int, big: bool) -> None:
        lane = self.lanes[S]
        for _ in range(n):
            self.count += 1
            schema = SCHEMAS[width]
            values = tuple(self.count * 10 + i if not (big and i == 0) else self.count << 900 for i in range(len(schema.fields)))
            ticket = lane.put(Record(schema, f"m{device}", self.clock.stamp(), values))
            assert ticket.seq not in self.given, "a sequence number was given twice"
            self.given[ticket.seq] = values
            self.maybe[ticket.seq] = values

    @rule()
    def commit(self) -> None:
        if self.lanes[S].pending:
            self._commit(S)

    @rule(n=st.integers(1, 3))
    def put_and_commit(self, n: int) -> None:
        for _ in range(n):
            self.put(1, 1, 1, False)
            self._commit(S)

    @rule(where=st.floats(0, 1), n=st.integers(1, 60), flush=st.booleans())
    def ack(self, where: float, n: int, flush: bool) -> None:
        waiting = sorted(self._readable())
        if not waiting:
            return
        at = int(where * (len(waiting) - 1))
        span = waiting[at : at + n]
        self.engine.logs[S].ack(span[0] & ORDINAL_MASK, span[-1] & ORDINAL_MASK)
        for seq in span:
            self.durable.pop(seq, None)
        if flush:
            self._commit(S, state_due=True)

    @rule()
    def ack_all(self) -> None:
        self.ack(0.0, 10**6, True)

    @rule()
    def reopen(self) -> None:
        if self.lanes[S].pending:
            self._commit(S)
        self._commit(S, state_due=True)
        self.engine.close()
        self._open()

    @rule(choice=st.sampled_from(CRASHES))
    def power_cut(self, choice: str) -> None:
        self._crash(choice)

    @rule(choice=st.sampled_from(CRASHES), calls=st.integers(0, 12), n=st.integers(1, 500))
    def power_cut_while_committing(self, choice: str, calls: int, n: int) -> None:
        self.put(n, 2, 0, False)
        self.fs.calls_left = calls
        try:
            self._commit(S)
        except PowerCut:
            self._crash(choice)
        else:
            self.fs.calls_left = None

    @rule(reboot=st.integers(0, 3))
    def next_boot(self, reboot: int) -> None:
        self.clock.reboot(f"{reboot}2222222-1111-4111-8111-111111111111")
        self._crash("none")

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

    @invariant()
    def never_larger_than_allowed(self) -> None:
        for stream, log in self.engine.logs.items():
            size = sum(len(data) for path, data in self.fs.cached.items() if path.parent.name == stream.name.lower())
            assert size <= log.pool.quota_bytes

    @invariant()
    def backlog_counts_what_waits(self) -> None:
        assert self.engine.logs[S].backlog() == len(self._readable())


RingMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate] if os.environ.get("RING_NO_SHRINK") else list(Phase), database=None,
)
TestRingMachine = RingMachine.TestCase


def test_the_machine_really_crashed_and_evicted() -> None:
    """Runs after the machine, in the same process; guards against a generator that never gets anywhere."""
    if not STATISTICS["checks"]:
        pytest.skip("the machine did not run")
    assert STATISTICS["crashes"] > EXAMPLES
    assert STATISTICS["missing"] > 0
