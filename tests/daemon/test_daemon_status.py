"""Status tells who does not work, also below the fleet."""

from types import SimpleNamespace

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.daemon.status import StatusDesk
from edge.health.promise import Promises
from edge.health.supervise import Phase, WorkerState
from edge.ring.store import Ring


def worker(phase: Phase) -> WorkerState:
    return WorkerState(phase, 0.0, 6, 6, "KeyError: 'x'")


async def test_a_poller_that_a_fault_of_ours_has_parked_is_shown_and_one_that_works_is_not(tmp_path):
    clock, promises = SystemClock(trust_wall=True), Promises()
    fleet = SimpleNamespace(workers={"poll a": worker(Phase.PARKED), "poll b": worker(Phase.RUNNING)}, states=dict, refused=dict)
    async with Ring.open(tmp_path / "ring", RingSettings(size_mib=1, slot_mib=0.015625), clock) as ring:
        desk = StatusDesk(
            "gw", ring=ring, fleet=fleet, enrolment=SimpleNamespace(fault="", meters=()), links=SimpleNamespace(radio=None, states=()),
            uplink=lambda: "off", workers={"vitals": worker(Phase.RUNNING)}, promises=promises, clock=clock, uptime_s=lambda: 1)
        promises.expect("ring", 1.0, clock.monotonic() - 5.0)
        answer = await desk.answer({})
    assert {name: shown["phase"] for name, shown in answer["gateway"]["workers"].items()} == {"vitals": "running", "poll a": "parked"}
    assert answer["gateway"]["overdue"] == ["ring"]
