"""What the daemon says of itself on the control socket: plain data, made when asked."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge import __version__
from edge.clock import Clock
from edge.daemon.enrolment import Enrolment
from edge.daemon.links import LinkDesk
from edge.daemon.pushes import Pushes
from edge.endpoint import where
from edge.errands.backfillstate import BackfillState
from edge.health.promise import Promises
from edge.health.supervise import Phase, WorkerState
from edge.model import Stream
from edge.poll.fleet import Fleet
from edge.poll.state import PollerState
from edge.ring.store import Ring
from edge.uplink.uplink import UplinkState
from halow.recovery import LadderState

AT_A_TIME = 5      # meters told of without a break
LATE_INTERVALS = 3.0
"""A meter whose last value is older than so many intervals is late, even while nothing has failed yet."""


class StatusDesk:
    """Gathers the parts' states. `answer` is the handler of the control request `status`."""

    def __init__(self, name: str, identity: str, *, ring: Ring, fleet: Fleet, enrolment: Enrolment, links: LinkDesk,
                 pushes: Pushes, uplink: Callable[[], UplinkState | str], workers: Mapping[str, WorkerState],
                 promises: Promises, clock: Clock, uptime_s: Callable[[], int],
                 recovery: Callable[[], LadderState], alarms: Callable[[], list[dict[str, Any]]] = list,
                 backfill: Callable[[], Mapping[str, BackfillState]]) -> None:
        """`uplink` gives its state, or one line on why there is none."""
        self._name = name
        self._identity = identity
        self._boot_id = clock.stamp().boot_id
        self._ready_s: float | None = None
        self._ring = ring
        self._fleet = fleet
        self._enrolment = enrolment
        self._links = links
        self._pushes = pushes
        self._recovery = recovery
        self._uplink = uplink
        self._workers = workers
        self._promises = promises
        self._clock = clock
        self._uptime_s = uptime_s
        self._backfill = backfill
        self._alarms = alarms

    def ready(self) -> None:
        """Note that systemd has been told READY=1."""
        self._ready_s = self._clock.stamp().boottime_ms / 1000

    async def answer(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Return everything; numbers with their units in the key. Polls that are due go in between."""
        gateway = self._gateway_answer()
        await asyncio.sleep(0)
        radio = self._radio_answer()
        await asyncio.sleep(0)
        return {
            "gateway": gateway, "uplink": self._uplink_answer(), "ring": self._ring_answer(),
            "polling": msgspec.to_builtins(self._fleet.gate_state()), "radio": radio, "push": self._pushes.state(),
            "alarms": self._alarms(), "meters": await self._meters(),
        }

    def _gateway_answer(self) -> dict[str, Any]:
        return {
            "name": self._name, "id": self._identity, "version": __version__, "uptime_s": self._uptime_s(),
            "boot_id": self._boot_id, "ready_after_boot_s": self._ready_s,
            "clock_synchronised": self._clock.synchronised(), "registry": self._enrolment.fault or "ok",
            "workers": msgspec.to_builtins({**self._workers, **self._idle_pollers()}),
            "overdue": list(self._promises.overdue(self._clock.monotonic())),
        }

    def _ring_answer(self) -> dict[str, Any]:
        ring = self._ring.status()
        return {
            "healthy": ring.healthy, "problem": ring.problem, "epoch": ring.epoch, "commits": ring.commits,
            "streams": msgspec.to_builtins(ring.streams),
            "backlog": {stream.name.lower(): self._ring.backlog(stream).records for stream in Stream},
            "newest_seq": {name: stream.newest_seq for name, stream in ring.streams.items()},
            "durable_seq": {name: stream.durable_seq for name, stream in ring.streams.items()},
            "written_bytes": ring.written_bytes,
        }

    def line(self) -> str:
        """Return the one line for `systemctl status`."""
        reading, polled = self._fleet.reading()
        backlog = sum(self._ring.backlog(stream).records for stream in Stream)
        uplink = self._uplink()
        link = uplink if isinstance(uplink, str) else "uplink up" if uplink.connected else "uplink down"
        registry = f"; registry: {self._enrolment.fault}" if self._enrolment.fault else ""
        return f"{reading} of {polled} meters read; {backlog} records wait; {link}{registry}"

    def _idle_pollers(self) -> dict[str, WorkerState]:
        """Return the pollers that a fault of ours keeps from work; those that work are told among the meters."""
        return {name: state for name, state in self._fleet.workers.items() if state.phase is not Phase.RUNNING}

    def _uplink_answer(self) -> dict[str, Any]:
        state = self._uplink()
        if isinstance(state, str):
            return {"connected": False, "last_error": state}
        answer: dict[str, Any] = msgspec.to_builtins(state)
        now = self._clock.monotonic()
        answer["for_s"] = now - answer.pop("since")
        answer["path_for_s"] = now - answer.pop("path_since")
        return answer

    def _radio_answer(self) -> dict[str, Any]:
        radio = self._links.radio
        if radio is None:
            return {"present": False, "detail": "not watched"}
        return {
            "busy_pct": radio.busy_pct, "duty_pct": radio.duty_pct, "duty_limit_pct": radio.duty_limit_pct,
            "deaf_s": radio.deaf_s, "firmware_hangs_s": radio.firmware_hangs_s,
            "recovery": msgspec.to_builtins(self._recovery()),
            "present": radio.present, "reason": radio.reason, "detail": radio.detail,
            "channel": radio.facts.channel if radio.facts else None,
            "noise_dbm": radio.facts.noise_dbm if radio.facts else None,
            "peers": [{**msgspec.to_builtins(peer), "grade": peer.grade.label} for peer in self._links.states],
        }

    async def _meters(self) -> list[dict[str, Any]]:
        """Return all meters; polls that are due go in between: a page asks for this every other second."""
        refused, backfill = self._fleet.refused(), self._backfill()
        answer = []
        for number, meter in enumerate(self._enrolment.meters):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            state, link = self._fleet.state(meter.name), self._links.peer_of(meter)
            pushes, last_push_age_s = self._pushes.of(meter.name)
            answer.append({
                "name": meter.name, "address": where(meter.host, meter.port), "profile": meter.profile,
                "state": _word(state, refused.get(meter.name, ""), paused=meter.paused),
                "rssi_dbm": None if link is None else link.rssi_avg_dbm,
                "link_grade": None if link is None else link.grade.label,
                **_counters(state),
                "pushes": pushes, "last_push_age_s": last_push_age_s,
                "problem": refused.get(meter.name, ""),
                "backfill": _intervals(backfill.get(meter.name)),
            })
        return answer


def _intervals(state: BackfillState | None) -> dict[str, Any] | None:
    """Return the short form of a meter's backfill; the control request `backfill` tells all of it."""
    if state is None:
        return None
    return {"state": state.state, "missing": state.missing, "absent": state.absent, "eta_s": state.eta_s}


def _counters(state: PollerState | None) -> dict[str, Any]:
    """Return what a person asks first: how fresh, how often, where on the recovery ladder, and why."""
    if state is None:
        return {}
    ladder = state.ladder
    return {
        "last_reading_age_s": state.last_reading_age_s, "readings": state.readings, "failed": state.failed,
        "skipped": state.skipped, "lateness_max_s": max(state.lateness_s, default=None),
        "connects": state.connects, "circuit": ladder.circuit.value,
        "recovery": f"{ladder.repeats}/{ladder.reconnects}/{ladder.rests}", "last_failure": state.last_failure,
        "failures": state.failures, "not_read": state.not_read,
    }


def _word(state: PollerState | None, refused: str, *, paused: bool) -> str:
    if paused:
        return "paused"
    if refused:
        return "refused"
    if state is None or not state.slots:
        return "starting"
    if state.ladder.circuit != "closed":
        return "resting"
    if state.last_failure:
        return "failing"
    age_s = state.last_reading_age_s
    return "late" if age_s is not None and age_s > LATE_INTERVALS * state.interval_s else "reading"
