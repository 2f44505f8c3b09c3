"""Meters that want a sign-on: on a serial line at 300 baud, behind a bridge at whatever it is set to."""

import asyncio

import pytest
from poll_bench import GENERIC_PROFILE, PASSWORD, Bench, meter_model, moved, session_to, shown
from serial_site import ENERGY, PATIENT, serial_line

from edge.demo.bridge import Quirks
from edge.demo.meter_manners import Manners
from edge.demo.meter_settings import MeterSettings, SignOn
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import mode_e
from edge.errors import BridgeBusy, NoAnswer, Refused
from edge.model import Meter
from edge.poll.session import MeterSession

SIGN_ON = SignOn(rb"HGW5\2METER", parity=True)
TARGETS = [spec.target for spec in GENERIC_PROFILE.objects]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is not waited for as long as real meters need."""
    monkeypatch.setattr(mode_e, "REACTION_MOST_S", 0.1)


def to(row: Meter) -> MeterSession:
    return session_to(row, settings=PATIENT)


async def energy(session: MeterSession) -> object:
    return (await session.get(TARGETS))[[spec.key for spec in GENERIC_PROFILE.objects].index("active_energy")].data


@pytest.mark.parametrize(("query", "baud"), [("?baud=2400", 2400), ("?baud=19200", 9600)])
async def test_a_meter_is_signed_on_to_and_polled_at_the_speed_agreed(query: str, baud: int) -> None:
    with serial_line(sign_ons=[SIGN_ON], query=query) as (line, [row]):
        async with Bench(row, settings=PATIENT).running() as bench:
            await bench.sink.until(lambda records: len(records) >= 2)
        assert bench.sink.reasons() == []
        assert {shown(record)["active_energy"] for record in bench.sink.records} == {ENERGY + 17}
        assert line.counters.associations == 1
        speeds = [speed for speed, _ in line.heard]
        assert speeds[:2] == [300, 300]
        assert set(speeds[2:]) == {baud}, "from the first frame on"
        assert line.heard[0][1] == bytes.fromhex("af3f218d0a")


@pytest.mark.usefixtures("hurried")
async def test_a_meter_that_does_not_confirm_is_reached_all_the_same() -> None:
    with serial_line(sign_ons=[SignOn(rb"HGW6\2METER", parity=True, confirms=False)]) as (_, [row]):
        async with to(row) as session:
            assert await energy(session) == ENERGY + 17


@pytest.mark.usefixtures("hurried")
async def test_a_meter_that_is_in_hdlc_already_is_found_there() -> None:
    with serial_line(sign_ons=[SIGN_ON]) as (line, [row]):
        lost = to(row)
        await lost.open()
        lost.abort()      # as when the gateway's power fails
        assert line.client_baud == 9600
        async with to(row) as session:
            assert await energy(session) == ENERGY + 17


@pytest.mark.usefixtures("hurried")
async def test_nobody_at_all_is_told_with_both_ways_that_were_tried() -> None:
    with serial_line(sign_ons=[SIGN_ON]) as (line, [row]):
        line.silent = True
        session = session_to(row, settings=PATIENT)
        session.settings = moved(session.settings, association_timeout_s=0.1)
        with pytest.raises(NoAnswer, match=r"1/17 .*; the sign-on of mode E was not answered either"):
            await session.open()


async def test_a_meter_that_only_reads_itself_out_is_refused() -> None:
    with (serial_line(sign_ons=[SignOn(b"HGW5METER", parity=True, mode_e=False)]) as (_, [row]),
          pytest.raises(Refused, match="'HGW5METER' answers the sign-on of mode E with a readout")):
        await to(row).open()


async def test_of_several_on_a_line_the_one_that_is_meant_answers() -> None:
    ones = [SignOn(b"HGW5ONE", address=b"0011", parity=True), SignOn(b"HGW4TWO", address=b"0022", parity=True)]
    with serial_line((17, 18), sign_ons=ones) as (line, [one, two]):
        for row, held, baud in ((one, ENERGY + 17, 9600), (two, ENERGY + 18, 4800)):
            async with to(row) as session:
                assert await energy(session) == held
            assert line.heard[-1][0] == baud
        assert b"/?0022!" in bytes(octet & 0x7F for octet in b"".join(data for _, data in line.heard))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("parity", [True, False])
async def test_behind_a_bridge_too_whichever_way_it_is_set(parity: bool) -> None:
    settings = MeterSettings(framing="hdlc", server_physical=17, address_bytes=4, manners=Manners(passwords={1: PASSWORD}),
                             sign_on=SignOn(rb"HGW5\2METER", parity=parity))
    meter = SimulatedMeter("m", meter_model(), settings)
    host, port = await meter.start()
    row = Meter("m", host, port, framing="hdlc", client_sap=1, server_physical=17, address_bytes=4, opening="mode-e")
    async with to(row) as session:
        assert await energy(session) is not None
    await meter.close()


async def test_a_bridge_that_serves_somebody_else_is_named_during_the_sign_on() -> None:
    settings = MeterSettings(framing="hdlc", server_physical=17, address_bytes=4, sign_on=SIGN_ON)
    meter = SimulatedMeter("m", meter_model(), settings, Quirks(second_client="refused"))
    host, port = await meter.start()
    row = Meter("m", host, port, framing="hdlc", client_sap=1, server_physical=17, address_bytes=4, opening="mode-e")
    _, writer = await asyncio.open_connection(host, port)
    with pytest.raises(BridgeBusy, match="Port already in use"):
        await to(row).open()
    writer.close()
    await meter.close()
