"""Lets a customer claim the gateway at ThingsBoard: a talk of one publication.

    v1/devices/me/claim {"secretKey": what the customer has to type, "durationMs": how long it counts}

ThingsBoard "Claiming devices"; JsonConverter.convertToClaimDeviceProto. The PUBACK says that the server has the secret;
whether the device may be claimed (its profile, or the attribute claimingAllowed) shows when the customer claims it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from edge.errors import ConfigError, OrderRefused
from edge.model import Publish
from edge.uplink.reasons import Judgement, judge, reason_text
from edge.uplink.talk import Said

TOPIC = "v1/devices/me/claim"
ANSWER_TIMEOUT_S = 15.0


class _Asked(msgspec.Struct, frozen=True):
    """The control request `claim`. `duration_s` 0: as long as the server thinks right."""

    secret: str
    duration_s: float = 0.0


class Claiming:
    """The talk, and the control request `claim`. The secret is kept until it was sent, and in no log."""

    wake: Callable[[], object]
    topics: tuple[str, ...] = ()

    def __init__(self) -> None:
        """Nothing is to be claimed."""
        self.wake = lambda: None
        self._payload: bytes | None = None
        self._outcome: asyncio.Future[int] | None = None
        self._connected = False

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the server the secret; return when it has it. Raises ConfigError, OrderRefused."""
        try:
            asked = msgspec.convert(request, _Asked)
        except msgspec.ValidationError as wrong:
            raise ConfigError(f"no such request: {wrong}") from wrong
        if not 0 <= asked.duration_s <= 31_622_400 or len(asked.secret) > 255 or not asked.secret.isprintable():
            raise ConfigError("a secret is up to 255 characters on one line, a duration up to a year")
        if not self._connected:
            raise OrderRefused("the gateway is not connected to the server now; try again when it is")
        if self._outcome is not None:
            raise OrderRefused("another claim is under way")
        body: dict[str, object] = {"secretKey": asked.secret}
        if asked.duration_s:
            body["durationMs"] = round(asked.duration_s * 1000)
        self._payload, self._outcome = msgspec.json.encode(body), asyncio.get_running_loop().create_future()
        self.wake()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reason = await self._outcome
        except TimeoutError:
            raise OrderRefused(f"the server did not answer within {ANSWER_TIMEOUT_S:g} s") from None
        finally:
            self._payload = self._outcome = None
        if judge(reason) is not Judgement.TAKEN:
            raise OrderRefused(f"the server refuses the claim: {reason_text(reason)}")
        return {}

    def began(self) -> None:
        """Something may be said now."""
        self._connected = True

    def ended(self) -> None:
        """Whoever waits for an answer hears that none comes."""
        self._connected = False
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(OrderRefused("the connection ended before the server answered; try again"))

    def heard(self, topic: str, payload: bytes, now: float) -> None:
        """Nothing that the server says is about this."""

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - the talk's signature
        """Return the claim, once."""
        payload, self._payload = self._payload, None
        return Said(Publish(TOPIC, payload), self._answered) if payload is not None else None

    def rest_s(self, now: float) -> float:      # noqa: ARG002 - same
        """Nothing comes by itself."""
        return float("inf")

    def _answered(self, reason: int) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(reason)
