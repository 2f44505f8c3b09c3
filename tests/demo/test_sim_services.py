"""A foreign client uses the simulated meter's services: profiles, SET, ACTION, blocks both ways, clock, relay, image."""

import datetime as dt
import hashlib
from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXDateTime
from gurux_dlms.enums import AccessServiceCommandType, Authentication, DataType, ObjectType
from gurux_dlms.GXDLMSAccessItem import GXDLMSAccessItem
from gurux_dlms.GXWriteItem import GXWriteItem
from gurux_dlms.objects import (
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDemandRegister,
    GXDLMSDisconnectControl,
    GXDLMSExtendedRegister,
    GXDLMSImageTransfer,
    GXDLMSProfileGeneric,
    GXDLMSPushSetup,
    GXDLMSRegister,
)
from gurux_secure import Access, SecureReader
from test_sim_security import BOTH, CODES, HLS, NOW, meet, new_meter, secured

from edge.demo.meter_apdu import EVERYTHING, Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter

LOAD, DAILY, BILLING, EVENTS = "1.0.99.1.0.255", "1.0.99.2.0.255", "0.0.98.1.0.255", "0.0.99.98.0.255"
NO_GENERAL_BLOCKS = EVERYTHING & ~0x200000
PLAIN = Access(HLS[5])
WAYS = [Access(HLS[5]), Access(HLS[5], BOTH), Access(HLS[5], BOTH, form="service")]
FRAMINGS = ["wrapper", "hdlc"]


def moment(value: Any) -> dt.datetime:
    """A time as the library gives it, as UTC."""
    return (value.value if isinstance(value, GXDateTime) else value).astimezone(dt.UTC)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


# -- profiles ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("access", WAYS, ids=["plain", "general", "service"])
async def test_load_profile_by_entry_and_by_range(access: Access, framing: str) -> None:
    meter = new_meter(secured(), framing=framing, conformance=NO_GENERAL_BLOCKS)
    supply = meter.model.supply

    def work(reader: SecureReader) -> None:
        profile = GXDLMSProfileGeneric(LOAD)
        assert reader.read(profile, 4) == 900
        assert reader.read(profile, 7) == 2880
        assert reader.read(profile, 8) == 2880
        newest = reader.rows_by_entry(LOAD, 2880, 1)
        assert [moment(row[0]) for row in newest] == [utc("2026-03-01T12:30:00")]
        first, second = reader.rows_by_entry(LOAD, 1, 2)
        assert moment(second[0]) - moment(first[0]) == dt.timedelta(minutes=15)
        day = reader.rows_by_range(LOAD, utc("2026-02-27T00:00"), utc("2026-02-27T23:59"))
        assert [moment(row[0]) for row in day] == [utc("2026-02-27T00:00") + n * dt.timedelta(minutes=15) for n in range(96)]
        for row in day:
            assert row[9] == int(supply.energy_wh(moment(row[0]).timestamp()))
            assert row[8] == int(supply.power_w(moment(row[0]).timestamp()))
        seen.append(len(day))

    seen: list[int] = []
    await meet(meter, access, work)
    assert seen == [96]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("password", [b"", b"41414141"], ids=["none", "password"])
async def test_profiles_without_and_with_a_password(password: bytes, framing: str) -> None:
    access = Access(Authentication.LOW if password else Authentication.NONE, secret=password)
    manners = Manners(passwords={16: None, 1: b"41414141"})
    meter = SimulatedMeter("m", MeterModel(serial="0000123456", seed=3), MeterSettings(framing=framing, manners=manners),
                           now=lambda: NOW)

    def work(reader: SecureReader) -> None:
        assert [moment(row[0]) for row in reader.rows_by_entry(LOAD, 2880, 1)] == [utc("2026-03-01T12:30:00")]
        assert len(reader.rows_by_range(LOAD, utc("2026-02-27T00:00"), utc("2026-02-27T23:59"))) == 96
        seen.append(1)

    seen: list[int] = []
    await meet(meter, access, work, client_sap=1 if password else 16)
    assert seen


async def test_columns_by_range_and_by_entry() -> None:
    meter = new_meter(secured())

    def work(reader: SecureReader) -> None:
        rows = reader.rows_by_range(LOAD, utc("2026-02-27T00:00"), utc("2026-02-27T00:45"), [0, 9])
        assert [len(row) for row in rows] == [2] * 4
        energies = [row[1] for row in rows]
        assert energies == sorted(energies)
        # from the first column on: for others the library sends a count where the standard has the last column
        few, all_of_them = reader.rows_by_entry(LOAD, 2877, 4, [0, 1, 2]), reader.rows_by_entry(LOAD, 2877, 4)
        assert [row[1:] for row in few] == [row[1:3] for row in all_of_them]
    await meet(meter, PLAIN, work)
    meter.model.device.fittings.column_selection = False

    def ignored(reader: SecureReader) -> None:
        requests = reader.client.readRowsByRange(profile := reader.profile(LOAD), GXDateTime(utc("2026-02-27T00:00")),
                                                 GXDateTime(utc("2026-02-27T00:15")), [profile.captureObjects[9]])
        assert [len(row) for row in reader.do(requests).value] == [10, 10]
    await meet(meter, PLAIN, ignored)


async def test_daily_and_billing_profiles_and_tariffs() -> None:
    meter = new_meter(secured())

    def work(reader: SecureReader) -> None:
        days = reader.rows_by_range(DAILY, utc("2026-02-25T00:00"), utc("2026-03-01T00:00"))
        assert [moment(row[0]) for row in days] == [utc("2026-02-25T00:00") + dt.timedelta(days=n) for n in range(5)]
        months = reader.rows_by_entry(BILLING, 1, 3)
        assert [moment(row[0]).month for row in months] == [1, 2, 3]
        for _, total, day, night in days + months:
            assert 0 <= total - day - night <= 1
        tariff = [reader.raw(ObjectType.REGISTER, f"1.0.1.8.{n}.255", 2) for n in (0, 1, 2)]
        assert 0 <= tariff[0] - tariff[1] - tariff[2] <= 1
        assert tariff[1] > days[-1][2]
        assert tariff[2] > days[-1][3]                   # the night until six
        assert reader.raw(ObjectType.DATA, "0.0.96.14.0.255", 2) == 1
    await meet(meter, PLAIN, work)


async def test_demand_and_extended_registers() -> None:
    meter = new_meter(secured())
    supply = meter.model.supply
    quarter = NOW // 900

    def work(reader: SecureReader) -> None:
        demand = GXDLMSDemandRegister("1.0.1.4.0.255")
        last = (supply.energy_wh(quarter * 900) - supply.energy_wh(quarter * 900 - 900)) * 4
        assert reader.read(demand, 3) == pytest.approx(last, abs=1)
        assert moment(reader.read(demand, 6)) == utc("2026-03-01T12:30")
        assert reader.read(demand, 8) == 900
        assert reader.read(demand, 9) == 1
        peak = GXDLMSExtendedRegister("1.0.1.6.0.255")
        watts, when = reader.read(peak, 2), moment(reader.read(peak, 5))
        begin = int(utc("2026-03-01T00:00").timestamp())
        every = {end: int((supply.energy_wh(end) - supply.energy_wh(end - 900)) * 4) for end in range(begin + 900, int(NOW), 900)}
        assert watts == max(every.values())
        assert every[int(when.timestamp())] == watts
    await meet(meter, PLAIN, work)


async def test_events_are_logged_and_read_by_range() -> None:
    meter = new_meter(secured())
    device = meter.model.device
    device.power(NOW - 7200, on=False)
    device.power(NOW - 3600, on=True)
    device.log(40, NOW - 60)

    def work(reader: SecureReader) -> None:
        events = reader.rows_by_entry(EVENTS, 1, 0)
        assert [(moment(row[0]).timestamp() - NOW, row[1]) for row in events] == [(-7200, 1), (-3600, 2), (-60, 40)]
        late = reader.rows_by_range(EVENTS, utc("2026-03-01T12:00"), utc("2026-03-01T13:00"))
        assert [row[1] for row in late] == [40]
        assert reader.read(GXDLMSProfileGeneric(EVENTS), 7) == 3
        reader.act(GXDLMSProfileGeneric(EVENTS), 1)
        assert [row[1] for row in reader.rows_by_entry(EVENTS, 1, 0)] == [255]
        gap = reader.rows_by_range(LOAD, utc("2026-03-01T10:00"), utc("2026-03-01T12:00"))
        assert [moment(row[0]).strftime("%H:%M") for row in gap] == ["10:00", "10:15", "10:30", "11:45", "12:00"]
    await meet(meter, PLAIN, work)


# -- blocks ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("access", [
    Access(HLS[5], general_blocks=True), Access(HLS[5], BOTH, general_blocks=True),
    Access(HLS[5], BOTH, form="service", general_blocks=True)], ids=["plain", "general", "service"])
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_general_block_transfer(framing: str, access: Access) -> None:
    meter = new_meter(secured(), framing=framing)

    def work(reader: SecureReader) -> None:
        assert reader.raw(ObjectType.DATA, "0.0.96.50.1.255", 2) == b"x" * 300
        assert (ObjectType.CLOCK, "0.0.1.0.0.255") in reader.object_list()
        assert len(reader.rows_by_range(LOAD, utc("2026-02-27T00:00"), utc("2026-02-27T05:59"))) == 24
    await meet(meter, access, work, max_pdu=200)


@pytest.mark.parametrize("access", WAYS, ids=["plain", "general", "service"])
async def test_long_set_and_long_action_in_blocks(access: Access) -> None:
    meter = new_meter(secured(), conformance=NO_GENERAL_BLOCKS)
    meter.model.device.fittings.image_block_bytes = 500
    image = bytes(range(250)) * 4

    def work(reader: SecureReader) -> None:
        push = GXDLMSPushSetup("0.0.25.9.0.255")
        push.version = 0
        reader.read(push, 2)
        push.pushObjectList.extend(push.pushObjectList)
        reader.write(push, 2)
        transfer = GXDLMSImageTransfer()
        reader.do(transfer.imageTransferInitiate(reader.client, "fw2", len(image)))
        for number in range(2):
            block = GXByteBuffer()
            block.set(bytes((2, 2, 6)) + number.to_bytes(4, "big") + bytes((9, 0x82, 500 >> 8, 500 & 255)) + image[500 * number:500 * number + 500])
            reader.act(transfer, 2, block.array(), DataType.STRUCTURE)
    await meet(meter, access, work, max_pdu=200)
    assert len(meter.model.push.columns) == 20
    assert bytes(meter.model.image._image) == image


@pytest.mark.parametrize("access", [Access(HLS[5], access_service=True), Access(HLS[5], BOTH, access_service=True)], ids=["plain", "ciphered"])
async def test_access_reads_several_in_one_request(access: Access) -> None:
    meter = new_meter(secured(), conformance=NO_GENERAL_BLOCKS)
    expected = list(meter.model.raw_values(NOW).values())

    def work(reader: SecureReader) -> None:
        targets = [GXDLMSRegister(code) for code in [*CODES, "1.0.99.99.0.255"]]
        items = [GXDLMSAccessItem(AccessServiceCommandType.GET, target, 2) for target in targets]
        reply = reader.do(reader.client.accessRequest(None, items))
        reader.client.parseAccessResponse(items, reply.data)
        assert [target.value for target in targets[:9]] == expected
        assert [int(item.error) for item in items] == [0] * 9 + [3]
    await meet(meter, access, work)


# -- SET and ACTION ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("access", WAYS, ids=["plain", "general", "service"])
async def test_set_one_and_several(access: Access) -> None:
    meter = new_meter(secured())

    def work(reader: SecureReader) -> None:
        register = GXDLMSRegister(CODES[0])
        register.value = 2222
        register.setDataType(2, DataType.UINT16)
        reader.write(register, 2)
        assert reader.read_values(CODES[:1]) == [2222]
        others = []
        for code, value in ((CODES[1], 2111), (CODES[2], 2112)):
            other = GXDLMSRegister(code)
            other.value = value
            item = GXWriteItem()
            item.target, item.index, item.dataType = other, 2, DataType.UINT16
            item.getDataType = lambda: DataType.UINT16
            others.append(item)
        reader.do(reader.client.writeList(others))
        assert reader.read_values(CODES[1:3]) == [2111, 2112]
        data = GXDLMSData("0.0.42.0.0.255")
        data.value = b"another name"
        data.setDataType(2, DataType.OCTET_STRING)
        with pytest.raises(ValueError, match="refuses with 3"):
            reader.write(data, 2)
    await meet(meter, access, work)


async def test_relay_in_its_modes() -> None:
    meter = new_meter(secured())

    def work(reader: SecureReader) -> None:
        relay = GXDLMSDisconnectControl("0.0.96.3.10.255")
        assert (reader.read(relay, 2), reader.read(relay, 3)) == (True, 1)
        reader.do(relay.remoteDisconnect(reader.client))
        assert (reader.read(relay, 2), reader.read(relay, 3)) == (False, 0)
        reader.do(relay.remoteReconnect(reader.client))
        assert reader.read(relay, 2) is True
        relay.controlMode = 1                             # remote disconnect, reconnection by hand only
        reader.write(relay, 4)
        reader.do(relay.remoteDisconnect(reader.client))
        reader.do(relay.remoteReconnect(reader.client))
        assert (reader.read(relay, 2), reader.read(relay, 3)) == (False, 2)
        relay.controlMode = 0                             # never
        reader.write(relay, 4)
        with pytest.raises(ValueError, match="refuses with 3"):
            reader.do(relay.remoteReconnect(reader.client))
        assert [row[1] for row in reader.rows_by_entry(EVENTS, 1, 0)] == [62, 63, 62]
    await meet(meter, PLAIN, work)
    assert not meter.model.connected


async def test_clock_is_set_shifted_and_adjusted() -> None:
    meter = new_meter(secured())

    def shown(reader: SecureReader) -> float:
        return moment(reader.read(clock, 2)).timestamp() - NOW

    def work(reader: SecureReader) -> None:
        assert shown(reader) == 0
        clock.time = GXDateTime(dt.datetime.fromtimestamp(NOW + 100, dt.UTC))
        reader.write(clock, 2)
        assert shown(reader) == 100
        reader.do(clock.shiftTime(reader.client, -70))
        assert shown(reader) == 30
        reader.do(clock.adjustToMinute(reader.client))          # 12:30:35 -> 12:31:00
        assert shown(reader) == 55
        reader.do(clock.adjustToQuarter(reader.client))
        assert shown(reader) == -5
        target = dt.datetime.fromtimestamp(NOW + 20, dt.UTC)
        hour = dt.timedelta(hours=1)
        reader.do(clock.presetAdjustingTime(reader.client, GXDateTime(target), GXDateTime(target - hour), GXDateTime(target + hour)))
        reader.do(clock.adjustToPresetTime(reader.client))
        assert shown(reader) == 20
        with pytest.raises(ValueError):
            reader.act(clock, 6, 901, DataType.INT16)
        codes = [row[1] for row in reader.rows_by_entry(EVENTS, 1, 0)]
        assert codes == [4, 5] * 5
    clock = GXDLMSClock("0.0.1.0.0.255")
    await meet(meter, PLAIN, work)


async def test_time_zone_and_daylight_saving_are_set_and_shown() -> None:
    meter = new_meter(secured())

    def work(reader: SecureReader) -> None:
        for attribute, value, kind in ((3, -60, DataType.INT16), (7, 60, DataType.INT8)):
            data = GXDLMSClock("0.0.1.0.0.255")
            reader.do(reader.client._GXDLMSClient__write("0.0.1.0.0.255", value, kind, ObjectType.CLOCK, attribute))
            assert reader.read(data, attribute) == value
        for attribute, rule in ((5, "ffff03fe0702000000800000"), (6, "ffff0afe0703000000800080")):
            reader.do(reader.client._GXDLMSClient__write(
                "0.0.1.0.0.255", bytes.fromhex(rule), DataType.OCTET_STRING, ObjectType.CLOCK, attribute))
        reader.do(reader.client._GXDLMSClient__write("0.0.1.0.0.255", True, DataType.BOOLEAN, ObjectType.CLOCK, 8))
        assert reader.raw(ObjectType.CLOCK, "0.0.1.0.0.255", 2).hex() == "07ea0301070d1e0500ffc400"
    await meet(meter, PLAIN, work)
    shown = meter.model.device.stamp(1_782_907_200.0)          # 2026-07-01 12:00 UTC is 14:00 there
    assert shown.hex() == "090c07ea0701030e000000ff8880"


# -- image transfer ----------------------------------------------------------------------------------------------------

async def test_image_transfer_with_lost_blocks_and_resume() -> None:
    meter = new_meter(secured())
    meter.model.device.fittings.image_loses = {3, 7}
    image = hashlib.sha256(b"firmware").digest() * 40          # ten blocks of 128
    meter.model.image.expected_sha256 = hashlib.sha256(image).digest()
    transfer = GXDLMSImageTransfer()

    def first(reader: SecureReader) -> None:
        assert reader.read(transfer, 2) == 128
        reader.do(transfer.imageTransferInitiate(reader.client, "fw-2.0", len(image)))
        for frames in transfer.imageBlockTransfer(reader.client, image, [0]):
            reader.do(frames)
        assert reader.read(transfer, 4) == 3
        with pytest.raises(ValueError):
            reader.do(transfer.imageVerify(reader.client))

    def second(reader: SecureReader) -> None:
        """Another association goes on from the first missing block."""
        while (number := reader.read(transfer, 4)) < 10:
            block = bytes((2, 2, 6)) + number.to_bytes(4, "big") + bytes((9, 0x81, 128)) + image[128 * number:][:128]
            reader.act(transfer, 2, block, DataType.STRUCTURE)
            again.append(number)
        reader.do(transfer.imageVerify(reader.client))
        assert int(reader.read(transfer, 6)) == 3
        reader.do(transfer.imageActivate(reader.client))
        assert int(reader.read(transfer, 6)) == 6
        assert reader.raw(ObjectType.DATA, "1.0.0.2.0.255", 2) == b"fw-2.0"

    again: list[int] = []
    await meet(meter, Access(HLS[5], BOTH), first)
    await meet(meter, Access(HLS[5], BOTH, counter=500), second)
    assert again == [3, 7]
