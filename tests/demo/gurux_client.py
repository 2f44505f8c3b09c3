"""The foreign DLMS client (gurux-dlms, tests and benchmarks only) on a blocking socket: a judge that shares no code with us.

    with GuruxReader("127.0.0.1", port, "hdlc", client_sap=1, server_address=1, password=b"00000000") as reader:
        values = reader.read_values(["1.0.32.7.0.255"])

Server addresses are those of the wire: a logical device number for the wrapper, `hdlc_address(...)` for HDLC.
"""

import socket
from collections.abc import Iterable
from typing import Any, Literal, Self

from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, Conformance, InterfaceType, ObjectType
from gurux_dlms.objects import GXDLMSObject, GXDLMSRegister


def hdlc_address(logical: int, physical: int | None = None, address_bytes: int = 1) -> int:
    """The library's number for an HDLC server address of 1, 2 or 4 bytes."""
    return logical if physical is None else GXDLMSClient.getServerAddress(logical, physical, address_bytes)


class GuruxReader:
    """One association over one TCP connection. Raises OSError, TimeoutError, or the library's own exceptions."""

    def __init__(self, host: str, port: int, framing: Literal["wrapper", "hdlc"], client_sap: int = 16,
                 server_address: int = 1, password: bytes = b"", *, address_bytes: int = 0, max_pdu: int = 1024,
                 timeout_s: float = 5.0) -> None:
        """`password` empty = no authentication, else LLS. `address_bytes` 4 forces the long HDLC address form."""
        self._peer = (host, port)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._received = b""
        self.client = GXDLMSClient(
            True, client_sap, server_address, Authentication.LOW if password else Authentication.NONE, password or None,
            InterfaceType.WRAPPER if framing == "wrapper" else InterfaceType.HDLC)
        self.client.serverAddressSize = address_bytes
        self.client.autoIncreaseInvokeID = True
        self.client.maxReceivePDUSize = max_pdu
        # The services this client is used for; among them none that a plain three-phase meter could not have.
        self.client.proposedConformance = (
            Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ | Conformance.MULTIPLE_REFERENCES | Conformance.GET
            | Conformance.SET | Conformance.SELECTIVE_ACCESS | Conformance.ACTION | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET)

    def __enter__(self) -> Self:
        """Connect and associate."""
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def connect(self) -> None:
        """Open TCP, the HDLC link where there is one, and the association."""
        self._socket = socket.create_connection(self._peer, self._timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self.client.snrmRequest()
        if request:
            self.client.parseUAResponse(self._exchange(request).data)
        for frames in self.client.aarqRequest():
            reply = self._exchange(frames)
        self.client.parseAareResponse(reply.data)

    def read(self, item: GXDLMSObject, attribute: int) -> Any:
        """GET one attribute of any object."""
        return self.client.updateValue(item, attribute, self._requests(self.client.read(item, attribute)).value)

    def read_values(self, obis: Iterable[str]) -> list[int | float]:
        """GET attribute 2 of each register by itself; values as the meter sends them, before scaling."""
        return [self._requests(self.client.read(GXDLMSRegister(code), 2)).value for code in obis]

    def read_scalers(self, obis: Iterable[str]) -> list[tuple[int, int]]:
        """GET scaler_unit of each register: (scaler, COSEM unit code)."""
        pairs = [self._requests(self.client.read(GXDLMSRegister(code), 3)).value for code in obis]
        return [(int(scaler), int(unit)) for scaler, unit in pairs]

    def read_list(self, obis: Iterable[str]) -> list[int | float]:
        """GET attribute 2 of all registers with lists, ten attributes at most in one."""
        wanted = [(GXDLMSRegister(code), 2) for code in obis]
        values: list[int | float] = []
        for request in self.client.readList(wanted):
            values += self._requests(request).value
        return values

    def object_list(self) -> list[tuple[int, str]]:
        """Read the association's object list: (class id, OBIS) of each object whose class the library knows."""
        reply = self._requests([self.client.getObjectsRequest()])
        return [(int(item.objectType), item.logicalName) for item in self.client.parseObjects(reply.data, True)]

    def raw(self, object_type: ObjectType, obis: str, attribute: int) -> Any:
        """GET any attribute by class and code, decoded but not interpreted."""
        return self._requests(self.client._read(obis, object_type, attribute)).value

    def close(self) -> None:
        """Release the association, end the link, close the socket. Never raises for what the meter does."""
        if self._socket is None:
            return
        try:
            request = self.client.disconnectRequest()
            if request:
                self._exchange(request)
        except (OSError, ValueError):
            pass           # it is going away anyway
        finally:
            self._socket.close()
            self._socket = None

    # -- transport -------------------------------------------------------------------------------------------------

    def _requests(self, requests: Any) -> GXReplyData:
        """Send the frames of one request and gather its whole answer: segments, then blocks."""
        reply = GXReplyData()
        for frame in requests:
            for part in frame if isinstance(frame, list) else [frame]:
                reply.clear()
                self._exchange(part, reply)
        return reply

    def _exchange(self, request: bytes | bytearray, reply: GXReplyData | None = None) -> GXReplyData:
        reply = reply or GXReplyData()
        self._round_trip(request, reply)
        while reply.isMoreData():
            self._round_trip(self.client.receiverReady(reply), reply)
        return reply

    def _round_trip(self, request: bytes | bytearray, reply: GXReplyData) -> None:
        assert self._socket is not None, "not connected"
        self._socket.sendall(request)
        received = GXByteBuffer(self._received)
        self._received = b""
        while not self.client.getData(received, reply):
            piece = self._socket.recv(4096)
            if not piece:
                raise ConnectionResetError("the meter closed the connection")
            received.set(piece)
        self._received = bytes(received.array()[received.position:])
        if reply.error:
            raise ValueError(f"the meter refuses with {reply.error}")
