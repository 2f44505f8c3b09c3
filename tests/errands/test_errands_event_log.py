"""Event logs of simulated meters: each entry an event once, whatever the clock does, whoever is restarted, whatever is cleared."""

from typing import Any

import msgspec
import pytest
from errands_site import KINDS, SetClock, Site
from hypothesis import given
from hypothesis import strategies as st

from edge.demo import meter_objects as objects
from edge.demo.meter_device import Fittings, central_europe
from edge.demo.meter_model import key
from edge.demo.meter_profile import Column
from edge.demo.meter_rows import EventLog as MeterLog
from edge.demo.meter_zone import TimeStyle
from edge.dlms.cosem import Obis
from edge.errands.event_log import KNOWN, EventLog
from edge.errors import RegistryError
from edge.meters.dutyspec import EventLogSpec
from edge.meters.eventlog import first_new
from edge.meters.localtime import Reckoning, Zone
from edge.model import Kind, Stream


def errand(site: Site, **spec: Any) -> EventLog:
    profile = site.profile
    if spec:
        logs = (msgspec.structs.replace(profile.event_logs[0], **spec),)
        profile = msgspec.structs.replace(profile, event_logs=logs)
    return EventLog(site.subject, profile, 0, Reckoning(), 900.0, site.means)


def entries(site: Site) -> list[int]:
    """The codes of the meter's entries that became events."""
    return [event["code"] for event in site.told() if "code" in event]


def log(site: Site, *codes: int, apart_s: float = 10.0) -> None:
    for code in codes:
        site.clock.pass_s(apart_s)
        site.meter.model.device.log(code, site.clock.wall_s)


# -- what is new ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("known", "read", "begin"), [
    ("abcd", "cdef", 2), ("abcd", "abcd", 4), ("abcd", "d", 1), ("ab", "abc", 2), ("ab", "xabc", 3), ("abcd", "xy", None),
    ("aa", "aaa", 2), ("ab", "", None), ("a", "b", None),
])
def test_worked_examples(known: str, read: str, begin: int | None) -> None:
    assert first_new(list(known), list(read)) == begin


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=80, unique=True), st.integers(1, 80), st.integers(0, 80))
def test_every_entry_is_new_exactly_once_however_much_is_read(written: list[int], seen: int, read: int) -> None:
    """The meter keeps what it wrote in order; some of it is known, and the newest `read` entries are read again."""
    texts = [str(number) for number in written]
    seen = min(seen, len(texts))
    known, newest = texts[:seen][-KNOWN:], texts[len(texts) - min(read, len(texts)):]
    begin = first_new(known, newest)
    expected = texts[seen:]
    if begin is not None:
        assert newest[begin:] == expected
    else:
        assert len(newest) <= len(expected), "only where the known end was not read"


# -- at the meter --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
async def test_entries_become_events_with_the_meters_time_and_a_name(kind: str) -> None:
    async with Site(kind, Fittings(zone=central_europe())).running() as site:
        log(site, 1, 2, 42, 200)
        one = errand(site)
        await site.steps(one)
        assert [(event["event"], event["severity"], event["code"]) for event in site.told()] == [
            ("meter_power_down", "warning", 1), ("meter_power_up", "info", 2), ("meter_strong_dc_field", "critical", 42),
            ("meter_event", "info", 200)]
        stream, record = site.records[0]
        assert stream is Stream.ALARM
        assert record.schema.kind is Kind.EVENT
        assert (record.stamp.source, record.stamp.synchronised) == ("meter", True)
        assert record.stamp.wall_ms == int(site.clock.wall_s - 30) * 1000
        assert site.told()[0]["log"] == "standard"
        assert site.told()[0]["time"] == "2026-03-01T13:35:15+01:00"
        await site.steps(one, 3)
        assert len(site.records) == 4, "each once"
        log(site, 4, 5)
        await site.steps(one)
        assert entries(site) == [1, 2, 42, 200, 4, 5]


async def test_events_of_one_second_and_of_one_code_keep_apart() -> None:
    async with Site().running() as site:
        one = errand(site)
        log(site, 7, 7, 7, apart_s=0.0)
        await site.steps(one)
        log(site, 7, 8, apart_s=0.0)
        await site.steps(one)
        assert entries(site) == [7, 7, 7, 7, 8]
        times = [record.stamp.wall_ms for _, record in site.records]
        assert len(set(times)) == 5
        assert max(times) - min(times) < 1_000


async def test_a_clock_that_is_set_back_hides_nothing() -> None:
    async with Site().running() as site:
        one = errand(site)
        log(site, 1, 2)
        await site.steps(one)
        site.meter.model.device.set_clock(site.clock.wall_s, site.clock.wall_s - 7_200)
        log(site, 62)
        await site.steps(one)
        assert entries(site) == [1, 2, 4, 5, 62]


async def test_a_restart_repeats_nothing_and_a_cut_before_the_note_repeats_the_same() -> None:
    async with Site().running() as site:
        log(site, 1, 2)
        await site.steps(errand(site))
        log(site, 3)
        await site.steps(errand(site))
        assert entries(site) == [1, 2, 3]
        log(site, 4)
        site.registry_fails = True
        one = errand(site)
        with pytest.raises(RegistryError):
            await site.steps(one)
        one.failed(RegistryError("full"), site.clock.monotonic())
        site.registry_fails = False
        await site.steps(one)
        assert entries(site) == [1, 2, 3, 4, 4]
        (_, first), (_, again) = site.records[-2:]
        assert (first.stamp.wall_ms, first.values) == (again.stamp.wall_ms, again.values)
        site.notes[site.subject.meter, "event_log standard"] = "{damaged"
        await site.steps(errand(site))
        assert entries(site)[-4:] == [1, 2, 3, 4]


async def test_a_cleared_log_is_told_and_read_anew() -> None:
    async with Site().running() as site:
        one = errand(site)
        log(site, *range(1, 12))
        await site.steps(one)
        site.clock.pass_s(60)
        site.meter.model.part(MeterLog).clear(site.clock.wall_s)
        log(site, 62)
        await site.steps(one)
        assert site.events()[11:] == ["event_log_gap", "meter_event_log_cleared", "meter_remote_disconnection"]


async def test_many_entries_since_the_last_look_are_all_found_and_an_overrun_is_told() -> None:
    async with Site(fittings=Fittings(event_entries=100)).running() as site:
        one = errand(site)
        log(site, 1)
        await site.steps(one)
        log(site, *range(100, 160), apart_s=1.0)
        await site.steps(one, 5)
        assert entries(site) == [1, *range(100, 160)]
        log(site, *(number % 250 for number in range(300)), apart_s=1.0)
        await site.steps(one, 6)
        assert site.events().count("event_log_gap") == 1
        assert entries(site)[61:] == [number % 250 for number in range(200, 300)]


async def test_a_new_meter_brings_the_newest_of_its_history_only() -> None:
    async with Site().running() as site:
        log(site, *range(1, 91), apart_s=1.0)
        await site.steps(errand(site), 3)
        assert entries(site) == list(range(27, 91))


async def test_without_selective_access_the_whole_log_is_read() -> None:
    async with Site().running() as site:
        site.meter.settings.manners.conformance = 0x001219
        one = errand(site)
        log(site, 1, 2)
        await site.steps(one)
        log(site, 3)
        await site.steps(one)
        assert entries(site) == [1, 2, 3]


async def test_a_meter_without_the_log_is_asked_again_a_day_later(caplog: pytest.LogCaptureFixture) -> None:
    async with Site().running() as site:
        one = errand(site, obis="0-0:99.98.7", confirmed=True)
        await site.steps(one)
        assert site.records == []
        assert one.due(site.clock.monotonic()) == 86_400
        assert "0-0:99.98.7 is not read: object undefined (4)" in caplog.text
        other = errand(site, obis="1-0:1.8.0")
        await site.steps(other)
        assert site.records == []


async def test_another_meter_under_the_name_begins_anew() -> None:
    async with Site().running() as site:
        log(site, 1)
        one = errand(site)
        await site.steps(one)
        assert one.name == "event_log standard"
        assert one.due(5.0) == pytest.approx(900 + 10)
        site.notes.clear()                       # what the registry does for another identity
        await site.steps(errand(site))
        assert entries(site) == [1, 1]


async def test_a_log_of_another_make_costs_no_association_and_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are asked for once a day; a row that does not fit them is why to ask again, and no fault of the link."""
    async with Site().running() as site:
        one, told = errand(site), MeterLog.rows
        log(site, 1)
        await site.steps(one)
        wide = Column(1, bytes((0, 0, 96, 11, 1, 255)), 2)
        profile: Any = site.meter.model._objects[key(7, objects.EVENT_LOG, 0)[:8]]
        profile.columns = (*profile.columns, wide)
        monkeypatch.setattr(MeterLog, "rows", lambda self, *place: [(at, [*cells, bytes((0x11, 7))]) for at, cells in told(self, *place)])
        log(site, 2)
        await site.steps(one, 2)
        assert site.told()[-1] | {"detail": "0-0:96.11.1.255 7", "code": 2} == site.told()[-1]


async def test_a_log_whose_columns_are_nonsense_is_left_alone_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    told = MeterLog.value
    monkeypatch.setattr(MeterLog, "value", lambda self, number, now: b"\x01\x01\x00" if number == 3 else told(self, number, now))
    async with Site().running() as site:
        one = errand(site)
        log(site, 1)
        await site.steps(one)
        assert one.due(site.clock.monotonic()) == 10 + 86_400


@pytest.mark.parametrize(("synchronised", "source_is_sure"), [(True, True), (False, False)])
async def test_an_hour_that_comes_twice_is_not_settled_by_a_clock_that_is_not_right(*, synchronised: bool, source_is_sure: bool) -> None:
    """Our own clock, at its start in the past, would take every such hour for the first of the two."""
    clock = SetClock(1_792_886_400 + 1_800)                # 2026-10-25, 00:30 UTC: 02:30 of the first 02:00 to 03:00
    fittings = Fittings(zone=central_europe(), style=TimeStyle(deviation="unspecified", status=False))
    async with Site(fittings=fittings, clock=clock).running() as site:
        log(site, 1)
        site.clock.is_synchronised = synchronised
        one = EventLog(site.subject, site.profile, 0, Reckoning(zone=Zone(3600, daylight_saving=True)), 900.0, site.means)
        await site.steps(one)
        [(_, record)] = site.records
        assert record.stamp.synchronised is source_is_sure


def test_codes_and_columns_of_a_profile_are_checked() -> None:
    from edge.meters.profile import load_profiles

    profile = load_profiles()["generic-three-phase"]
    assert profile.event_codes["1"] == "power_down warning"
    assert Obis.parse(profile.event_logs[0].code_obis) == Obis(0, 0, 96, 11, 0)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "Not a key", "obis": "0-0:99.98.0"}, EventLogSpec)
