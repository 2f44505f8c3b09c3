"""The simulated meter reports by itself: bytes as recorded, and messages that a foreign library takes apart."""

import asyncio
import contextlib
import io
from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import InterfaceType, Security
from gurux_dlms.objects import GXDLMSPushSetup
from gurux_dlms.secure import GXDLMSSecureClient
from gurux_secure import KEYS, Access
from test_sim_captures import RAW, load
from test_sim_security import BOTH, HLS, NOW, meet, new_meter, secured

from edge.demo import meter_objects as objects
from edge.demo import meter_push
from edge.demo.meter_manners import AUTHENTICATED, ENCRYPTED
from edge.demo.meter_tcp import SimulatedMeter
from edge.demo.pusher import Pusher


class Listener:
    """Takes what comes, over TCP or UDP."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.news = asyncio.Event()

    async def tcp(self) -> tuple[asyncio.Server, tuple[str, int]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.got += await reader.read()
            self.news.set()
            writer.close()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[:2]

    async def udp(self) -> tuple[asyncio.DatagramTransport, tuple[str, int]]:
        listener = self

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                listener.got.extend(data)
                listener.news.set()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        return transport, transport.get_extra_info("sockname")[:2]


def parsed(octets: bytes, framing: str, *, suite: int | None = None) -> list[Any]:
    """The values of one push, as the foreign library reads them."""
    client = GXDLMSSecureClient(True, 16, 1, interfaceType=InterfaceType.WRAPPER if framing == "wrapper" else InterfaceType.HDLC)
    if suite is not None:
        client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        client.ciphering.blockCipherKey, client.ciphering.authenticationKey = KEYS[suite]
    reply, notify = GXReplyData(), GXReplyData()
    buffer = GXByteBuffer(octets)
    with contextlib.redirect_stdout(io.StringIO()):
        while buffer.position < len(buffer):
            client.getData(buffer, reply, notify)
            if not notify.complete:
                break
    return notify.value


def push_meter(**more: Any) -> SimulatedMeter:
    return new_meter(secured(5, 0), **more)


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_notifications_as_recorded(framing: str) -> None:
    """The recorded pushes, built from their own values: every byte of APDU and frame."""
    meter = push_meter(framing=framing)
    pusher = Pusher(meter)
    clock = b"\x09\x0c" + bytes.fromhex("07ea01020503000000000000")
    values = [objects.integer(spec.tag, raw) for spec, raw in zip(objects.GENERIC.specs, RAW, strict=True)]
    three = objects.sequence([values[0], values[1], values[8]], 0x02)
    wanted = [
        (objects.sequence([clock, *values], 0x02), bytes.fromhex("07ea0102ff03040500000000")),
        (three, bytes.fromhex("07ea0102ff03040600000000")), (three, b"")]
    for (body, moment), recorded in zip(wanted, load(f"push_{framing}")["exchange"], strict=True):
        (frame,) = pusher.frames(meter_push.notification(body, invoke_id=1, moment=moment))
        assert frame.hex() == recorded["hex"]


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("ciphered", [False, True])
@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
async def test_a_listener_gets_what_the_registers_show(framing: str, ciphered: bool, udp: bool) -> None:
    meter, listener = push_meter(framing=framing), Listener()
    server, address = await (listener.udp() if udp else listener.tcp())
    pusher = Pusher(meter, secured_sap=3 if ciphered else None)
    await pusher.push(*address, udp=udp)
    await asyncio.wait_for(listener.news.wait(), 2)
    values = parsed(bytes(listener.got), framing, suite=0 if ciphered else None)
    assert values[1:] == list(meter.model.raw_values(NOW).values())
    assert bytes(listener.got).count(b"\x0f\xc0\x00\x00\x01") == (0 if ciphered else 1)
    assert pusher.sent == 1
    server.close()


async def test_the_push_method_sends_to_the_set_destination() -> None:
    meter, listener = push_meter(), Listener()
    server, address = await listener.tcp()
    pusher = Pusher(meter)
    pusher.attach()
    meter.model.push.destination = f"{address[0]}:{address[1]}"

    def work(reader: Any) -> None:
        reader.act(GXDLMSPushSetup("0.0.25.9.0.255"), 1)
    await meet(meter, Access(HLS[5], BOTH), work)
    await asyncio.wait_for(listener.news.wait(), 2)
    assert len(parsed(bytes(listener.got), "wrapper")) == 10
    server.close()
    await server.wait_closed()
    meter.model.push.retries = 2
    with pytest.raises(OSError):
        await pusher.push(*address)
    assert (pusher.sent, pusher.failed) == (1, 1)


def test_counters_rise_and_protection_is_as_asked() -> None:
    meter = push_meter()
    controls = []
    for protection in (AUTHENTICATED, ENCRYPTED, AUTHENTICATED | ENCRYPTED):
        message = Pusher(meter, secured_sap=3, protection=protection).message()
        assert message[:2] == b"\xdb\x08"
        start = 11 if message[10] < 0x80 else 12
        controls.append((message[start], int.from_bytes(message[start + 1:start + 5], "big")))
    assert controls == [(0x10, 0), (0x20, 1), (0x30, 2)]


def test_long_messages_go_in_segments_and_in_general_blocks() -> None:
    meter = push_meter(framing="hdlc")
    meter.settings.max_info_bytes = 32
    frames = Pusher(meter).frames(Pusher(meter).message())
    assert len(frames) == 3
    assert [frame[1] & 0x08 != 0 for frame in frames] == [True, True, False]
    meter.settings.framing = "wrapper"
    blocks = [frame[8:] for frame in Pusher(meter, block_bytes=30).frames(b"x" * 75)]
    assert [(block[0], block[1], block[3], len(block) - 7) for block in blocks] == [
        (0xE0, 0x41, 1, 30), (0xE0, 0x41, 2, 30), (0xE0, 0x81, 3, 15)]


def test_event_notification() -> None:
    value = b"\x11\x28"
    plain = meter_push.event(1, objects.EVENT_CODE, 2, value)
    assert plain.hex() == "c200" + "0001" + "0000600b00ff" + "02" + "1128"
    dated = meter_push.event(1, objects.EVENT_CODE, 2, value, moment=bytes(12))
    assert dated[:3] == b"\xc2\x01\x0c"
