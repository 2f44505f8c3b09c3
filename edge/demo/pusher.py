"""A simulated meter that reports by itself (I/O edge): data-notifications to a listener over TCP or UDP.

    pusher = Pusher(meter)                                  # plain, in the meter's own framing
    await pusher.push(host, port)                           # once
    pusher.attach(); ...                                    # when a client calls the push method, or run(period_s)
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from edge.demo.meter_gbt import LAST, STREAMING
from edge.demo.meter_gbt import TAG as GENERAL_BLOCK
from edge.demo.meter_hdlc import LLC_RESPONSE, UI
from edge.demo.meter_manners import AUTHENTICATED, ENCRYPTED
from edge.demo.meter_objects import length
from edge.demo.meter_push import UDP
from edge.demo.meter_security import Cipher
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import hdlc, wrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Pusher:
    """Pushes of one meter. `secured_sap`: cipher with that client's keys. `block_bytes`: in general blocks so large."""

    def __init__(self, meter: SimulatedMeter, *, client_sap: int = 16, secured_sap: int | None = None,
                 protection: int = AUTHENTICATED | ENCRYPTED, dated: bool = True, block_bytes: int = 0) -> None:
        """`protection` is the security control's upper part; `dated`: with a date-time of its own."""
        self._meter = meter
        self._client_sap = client_sap
        self._secured_sap = secured_sap
        self._protection = protection
        self._dated = dated
        self._block_bytes = block_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0                          # messages handed to the network
        self.failed = 0                        # messages given up after all retries

    # -- what is sent ----------------------------------------------------------------------------------------------

    def message(self) -> bytes:
        """The data-notification of now, protected if it is to be."""
        model, now = self._meter.model, self._meter.now()
        plain = model.push.message(lambda name, at: model.read(name, at, public=False), now, dated=self._dated)
        return self.protect(plain)

    def protect(self, plain: bytes) -> bytes:
        """Cipher an APDU with the keys of `secured_sap`; as it is without one."""
        if self._secured_sap is None:
            return plain
        manners, device = self._meter.settings.manners, self._meter.model.device
        cipher = Cipher(manners.secured[self._secured_sap], self._secured_sap, manners.system_title, b"",
                        device.client_counters, device.own_counters)
        return cipher.seal_push(plain, self._protection)

    def frames(self, apdu: bytes) -> list[bytes]:
        """The frames that carry an APDU in the meter's framing: one, or several segments or general blocks."""
        size = self._block_bytes
        apdus = [apdu] if not size else [
            _general_block(apdu[start:start + size], start // size + 1, last=start + size >= len(apdu))
            for start in range(0, len(apdu), size)]
        return [frame for part in apdus for frame in self._frames(part)]

    def _frames(self, apdu: bytes) -> list[bytes]:
        settings = self._meter.settings
        if settings.framing == "wrapper":
            return [wrapper.encode(settings.server_logical, self._client_sap, apdu)]
        source = hdlc.encode_address(settings.server_logical, settings.server_physical, settings.address_bytes)
        whole, size = LLC_RESPONSE + apdu, settings.max_info_bytes
        client = bytes((self._client_sap << 1 | 1,))
        return [
            hdlc.encode_frame(hdlc.HdlcFrame(client, source, UI, whole[start:start + size], start + size < len(whole)))
            for start in range(0, len(whole), size)]

    # -- sending ---------------------------------------------------------------------------------------------------

    async def push(self, host: str, port: int, *, udp: bool = False) -> None:
        """Send one message, with the push setup's retries. OSError when none came through (TCP)."""
        frames = self.frames(self.message())
        send: Callable[[str, int, list[bytes]], Awaitable[None]] = _send_udp if udp else _send_tcp
        for left in range(self._meter.model.push.retries, -1, -1):
            try:
                await send(host, port, frames)
            except OSError:
                if not left:
                    self.failed += 1
                    raise
            else:
                self.sent += 1
                return

    async def run(self, host: str, port: int, period_s: float, *, udp: bool = False) -> None:
        """Push every `period_s` until cancelled; a listener that is away is no reason to stop."""
        while True:
            with contextlib.suppress(OSError):
                await self.push(host, port, udp=udp)
            await asyncio.sleep(period_s)

    def attach(self) -> None:
        """Carry out the push method: each call sends one message to the push setup's destination."""
        self._meter.on_push = self._called

    def _called(self) -> None:
        task = asyncio.get_running_loop().create_task(self._push_as_set_up())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push_as_set_up(self) -> None:
        setup = self._meter.model.push
        host, _, port = setup.destination.rpartition(":")
        if not host or not port.isdecimal():
            self.failed += 1
            log.debug("simulated meter %s has no push destination: %r", self._meter.name, setup.destination)
            return
        with contextlib.suppress(OSError):
            await self.push(host, int(port), udp=setup.transport == UDP)


async def _send_tcp(host: str, port: int, frames: list[bytes]) -> None:
    _, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"".join(frames))
        await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _send_udp(host: str, port: int, frames: list[bytes]) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(host, port))
    try:
        for frame in frames:
            transport.sendto(frame)
    finally:
        transport.close()


def _general_block(data: bytes, number: int, *, last: bool) -> bytes:
    """One block of an unconfirmed general block transfer."""
    control = (LAST if last else STREAMING) | 1
    return bytes((GENERAL_BLOCK, control)) + number.to_bytes(2, "big") + b"\x00\x00" + length(len(data)) + data
