"""Late answers and talkers: what a bridge still holds from the session before, and whoever never stops talking."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from poll_bench import MICROSTAR_PROFILE, session_to, simulated, slower

from edge.demo.bridge import Quirks
from edge.dlms import hdlc
from edge.dlms.association import AssociationSettings
from edge.dlms.hdlc import HdlcFrame
from edge.errors import BridgeBusy, MeterError, NoAnswer, Violation
from edge.model import Meter
from edge.poll.session import MeterSession

METER = hdlc.encode_address(1)
AARE = bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000301d04000007")
OLD_QUESTION, NEW_QUESTION = MICROSTAR_PROFILE.objects[0].target, MICROSTAR_PROFILE.objects[3].target
OLD_VALUE = 2301


class LateBridge:
    """A meter behind a bridge that is one session late: the first GET stays open, all the second hears is the first's.

    Its frames carry good checksums, sequence numbers and sizes: the two sessions are alike down to the invoke-id.
    """

    def __init__(self, *, same_invoke_id: bool) -> None:
        self.same_invoke_id = same_invoke_id
        self.sessions = 0
        self.ended: dict[int, asyncio.Event] = {}
        self.invoke_ids: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self.ended[self.sessions] = ended = asyncio.Event()
        deframer = hdlc.Deframer()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4_096):
                for frame in deframer.feed(data):
                    writer.write(b"".join(self.answers(frame)))
        writer.transport.abort()
        ended.set()

    def answers(self, frame: HdlcFrame) -> list[bytes]:
        if frame.control == hdlc.SNRM:
            return [self.frame(hdlc.UA, b"")]
        apdu = frame.information[3:]
        if apdu[:1] == b"\x60":
            return [self.frame(0x30, b"\xe6\xe7\x00" + AARE)]
        if apdu[:1] != b"\xc0":
            return []
        self.invoke_ids.append(apdu[2] & 0x0F)
        if self.sessions == 1:
            return []
        late = self.invoke_ids[-1 if self.same_invoke_id else 0]
        answer = bytes((0xC4, 0x01, 0xC0 | late, 0x00, 0x12)) + OLD_VALUE.to_bytes(2, "big")
        return [self.frame(0x52, b"\xe6\xe7\x00" + answer)]

    @staticmethod
    def frame(control: int, information: bytes) -> bytes:
        return hdlc.encode_frame(HdlcFrame(b"\x03", METER, control, information))


@asynccontextmanager
async def late_bridge(*, same_invoke_id: bool) -> AsyncIterator[tuple[LateBridge, MeterSession]]:
    bridge = LateBridge(same_invoke_id=same_invoke_id)
    server = await asyncio.start_server(bridge.serve, "127.0.0.1", 0)
    async with server:
        row = Meter("late", "127.0.0.1", server.sockets[0].getsockname()[1], "microstar", authentication="lls")
        session = session_to(row, settings=slower(exchange_timeout_s=0.1))
        await session.open()
        with pytest.raises(NoAnswer):
            await session.get([OLD_QUESTION])
        await session.open()
        try:
            yield bridge, session
        finally:
            session.abort()
            for ended in bridge.ended.values():
                await ended.wait()
            await asyncio.sleep(0)


async def test_the_invoke_id_alone_keeps_a_late_answer_from_another_register() -> None:
    async with late_bridge(same_invoke_id=False) as (bridge, session):
        with pytest.raises(Violation, match="invoke-id"):
            await session.get([NEW_QUESTION])
        assert not session.is_open
        assert bridge.sessions == 2


async def test_nothing_else_would_have() -> None:
    """The counter-proof: the same bytes under the asked invoke-id are an answer like any other."""
    async with late_bridge(same_invoke_id=True) as (_, session):
        (result,) = await session.get([NEW_QUESTION])
        assert result.data == OLD_VALUE


async def test_sessions_that_lose_their_first_answer_use_every_invoke_id_before_one_comes_again() -> None:
    """Sixteen sessions is as far as four bits go; how many GETs each had in it must not shorten that by much."""
    async with simulated() as (meter, row):
        asked: list[int] = []

        def trace(direction: str, data: bytes) -> None:
            if direction == "TX" and data[8] == 0xC0:
                asked.append(data[10] & 0x0F)

        session = session_to(row, settings=slower(exchange_timeout_s=0.08), trace=trace)
        for _ in range(16):
            await session.open()
            meter.quirks.meter_silent = True
            with pytest.raises(NoAnswer):
                await session.get([OLD_QUESTION])
            meter.quirks.meter_silent = False
    assert len(set(asked)) == 16


async def test_a_session_object_does_not_begin_where_every_other_one_began() -> None:
    """A restarted gateway, or `read` called twice, must not ask its first question under the id of the last one's."""
    async with simulated() as (_, row):
        asked = set[int]()

        def trace(direction: str, data: bytes) -> None:
            if direction == "TX" and data[8] == 0xC0:
                asked.add(data[10])

        for _ in range(30):
            async with session_to(row, trace=trace) as session:
                await session.get([OLD_QUESTION])
    assert len(asked) > 3


# -- talkers -----------------------------------------------------------------------------------------------------------

class Talker:
    """A transport whose other side never stops: at every look there is more."""

    def __init__(self, chatter: bytes) -> None:
        self.chatter = chatter
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Nobody listens."""

    async def read(self, deadline: float | None) -> bytes:
        del deadline
        await asyncio.sleep(0)
        return self.chatter

    def waiting(self) -> bytes:
        return b""

    async def ready(self, gap_s: float) -> None:
        """Whoever never stops is not waited for."""

    async def close(self, within_s: float) -> None:
        """Nothing to wait for."""

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("settle_s", [0.0, 0.02])
@pytest.mark.parametrize("chatter", [b"\x00", b"~", b"~\xa0", b"hello "])
async def test_whoever_never_stops_talking_meets_the_deadline_all_the_same(chatter: bytes, settle_s: float) -> None:
    talker = Talker(chatter)

    async def connect() -> Talker:
        return talker

    settings = AssociationSettings("hdlc", 1, 1, association_timeout_s=0.1, exchange_timeout_s=0.1)
    session = MeterSession(connect, settings, settle_s=settle_s)
    async with asyncio.timeout(5.0):
        with pytest.raises(MeterError):
            await session.open()
    assert talker.aborted


async def test_a_bridge_that_refuses_while_the_line_settles_is_named() -> None:
    async with simulated("hdlc", Quirks(second_client="refused")) as (_, row), session_to(row):
        with pytest.raises(BridgeBusy, match="Port already in use"):
            await session_to(row, settle_s=0.1).open()
