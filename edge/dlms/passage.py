"""The way of APDUs between the services and the link: ciphered, and in general blocks, where that is agreed.

    clear ─► seal ─► blocks ─► link          clear ◄─ open ◄─ blocks ◄─ link
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.dlms.channel import CIPHERED_TAGS, OVERHEAD_BYTES, SecureChannel
from edge.dlms.conformance import Conformance
from edge.dlms.counter import InvocationCounters
from edge.dlms.gbt import GENERAL_BLOCK_TRANSFER, BlockTransfer
from edge.dlms.settings import AssociationSettings
from edge.errors import Violation


class Arrived(NamedTuple):
    """What came of an APDU from the link: blocks to send back at once, and an APDU in clear if one is complete.

    `protected`: it came ciphered or authenticated, under the meter's key.
    """

    send: Sequence[bytes] = ()
    message: bytes | None = None
    protected: bool = False


class Passage:
    """Of one association. `settle` tells what was negotiated.

    `room` is how long an APDU in clear may be to go in one piece, 0 = no limit: what ciphering adds must fit too.
    `room_in_blocks` is the same, or 0 where general blocks carry what is longer.
    """

    def __init__(self, settings: AssociationSettings, counters: InvocationCounters) -> None:
        """Prepare for the settings; `counters` are the reserved invocation counters."""
        self.server_conformance = Conformance(0)
        self.server_max_pdu = self.room = self.room_in_blocks = 0
        self.general_blocks = False
        self.ciphered = settings.ciphered
        self.channel = None if settings.security is None else SecureChannel(settings.security, counters)
        self._window = settings.gbt_window if settings.framing == "wrapper" else 1  # HDLC has turns of its own
        self._blocks: BlockTransfer | None = None

    def settle(self, conformance: Conformance, max_pdu: int) -> None:
        """Take what the opening negotiated: services both sides have, the largest APDU of the meter (0 = no limit)."""
        self.server_conformance, self.server_max_pdu = conformance, max_pdu
        self.general_blocks = Conformance.GENERAL_BLOCK_TRANSFER in conformance
        self.room = max(max_pdu - (OVERHEAD_BYTES if self.ciphered else 0), 1) if max_pdu else 0
        self.room_in_blocks = 0 if self.general_blocks else self.room

    def outgoing(self, message: bytes) -> Sequence[bytes]:
        """Return what is to be handed to the link for a request in clear. Takes an invocation counter if ciphered."""
        if self.ciphered and self.channel is not None:
            message = self.channel.seal(message)
        if not self.general_blocks:
            return (message,)
        self._blocks = BlockTransfer(self._window)
        if self.server_max_pdu and len(message) > self.server_max_pdu:
            return self._blocks.start(message, self.server_max_pdu)
        return (message,)

    def incoming(self, message: bytes) -> Arrived:
        """Take an APDU from the link. Raises Violation kinds."""
        send: Sequence[bytes] = ()
        if message[0] == GENERAL_BLOCK_TRANSFER:
            if self._blocks is None:
                raise Violation("a general block came, and none is due")
            send, whole = self._blocks.receive(message)
            if whole is None:
                return Arrived(send)
            if whole[:1] in (b"", bytes((GENERAL_BLOCK_TRANSFER,))):
                raise Violation("general blocks hold nothing, or a general block")
            message = whole
        if message[0] not in CIPHERED_TAGS:
            return Arrived(send, message)
        if not self.ciphered or self.channel is None:
            raise Violation(f"a ciphered APDU 0x{message[0]:02x} in an association without ciphering")
        return Arrived(send, self.channel.open(message), protected=True)

    def finished(self) -> None:
        """Note that the exchange is over: no more blocks are due."""
        self._blocks = None
