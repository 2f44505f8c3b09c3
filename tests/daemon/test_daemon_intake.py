"""The daemon's way into the ring: what is judged, in which order, and what becomes of a record that the ring refuses."""

import pytest

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.daemon.intake import Intake
from edge.daemon.vitals import event
from edge.errors import RingError
from edge.model import Stream
from edge.ring.store import Ring

SMALL = RingSettings(size_mib=1, slot_mib=0.015625)
CLOCK = SystemClock(trust_wall=True)
DOOR = event("door", "open", CLOCK)


async def test_a_record_is_in_the_ring_before_it_is_judged_and_what_is_raised_stands_behind_it(tmp_path):
    judged = []
    async with Ring.open(tmp_path / "ring", SMALL, CLOCK) as ring:
        intake = Intake(ring)
        intake.keep_judged(Stream.ALARM, DOOR)      # nobody judges yet
        intake.judged_by(lambda record: judged.append((record, intake.event(event("alarm", "door", CLOCK)).seq)))
        cause = intake.put_judged(Stream.ALARM, DOOR)
        assert judged == [(DOOR, cause.seq + 1)]
        first = cause.seq - 1
        assert (intake.event(DOOR).seq, intake.telemetry(DOOR).seq) == (first + 3, first), "each in its own stream"
        assert len(judged) == 1
        intake.alarm(DOOR)
        assert judged[1:] == [(DOOR, cause.seq + 3)], "it is not kept itself"


async def test_a_record_that_the_ring_refuses_stops_nobody(tmp_path, caplog):
    judged = []
    async with Ring.open(tmp_path / "ring", SMALL, CLOCK) as ring:
        pass
    intake = Intake(ring)
    intake.judged_by(judged.append)
    assert intake.event(DOOR) is None
    assert caplog.messages == ["a record of the gateway itself is lost: the ring is closed"]
    with pytest.raises(RingError):
        intake.put_judged(Stream.INSTANT, DOOR)
    assert judged == [], "it is no ground for an alarm"
    intake.keep_judged(Stream.INSTANT, DOOR)
    assert judged == [DOOR], "what was done or measured is so, whether it is kept or not"
