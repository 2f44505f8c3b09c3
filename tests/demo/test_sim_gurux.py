"""A foreign client reads the simulated meter whole: every register, clock, serial, object list, long values."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import pytest
from gurux_client import GuruxReader, hdlc_address
from gurux_dlms import GXDLMSException
from gurux_dlms.enums import ObjectType
from gurux_dlms.objects import GXDLMSData, GXDLMSRegister

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import MICROSTAR as MICROSTAR_CONFORMANCE
from edge.demo.meter_apdu import Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter

NOW = dt.datetime(2026, 3, 1, 12, 30, 5, tzinfo=dt.UTC).timestamp()
PASSWORD = b"41414141"


class Way(NamedTuple):
    """One way to reach a meter."""

    framing: str
    client_sap: int
    physical: int | None = None
    address_bytes: int = 1
    max_pdu: int = 1024


WAYS = [
    Way("wrapper", 16), Way("wrapper", 1), Way("wrapper", 1, max_pdu=128), Way("hdlc", 16), Way("hdlc", 1),
    Way("hdlc", 1, 17, 2), Way("hdlc", 1, 1234, 4), Way("hdlc", 1, 8100, 4, 256),
]


def dotted(registers: objects.RegisterSet) -> list[str]:
    return [".".join(str(group) for group in registers.obis(spec)) for spec in registers.specs]


async def with_meter(way: Way, work: Callable[[GuruxReader], None], *, registers: objects.RegisterSet = objects.GENERIC,
                     conformance: int = Manners().conformance) -> SimulatedMeter:
    """Run `work` with a connected foreign reader in a thread, against a meter whose time stands still."""
    manners = Manners(passwords={16: None, 1: PASSWORD}, conformance=conformance)
    settings = MeterSettings(framing=way.framing, server_physical=way.physical, address_bytes=way.address_bytes,
                             manners=manners)
    meter = SimulatedMeter("m", MeterModel(serial="0000123456", seed=3, registers=registers), settings, now=lambda: NOW)
    host, port = await meter.start()
    address = hdlc_address(1, way.physical, way.address_bytes) if way.framing == "hdlc" else 1

    def run() -> None:
        with GuruxReader(host, port, way.framing, way.client_sap, address, PASSWORD if way.client_sap == 1 else b"",
                         address_bytes=way.address_bytes if way.address_bytes == 4 else 0, max_pdu=way.max_pdu) as reader:
            work(reader)

    try:
        await asyncio.to_thread(run)
    finally:
        await meter.close()
    return meter


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_reads_everything(way: Way) -> None:
    codes = dotted(objects.GENERIC)

    def work(reader: GuruxReader) -> None:
        assert reader.read_values(codes) == expected
        assert reader.read_scalers(codes) == [(spec.scaler, spec.unit) for spec in objects.GENERIC.specs]
        assert reader.raw(ObjectType.CLOCK, "0.0.1.0.0.255", 2) == bytes.fromhex("07ea0301070c1e0500000000")
        assert reader.raw(ObjectType.DATA, "1.0.0.0.0.255", 2) == "0000123456"
        assert reader.raw(ObjectType.DATA, "0.0.96.1.0.255", 2) == b"0000123456"
        assert reader.raw(ObjectType.DATA, "0.0.96.50.1.255", 2) == b"x" * 300
        assert reader.raw(ObjectType.DATA, "0.0.96.50.0.255", 2) == 230.25
        found = reader.object_list()
        assert {code for class_id, code in found if class_id == ObjectType.REGISTER} == {*codes, "1.0.1.8.1.255", "1.0.1.8.2.255"}
        assert (ObjectType.CLOCK, "0.0.1.0.0.255") in found
        if way.max_pdu > 200:          # below, the library itself miscounts the items of a list request
            assert reader.read_list(codes) == expected
        seen.append(1)

    seen: list[int] = []
    expected = list(MeterModel(serial="0000123456", seed=3).raw_values(NOW).values())
    meter = await with_meter(way, work)
    assert seen
    assert meter.counters.associations == 1
    assert meter.counters.rejected == 0


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_a_list_answer_in_blocks_is_put_together(framing: str) -> None:
    def work(reader: GuruxReader) -> None:
        long = GXDLMSData("0.0.96.50.1.255")
        wanted = [(GXDLMSRegister("1.0.32.7.0.255"), 2), (long, 2), (GXDLMSRegister("1.0.1.8.0.255"), 2), (long, 2)]
        (request,) = reader.client.readList(wanted)
        voltage, first, energy, second = reader._requests(request).value
        assert (voltage, energy) == (expected[0], expected[8])
        assert first == second == b"x" * 300
        seen.append(1)

    seen: list[int] = []
    expected = list(MeterModel(serial="0000123456", seed=3).raw_values(NOW).values())
    await with_meter(Way(framing, 1, max_pdu=128), work)
    assert seen


async def test_reads_a_microstar_which_takes_no_lists() -> None:
    codes = dotted(objects.MICROSTAR)

    def work(reader: GuruxReader) -> None:
        values = reader.read_values(codes)
        scalers = reader.read_scalers(codes)
        assert [scaler for scaler, _ in scalers] == [-2] * 3 + [-3] * 3 + [-2, -1, 0]
        assert 200 < values[0] * 10 ** scalers[0][0] < 260
        with pytest.raises(ValueError, match="doesn't support multiple"):
            reader.read_list(codes)
        seen.append(1)

    seen: list[int] = []
    await with_meter(Way("hdlc", 1), work, registers=objects.MICROSTAR, conformance=MICROSTAR_CONFORMANCE)
    assert seen


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("password", [b"41414142", b""], ids=["wrong", "none"])
async def test_refuses_a_wrong_password(framing: str, password: bytes) -> None:
    settings = MeterSettings(framing=framing, manners=Manners(passwords={1: PASSWORD}))
    meter = SimulatedMeter("m", MeterModel(serial="1", seed=3), settings)
    host, port = await meter.start()
    reader = GuruxReader(host, port, framing, 1, 1, password)
    with pytest.raises((GXDLMSException, ValueError)):
        await asyncio.to_thread(reader.connect)
    await asyncio.to_thread(reader.close)
    await meter.close()
    assert meter.counters.rejected == 1
    assert meter.counters.associations == 0


async def test_keeps_silent_at_another_address() -> None:
    meter = SimulatedMeter("m", MeterModel(serial="1", seed=3), MeterSettings(
        framing="hdlc", server_physical=1234, address_bytes=4))
    host, port = await meter.start()
    reader = GuruxReader(host, port, "hdlc", 16, hdlc_address(1, 1235, 4), address_bytes=4, timeout_s=0.2)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(reader.connect)
    await asyncio.to_thread(reader.close)
    await meter.close()
    assert meter.counters.requests == 0
