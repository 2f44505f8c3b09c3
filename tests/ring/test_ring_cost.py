"""What a commit costs does not grow with the ring."""

import os
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.engine import Engine
from edge.ring.lane import Lane
from edge.ring.view import StreamView

SCHEMA = Schema(Kind.READING, (Field("text"),))
S = Stream.INSTANT


def test_a_commit_looks_through_the_slots_only_when_a_segment_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fs = FakeClock(), SimulatedFs()
    engine = Engine(fs, Path("ring"), RingSettings(size_mib=1, slot_mib=0.0625), clock.stamp, os.urandom)
    lane = Lane(engine.logs[S], 1.0, 5000, clock.boot_id)

    def commit() -> None:
        lane.put(Record(SCHEMA, "m", clock.stamp(), ("x" * 3000,)))
        lane.done(engine.commit(S, lane.take(1, state_due=False)).end)

    looked: list[int] = []
    acknowledged = StreamView.acknowledged
    monkeypatch.setattr(StreamView, "acknowledged", lambda self, slot: looked.append(1) or acknowledged(self, slot))
    for _ in range(14 * 24):
        commit()
    view, slots = engine.logs[S].view, engine.logs[S].pool.slots
    assert len(view.segments) == len(slots) == engine.logs[S].pool.quota_bytes // (1 << 16), "full, nothing is free"
    begun = engine.logs[S].pool.last_segment
    assert begun >= 24
    assert len(looked) <= 3 * begun * len(slots), "the slots were looked through for each commit"
