"""Keeping the clocks of simulated meters over real TCP: read, told, moved, verified, and what is refused."""

import dataclasses
from typing import Any

import msgspec
import pytest
from errands_site import KINDS, NOW_S, SetClock, Site

from edge.config import ClockSyncSettings
from edge.demo.meter_clock import Clock
from edge.demo.meter_cosem import NO_SUCH_METHOD, Outcome
from edge.demo.meter_data import Item
from edge.demo.meter_device import Fittings, central_europe
from edge.demo.meter_zone import TimeStyle
from edge.dlms.axdr import Integer
from edge.errands.clock_keeper import DUTY, ClockKeeper
from edge.errors import MeterError, RegistryError
from edge.meters.clock import attribute, drift, setting, shown, zone_of
from edge.meters.dutyspec import ClockSpec
from edge.model import Kind, Stream

ALLOWED = ClockSyncSettings(allow=True)
SPEC = ClockSpec()


def keeper(site: Site, settings: ClockSyncSettings = ALLOWED, spec: ClockSpec = SPEC) -> ClockKeeper:
    return ClockKeeper(site.subject, spec, settings, 3_600.0, site.means)


def off_s(site: Site) -> float:
    """How far the simulated meter's clock is off, in truth."""
    return site.meter.model.device.shown(site.clock.wall_s) - site.clock.wall_s


@pytest.mark.parametrize("kind", [*KINDS, "microstar"])
async def test_a_clock_is_read_and_its_drift_is_told_and_nothing_is_moved_unasked(kind: str) -> None:
    async with Site(kind, Fittings(zone=central_europe()), clock_drift_s=-37.0).running() as site:
        errand = keeper(site, ClockSyncSettings())
        await site.steps(errand, 3)
    [first, *_] = site.told(Kind.CLOCK)
    assert (first["drift_s"], first["uncertainty_s"], first["status"]) == (-36_500, 500, 0)      # shown seconds are cut off
    assert {stream for stream, record in site.records if record.schema.kind is Kind.CLOCK} == {Stream.INSTANT}
    [event] = site.told()
    assert event == {"event": "clock_wrong", "by": "gateway",
                     "detail": "-36.5 s; moving clocks is not allowed (clock_sync.allow)"}
    assert off_s(site) == -37.0
    assert site.notes == {}
    assert errand.due(site.clock.monotonic()) == 3_600.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("drift_s", "how"), [(-37.0, "shift_time"), (50.0, "shift_time"), (-250.0, "(set)"), (290.0, "(set)")])
async def test_a_clock_is_moved_verified_and_recorded(kind: str, drift_s: float, how: str) -> None:
    async with Site(kind, Fittings(zone=central_europe()), clock_drift_s=drift_s).running() as site:
        errand = keeper(site)
        await site.steps(errand)
        assert abs(off_s(site)) <= 1.0
        [event] = site.told()
        assert event["event"] == "clock_moved"
        assert how in event["detail"]
        assert float(event["detail"].split(" by ")[1].split()[0]) == pytest.approx(-drift_s, abs=1)
        [before, after] = site.told(Kind.CLOCK)
        assert abs(before["drift_s"] - 1000 * drift_s) <= 500
        assert abs(after["drift_s"]) <= 1_500
        # once a day
        site.meter.model.device.set_clock(site.clock.wall_s, site.clock.wall_s + 100)
        site.clock.pass_s(7_200.0)
        await site.steps(errand)
        await site.steps(keeper(site))          # a gateway that was restarted knows it too
        assert site.events() == ["clock_moved"]
        site.clock.pass_s(90_000.0)
        await site.steps(errand)
        assert site.events() == ["clock_moved"] * 2


async def test_a_clock_near_a_boundary_waits_for_its_place() -> None:
    clock = SetClock(NOW_S - NOW_S % 900 - 30)
    async with Site(clock_drift_s=60.0, clock=clock).running() as site:
        errand = keeper(site)
        await site.steps(errand)
        assert site.events() == []
        due = errand.due(clock.monotonic())
        assert due is not None
        assert 0 < due < 60
        clock.pass_s(due)
        await site.steps(errand)
        assert site.events() == ["clock_moved"]
        assert off_s(site) == pytest.approx(0, abs=1)


async def test_setting_back_over_boundaries_is_told_or_recorded_with_what_it_crosses() -> None:
    async with Site(clock_drift_s=2_000.0).running() as site:
        await site.steps(keeper(site))
        [refused] = site.told()
        assert refused["event"] == "clock_wrong"
        assert "would write 2 interval(s) twice" in refused["detail"] or "would write 3" in refused["detail"]
        await site.steps(keeper(site, msgspec.structs.replace(ALLOWED, backwards="allow")))
        event = site.told()[-1]
        assert event["event"] == "clock_moved"
        assert "boundary(ies) of the load profile" in event["detail"]


@pytest.mark.parametrize(("status", "sound"), [(0, True), (2, False)])
async def test_without_a_synchronised_clock_of_our_own_the_meters_time_is_kept_for_ours(status: int, sound: bool) -> None:
    said: list[Any] = []

    def meter_clock(meter: str, *, wall_ms: int, boottime_ms: int, sound: bool, error_ms: int | None = None) -> None:
        said.append((meter, wall_ms, boottime_ms, error_ms, sound))

    async with Site(fittings=Fittings(clock_status=status), clock_drift_s=500.0).running() as site:
        site.clock.is_synchronised = False
        site.means = dataclasses.replace(site.means, meter_clock=meter_clock)
        errand = keeper(site)
        await site.steps(errand)
        assert site.records == []
        assert errand.due(0.0) == 300.0
        assert off_s(site) == 500.0
        assert said == [("m1", round((site.clock.wall_s + 500.5) * 1000), 1, 500, sound)]


@pytest.mark.parametrize("style", [TimeStyle(deviation="unspecified"), TimeStyle(hundredths=255, weekday=False),
                                   TimeStyle(seconds=False), TimeStyle(status=False), TimeStyle(deviation="reversed")])
async def test_every_style_of_writing_a_time_is_read_and_set(style: TimeStyle) -> None:
    spec = ClockSpec(deviation="reversed" if style.deviation == "reversed" else "standard")
    july = SetClock(1_784_117_210.0)                              # daylight saving; in the middle of a quarter, ten past a minute
    for drift_s in (-240.0, 240.0):
        async with Site(fittings=Fittings(zone=central_europe(), style=style), clock_drift_s=drift_s, clock=july).running() as site:
            await site.steps(keeper(site, spec=spec))
            if style.seconds:
                assert site.events() == ["clock_moved"]
                assert abs(off_s(site)) <= 1.0
            else:
                # a clock without seconds may be half a minute off either way, and cannot be set to the second
                assert abs(site.told(Kind.CLOCK)[0]["drift_s"] - 1000 * drift_s) <= 30_000


async def test_a_meter_without_any_zone_is_told_once_in_the_log_and_not_guessed_at(caplog: pytest.LogCaptureFixture) -> None:
    async with Site(fittings=Fittings(style=TimeStyle(year=False))).running() as site:
        errand = keeper(site)
        await site.steps(errand, 3)
    assert site.records == []
    assert [record.levelname for record in caplog.records if "its clock is not read" in record.getMessage()] == ["WARNING"]


@pytest.mark.parametrize(("offset", "deviation"), [(60, -60), (-300, 300)])
def test_what_no_meter_tells_the_profile_may(offset: int, deviation: int) -> None:
    octets = bytes.fromhex("07ea030107") + bytes((12, 30, 5, 0)) + b"\x80\x00\x00"
    assert isinstance(shown(octets, SPEC), str)
    look = shown(octets, ClockSpec(utc_offset_minutes=offset))
    assert not isinstance(look, str)
    assert look.deviation_minutes == deviation
    assert look.utc_s == 1_772_368_205.0 + deviation * 60
    assert look.local_s == 1_772_368_205.0
    assert setting(look, look.utc_s + 1) == octets[:7] + b"\x06" + octets[8:]


@pytest.mark.parametrize("data", [None, b"", b"123456789012", "text", Integer(6, 5), [1], bytes(12)])
def test_what_is_no_time_is_told(data: Any) -> None:
    assert isinstance(shown(data, SPEC), str)


def test_zone_and_uncertainty() -> None:
    assert zone_of(Integer(16, -60), Integer(15, 60)) == (-60, 60)
    assert zone_of(None, Integer(15, 60)) is None
    look = shown(bytes.fromhex("07ea0301070c1e0532ffc400"), SPEC)            # half a second in hundredths
    assert not isinstance(look, str)
    assert drift(look, look.utc_s + 1, look.utc_s + 3) == pytest.approx((-1.995, 1.005))
    assert attribute(SPEC, 2).obis.f == 255


# -- refusals and faults -----------------------------------------------------------------------------------------------------

async def test_a_public_client_may_not_set_and_it_is_told_who_may() -> None:
    async with Site(clock_drift_s=-250.0).running() as site:
        await site.steps(keeper(site), client_sap=16, authentication="none")
        [event] = site.told()
        assert event["event"] == "clock_not_moved"
        assert "read write denied (3): a client with more rights is needed" in event["detail"]
        assert off_s(site) == -250.0


class ClockWithoutMethods(Clock):
    __slots__ = ()
    methods = 0


class Stubborn(Clock):
    """Says yes to everything and does nothing."""

    __slots__ = ()

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        return Outcome(0)


class Refusing(Clock):
    __slots__ = ()

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        return Outcome(NO_SUCH_METHOD)


@pytest.mark.parametrize("kind", [ClockWithoutMethods, Refusing])
async def test_without_the_method_the_time_is_written(kind: type[Clock]) -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        site.meter.model.install(kind(site.meter.model.device))
        errand = keeper(site)
        await site.steps(errand)
        [event] = site.told()
        assert event["event"] == "clock_moved"
        assert "(set)" in event["detail"]
        assert off_s(site) == pytest.approx(0, abs=1)


async def test_without_action_the_time_is_written_and_without_set_it_is_told() -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        site.meter.settings.manners.conformance = 0x00121C
        await site.steps(keeper(site))
        assert site.events() == ["clock_moved"]
    async with Site(clock_drift_s=-30.0).running() as site:
        site.meter.settings.manners.conformance = 0x001214
        await site.steps(keeper(site))
        [event] = site.told()
        assert "SET was not negotiated with this meter" in event["detail"]


async def test_a_meter_that_says_yes_and_does_nothing_is_found_out() -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        site.meter.model.install(Stubborn(site.meter.model.device))
        await site.steps(keeper(site))
        [event] = site.told()
        assert event["event"] == "clock_not_moved"
        assert "-29.5 s off" in event["detail"]


async def test_what_cannot_be_noted_is_not_done() -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        site.registry_fails = True
        errand = keeper(site)
        with pytest.raises(RegistryError):
            await site.steps(errand)
        assert off_s(site) == -30.0
        errand.failed(RegistryError("the disk is full"), site.clock.monotonic())
        assert errand.due(site.clock.monotonic()) == 300.0


async def test_a_power_cut_in_the_middle_leaves_the_note_and_moves_once() -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        class Dying(Clock):
            __slots__ = ()

            def act(self, method: int, argument: Item, now: float) -> Outcome:
                outcome = super().act(method, argument, now)
                site.meter.drop_connections(reset=True)
                return outcome

        site.meter.model.install(Dying(site.meter.model.device))
        errand = keeper(site)
        with pytest.raises(MeterError):
            await site.steps(errand)
        assert site.notes[site.subject.meter, DUTY]
        errand.failed(MeterError("gone"), site.clock.monotonic())
        await site.steps(errand)
        assert site.told(Kind.CLOCK)[-1]["drift_s"] == 500
        assert site.events() == []


async def test_damaged_notes_are_no_notes() -> None:
    async with Site(clock_drift_s=-30.0).running() as site:
        site.notes[site.subject.meter, DUTY] = "{broken"
        await site.steps(keeper(site))
        assert site.events() == ["clock_moved"]
