"""Meters' times as instants: against zoneinfo's rules, and against the simulated meter's way of writing them."""

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Zone as ZoneText
from edge.demo.meter_device import central_europe
from edge.demo.meter_zone import TimeStyle, read_date_time
from edge.demo.meter_zone import Zone as MeterZone
from edge.dlms.axdr import Integer
from edge.dlms.datetimes import ClockTime
from edge.meters.loadrows import moment
from edge.meters.localtime import UTC_ZONE, Instant, Reckoning, Zone

EUROPE = Zone(3600, daylight_saving=True)
SPRING, AUTUMN = 1_774_746_000, 1_792_890_000        # 2026-03-29 and 2026-10-25, 01:00 UTC
instants = st.integers(946_684_800, 4_000_000_000)


@pytest.mark.parametrize(("text", "zone"), [
    ("", None), ("+01:00", Zone(3600)), ("-05:00", Zone(-18_000)), ("+05:30", Zone(19_800)), ("+01:00 eu", EUROPE)])
def test_zones_as_text(text: str, zone: Zone | None) -> None:
    import msgspec

    assert Zone.parse(msgspec.convert(text, ZoneText)) == zone


@pytest.mark.parametrize("text", ["01:00", "+1:00", "+15:00", "+01:60", "+01:00 us", "Europe/Berlin"])
def test_what_is_no_zone_is_refused_by_the_settings(text: str) -> None:
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, ZoneText)


@pytest.mark.skipif("Europe/Berlin" not in available_timezones(), reason="this machine has no time zone database")
@given(at=instants)
@settings(max_examples=300, deadline=None)
def test_the_european_rule_is_that_of_the_time_zone_database(at: int) -> None:
    there = dt.datetime.fromtimestamp(at, ZoneInfo("Europe/Berlin"))
    assert EUROPE.summer(at) == bool(there.dst())
    assert EUROPE.local_s(at) - at == there.utcoffset().total_seconds()
    assert at in EUROPE.candidates(EUROPE.local_s(at))


@given(at=st.one_of(instants, st.integers(AUTUMN - 7200, AUTUMN + 7200), st.integers(SPRING - 7200, SPRING + 7200)),
       style=st.builds(TimeStyle, weekday=st.booleans(), deviation=st.sampled_from(["standard", "reversed", "unspecified"]),
                       hundredths=st.sampled_from([0, 255]), status=st.booleans()))
@settings(max_examples=200, deadline=None)
def test_every_way_to_write_a_time_comes_back(at: int, style: TimeStyle) -> None:
    zone = central_europe()
    reckoning = Reckoning("reversed" if style.deviation == "reversed" else "standard", EUROPE)
    instant = reckoning.instant(ClockTime.parse(style.octets(at, zone)))
    assert instant is not None
    assert at in (instant.utc_s, instant.second)
    assert instant.doubt == ("which_hour" if instant.second is not None else "")
    if style.deviation != "unspecified" or style.status:
        assert instant == Instant(at)


@pytest.mark.parametrize(("style", "status", "reckoning", "expected"), [
    (TimeStyle(), 0, Reckoning(), Instant(AUTUMN)),
    (TimeStyle(), 0x02, Reckoning(), Instant(AUTUMN, "doubtful")),
    (TimeStyle(), 0x01, Reckoning(), Instant(AUTUMN, "invalid")),
    (TimeStyle(), 0x08, Reckoning(), Instant(AUTUMN, "invalid")),
    (TimeStyle(), 0x04, Reckoning(), Instant(AUTUMN)),
    (TimeStyle(seconds=False), 0, Reckoning(), Instant(AUTUMN)),
    (TimeStyle(year=False), 0, Reckoning(), None),
    (TimeStyle(deviation="unspecified"), 0, Reckoning(), Instant(AUTUMN + 3600, "no_zone")),
    (TimeStyle(deviation="unspecified"), 0, Reckoning(zone=Zone(3600)), Instant(AUTUMN)),
    (TimeStyle(deviation="standard"), 0, Reckoning("ignored", UTC_ZONE), Instant(AUTUMN + 3600)),
    (TimeStyle(deviation="unspecified", status=False), 0, Reckoning(zone=EUROPE), Instant(AUTUMN - 3600, "which_hour", AUTUMN)),
], ids=str)
def test_worked_examples(style: TimeStyle, status: int, reckoning: Reckoning, expected: Instant | None) -> None:
    assert reckoning.instant(ClockTime.parse(style.octets(AUTUMN, central_europe(), status))) == expected


def test_an_hour_that_spring_leaves_out_is_told() -> None:
    octets = bytes.fromhex("07ea031dff0220000080 00ff".replace(" ", ""))      # 2026-03-29 02:32
    instant = Reckoning(zone=EUROPE).instant(ClockTime.parse(octets))
    assert instant == Instant(SPRING + 32 * 60, "no_such_hour")


def test_without_zone_and_with_the_status_the_two_hours_of_autumn_stay_two() -> None:
    style, reckoning = TimeStyle(deviation="unspecified"), Reckoning()
    first, second = (reckoning.instant(ClockTime.parse(style.octets(at, central_europe()))) for at in (AUTUMN - 1800, AUTUMN + 1800))
    assert first is not None
    assert second is not None
    assert second.utc_s - first.utc_s == 3600
    assert (first.doubt, second.doubt) == ("no_zone", "no_zone")


@given(at=st.one_of(instants, st.integers(AUTUMN - 9000, AUTUMN + 9000), st.integers(SPRING - 9000, SPRING + 9000)),
       length=st.integers(0, 90_000), now=st.integers(0, 20_000_000),
       style=st.builds(TimeStyle, deviation=st.sampled_from(["standard", "reversed", "unspecified"]), status=st.booleans()),
       meter=st.sampled_from([central_europe(), MeterZone(), MeterZone(deviation_min=300)]))
@settings(max_examples=250, deadline=None)
def test_limits_hold_what_is_asked_for_in_the_meters_own_reading(
        at: int, length: int, now: int, style: TimeStyle, meter: MeterZone) -> None:
    zone = Zone(-60 * meter.deviation_min, meter.dst_enabled)
    reckoning = Reckoning("reversed" if style.deviation == "reversed" else "standard", zone)
    shown = ClockTime.parse(style.octets(at + length + now, meter))
    low, high = (read_date_time(limit, meter, style) for limit in reckoning.limits(at, at + length, shown))
    assert low is not None
    assert high is not None
    assert low <= at <= at + length <= high
    if style.deviation != "unspecified":
        assert (low, high) == (at, at + length)
    assert high - low <= length + 3 * 3600


# -- the ends of the calendar ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("year", [0, 1, 99, 9000, 9999, 10_000, 65_534])
@pytest.mark.parametrize("deviation", [-0x8000, 0, -720, 840])
@pytest.mark.parametrize("zone", [None, EUROPE, Zone(-43_200), Zone(50_400)])
def test_a_time_at_the_ends_of_the_calendar_is_none(year: int, deviation: int, zone: Zone | None) -> None:
    """A meter without a battery shows year 1, a hostile one year 9999: neither may lead out of what Python can reckon."""
    for day in ("0101ff000000ff", "0c1fff173b3bff"):
        octets = year.to_bytes(2, "big") + bytes.fromhex(day) + deviation.to_bytes(2, "big", signed=True) + b"\xff"
        assert Reckoning("standard", zone).instant(ClockTime.parse(octets)) is None


@pytest.mark.parametrize(("seconds", "taken"), [(0, True), (4_000_000_000, True), (2**63 - 1, False), (-2**63, False)])
def test_a_clock_that_counts_seconds_is_bounded_too(seconds: int, taken: bool) -> None:
    instant, shown = moment(Integer(20, seconds), Reckoning())
    assert (instant is not None, shown) == (taken, None)
