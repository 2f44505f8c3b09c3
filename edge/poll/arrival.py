"""Between a connection and its first frame (no sockets here, only `Transport`).

    connected ─► late bytes of a former session thrown away ─► sign-on of IEC 62056-21 mode E, where asked for ─► link
"""

import asyncio
import logging
from collections.abc import Callable

from edge.dlms.chatter import Chatter
from edge.dlms.mode_e import REACTION_LEAST_S, SignOn
from edge.errors import BridgeBusy, ConnectionLost, NoAnswer
from edge.poll.transport import Transport

log = logging.getLogger(__name__)

TEXT_SHAPE = "8N1"
"""What a sign-on travels in: its parity bit is made by `SignOn`."""

PULSE_MARGIN_S = 5.0


async def discard_late_bytes(transport: Transport, settle_s: float) -> None:
    """Throw away what a bridge still had for the client before us, until its settling time is over.

    Raises ConnectionLost, or BridgeBusy where it said why.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settle_s
    heard = Chatter()
    while loop.time() < deadline:
        late = await _heard(transport, deadline, heard)
        if late:
            log.debug("%d late bytes of a former session thrown away", len(late))


async def sign_on(
    transport: Transport, device_address: str, *, trace: Callable[[str, bytes], None] | None,
    pulse: Callable[[float], None],
) -> str:
    """Bring the meter to HDLC and the line to its speed; return how the meter named itself, "" when it was silent.

    Raises the MeterError of a line that ended or a meter that has no HDLC here. Cancelling leaves the meter in text
    mode or in HDLC; the next sign-on copes with both.
    """
    loop = asyncio.get_running_loop()
    ours = transport.top_baud is not None
    machine, heard, baud = SignOn(device_address, transport.top_baud), Chatter(), 0
    while not machine.done:
        if ours and machine.baud != baud:
            baud = machine.baud
            transport.set_line(baud, TEXT_SHAPE)
        if machine.wants_to_send:
            await transport.ready(REACTION_LEAST_S)
            data = machine.data_to_send(loop.time())
            if trace is not None:
                trace("TX", data)
            transport.write(data)
        pulse(max(machine.next_timer() - loop.time(), 0.0) + PULSE_MARGIN_S)
        if data := await _heard(transport, machine.next_timer(), heard):
            if trace is not None:
                trace("RX", data)
            machine.receive(data, loop.time())
        machine.handle_timer(loop.time())
    if ours:
        transport.set_line(machine.baud)
    log.debug("sign-on: %s, %d baud", machine.identification or "silence", machine.baud)
    return machine.identification


async def _heard(transport: Transport, deadline: float, heard: Chatter) -> bytes:
    """Return what came until the deadline, b"" for nothing. A bridge that hangs up is given its own words as reason."""
    try:
        data = await transport.read(deadline)
    except NoAnswer:
        return b""
    except ConnectionLost:
        if text := heard.text():      # a bridge that has a client already says so, and hangs up
            raise BridgeBusy(f"the bridge says {text!r}") from None
        raise
    heard.hear(data)
    return data
