"""The foreign client with high-level security and ciphering, and the services beyond reading registers.

    access = Access(Authentication.HIGH_GMAC, Security.AUTHENTICATION_ENCRYPTION)
    with SecureReader("127.0.0.1", port, "wrapper", access) as reader:
        rows = reader.rows_by_entry("1.0.99.1.0.255", 1, 4)
"""

import contextlib
import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gurux_client import GuruxReader
from gurux_dlms import GXDateTime, GXReplyData
from gurux_dlms.enums import Authentication, Conformance, DataType, InterfaceType, Security
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from gurux_dlms.objects import GXDLMSObject, GXDLMSProfileGeneric
from gurux_dlms.objects.enums.SecuritySuite import SecuritySuite
from gurux_dlms.secure import GXDLMSSecureClient

# The library asks its settings for `blockNumber` in a general block transfer and has no such field; the number is this one.
GXDLMSSettings.blockNumber = property(lambda settings: settings.blockIndex)

TITLE = b"HGWTEST1"
KEYS = {0: (bytes(range(16)), bytes(range(0xD0, 0xE0))), 1: (bytes(range(16)), bytes(range(0xD0, 0xE0))),
        2: (bytes(range(32)), bytes(range(0xC0, 0xE0)))}
SERVICES = (
    Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    | Conformance.BLOCK_TRANSFER_WITH_ACTION | Conformance.MULTIPLE_REFERENCES | Conformance.GET | Conformance.SET
    | Conformance.SELECTIVE_ACCESS | Conformance.ACTION | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET)


@dataclass(frozen=True)
class Access:
    """How to associate: the library's authentication and protection, the suite, and the form of ciphered APDUs."""

    authentication: Authentication = Authentication.NONE
    protection: Security = Security.NONE
    suite: int = 0
    form: Literal["general", "service"] = "general"
    dedicated_key: bytes = b""
    secret: bytes = b"highlevelsecret!"
    counter: int = 1
    general_blocks: bool = False
    access_service: bool = False
    timeout_s: float = 5.0


class SecureReader(GuruxReader):
    """One association of any kind over one TCP connection."""

    def __init__(self, host: str, port: int, framing: Literal["wrapper", "hdlc"], access: Access, *, client_sap: int = 3,
                 max_pdu: int = 1024, server_address: int = 1) -> None:
        super().__init__(host, port, framing, client_sap, server_address, max_pdu=max_pdu, timeout_s=access.timeout_s)
        client = GXDLMSSecureClient(
            True, client_sap, server_address, access.authentication,
            access.secret if access.authentication != Authentication.NONE else None,
            InterfaceType.WRAPPER if framing == "wrapper" else InterfaceType.HDLC)
        client.autoIncreaseInvokeID = True
        client.maxReceivePDUSize = max_pdu
        client.proposedConformance = SERVICES
        if access.form == "general" and access.protection != Security.NONE:
            client.proposedConformance |= Conformance.GENERAL_PROTECTION
        if access.general_blocks:
            client.proposedConformance |= Conformance.GENERAL_BLOCK_TRANSFER
        if access.access_service:
            client.proposedConformance |= Conformance.ACCESS
        cipher = client.ciphering
        cipher.security = access.protection
        cipher.securitySuite = SecuritySuite(access.suite)
        cipher.systemTitle = TITLE
        cipher.blockCipherKey, cipher.authenticationKey = KEYS[access.suite]
        cipher.dedicatedKey = access.dedicated_key or None
        cipher.invocationCounter = access.counter
        self.client = client

    def connect(self) -> None:
        """Associate; with high-level security passes 3 and 4 too. Raises what the library raises for a false meter."""
        super().connect()
        if self.client.authentication > Authentication.LOW:
            reply = self._requests(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(reply.data)

    def act(self, item: GXDLMSObject, method: int, value: Any = 0, kind: DataType = DataType.INT8) -> GXReplyData:
        """ACTION on one method. ValueError when the meter refuses."""
        return self._requests(self.client.method(item, method, value, kind))

    def do(self, requests: Any) -> GXReplyData:
        """Send the frames of any request the library made, and gather the answer."""
        return self._requests(requests)

    def write(self, item: GXDLMSObject, attribute: int) -> None:
        """SET one attribute from the library's object. ValueError when the meter refuses."""
        self._requests(self.client.write(item, attribute))

    def profile(self, obis: str) -> GXDLMSProfileGeneric:
        """A profile with its capture objects read."""
        profile = GXDLMSProfileGeneric(obis)
        self.read(profile, 3)
        return profile

    def rows_by_entry(self, obis: str, first: int, count: int, columns: Sequence[int] | None = None) -> list[list[Any]]:
        """Rows by entry descriptor; `columns` are places in the capture objects, from 0."""
        profile = self.profile(obis)
        wanted = None if columns is None else [profile.captureObjects[place] for place in columns]
        self.client.updateValue(profile, 2, self._requests(self.client.readRowsByEntry(profile, first, count, wanted)).value, wanted)
        return profile.buffer

    def rows_by_range(self, obis: str, begin: dt.datetime, end: dt.datetime,
                      columns: Sequence[int] | None = None) -> list[list[Any]]:
        """Rows by range descriptor, both ends included."""
        profile = self.profile(obis)
        wanted = None if columns is None else [profile.captureObjects[place] for place in columns]
        requests = self.client.readRowsByRange(profile, GXDateTime(begin), GXDateTime(end), wanted)
        self.client.updateValue(profile, 2, self._requests(requests).value, wanted)
        return profile.buffer

    def _round_trip(self, request: bytes | bytearray, reply: GXReplyData) -> None:
        with contextlib.redirect_stdout(io.StringIO()):          # the library talks about every ciphered APDU
            super()._round_trip(request, reply)
