"""A foreign meter-side library pushes: every framing, in clear and ciphered, whole and in general blocks, and an event."""

import datetime as dt
from typing import Any

import pytest
from gurux_dlms.enums import Conformance, DataType, InterfaceType, Security
from gurux_dlms.GXDateTime import GXDateTime
from gurux_dlms.objects import GXDLMSCaptureObject, GXDLMSClock, GXDLMSData, GXDLMSPushSetup, GXDLMSRegister
from gurux_dlms.secure.GXDLMSSecureNotify import GXDLMSSecureNotify
from push_site import AK, EK, GENERIC, LEARNED, values

from edge.dlms.ciphering import Cipher, Protection
from edge.model import Kind, Stamp, Stream
from edge.push.desk import Desk, Outcome
from edge.push.directory import Directory, Entry, key_digest
from edge.push.heard import Heard
from edge.push.receiver import Message, Receiver

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
STAMP = Stamp(5_000, 1_767_323_100_000, "boot", synchronised=True)
VALUES = [2301, 2305, 2298, 512, 498, 505, 5001, 3478, 123456789]
TITLE = b"GUR\0\0\0\0\1"
FRAMINGS = {"wrapper": InterfaceType.WRAPPER, "hdlc": InterfaceType.HDLC}


def foreign(framing: str, *, ciphered: bool = False, block_bytes: int = 0) -> GXDLMSSecureNotify:
    sender = GXDLMSSecureNotify(True, 16, 1, FRAMINGS[framing])
    sender.settings.isServer = True
    if ciphered:
        sender.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        sender.ciphering.blockCipherKey, sender.ciphering.authenticationKey, sender.ciphering.systemTitle = EK, AK, TITLE
        sender.ciphering.invocationCounter = 7
        sender.conformance |= Conformance.GENERAL_PROTECTION
    if block_bytes:
        sender.conformance |= Conformance.GENERAL_BLOCK_TRANSFER
        sender.maxReceivePDUSize = block_bytes
    return sender


def setup() -> GXDLMSPushSetup:
    """Clock and the nine registers, as the generic profile has them."""
    push, clock = GXDLMSPushSetup(), GXDLMSClock()
    clock.time = GXDateTime(MOMENT)
    push.pushObjectList.append((clock, GXDLMSCaptureObject(2, 0)))
    for spec, value in zip(GENERIC.objects, VALUES, strict=True):
        register = GXDLMSRegister(".".join(str(group) for group in spec.target.obis))
        register.value = value
        register.setDataType(2, DataType.UINT32)
        push.pushObjectList.append((register, GXDLMSCaptureObject(2, 0)))
    return push


def desk(*, ciphered: bool) -> Desk:
    cipher = Cipher(0, EK, AK) if ciphered else None
    entry = Entry("m", GENERIC, LEARNED, frozenset({"192.0.2.1"}), Protection.BOTH if ciphered else Protection.NONE,
                  cipher=cipher, key_digest=key_digest(EK))
    return Desk(Directory([entry]), Heard({}))


def received(frames: list[Any], *, datagrams: bool) -> Message:
    receiver, items = Receiver(datagrams=datagrams), []
    for frame in frames:
        items += receiver.feed(bytes(frame))
    (message,) = items
    assert isinstance(message, Message), message
    return message


@pytest.mark.parametrize("block_bytes", [0, 60], ids=["whole", "blocks"])
@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("datagrams", [False, True], ids=["stream", "datagrams"])
def test_a_foreign_push_is_read(framing: str, ciphered: bool, block_bytes: int, datagrams: bool) -> None:
    frames = foreign(framing, ciphered=ciphered, block_bytes=block_bytes).generatePushSetupMessages(MOMENT, setup())
    assert (len(frames) > 1) == bool(block_bytes)
    message = received(frames, datagrams=datagrams)
    assert (message.apdu[0] == 0xDB) == ciphered
    verdict = desk(ciphered=ciphered).take(message.apdu, "192.0.2.1", STAMP, 0.0)
    assert (verdict.outcome, verdict.reason) == (Outcome.ACCEPTED, "")
    ((stream, record),) = verdict.records
    assert (stream, record.schema.kind) == (Stream.INSTANT, Kind.PUSHED)
    assert list(values(record).values()) == VALUES
    assert record.stamp == STAMP.dated_by_meter(int(MOMENT.timestamp() * 1000))
    assert (verdict.mark[1] if verdict.mark else None) == (7 if ciphered else None)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_foreign_event_is_read(framing: str) -> None:
    code = GXDLMSData("0.0.96.11.0.255")
    code.value = 40
    code.setDataType(2, DataType.UINT8)
    message = received(foreign(framing).generateReport(None, [(code, 2)]), datagrams=False)
    ((stream, record),) = desk(ciphered=False).take(message.apdu, "192.0.2.1", STAMP, 0.0).records
    assert (stream, values(record)["event"], values(record)["value"]) == (Stream.ALARM, "meter_notification", 40)
