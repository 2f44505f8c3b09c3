"""Capture objects and buffers as dated rows: a simulated meter's, an independent meter's recorded ones, and planted ones."""

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest
from dlms_scripts import Replay, load
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import meter_objects as objects
from edge.demo.meter_device import Fittings, central_europe
from edge.demo.meter_model import MeterModel, key
from edge.demo.meter_physics import SupplyData
from edge.demo.meter_zone import TimeStyle
from edge.dlms.axdr import Integer, decode
from edge.dlms.cosem import AccessError, Obis
from edge.dlms.datetimes import ClockTime
from edge.dlms.get import GetResult
from edge.dlms.selection import Column, by_clock_range
from edge.errors import MeterError, Violation
from edge.meters.loadrecord import Columns
from edge.meters.loadrows import Layout, Row, layout, rows
from edge.meters.localtime import Reckoning, Zone
from edge.meters.objectspec import ColumnSpec
from edge.meters.profile import LoadProfile, load_profiles
from edge.model import Kind, Stamp

GENERIC = load_profiles()["generic-three-phase"]
SPEC = GENERIC.load_profile
assert SPEC is not None
START, QUARTER = 1_767_225_600, 900                  # 2026-01-01
SPRING, AUTUMN = 1_774_746_000, 1_792_890_000        # 2026-03-29 and 2026-10-25, 01:00 UTC
EUROPE = Zone(3600, daylight_saving=True)
FAR = 4_000_000_000


def attribute(model: MeterModel, number: int, now: float) -> Any:
    answer = model.read(key(7, objects.LOAD_PROFILE, number), now, public=False)
    assert isinstance(answer, bytes)
    return decode(answer)


def layout_of(model: MeterModel, now: float = START) -> Layout:
    found = layout(SPEC, *(attribute(model, number, now) for number in (3, 4, 5)))
    assert isinstance(found, Layout)
    return found


def meter(start: float = START, **fittings: Any) -> MeterModel:
    return MeterModel(serial="1", seed=3, supply=SupplyData(started_at=start), fittings=Fittings(**fittings))


def buffer_of(model: MeterModel, now: float) -> Any:
    return attribute(model, 2, now)


# -- layout --------------------------------------------------------------------------------------------------------


def test_what_is_captured_is_joined_to_the_profile_file() -> None:
    found = layout_of(meter(load_status=True))
    assert (found.period_s, found.newest_first, found.clock_at, found.missing) == (900, False, 0, 0)
    assert [spec.key for _, spec in found.mapped] == [
        "status", "voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "frequency", "active_power",
        "active_energy"]
    assert str(found.clock_attribute) == "8/0-0:1.0.0.255 attribute 2"


CLOCK = (Integer(18, 8), bytes((0, 0, 1, 0, 0, 255)), Integer(15, 2), Integer(18, 0))
ENERGY = (Integer(18, 3), bytes((1, 0, 1, 8, 0, 255)), Integer(15, 2), Integer(18, 0))
STRANGE = (Integer(18, 3), bytes((1, 0, 99, 8, 0, 255)), Integer(15, 2), Integer(18, 0))
UNIX = (Integer(18, 1), bytes((0, 0, 1, 1, 0, 255)), Integer(15, 2), Integer(18, 0))
FIFO, LIFO, LARGEST = Integer(22, 1), Integer(22, 2), Integer(22, 3)


@pytest.mark.parametrize(("captured", "period", "told"), [
    ([ENERGY], Integer(6, 900), "captures no clock, only 1-0:1.8.0.255"),
    ([], Integer(6, 900), "captures no clock, only nothing"),
    ([CLOCK, STRANGE], Integer(6, 900), "captures none of the columns of the meter type, but 0-0:1.0.0.255, 1-0:99.8.0.255"),
    ([CLOCK, ENERGY], Integer(6, 0), "has a capture period of 0 s"),
    ([CLOCK, ENERGY], None, "has a capture period of 0 s"),
    ([CLOCK, ENERGY], Integer(6, 86_401), "has a capture period of 86401 s"),
])
def test_profiles_that_are_of_no_use_say_why(captured: Any, period: Any, told: str) -> None:
    assert str(layout(SPEC, captured, period, FIFO)).startswith(told)


@pytest.mark.parametrize("captured", [None, b"", [()], [CLOCK, (1, 2, 3, 4)], [(*CLOCK[:1], b"\x00", *CLOCK[2:])], [CLOCK] * 65])
def test_capture_objects_that_are_none(captured: Any) -> None:
    with pytest.raises(Violation):
        layout(SPEC, captured, Integer(6, 900), FIFO)


def test_a_period_may_come_from_the_profile_file_and_other_columns_are_passed_over() -> None:
    spec = LoadProfile(obis="1-0:99.1.0", columns=(ColumnSpec(key="e", obis="1-0:1.8.0", unit="Wh"),), period_s=3600)
    found = layout(spec, [STRANGE, UNIX, ENERGY], Integer(6, 0), LIFO)
    assert isinstance(found, Layout)
    assert (found.period_s, found.newest_first, found.clock_at, found.missing) == (3600, True, 1, 1)
    assert found.clock == Column(1, Obis(0, 0, 1, 1, 0), 2)


# -- rows of a simulated meter -------------------------------------------------------------------------------------


def test_rows_are_dated_by_the_meter_and_come_as_they_are() -> None:
    model, now = meter(), START + 5 * QUARTER
    found = rows(layout_of(model), buffer_of(model, now), Reckoning(), now)
    assert [row.at_ms for row in found] == [(START + n * QUARTER) * 1000 for n in range(6)]
    assert {row.doubt for row in found} == {""}


days = st.lists(st.tuples(st.integers(600, 90_000), st.sampled_from(["off", "on", "set"]), st.integers(-4_000, 4_000)), max_size=6)


@given(life=days, period=st.sampled_from([300, 900, 3600]), start=st.sampled_from([START, SPRING - 40_000, AUTUMN - 40_000]),
       style=st.sampled_from([TimeStyle(), TimeStyle(deviation="reversed"), TimeStyle(deviation="unspecified")]))
@settings(max_examples=30, deadline=None)
def test_null_compression_loses_nothing(life: list[Any], period: int, start: int, style: TimeStyle) -> None:
    """The same life, written plainly and with null-data for whatever follows from the row before."""
    def lived(**fittings: Any) -> tuple[MeterModel, float]:
        model, now = meter(start, load_period_s=period, zone=central_europe(), style=style, load_status=True, **fittings), float(start)
        for step, kind, by in life:
            now += step
            if kind == "set":
                model.device.set_clock(now, model.device.shown(now) + by)
            else:
                model.device.power(now, on=kind == "on")
        return model, now + 5_000

    reckoning = Reckoning("reversed" if style.deviation == "reversed" else "standard", Zone(3600))
    plain, now = lived()
    full = rows(layout_of(plain, now), buffer_of(plain, now), reckoning, FAR)
    null, _ = lived(null_time=True, null_same=True)
    raw = buffer_of(null, now)
    assert [said(row) for row in rows(layout_of(null, now), raw, reckoning, FAR)] == [said(row) for row in full]
    captured = [capture for capture, _ in _captures(plain, now)]
    assert [row.at_s for row in full] == [capture.shown for capture in captured]


def said(row: Row) -> tuple[Any, ...]:
    """A row without the octets of its time, which are null-data where the time follows from the row before."""
    return row.at_ms, row.doubt, row.cells[1:]


def _captures(model: MeterModel, now: float) -> list[Any]:
    profile: Any = model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
    return profile.rows(0, profile.total(now) - 1, now)


@pytest.mark.parametrize("style", [
    TimeStyle(), TimeStyle(deviation="reversed"), TimeStyle(deviation="unspecified"), TimeStyle(deviation="unspecified", status=False),
    TimeStyle(weekday=False, seconds=False, hundredths=255)], ids=str)
@pytest.mark.parametrize("change", [SPRING, AUTUMN])
def test_daylight_saving_makes_no_two_rows_one_and_no_row_two(change: int, style: TimeStyle) -> None:
    begin = change - 6 * 3600
    model, now = meter(begin, zone=central_europe(), style=style), change + 9 * 3600
    reckoning = Reckoning("reversed" if style.deviation == "reversed" else "standard", EUROPE)
    found = rows(layout_of(model, now), buffer_of(model, now), reckoning, now)
    assert [row.at_ms for row in found] == [1000 * at for at in range(begin, now + 1, QUARTER)]
    assert {row.doubt for row in found} == {""}


def test_a_zone_nobody_told_is_marked_and_with_the_status_two_rows_stay_two() -> None:
    model, now = meter(AUTUMN - 6 * 3600, zone=central_europe(), style=TimeStyle(deviation="unspecified")), AUTUMN + 9 * 3600
    found = rows(layout_of(model, now), buffer_of(model, now), Reckoning(), now)
    assert {row.doubt for row in found} == {"no_zone"}
    assert len({row.at_ms for row in found}) == len(found)
    assert {b.at_s - a.at_s for a, b in pairwise(found)} == {QUARTER}


def test_one_of_the_two_hours_alone_is_in_doubt_unless_the_second_has_not_come() -> None:
    style = TimeStyle(deviation="unspecified", status=False)
    model, now = meter(AUTUMN - 6 * 3600, zone=central_europe(), style=style), AUTUMN + 9 * 3600
    some = [row for row, (capture, _) in zip(buffer_of(model, now), _captures(model, now), strict=True)
            if AUTUMN - 3600 <= capture.shown < AUTUMN]
    found = rows(layout_of(model, now), some, Reckoning(zone=EUROPE), now)
    assert [(row.at_s, row.doubt) for row in found] == [(AUTUMN - 3600 + n * QUARTER, "which_hour") for n in range(4)]
    early = rows(layout_of(model, now), some, Reckoning(zone=EUROPE), AUTUMN - 600)
    assert [(row.at_s, row.doubt) for row in early] == [(AUTUMN - 3600 + n * QUARTER, "") for n in range(4)]


def test_a_clock_set_back_doubles_rows_and_none_is_lost() -> None:
    model, now = meter(), START + 6 * QUARTER
    model.device.set_clock(START + 3 * QUARTER + 60, START + QUARTER + 60)
    found = rows(layout_of(model, now), buffer_of(model, now), Reckoning(), now)
    assert [(row.at_ms - 1000 * START, row.doubt) for row in found if row.at_ms is not None] == [
        (0, ""), (900_000, ""), (1_800_000, ""), (2_700_000, ""), (1_800_001, "repeated"), (2_700_001, "repeated"), (3_600_000, "")]


def test_doubtful_clocks_and_rows_without_a_date() -> None:
    doubtful = meter(clock_status=0x02)
    assert {row.doubt for row in rows(layout_of(doubtful), buffer_of(doubtful, START + 3600), Reckoning(), FAR)} == {"doubtful"}
    lost = meter(style=TimeStyle(year=False))
    found = rows(layout_of(lost), buffer_of(lost, START + 3600), Reckoning(), FAR)
    assert [row.at_ms for row in found] == [None] * 5
    assert all(row.cells[1] for row in found)


# -- planted buffers -----------------------------------------------------------------------------------------------


PLANTED = Layout((Column(8, Obis(0, 0, 1, 0, 0), 2), Column(3, Obis(1, 0, 1, 8, 0), 2)), 0, (), 900, newest_first=False)


def time(minutes: int) -> bytes:
    return bytes.fromhex("07ea0101ff") + bytes((minutes // 60, minutes % 60)) + bytes.fromhex("0000000000")


def test_the_rule_for_null_data_in_worked_examples() -> None:
    """IEC 62056-6-2, 4.3.6: the row before says it; for the time, and one capture period."""
    buffer = [(time(0), Integer(6, 100)), (None, None), (None, Integer(6, 101)), (time(60), None), (None, Integer(31, 5)), (None, None)]
    found = rows(PLANTED, buffer, Reckoning(), FAR)
    assert [(row.at_s - START) // 60 for row in found] == [0, 15, 30, 60, 75, 90]
    assert [row.cells[1] for row in found] == [100, 100, 101, 101, 106, 106]


def test_nothing_stands_before_the_first_entry() -> None:
    found = rows(PLANTED, [(None, None), (None, Integer(28, 1)), (time(15), Integer(6, 7))], Reckoning(), FAR)
    assert [(row.at_ms, row.cells[1]) for row in found] == [(None, None), (None, None), (1000 * (START + 900), 7)]


def test_newest_first_counts_backwards_and_comes_in_the_order_of_capture() -> None:
    turned = Layout(PLANTED.columns, 0, (), 900, newest_first=True)
    found = rows(turned, [(time(60), Integer(6, 9)), (None, None), (None, Integer(6, 8))], Reckoning(), FAR)
    assert [((row.at_s - START) // 60, row.cells[1]) for row in found] == [(30, 8), (45, 9), (60, 9)]


@pytest.mark.parametrize("buffer", [None, 5, b"x", [(1,)], [(1, 2, 3)], [[1, 2]], [None]])
def test_what_is_no_buffer_is_refused(buffer: Any) -> None:
    with pytest.raises(Violation):
        rows(PLANTED, buffer, Reckoning(), FAR)


def test_a_difference_beyond_its_type_is_refused() -> None:
    with pytest.raises(Violation, match="leads out of"):
        rows(PLANTED, [(time(0), Integer(17, 250)), (None, Integer(28, 100))], Reckoning(), FAR)


cells = st.one_of(st.none(), st.binary(max_size=13), st.booleans(), st.floats(), st.builds(Integer, st.just(6), st.integers(0, 2**32 - 1)),
                  st.builds(Integer, st.just(28), st.integers(-128, 127)), st.binary(min_size=12, max_size=12))


@given(buffer=st.lists(st.tuples(cells, cells), max_size=8), newest_first=st.booleans(),
       reckoning=st.sampled_from([Reckoning(), Reckoning(zone=EUROPE), Reckoning("reversed")]))
@settings(max_examples=150, deadline=None)
def test_whatever_a_meter_writes_there_are_as_many_rows_or_a_violation(buffer: Any, newest_first: bool, reckoning: Reckoning) -> None:
    columns = Columns(Layout(PLANTED.columns, 0, ((1, ColumnSpec(key="e", obis="1-0:1.8.0", unit="Wh", scaler=0)),), 900, newest_first), "p")
    try:
        found = rows(Layout(PLANTED.columns, 0, (), 900, newest_first), buffer, reckoning, FAR)
    except MeterError:
        return
    assert len(found) == len(buffer)
    for row in found:
        if row.at_ms is not None:
            record = columns.record(row, Stamp(1, 2, "b", synchronised=True), "m")
            assert record.stamp.wall_ms == row.at_ms
            assert record.stamp.synchronised == (not row.doubt)


# -- records -------------------------------------------------------------------------------------------------------


def results(model: MeterModel, columns: Columns, now: float) -> list[GetResult]:
    found = []
    for wanted in columns.wanted:
        answer = model.read(key(wanted.class_id, wanted.obis.to_bytes(), wanted.attribute), now, public=False)
        assert isinstance(answer, bytes)
        found.append(GetResult(wanted, decode(answer)))
    return found


def test_a_row_becomes_a_record_with_the_registers_scalers_and_the_meters_time() -> None:
    model, now = meter(load_status=True), START + QUARTER
    found = layout_of(model)
    columns = Columns(found, GENERIC.name)
    columns.learn(results(model, columns, now))
    assert columns.wanted == ()
    assert columns.problems == {}
    row = rows(found, buffer_of(model, now), Reckoning(), now)[-1]
    record = columns.record(row, Stamp(77, 5, "boot", synchronised=False), "m1")
    assert record.schema.kind is Kind.INTERVAL
    assert (record.device, record.stamp) == ("m1", Stamp(77, 1000 * now, "boot", synchronised=True, source="meter"))
    told = {field.key: (value, field.scaler, field.unit, field.obis) for field, value in zip(record.schema.fields, record.values, strict=True)}
    truth = model.raw_values(now)
    assert told["voltage_l1"] == (truth[bytes((1, 0, 32, 7, 0, 255))], -1, "V", "1-0:32.7.0.255")
    assert told["active_energy"] == (truth[bytes((1, 0, 1, 8, 0, 255))], 0, "Wh", "1-0:1.8.0.255")
    assert told["status"] == (0, 0, "", "0-0:96.10.1.255")
    assert columns.record(row, record.stamp, "m1").schema is record.schema


def test_another_unit_or_no_scaler_leaves_the_column_out_and_says_so() -> None:
    model, now = meter(), START + QUARTER
    columns = Columns(layout_of(model), GENERIC.name)
    told = results(model, columns, now)
    told[0] = GetResult(told[0].attribute, (Integer(15, -1), Integer(22, 33)))                 # a voltage in amperes
    told[1] = GetResult(told[1].attribute, None, AccessError.READ_WRITE_DENIED)
    told[2] = GetResult(told[2].attribute, None, AccessError.TEMPORARY_FAILURE)
    columns.learn(told)
    assert columns.wanted == (told[1].attribute, told[2].attribute), "refused once is not refused"
    columns.learn(told[1:3])
    assert columns.problems == {"voltage_l1": "unit A instead of V", "voltage_l2": "scaler_unit read write denied (3)"}
    assert columns.wanted == (told[2].attribute,)
    record = columns.record(rows(layout_of(model), buffer_of(model, now), Reckoning(), now)[-1], Stamp(1, 1, "b", synchronised=True), "m")
    assert record.values[:2] == (None, None)
    assert record.values[3] is not None


def test_doubt_is_a_column_of_its_own() -> None:
    model = meter(clock_status=0x01)
    columns = Columns(layout_of(model), GENERIC.name)
    row = rows(layout_of(model), buffer_of(model, START), Reckoning(), FAR)[0]
    record = columns.record(row, Stamp(1, 1, "b", synchronised=True), "m")
    assert (record.schema.fields[-1].key, record.values[-1], record.stamp.synchronised) == ("time_doubt", "invalid", False)


# -- an independent meter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wrapper_lls_profile_range", "wrapper_lls_profile_entry", "hdlc_lls_profile_info128"])
def test_recorded_rows(name: str) -> None:
    """Requests and rows of an independent client and meter; its columns are in the recording as text."""
    script = load(name)
    replay = Replay(script)
    replay.run()
    compared = 0
    for expected in script["expected"]:
        if expected["kind"] != "profile":
            continue
        [answer] = [event for index in expected["rx"] for event in replay.heard[index]]
        codes = [bytes(int(group) for group in column.split(".")) for column in expected["columns"]]
        captured = [CLOCK, *((Integer(18, 3), code, Integer(15, 2), Integer(18, 0)) for code in codes[1:])]
        found = layout(SPEC, captured, Integer(6, 900), FIFO)
        assert isinstance(found, Layout)
        assert found.missing == 0
        taken = rows(found, answer.results[0].data, Reckoning(), FAR)
        assert [[dt.datetime.fromtimestamp(row.at_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"), *row.cells[1:]] for row in taken] == (
            expected["rows"])
        assert {row.doubt for row in taken} <= {""}
        if (selection := expected["selection"])["by"] == "range" and taken:
            assert asked_again(selection, taken) in bytes.fromhex("".join(entry["hex"] for entry in script["exchange"]))
        compared += len(taken)
    assert compared


def asked_again(selection: dict[str, str], taken: list[Row]) -> bytes:
    """The beginning of the request's selection as we write it for the same limits: restricting object and first time."""
    first, last = (int(dt.datetime.fromisoformat(selection[end]).timestamp()) for end in ("from", "to"))
    shown = ClockTime.parse(bytes(taken[0].cells[0]))
    low, high = Reckoning().limits(first, last, shown)
    return by_clock_range(low, high)[1:60]
