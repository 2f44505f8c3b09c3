"""ThingsBoard's calls to devices (RPC; no I/O), for demo and tests.

Source, ThingsBoard 4.2: DeviceActorMessageProcessor. Calls are numbered per device from 0 on, in memory: after a
restart of the server from 0 again (rpcSeq), and persistent calls that were still queued then get new numbers (init).
One that is not persistent and one-way is done with when it is sent; any other waits until it is answered, acknowledged
(one-way) or over, and is sent once more, under its number, each time the device subscribes (sendPendingRequests, the
strategy BURST). A call goes at the QoS of the subscription; its PUBACK makes it DELIVERED (MqttTransportHandler,
rpcAwaitingAck). What travels is device, number, method and params: not who called, nor the call's own identity.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from edge.demo.thingsboard_rules import Message

GATEWAY_CALLS = "v1/gateway/rpc"
OWN_CALLS = {"v1/devices/me/rpc/request/+": "v1/devices/me/rpc/request/", "v2/r/req/+": "v2/r/req/"}

Status = Literal["QUEUED", "SENT", "DELIVERED", "SUCCESSFUL", "TIMEOUT", "EXPIRED"]


@dataclass(slots=True)
class Rpc:
    """One call. `device` "" is the gateway."""

    device: str
    number: int
    method: str
    params: Any
    one_way: bool
    persistent: bool
    expires_at: float
    status: Status = "QUEUED"
    answers: list[Any] = field(default_factory=list)      # the first counts, later ones are stale
    sent: int = 0                                          # times


class Calls:
    """All calls of one gateway and its devices."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` as of `Contract`."""
        self.all: list[Rpc] = []
        self._pending: dict[tuple[str, int], Rpc] = {}
        self._next: dict[str, int] = {}
        self._now = now

    def call(self, device: str, method: str, params: Any, *, one_way: bool, persistent: bool, timeout_s: float) -> Rpc:
        """Register a call, to be sent by whoever asks `due` next."""
        made = Rpc(device, self._number(device), method, params, one_way, persistent, self._now() + timeout_s)
        self.all.append(made)
        self._pending[device, made.number] = made
        return made

    def _number(self, device: str) -> int:
        number = self._next.get(device, 0)
        self._next[device] = number + 1
        return number

    def pending(self, device: str) -> list[Rpc]:
        """Return what a device is sent when it subscribes, oldest first; what is over by then is dropped."""
        for key, rpc in list(self._pending.items()):
            if rpc.expires_at <= self._now():
                rpc.status = "EXPIRED" if rpc.persistent else "TIMEOUT"
                del self._pending[key]
        return [rpc for (whose, _), rpc in self._pending.items() if whose == device]

    def message(self, rpc: Rpc, own_topic: str) -> Message:
        """Return a call as it goes out, and note that it did. `own_topic`: what the gateway's own calls begin with."""
        rpc.sent += 1
        if rpc.status == "QUEUED":
            rpc.status = "SENT"
        if rpc.one_way and not rpc.persistent:
            rpc.status = "SUCCESSFUL"
            self._pending.pop((rpc.device, rpc.number), None)
        body = {"method": rpc.method, "params": rpc.params}
        if not rpc.device:
            return f"{own_topic}{rpc.number}", msgspec.json.encode(body)
        return GATEWAY_CALLS, msgspec.json.encode({"device": rpc.device, "data": {"id": rpc.number, **body}})

    def acknowledged(self, rpc: Rpc) -> None:
        """Take the PUBACK of one that was sent."""
        if rpc.status == "SENT":
            rpc.status = "DELIVERED"
        if rpc.one_way:
            self._pending.pop((rpc.device, rpc.number), None)

    def answered(self, device: str, number: int, data: Any) -> None:
        """Take an answer; one that nobody waits for is stale, and acknowledged all the same."""
        rpc = self._pending.pop((device, number), None)
        if rpc is not None:
            rpc.status = "SUCCESSFUL"
            rpc.answers.append(data)

    def restart(self) -> None:
        """The server is started anew: only what is persistent and was never sent is known, under new numbers."""
        kept = [rpc for rpc in self._pending.values() if rpc.persistent and rpc.status == "QUEUED"]
        self._pending, self._next = {}, {}
        for rpc in kept:
            rpc.number = self._number(rpc.device)
            self._pending[rpc.device, rpc.number] = rpc
