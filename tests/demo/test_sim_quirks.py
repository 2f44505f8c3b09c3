"""Every switch of the simulated line and meter does what it says, while connections are open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge.demo import bridge, meter_objects
from edge.demo.bridge import Line, Quirks
from edge.demo.meter_apdu import Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import hdlc, wrapper

# Public client 16, no authentication; as recorded from an independent client.
AARQ = bytes.fromhex("601da109060760857405080101be10040e01000000065f1f040000121d0400")
VOLTAGE = bytes((1, 0, 32, 7, 0, 255))


def get(invoke_id: int = 0xC1, obis: bytes = VOLTAGE, attribute: int = 2) -> bytes:
    return bytes((0xC0, 0x01, invoke_id, 0x00, 0x03)) + obis + bytes((attribute, 0))


class WrapperClient:
    """A bare client: bytes out, bytes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, apdu: bytes) -> None:
        self.writer.write(wrapper.encode(16, 1, apdu))

    async def receive(self) -> bytes:
        header = await asyncio.wait_for(self.reader.readexactly(8), 2)
        return await self.reader.readexactly(int.from_bytes(header[6:], "big"))

    async def ask(self, apdu: bytes) -> bytes:
        self.send(apdu)
        return await self.receive()

    async def silence(self, for_s: float = 0.05) -> None:
        """Nothing comes, and nobody closes."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), for_s)


class HdlcClient(WrapperClient):
    """The same over HDLC with one-byte addresses; counts its frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.deframer = hdlc.Deframer()
        self.frames: list[hdlc.HdlcFrame] = []
        self.sent = 0

    def frame(self, control: int, information: bytes = b"", address: bytes = b"\x03") -> None:
        self.writer.write(hdlc.encode_frame(hdlc.HdlcFrame(address, b"\x21", control, information)))

    def send(self, apdu: bytes) -> None:
        self.frame(self.sent << 1 | 0x10 | self.sent << 5, b"\xe6\xe6\x00" + apdu)
        self.sent = self.sent + 1 & 7

    async def receive_frame(self) -> hdlc.HdlcFrame:
        while not self.frames:
            data = await asyncio.wait_for(self.reader.read(4096), 2)
            assert data, "closed"
            self.frames += self.deframer.feed(data)
        return self.frames.pop(0)

    async def receive(self) -> bytes:
        return (await self.receive_frame()).information[3:]

    async def connect(self) -> None:
        self.frame(hdlc.SNRM)
        assert (await self.receive_frame()).control == hdlc.UA


class Scene:
    """One meter and its clients."""

    def __init__(self, meter: SimulatedMeter) -> None:
        self.meter = meter
        self._writers: list[asyncio.StreamWriter] = []

    async def client(self, *, associate: bool = True) -> Any:
        reader, writer = await asyncio.open_connection(*self.meter.address)
        self._writers.append(writer)
        if self.meter.settings.framing == "wrapper":
            client = WrapperClient(reader, writer)
        else:
            client = HdlcClient(reader, writer)
            if associate:
                await client.connect()
        if associate:
            assert (await client.ask(AARQ))[0] == 0x61
        return client

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def scene(quirks: Quirks | None = None, *, framing: str = "wrapper", manners: Manners | None = None,
                **settings: Any) -> AsyncIterator[Scene]:
    model = MeterModel(serial="77", seed=5)
    meter = SimulatedMeter("m", model, MeterSettings(framing=framing, manners=manners or Manners(), **settings), quirks,
                           seed=9)
    await meter.start()
    stage = Scene(meter)
    try:
        yield stage
    finally:
        stage.close()
        await meter.close()


# -- who is served -----------------------------------------------------------------------------------------------------

async def test_second_client_is_refused_in_words() -> None:
    async with scene(bridge.ser2net((0.0, 0.0)), framing="hdlc") as s:
        first = await s.client()
        second = await s.client(associate=False)
        assert await asyncio.wait_for(second.reader.read(), 2) == b"Port already in use\r\n"
        assert (await first.ask(get()))[:4] == bytes((0xC4, 0x01, 0xC1, 0x00))
        assert s.meter.counters.refused_connections == 1


async def test_second_client_is_not_served_and_the_next_one_is() -> None:
    async with scene(Quirks(second_client="silent"), framing="hdlc") as s:
        first = await s.client()
        second = await s.client(associate=False)
        second.frame(hdlc.SNRM)
        await second.silence()
        first.writer.close()
        await first.writer.wait_closed()
        second.frame(hdlc.SNRM)
        await second.silence()          # it came when the place was taken, and stays unserved
        third = await s.client()
        assert (await third.ask(get()))[3] == 0


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_idle_bridge_speaks_and_closes(framing: str) -> None:
    async with scene(Quirks(idle_close_s=0.6), framing=framing) as s:
        client = await s.client()
        await asyncio.sleep(0.3)
        assert (await client.ask(get()))[0] == 0xC4       # activity puts it off
        started = asyncio.get_running_loop().time()
        rest = await asyncio.wait_for(client.reader.read(), 2)
        assert rest == bridge.IDLE_TEXT
        assert b"inactivity (30 sec)\r\nCLOSE" in rest
        assert asyncio.get_running_loop().time() - started >= 0.55


async def test_idle_time_switched_on_for_an_open_connection() -> None:
    async with scene() as s:
        client = await s.client()
        s.meter.quirks.idle_close_s = 0.1
        await client.ask(get())
        assert await asyncio.wait_for(client.reader.read(), 2) == bridge.IDLE_TEXT
        other = await s.client()
        s.meter.quirks = Quirks()
        await asyncio.sleep(0.15)
        assert (await other.ask(get()))[0] == 0xC4


# -- when and how bytes come -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("chunk", [1, 5, 127])
async def test_answers_in_pieces_are_whole_in_the_end(framing: str, chunk: int) -> None:
    async with scene(Quirks(chunk_bytes=chunk, chunk_gap_s=0.0), framing=framing) as s:
        client = await s.client()
        for invoke_id in range(0xC0, 0xCF):
            assert (await client.ask(get(invoke_id)))[:4] == bytes((0xC4, 0x01, invoke_id, 0x00))


async def test_latency_is_kept_and_follows_the_seed() -> None:
    quirks = Quirks(latency_s=(0.2, 0.4), tail_share=0.05, tail_s=6.7)
    plans = []
    for _ in range(2):
        line = Line(quirks, seed=4)
        plans.append([line.plan(b"answer", now=100.0 * n)[0][0] - 100.0 * n for n in range(1, 500)])
    assert plans[0] == plans[1]
    assert min(plans[0]) >= 0.2
    assert 0.4 < max(plans[0]) <= 6.7
    tails = sum(delay > 0.4 for delay in plans[0])
    assert 10 <= tails <= 45                       # 5 % of 499
    async with scene(Quirks(latency_s=(0.1, 0.12))) as s:
        client = await s.client()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await client.ask(get())
        assert 0.1 <= loop.time() - started < 0.5


def test_pieces_never_overtake() -> None:
    line = Line(Quirks(latency_s=(0.0, 1.0), chunk_bytes=3, chunk_gap_s=0.01, join_share=0.3), seed=1)
    dues = [due for n in range(200) for due, _ in line.plan(b"0123456789", now=n * 0.05)]
    assert dues == sorted(dues)


async def test_joined_answers_come_in_one_piece() -> None:
    """What was held back arrives together with what follows it, in order."""
    line = Line(Quirks(join_share=1.0, join_s=0.3), seed=1)
    ((first, one),) = line.plan(b"first", now=10.0)
    line.quirks.join_share = 0.0
    ((second, two),) = line.plan(b"second", now=10.1)
    assert (first, second, one + two) == (10.3, 10.3, b"firstsecond")
    async with scene(Quirks(join_share=1.0, join_s=0.2)) as s:
        client = await s.client()
        client.send(get(0xC1))
        client.send(get(0xC2))
        assert [(await client.receive())[2] for _ in range(2)] == [0xC1, 0xC2]


async def test_noise_and_flipped_bits_spare_no_answer_unharmed() -> None:
    async with scene(Quirks(noise_share=1.0), framing="hdlc") as s:
        client = await s.client()
        for invoke_id in range(0xC0, 0xCF):
            assert (await client.ask(get(invoke_id)))[2] == invoke_id      # the deframer finds them behind the noise
        s.meter.quirks.noise_share = 0.0
        s.meter.quirks.corrupt_share = 1.0
        client.send(get())
        with pytest.raises((TimeoutError, AssertionError)):
            await asyncio.wait_for(client.receive_frame(), 0.1)


async def test_flag_octet_in_a_value() -> None:
    async with scene(framing="hdlc") as s:
        client = await s.client()
        s.meter.model.hold(VOLTAGE, 0x7E7E)
        assert await client.ask(get(0x7E)) == bytes((0xC4, 0x01, 0x7E, 0x00, 0x12, 0x7E, 0x7E))
        s.meter.model.hold(VOLTAGE, None)
        assert (await client.ask(get()))[-2:] != b"\x7e\x7e"


async def test_injected_words_reach_the_stream() -> None:
    async with scene() as s:
        client = await s.client()
        s.meter.inject(b"LED on\r\n")
        assert await asyncio.wait_for(client.reader.readexactly(8), 2) == b"LED on\r\n"


# -- residue -----------------------------------------------------------------------------------------------------------

async def test_late_answer_reaches_the_next_client() -> None:
    async with scene(Quirks(residue=True), framing="hdlc") as s:
        first = await s.client(associate=False)
        s.meter.quirks.latency_s = (0.1, 0.1)
        first.frame(hdlc.SNRM)
        await asyncio.sleep(0.02)
        first.writer.transport.abort()
        await asyncio.sleep(0.2)                     # the UA comes when nobody is there
        second = await s.client(associate=False)
        assert (await second.receive_frame()).control == hdlc.UA


async def test_without_residue_nothing_is_left() -> None:
    async with scene(Quirks(latency_s=(0.05, 0.05)), framing="hdlc") as s:
        first = await s.client(associate=False)
        first.frame(hdlc.SNRM)
        await asyncio.sleep(0.01)
        first.writer.transport.abort()
        await asyncio.sleep(0.1)
        second = await s.client(associate=False)
        await second.silence()


async def test_stale_ua_comes_first() -> None:
    async with scene(Quirks(stale_first=True), framing="hdlc") as s:
        first = await s.client()
        first.writer.transport.abort()
        await asyncio.sleep(0.01)
        second = await s.client(associate=False)
        assert (await second.receive_frame()).control == hdlc.UA
        second.frame(hdlc.SNRM)
        assert (await second.receive_frame()).control == hdlc.UA


# -- how it ends -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("then", ["silent", "half-open"])
async def test_silent_after_some_requests(then: Any) -> None:
    async with scene(Quirks(after_requests=3, then=then)) as s:
        client = await s.client()
        await client.ask(get())
        await client.ask(get())
        client.send(get())
        await client.silence()
        client.send(get())
        await client.silence()


async def test_closes_and_resets_after_some_requests() -> None:
    async with scene(Quirks(after_requests=2, then="close")) as s:
        client = await s.client()
        await client.ask(get())
        client.send(get())
        assert await asyncio.wait_for(client.reader.read(), 2) == b""
        s.meter.quirks.then = "reset"
        client = await s.client()
        await client.ask(get())
        client.send(get())
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(), 2)


async def test_outage_on_command_and_back() -> None:
    async with scene() as s:
        client = await s.client()
        s.meter.quirks.meter_silent = True
        client.send(get())
        await client.silence()
        s.meter.quirks.meter_silent = False
        assert (await client.ask(get(0xC2)))[2] == 0xC2
        s.meter.drop_connections(reset=True)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(), 2)


async def test_power_cut() -> None:
    async with scene(framing="hdlc") as s:
        await s.client()
        await s.meter.power_off()
        with pytest.raises(OSError):
            await s.client(associate=False)
        await s.meter.power_on()
        client = await s.client(associate=False)
        client.frame(0x10, b"\xe6\xe6\x00" + get())
        assert (await client.receive_frame()).control == hdlc.DM       # it remembers no link
        assert await s.client() is not None


async def test_association_outlives_the_connection_behind_a_bridge() -> None:
    async with scene(framing="hdlc") as s:
        first = await s.client()
        first.writer.transport.abort()
        second = await s.client(associate=False)
        second.sent = 1
        assert (await second.ask(get()))[:4] == bytes((0xC4, 0x01, 0xC1, 0x00))


@pytest.mark.parametrize(("framing", "refusal"), [("wrapper", bytes((0xD8, 0x01, 0x02))), ("hdlc", b"")])
async def test_inactivity_ends_link_and_association(framing: str, refusal: bytes) -> None:
    now = [1e9]
    meter = SimulatedMeter("m", MeterModel(serial="1", seed=1), MeterSettings(framing=framing), now=lambda: now[0])
    await meter.start()
    stage = Scene(meter)
    client = await stage.client()
    now[0] += 179
    assert (await client.ask(get()))[0] == 0xC4
    now[0] += 181
    assert await client.ask(get()) == refusal          # over HDLC: DM, which carries nothing
    stage.close()
    await meter.close()


# -- what the meter says -----------------------------------------------------------------------------------------------

async def test_busy_bursts() -> None:
    manners = Manners(busy_every=5, busy_length=2)
    async with scene(manners=manners) as s:
        client = await s.client()
        answers = [await client.ask(get()) for _ in range(10)]
        refused = bytes((0xC4, 0x01, 0xC1, 0x01, 0x02))
        assert [answer == refused for answer in answers] == [True, True, False, False, False] * 2
        manners.busy_answer = "exception"
        assert await client.ask(get()) == bytes((0xD8, 0x02, 0x01))


async def test_password_and_identity_change_while_running() -> None:
    async with scene(manners=Manners(passwords={16: None})) as s:
        client = await s.client()
        name = bytes((0xC0, 0x01, 0xC1, 0x00, 0x01)) + meter_objects.LOGICAL_DEVICE_NAME + b"\x02\x00"
        assert (await client.ask(name))[6:] == b"HGW77"
        s.meter.model.become("78")
        assert (await client.ask(name))[6:] == b"HGW78"
        s.meter.settings.manners.passwords[16] = b"secret"
        answer = await client.ask(AARQ)
        assert b"\xa2\x03\x02\x01\x01" in answer
        assert (await client.ask(get()))[0] == 0xD8


async def test_no_lists_when_switched_off_and_whole_objects_when_on() -> None:
    with_list = bytes((0xC0, 0x03, 0xC1, 0x01, 0x00, 0x03)) + VOLTAGE + b"\x02\x00"
    async with scene(manners=Manners(conformance=0x00301D)) as s:
        client = await s.client(associate=False)
        aare = await client.ask(AARQ.replace(bytes.fromhex("00121d"), bytes.fromhex("00321d")))
        assert bytes.fromhex("00301d") in aare
        assert (await client.ask(with_list))[0] == 0xD8
        whole = await client.ask(get(attribute=0))
        assert whole[3:6] == bytes((0x00, 0x02, 0x03))         # structure of three attributes
        assert whole.endswith(bytes((0x02, 0x02, 0x0F, 0xFF, 0x16, 0x23)))


async def test_bytes_that_are_no_wrapper_end_the_connection() -> None:
    async with scene() as s:
        client = await s.client(associate=False)
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(client.reader.read(), 2) == b""


async def test_repetition_of_a_frame_is_answered_again_and_not_executed_twice() -> None:
    async with scene(framing="hdlc") as s:
        client = await s.client()
        first = await client.ask(get())
        client.sent -= 1
        assert await client.ask(get()) == first
        assert s.meter.counters.requests == 1
        client.frame(0x01 | 0x10 | 1 << 5)                   # RR that asks for the last I-frame again
        assert await client.receive() == first


async def test_half_a_frame_of_a_dead_client_does_not_swallow_the_next_ones() -> None:
    now = [1e9]
    meter = SimulatedMeter("m", MeterModel(serial="1", seed=1), MeterSettings(framing="hdlc"), now=lambda: now[0])
    await meter.start()
    stage = Scene(meter)
    first = await stage.client()
    first.writer.write(bytes.fromhex("7ea07f032110"))
    await first.writer.drain()
    await asyncio.sleep(0.02)
    first.writer.transport.abort()
    now[0] += 3
    second = await stage.client()
    assert (await second.ask(get()))[3] == 0
    stage.close()
    await meter.close()
