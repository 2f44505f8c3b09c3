"""Faults on request: each switch of the meter's manners shows in the bytes; and hostile clients never hurt the meter."""

import asyncio
from typing import Any

import pytest
from gurux_client import GuruxReader, hdlc_address
from gurux_dlms import GXDLMSException
from gurux_secure import KEYS, TITLE
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim_quirks import AARQ, VOLTAGE, Scene, get, scene

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import EVERYTHING, CosemServer, Counters, Manners, Secured
from edge.demo.meter_model import MeterModel
from edge.demo.meter_security import Cipher, seal
from edge.demo.meter_settings import MeterSettings, SignOn
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import hdlc

NOW = 1_772_368_205.0
LONG = bytes((0xC0, 1, 0xC1, 0, 1)) + objects.LONG_DATA + b"\x02\x00"


def aarq(conformance: int = EVERYTHING, max_pdu: int = 1024) -> bytes:
    return AARQ.replace(bytes.fromhex("00121d"), conformance.to_bytes(3, "big"))[:-2] + max_pdu.to_bytes(2, "big")


def server(manners: Manners | None = None, *, sap: int = 1, max_pdu: int = 1024, conformance: int = EVERYTHING) -> CosemServer:
    """An associated server; SAP 1 comes without a password here."""
    manners = manners or Manners(passwords={1: None}, conformance=conformance)
    made = CosemServer(MeterModel(serial="77", seed=5), manners, Counters(), sap)
    aare = made.answer(aarq(max_pdu=max_pdu), NOW)
    assert aare is not None
    assert b"\xa2\x03\x02\x01\x00" in aare
    return made


def open_to_all(**more: Any) -> Manners:
    return Manners(passwords={1: None}, conformance=EVERYTHING & ~0x200000, **more)


def test_long_lengths_in_the_aare() -> None:
    made = CosemServer(MeterModel(serial="77", seed=5), open_to_all(long_aare=True), Counters(), 1)
    aare = made.answer(aarq(), NOW)
    assert aare is not None
    assert aare[:2] == b"\x61\x81"
    assert len(aare) == aare[2] + 3
    assert b"\xbe\x81\x10\x04\x0e\x08" in aare


def test_no_limit_and_wrong_conformance_in_the_aare() -> None:
    made = CosemServer(MeterModel(serial="77", seed=5), open_to_all(announce_no_limit=True, wrong_conformance=True), Counters(), 1)
    aare = made.answer(aarq(0xFFFFFF), NOW)
    assert aare is not None
    assert aare.endswith(bytes.fromhex("5f1f0400" + "ffffff" + "0000" + "0007"))
    assert made.conformance == EVERYTHING & ~0x200000


def test_another_invoke_id() -> None:
    made = server(open_to_all(invoke_id="other"))
    assert made.answer(get(0xC4), NOW)[:3] == b"\xc4\x01\xc5"


@pytest.mark.parametrize(("blocks", "numbers"), [("right", [1, 2, 3]), ("skipped", [1, 3, 4]), ("doubled", [1, 1, 2])])
def test_block_numbers(blocks: Any, numbers: list[int]) -> None:
    made = server(open_to_all(blocks=blocks), max_pdu=150)
    answers = [made.answer(LONG, NOW)]
    answers += [made.answer(bytes((0xC0, 2, 0xC1)) + number.to_bytes(4, "big"), NOW) for number in (1, 2)]
    assert [int.from_bytes(answer[4:8], "big") for answer in answers if answer] == numbers


def test_release_refused_and_accepted() -> None:
    made = server(open_to_all(refuse_release=True))
    assert made.answer(b"\x62\x00", NOW) == bytes((0xD8, 2, 2))
    assert made.answer(get(), NOW)[0] == 0xC4
    assert server().answer(b"\x62\x03\x80\x01\x00", NOW)[0] == 0x63


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_something_unasked_before_each_answer(framing: str) -> None:
    notice = bytes.fromhex("0fc0000001000203" + "1208fd" + "120901" + "06075bcd15")
    async with scene(framing=framing) as s:
        client = await s.client()
        s.meter.settings.manners.notify_before = notice
        client.send(get())
        assert await client.receive() == notice
        assert (await client.receive())[0] == 0xC4


async def test_lock_out_after_wrong_passwords() -> None:
    manners = Manners(passwords={1: b"12345678"}, lock_after=3, lock_s=60)
    now = [NOW]
    meter = SimulatedMeter("m", MeterModel(serial="1", seed=3), MeterSettings(manners=manners), now=lambda: now[0])
    host, port = await meter.start()

    def attempt(password: bytes) -> bool:
        reader = GuruxReader(host, port, "wrapper", 1, 1, password)
        try:
            reader.connect()
        except (GXDLMSException, ValueError):
            return False
        finally:
            reader.close()
        return True
    assert await asyncio.to_thread(attempt, b"12345678")
    for _ in range(3):
        assert not await asyncio.to_thread(attempt, b"00000000")
    assert not await asyncio.to_thread(attempt, b"12345678"), "locked"
    now[0] += 61
    assert await asyncio.to_thread(attempt, b"12345678")
    await meter.close()


async def test_another_address_after_a_move() -> None:
    async with scene() as s:
        client = await s.client()
        old = s.meter.address
        assert await s.meter.move() != old
        with pytest.raises(OSError):
            await asyncio.open_connection(*old)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.receive()
        assert (await (await s.client()).ask(get()))[0] == 0xC4


async def test_flag_octet_in_the_fcs() -> None:
    """A value for which the answer's checksum has a 0x7E is found and held, as a test of a deframer may do."""
    async with scene(framing="hdlc") as s:
        client = await s.client()
        found = 0
        for value in range(0x100, 0x400):
            s.meter.model.hold(VOLTAGE, value)
            answer = await client.ask(get())
            assert answer[-2:] == value.to_bytes(2, "big")
            control = (client.sent - 1 & 7) << 1 | 0x10 | client.sent << 5
            frame = hdlc.encode_frame(hdlc.HdlcFrame(b"\x21", b"\x03", control, b"\xe6\xe7\x00" + answer))
            found += 0x7E in frame[-3:-1]
        assert found > 0


async def test_two_meters_on_one_line() -> None:
    """A bus: each answers at its own address; a silent address stays silent."""
    first, second = MeterModel(serial="1111", seed=1), MeterModel(serial="2222", seed=2)

    def at(physical: int) -> MeterSettings:
        return MeterSettings(framing="hdlc", server_physical=physical, address_bytes=4, manners=Manners(passwords={16: None}))
    meter = SimulatedMeter("bus", first, at(1111), neighbours=[(second, at(2222))])
    host, port = await meter.start()

    def read(physical: int) -> str:
        reader = GuruxReader(host, port, "hdlc", 16, hdlc_address(1, physical, 4), address_bytes=4, timeout_s=0.3)
        try:
            reader.connect()
            return bytes(reader.raw(1, "0.0.96.1.0.255", 2)).decode()
        finally:
            reader.close()
    assert [await asyncio.to_thread(read, physical) for physical in (1111, 2222, 1111)] == ["1111", "2222", "1111"]
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(read, 3333)
    await meter.close()


async def test_mode_e_opens_with_text() -> None:
    now = [NOW]
    meter = SimulatedMeter("m", MeterModel(serial="77", seed=5), MeterSettings(framing="hdlc", sign_on=SignOn(b"HGW5METER")),
                           now=lambda: now[0])
    await meter.start()
    stage = Scene(meter)
    client = await stage.client(associate=False)
    client.frame(hdlc.SNRM)
    await client.silence()
    client.writer.write(b"/?!\r\n")
    assert await asyncio.wait_for(client.reader.readexactly(12), 2) == b"/HGW5METER\r\n"
    client.writer.write(b"\x06050\r\n")                        # mode C: not here
    await client.silence()
    client.writer.write(b"/?!\r\n")
    assert await asyncio.wait_for(client.reader.readexactly(12), 2) == b"/HGW5METER\r\n"
    client.writer.write(b"\x06252\r\n")
    assert await asyncio.wait_for(client.reader.readexactly(6), 2) == b"\x06252\r\n"
    await client.connect()
    assert (await client.ask(AARQ))[0] == 0x61
    now[0] += 31
    client.frame(hdlc.SNRM)
    await client.silence()
    stage.close()
    await meter.close()


# -- general blocks with losses ----------------------------------------------------------------------------------------

def general(control: int, number: int, acknowledged: int, data: bytes = b"") -> bytes:
    return bytes((0xE0, control)) + number.to_bytes(2, "big") + acknowledged.to_bytes(2, "big") + objects.length(len(data)) + data


def parts(blocks: list[bytes]) -> list[tuple[int, int, int]]:
    return [(block[1] & 0xC0, int.from_bytes(block[2:4], "big"), int.from_bytes(block[4:6], "big")) for block in blocks]


def test_general_blocks_stream_in_windows_and_come_again_when_lost() -> None:
    made = server(Manners(passwords={1: None}, conformance=EVERYTHING, gbt_loses={3}), max_pdu=73)
    asked = made.answers(general(0x83, 1, 0, LONG), NOW)               # last block of the request, window 3
    assert parts(asked) == [(0x40, 1, 1), (0x40, 2, 1)]                # block 3 is lost
    again = made.answers(general(0x03, 2, 2), NOW)
    assert parts(again) == [(0x40, 3, 2), (0x40, 4, 2), (0x80, 5, 2)]
    data = b"".join(block[7:] for block in asked + again)
    assert data == bytes((0xC4, 1, 0xC1, 0)) + objects.octets(b"x" * 300)
    assert made.answers(general(0x03, 3, 5), NOW) == []
    assert made.answer(get(), NOW)[0] == 0xC4


def test_a_request_in_general_blocks_with_a_hole() -> None:
    made = server(Manners(passwords={1: None}, conformance=EVERYTHING))
    pieces = [LONG[:5], LONG[5:9], LONG[9:]]
    assert made.answers(general(0x41, 1, 0, pieces[0]), NOW) == []
    (acknowledged,) = made.answers(general(0x81, 3, 0, pieces[2]), NOW)
    assert int.from_bytes(acknowledged[4:6], "big") == 1, "block 2 is missing"
    assert made.answers(general(0x41, 2, 0, pieces[1]), NOW) == []
    answer = made.answers(general(0x81, 3, 0, pieces[2]), NOW)
    assert b"x" * 300 in answer[0]


# -- hostile clients ---------------------------------------------------------------------------------------------------

requests = st.one_of(
    st.binary(max_size=80),
    st.tuples(st.sampled_from([0xC0, 0xC1, 0xC3, 0xD9, 0xE0, 0xDB, 0xDC, 0xC8, 0xCB, 0x60, 0x62]), st.integers(0, 7),
              st.binary(max_size=60)).map(lambda made: bytes(made[:2]) + made[2]),
    st.tuples(st.sampled_from([0xC0, 0xC1, 0xC3]), st.sampled_from([1, 2, 4, 5]), st.sampled_from(
        [(7, objects.LOAD_PROFILE), (8, objects.CLOCK), (18, objects.IMAGE_TRANSFER), (70, objects.DISCONNECT), (40, objects.PUSH_SETUP),
         (3, VOLTAGE)]), st.integers(0, 9), st.binary(max_size=50)).map(
        lambda made: bytes((made[0], made[1], 0xC1)) + made[2][0].to_bytes(2, "big") + made[2][1] + bytes((made[3],)) + made[4]))


@given(st.lists(requests, max_size=12))
@settings(max_examples=400, deadline=None)
def test_hostile_requests_are_answered_or_ignored(attack: list[bytes]) -> None:
    made = server(Manners(passwords={1: None}, conformance=EVERYTHING), max_pdu=200)
    for request in attack:
        for answer in made.answers(request, NOW):
            assert answer
    assert made.answer(aarq(), NOW)[0] == 0x61
    assert made.answer(get(), NOW)[0] == 0xC4


@given(st.lists(st.tuples(requests, st.integers(0, 0x33), st.booleans()), max_size=6))
@settings(max_examples=200, deadline=None)
def test_hostile_requests_under_cipher(attack: list[tuple[bytes, int, bool]]) -> None:
    """Whatever is inside, rightly sealed or not: an answer, an exception or silence; and the counters only rise."""
    client = Secured(5, encryption_key=KEYS[0][0], authentication_key=KEYS[0][1])
    model = MeterModel(serial="77", seed=5)
    made = CosemServer(model, Manners(secured={3: client}, conformance=EVERYTHING), Counters(), 3)
    made._cipher = Cipher(client, 3, b"METER001", TITLE, model.device.client_counters, model.device.own_counters)
    made.associated, made.agreed.conformance, made.agreed.public = True, EVERYTHING, False
    for counter, (request, control, damaged) in enumerate(attack):
        body = seal(*KEYS[0], TITLE, control, counter, request)
        body = body[:-1] + bytes((body[-1] ^ damaged,))
        answers = made.answers(bytes((0xDB, 8)) + TITLE + objects.length(len(body)) + body, NOW)
        assert all(answer[0] in (0xDB, 0xD8, 0xE0) for answer in answers)
    assert sorted(model.device.client_counters) in ([], [3])
