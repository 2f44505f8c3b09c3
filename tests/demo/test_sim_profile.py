"""The simulated load profile over days: it grows with injected time, keeps its gaps, writes time as odd meters do."""

import datetime as dt
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import Selection
from edge.demo.meter_data import Item, whole
from edge.demo.meter_device import Fittings, central_europe
from edge.demo.meter_model import MeterModel, key
from edge.demo.meter_profile import CLOCK_COLUMN
from edge.demo.meter_timeline import Daily, Every, Monthly, Timeline
from edge.demo.meter_zone import TimeStyle, Zone, read_date_time

START = 1_767_225_600           # 2026-01-01 00:00 UTC
QUARTER = 900
BUFFER = key(7, objects.LOAD_PROFILE, 2)
IN_USE = key(7, objects.LOAD_PROFILE, 7)


def model(**fittings: Any) -> MeterModel:
    return MeterModel(serial="1", seed=7, fittings=Fittings(**fittings))


def decoded(octets: bytes | int) -> Item:
    assert isinstance(octets, bytes), f"refused with {octets}"
    return whole(octets)


def cells(row: Item) -> list[Any]:
    return [cell.value for cell in row.items()]


def all_rows(meter: MeterModel, now: float) -> list[list[Any]]:
    return [cells(row) for row in decoded(meter.read(BUFFER, now, public=False)).items()]


def by_range(meter: MeterModel, low: float, high: float, now: float, columns: bytes = b"\x01\x00") -> list[list[Any]]:
    limits = [meter.device.style.encode(moment, meter.device.zone) for moment in (low, high)]
    parameters = whole(b"\x02\x04" + CLOCK_COLUMN.encoded() + limits[0] + limits[1] + columns)
    return [cells(row) for row in decoded(meter.select(BUFFER, Selection(1, parameters), now, public=False)).items()]


def by_entry(meter: MeterModel, first: int, last: int, now: float) -> list[list[Any]]:
    parameters = whole(b"\x02\x04" + objects.integer(6, first) + objects.integer(6, last) + b"\x12\x00\x01\x12\x00\x00")
    return [cells(row) for row in decoded(meter.select(BUFFER, Selection(2, parameters), now, public=False)).items()]


def times(meter: MeterModel, rows: list[list[Any]]) -> list[float]:
    return [read_date_time(row[0], meter.device.zone, meter.device.style) - START for row in rows]


def test_three_days_pass_in_a_moment() -> None:
    meter, begun = model(), time.process_time()
    for now in range(START, START + 3 * 86_400 + 1, QUARTER):
        assert decoded(meter.read(IN_USE, now, public=True)).value == (now - START) // QUARTER + 1
        (newest,) = by_entry(meter, (now - START) // QUARTER + 1, 0, now)
        assert times(meter, [newest]) == [now - START]
    assert time.process_time() - begun < 5
    assert len(all_rows(meter, START + 3 * 86_400)) == 289


def test_rows_are_what_the_registers_showed_then() -> None:
    meter = model()
    for row in by_range(meter, START + 5 * QUARTER, START + 8 * QUARTER, START + 86_400):
        moment = read_date_time(row[0], meter.device.zone)
        assert row[1:] == list(meter.raw_values(moment).values())


def test_the_ring_forgets_its_oldest_rows() -> None:
    meter = model(load_entries=10)
    now = START + 100 * QUARTER
    rows = all_rows(meter, now)
    assert times(meter, rows) == [n * QUARTER for n in range(91, 101)]
    assert times(meter, by_entry(meter, 1, 2, now)) == [91 * QUARTER, 92 * QUARTER]
    assert by_range(meter, START, START + 90 * QUARTER, now) == []
    assert times(meter, by_range(meter, START + 90 * QUARTER, START + 92 * QUARTER, now)) == [91 * QUARTER, 92 * QUARTER]


def test_a_power_cut_leaves_a_gap_and_a_mark() -> None:
    meter = model(load_status=True)
    meter.device.power(START + 10 * QUARTER + 60, on=False)
    meter.device.power(START + 14 * QUARTER + 60, on=True)
    rows = by_range(meter, START + 9 * QUARTER, START + 16 * QUARTER, START + 86_400)
    assert [(round(at / QUARTER), row[1]) for at, row in zip(times(meter, rows), rows, strict=True)] == [
        (9, 0), (10, 0), (15, 0x80), (16, 0)]
    assert rows[2][-1] > rows[1][-1], "energy goes on"


def test_setting_the_clock_forward_leaves_a_gap_and_back_doubles() -> None:
    meter = model(load_status=True)
    device = meter.device
    device.set_clock(START + 2 * QUARTER + 10, START + 4 * QUARTER + 10)       # half an hour ahead
    device.set_clock(START + 4 * QUARTER + 10, START + 4 * QUARTER + 10)       # and right again
    rows = all_rows(meter, START + 6 * QUARTER)
    assert [round(at / QUARTER) for at in times(meter, rows)] == [0, 1, 2, 5, 6, 5, 6]
    assert [row[1] for row in rows] == [0, 0, 0, 0x20, 0, 0x20, 0]
    assert times(meter, by_range(meter, START + 5 * QUARTER, START + 5 * QUARTER, START + 6 * QUARTER)) == [5 * QUARTER] * 2


def test_a_clock_that_gains_captures_by_its_own_time() -> None:
    meter = model(clock_ppm=1_000)                     # 86.4 s a day
    day = START + 86_400
    assert decoded(meter.read(key(8, objects.CLOCK, 2), day, public=True)).value[5:8] == bytes((0, 1, 26))
    assert len(all_rows(meter, day)) == 97
    exact = model()
    assert all_rows(meter, day)[-1][-1] < all_rows(exact, day)[-1][-1], "its midnight came 86 s early"


def test_null_data_where_the_row_before_says_it() -> None:
    plain, null = model(), model(null_time=True, null_same=True)
    now = START + 20 * QUARTER
    null.device.power(START + 10 * QUARTER + 60, on=False)
    null.device.power(START + 12 * QUARTER + 60, on=True)
    rows = all_rows(null, now)
    assert [row[0] is None for row in rows] == [False] + [True] * 10 + [False] + [True] * 7
    for sparse, before, number in zip(rows[1:9], all_rows(plain, now), range(1, 9), strict=False):
        full = all_rows(plain, now)[number]
        assert [old if cell is None else cell for cell, old in zip(sparse[1:], before[1:], strict=True)] == full[1:]
    assert any(cell is None for row in rows for cell in row[1:])
    assert by_entry(null, 5, 6, now)[0][0] is not None, "the first row of an answer is whole"


@pytest.mark.parametrize(("style", "expected"), [
    (TimeStyle(), "07ea0701030e0000" + "00" + "ff88" + "80"),
    (TimeStyle(weekday=False, hundredths=255), "07ea0701ff0e0000ff" + "ff88" + "80"),
    (TimeStyle(deviation="reversed"), "07ea0701030e000000" + "0078" + "80"),
    (TimeStyle(deviation="unspecified", status=False), "07ea0701030e000000" + "8000" + "ff"),
    (TimeStyle(seconds=False, year=False), "ffff0701030e00ff00" + "ff88" + "80")], ids=str)
def test_ways_to_write_time(style: TimeStyle, expected: str) -> None:
    meter = model(zone=central_europe(), style=style)
    shown = meter.read(key(8, objects.CLOCK, 2), 1_782_907_200, public=True)      # 2026-07-01 12:00 UTC
    assert isinstance(shown, bytes)
    assert shown.hex() == "090c" + expected


def test_a_doubtful_clock_says_so_everywhere() -> None:
    meter = model(zone=central_europe(), clock_status=0x02)
    now = 1_782_907_200
    assert decoded(meter.read(key(8, objects.CLOCK, 2), now, public=True)).value[-1] == 0x82
    assert {row[0][-1] for row in all_rows(meter, START + 3600)} == {0x02}


def test_daylight_saving_turns_the_clock_and_not_the_profile() -> None:
    meter = model(zone=central_europe(), load_status=True, load_entries=20_000)
    spring, autumn = 1_774_746_000, 1_792_890_000        # 2026-03-29 and 2026-10-25, 01:00 UTC
    for change, before, after in ((spring, 1, 3), (autumn, 2, 2)):
        rows = by_range(meter, change - QUARTER, change, change + 86_400)
        assert [row[0][5] for row in rows] == [before, after]
        assert [row[0][11] & 0x80 != 0 for row in rows] == [change == autumn, change == spring]
        assert [row[1] & 0x08 != 0 for row in rows] == [change == autumn, change == spring]
    days = [cells(row) for row in decoded(meter.read(key(7, objects.DAILY_PROFILE, 2), autumn + 2 * 86_400, public=False)).items()]
    assert {row[0][5:8] for row in days} == {bytes(3)}, "local midnights"
    gaps = [b - a for a, b in zip(times(meter, days), times(meter, days)[1:], strict=False)]
    assert set(gaps) == {86_400, 90_000}, "one day of 25 hours"


def test_capture_period_can_be_set_and_empties_the_buffer() -> None:
    meter, name = model(), key(7, objects.LOAD_PROFILE, 4)
    now = START + 86_400
    assert meter.write(name, objects.integer(6, 3600), now, public=True) == 3
    assert meter.write(name, objects.integer(6, 7), now, public=False) == 250
    assert meter.write(name, objects.integer(6, 3600), now, public=False) == 0
    assert all_rows(meter, now + 60) == []
    assert times(meter, all_rows(meter, now + 7200)) == [86_400 + 3600, 86_400 + 7200]


def test_open_limits_and_bad_ones() -> None:
    meter, now = model(), START + 4 * QUARTER

    def asked(low: str, high: str, column: bytes = CLOCK_COLUMN.encoded(), columns: bytes = b"\x01\x00") -> Any:
        parameters = whole(b"\x02\x04" + column + objects.octets(bytes.fromhex(low)) + objects.octets(bytes.fromhex(high)) + columns)
        return meter.select(BUFFER, Selection(1, parameters), now, public=False)
    everything = "ffffffffffffffffff8000ff"
    assert len(decoded(asked(everything, everything)).items()) == 5
    assert len(decoded(asked("07ea0101ff00ffffff8000ff", "07ea0101ff00ffffff8000ff")).items()) == 4      # hour 0
    assert asked("07ea0101ff00", everything) == 12
    assert asked(everything, everything, CLOCK_COLUMN._replace(obis=objects.TARIFF).encoded()) == 250
    assert asked(everything, everything, columns=b"\x01\x01" + CLOCK_COLUMN._replace(obis=objects.TARIFF).encoded()) == 250
    assert meter.select(BUFFER, Selection(1, whole(b"\x00")), now, public=False) == 12
    assert meter.select(BUFFER, Selection(3, whole(b"\x00")), now, public=False) == 250


changes = st.lists(st.tuples(st.floats(1, 40_000), st.sampled_from(["off", "on", "set"]), st.floats(-5_000, 5_000)), max_size=12)


@given(changes=changes, period=st.sampled_from([60, 900, 3600]), rate=st.sampled_from([1.0, 1.0002, 0.999]))
@settings(max_examples=150, deadline=None)
def test_runs_agree_with_counting_second_by_second(changes: list[Any], period: int, rate: float) -> None:
    """The arithmetic of spans, against a clock that is watched: every instant passed while powered is captured once."""
    timeline, grid, now = Timeline(START, 0.0, rate), Every(period), float(START)
    watched: list[int] = []
    for step, kind, by in changes:
        watched += passed(timeline, period, now, now + step)
        now += step
        if kind == "set":
            timeline.step(now, timeline.clock(now) + by)
        else:
            timeline.power(now, on=kind == "on")
    watched += passed(timeline, period, now, now + 5_000, closed=True)
    runs = list(timeline.runs(grid, now + 5_000, START))
    assert [n for run in runs for n in range(run.first, run.last + 1)] == watched
    captures = [run.capture(grid, n) for run in runs for n in range(run.first, run.last + 1)]
    assert [capture.true for capture in captures] == sorted(capture.true for capture in captures)


def passed(timeline: Timeline, period: int, begin: float, end: float, *, closed: bool = False) -> list[int]:
    """The instants that the clock shows from `begin` to `end`, counted along."""
    if not timeline.powered:
        return []
    low, high = timeline.clock(begin), timeline.clock(end)
    number, found = int(low // period) - 1, []
    while number * period < (int(high) + 1 if closed else high):
        if number * period >= low:
            found.append(number)
        number += 1
    return found


@given(at=st.integers(START, START + 40_000_000), grid=st.sampled_from([Every(900), Daily(Zone()), Daily(central_europe()), Monthly(central_europe())]))
@settings(max_examples=300, deadline=None)
def test_grids_are_exact(at: int, grid: Any) -> None:
    number = grid.at_or_after(at)
    assert grid.instant(number - 1) < at <= grid.instant(number)
    assert grid.at_or_after(grid.instant(number)) == number


@given(at=st.integers(86_400, 4_000_000_000), style=st.builds(TimeStyle, weekday=st.booleans(), deviation=st.sampled_from(["standard", "reversed"])),
       zone=st.sampled_from([Zone(), central_europe(), Zone(deviation_min=300)]))
@settings(max_examples=300, deadline=None)
def test_date_times_come_back(at: int, style: TimeStyle, zone: Zone) -> None:
    assert read_date_time(style.octets(at, zone), zone, style) == at
    local = dt.datetime.fromtimestamp(at + zone.offset_s(at), dt.UTC)
    assert style.octets(at, zone)[5:8] == bytes((local.hour, local.minute, local.second))


def test_a_meter_stays_small() -> None:
    MeterModel(serial="0", seed=0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    meters = [MeterModel(serial=str(n), seed=n) for n in range(20)]
    for meter in meters:
        by_entry(meter, 1, 96, START + 40 * 86_400)
    each = (tracemalloc.get_traced_memory()[0] - before) / len(meters)
    tracemalloc.stop()
    assert each < 60_000, f"{each:.0f} bytes per meter"
