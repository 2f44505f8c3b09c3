"""Carries out what the server calls for: read, or handed to the desk that has the interlocks for it, and told.

    Hands ─► allowed? typed? ─► done before? ─► on flash ─► the work ─► on flash ─► Hands
                │ no                │ yes: the answer of then
                └► one line         └► nothing is done
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.config import RemoteSettings
from edge.daemon.box import Box
from edge.daemon.enrolment import Enrolment
from edge.daemon.latest import Latest
from edge.daemon.orders import OrderDesk
from edge.errands.means import Means, Subject
from edge.errors import ConfigError, EdgeError, OrderRefused
from edge.health.promise import Pulse
from edge.logs.level import LevelDesk
from edge.remote.calls import METHODS, Call, Level, Named, Part, Read, Relay, Request, Span, Survey, request_of
from edge.remote.hands import Hands
from edge.remote.journal import Journal
from edge.uplink.thingsboard import decimal_text

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8
LONGEST_S = 60.0           # of one call: an order that nobody began by EXPIRES_S has ended by then
LOOK_S = 30.0
SPARE_S = 30.0
ANSWER_S = 10.0            # for the server to take the answer before the board goes down
INTERRUPTED = "it was begun before the gateway was started anew; whether it was done is not known"

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The desks that do the work. `backfill_again` is the control request of that name."""

    orders: OrderDesk
    enrolment: Enrolment
    latest: Latest
    means: Means
    status: Answer
    backfill_again: Answer
    box: Box
    levels: LevelDesk


class RemoteDesk:
    """One worker; the calls under way are its tasks."""

    def __init__(self, settings: RemoteSettings, hands: Hands, state_dir: Path, parts: Parts) -> None:
        """Calls are taken from now on, and worked on by `run`."""
        self._settings, self._hands, self._parts = settings, hands, parts
        self._journal = Journal(state_dir)
        self._calls: asyncio.Queue[Call | None] = asyncio.Queue()      # None: one is over, and may be forgotten
        self._open: set[str] = set()
        hands.arrived = self._arrived

    def use(self, settings: RemoteSettings) -> None:
        """Allow other methods from the next call on."""
        self._settings = settings

    def _arrived(self, call: Call) -> bool:
        if call.key in self._open:      # delivered again while it is worked on: one answer serves both
            return True
        if len(self._open) >= MOST_AT_ONCE:
            return False
        self._open.add(call.key)
        self._calls.put_nowait(call)
        return True

    async def run(self, pulse: Pulse) -> None:
        """Work until cancelled. What was begun then is not done again: the journal says so."""
        async with asyncio.TaskGroup() as group:
            while True:
                pulse(LOOK_S + SPARE_S)
                try:
                    async with asyncio.timeout(LOOK_S):
                        call = await self._calls.get()
                except TimeoutError:
                    continue
                if call is None:
                    group.create_task(self._save(), name="call journal")
                else:
                    group.create_task(self._serve(call), name=f"call {call.method[:32]}")

    async def _serve(self, call: Call) -> None:
        try:
            request = request_of(call, self._settings.allow)
            if METHODS[call.method].changes:
                await self._once(call, request)
            else:
                self._hands.reply(call, await self._result(call, request))
        except EdgeError as error:
            self._refused(call, str(error))
        except OSError as error:
            self._refused(call, f"{error.filename or 'state directory'}: {error.strerror or error}; nothing was done")
        finally:
            self._open.discard(call.key)

    def _refused(self, call: Call, why: str) -> None:
        self._tell("remote_refused", call, why)
        self._hands.reply(call, {"error": why})

    async def _once(self, call: Call, request: Request) -> None:
        begun, answer = self._journal.known(call.key, self._now_ms())
        taken = asyncio.Event()
        if not begun:
            await asyncio.to_thread(self._journal.begin, call.key, self._now_ms())
            answer = await self._result(call, request)
            self._tell("remote_failed" if "error" in answer else "remote_done", call,
                       str(answer.get("error") or answer.get("summary") or "done"))
            try:
                await asyncio.to_thread(self._journal.done, call.key, answer)
            except OSError as error:      # it is done: that must be said, and a second delivery finds it begun
                log.warning("the outcome of a call is not kept: %s", error)

        def finished() -> None:
            self._journal.taken(call.key)
            self._calls.put_nowait(None)
            taken.set()

        self._hands.reply(call, answer or {"error": INTERRUPTED}, finished)
        if not begun and call.method == "reboot" and "error" not in (answer or {}):
            await self._go_down(call, taken)

    async def _save(self) -> None:
        try:
            await asyncio.to_thread(self._journal.save)
        except OSError as error:
            log.warning("a call that is over stays in %s: %s", error.filename, error.strerror or error)

    async def _go_down(self, call: Call, taken: asyncio.Event) -> None:
        """Reboot, when the server has the answer or has had its time: after a restart the call finds itself done."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await taken.wait()
        except TimeoutError:
            log.warning("a reboot was called for by %s; the server has not taken the answer, it is done all the same",
                        _by(call))
        if why := await self._parts.box.reboot(_by(call)):
            self._tell("remote_failed", call, why)

    async def _result(self, call: Call, request: Request) -> dict[str, Any]:
        """Return what came of it, {"error": one line} included."""
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._work(call, request)
        except EdgeError as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"error": f"not done within {LONGEST_S:g} s; whether it will be is not known"}

    async def _work(self, call: Call, request: Request) -> dict[str, Any]:
        match request:
            case Level():
                return {"summary": self._parts.levels.change(request.level, _by(call), request.for_s, request.part)}
            case Named():
                return await self._pause(request.meter, paused=False)
            case Read():
                return await self._order(call, {"kind": "get", "targets": request.targets})
            case Relay():
                return await self._order(call, {"kind": "relay", "order": request.order, "confirm": request.confirm})
            case Span():
                return await self._parts.backfill_again(
                    {"meter": call.device, "from_s": request.from_s, "to_s": request.to_s})
        return await (self._look(call) if METHODS[call.method].of_meter else self._box(call, request))

    async def _look(self, call: Call) -> dict[str, Any]:
        """Carry out a method of a meter without parameters."""
        match call.method:
            case "relay_status":
                return await self._order(call, {"kind": "relay", "order": "status"})
            case "clock_sync":
                return await self._order(call, {"kind": "clock"})
            case "latest":
                return self._latest(call.device)
        return await self._pause(call.device, paused=call.method == "pause")

    async def _box(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a method of the gateway itself."""
        box = self._parts.box
        match request:
            case Survey():
                return await box.survey(request.seconds)
            case Part():
                return await box.bundle_part(request.part)
        match call.method:
            case "bundle":
                return await box.bundle()
            case "reboot":
                return {"summary": f"the board goes down by {box.rebooter()[0]}"}
        whole = await self._parts.status({})
        return dict(whole["radio"]) if call.method == "links" else {
            "gateway": {**whole["gateway"], "workers": len(whole["gateway"]["workers"])},
            "uplink": whole["uplink"], "backlog": whole["ring"]["backlog"], "ring_healthy": whole["ring"]["healthy"],
            "meters": {meter["name"]: meter["state"] for meter in whole["meters"]}}

    async def _order(self, call: Call, ask: dict[str, Any]) -> dict[str, Any]:
        given = await self._parts.orders.order({"meter": call.device, "by": _by(call), "ask": ask})
        while True:
            state = await self._parts.orders.state({"order": given["order"], "wait_s": 10.0})
            if state.get("error"):
                raise OrderRefused(state["error"])
            if state.get("result") is not None:
                return dict(state["result"])

    def _latest(self, meter: str) -> dict[str, Any]:
        newest = self._parts.latest.of(meter)
        if newest is None:
            raise OrderRefused(f"{meter} has not been read since the gateway was started")
        record = newest.record
        values = {field.key: _exact(value, field.scaler)
                  for field, value in zip(record.schema.fields, record.values, strict=False) if value is not None}
        return {"age_s": round(newest.age_s, 1), "values": values}

    async def _pause(self, meter: str, *, paused: bool) -> dict[str, Any]:
        if meter not in {each.name for each in self._parts.enrolment.meters}:
            raise ConfigError(f"no meter is named {meter[:64]!r}")
        changed = await self._parts.enrolment.set_paused(meter, paused=paused)
        await self._parts.enrolment.reload()
        word = "paused" if paused else "polled"
        return {"changed": changed, "summary": f"{meter} is {word}" + ("" if changed else ", as it was")}

    def _tell(self, event: str, call: Call, detail: str) -> None:
        enrolment = self._parts.enrolment
        known = bool(call.device) and call.device in {each.name for each in enrolment.meters}
        subject = Subject(call.device if known else "", enrolment.profile_of(call.device) if known else "")
        subject.deed(self._parts.means, event, f"{call.method[:64]}: {detail}", _by(call))

    def _now_ms(self) -> int | None:
        stamp = self._parts.means.clock.stamp()
        return stamp.wall_ms if stamp.synchronised else None


def _by(call: Call) -> str:
    return f"thingsboard rpc {call.number}"


def _exact(value: int | str, scaler: int) -> str | msgspec.Raw:
    return value if isinstance(value, str) else msgspec.Raw(decimal_text(value, scaler).encode())
