"""When a meter's clock is moved: worked examples, and what holds whatever the clocks say."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.config import ClockSyncSettings
from edge.dlms.datetimes import ClockTime
from edge.errands.clock_policy import Decision, Deed, crossings, decide
from edge.meters.clock import Drift, Shown

QUARTER_S = 900.0
NOON_S = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 43_200      # on a boundary of every period
ALLOWED = ClockSyncSettings(allow=True)


def look(into_s: float = 400.0, *, status: int = 0, deviation: int = 0) -> Shown:
    """A clock that stands `into_s` seconds after the beginning of a quarter of an hour, in its local time."""
    time = ClockTime(2027, 1, 15, 5, 12, 0, 0, 0, deviation, status)
    return Shown(time, NOON_S + into_s + deviation * 60, deviation, 1.0, dated=False)


def decided(drift_s: float, uncertainty_s: float = 0.6, *, at: Shown | None = None, settings: ClockSyncSettings = ALLOWED,
            **given: Any) -> Decision:
    options: dict[str, Any] = {"synchronised": True, "since_last_s": None, "period_s": QUARTER_S, "can_shift": True} | given
    return decide(at or look(), Drift(drift_s, uncertainty_s), settings, **options)


def allowing(**changes: Any) -> ClockSyncSettings:
    return msgspec.structs.replace(ALLOWED, **changes)


@pytest.mark.parametrize(("drift_s", "options", "deed", "by_s", "why"), [
    (3.0, {}, Deed.RIGHT, 0, "within the threshold"),
    (10.5, {}, Deed.RIGHT, 0, "within the threshold"),                      # 10.5 - 0.6 might be less than 10
    (11.0, {}, Deed.SHIFT, -11, "+11.0 s"),
    (-90.4, {}, Deed.SHIFT, 90, "-90.4 s"),
    (-200.0, {}, Deed.SET, 200, "-200.0 s"),
    (-60.0, {"can_shift": False}, Deed.SET, 60, "-60.0 s"),
    (-5_000.0, {}, Deed.TELL, 0, "more than clock_sync.set_max_s = 3600 s"),
    (-5_000.0, {"settings": allowing(beyond="set")}, Deed.SET, 5_000, "-5000.0 s"),
    (60.0, {"settings": ClockSyncSettings()}, Deed.TELL, 0, "not allowed (clock_sync.allow)"),
    (60.0, {"synchronised": False}, Deed.NOTHING, 0, "not synchronised"),
    (60.0, {"since_last_s": 7_200.0}, Deed.NOTHING, 0, "it was moved 2.0 h ago"),
    (60.0, {"since_last_s": 90_000.0}, Deed.SHIFT, -60, ""),
    (60.0, {"since_last_s": -500.0}, Deed.SHIFT, -60, ""),                    # "last" lies ahead: our clock was wrong then
    (60.0, {"at": look(30)}, Deed.WAIT, -60, "not over a boundary"),
    (-60.0, {"at": look(880)}, Deed.WAIT, 60, "not over a boundary"),
    (1_000.0, {}, Deed.TELL, -1_000, "setting it back would write 1 interval(s) twice"),
    (1_000.0, {"settings": allowing(backwards="allow")}, Deed.SET, -1_000, ""),
    (-1_000.0, {}, Deed.SET, 1_000, ""),
    (0.2, {"at": look(status=1)}, Deed.SET, 0, "the meter says that its time is invalid"),
])
def test_what_is_done(drift_s: float, options: dict[str, Any], deed: Deed, by_s: float, why: str) -> None:
    decision = decided(drift_s, **options)
    assert (decision.deed, round(decision.by_s)) == (deed, by_s)
    assert why in decision.why


def test_what_a_move_crosses_is_said() -> None:
    assert decided(1_000.0, settings=allowing(backwards="allow")).crosses == -1
    assert decided(-1_000.0).crosses == 1
    assert decided(-3_000.0).crosses == 3
    assert decided(100.0).crosses == 0


@pytest.mark.parametrize(("drift_s", "into_s", "wait_s"), [
    (60.0, 30.0, 33.2 + 0.5),             # back by 60 from 63.2 on
    (60.0, 899.0, 64.2 + 0.5),            # whether it is over the boundary already is not known
    (-60.0, 880.0, 23.2 + 0.5),
    (-60.0, 1.0, 2.2 + 0.5),
])
def test_how_long_it_waits_for_a_place(drift_s: float, into_s: float, wait_s: float) -> None:
    assert decided(drift_s, at=look(into_s)).wait_s == pytest.approx(wait_s)


def test_boundaries_are_those_of_local_time() -> None:
    five_past_in_utc = replace(look(300, deviation=-330), deviation_minutes=-330)      # India: half an hour off the UTC hours
    assert decided(400.0, at=five_past_in_utc, period_s=3_600.0).deed is Deed.WAIT
    assert decided(400.0, at=replace(five_past_in_utc, utc_s=five_past_in_utc.utc_s + 1_800), period_s=3_600.0).deed is Deed.SET


CLOCKS = {"drift_s": st.floats(-1e6, 1e6), "uncertainty_s": st.floats(0.005, 40), "into_s": st.floats(0, 86_400),
          "period_s": st.sampled_from([60.0, 300.0, 900.0, 1_800.0, 3_600.0, 86_400.0]), "can_shift": st.booleans(),
          "beyond": st.sampled_from(["tell", "set"]), "lag": st.floats(0, 1), "error": st.floats(-1, 1)}


@given(**CLOCKS)
@example(drift_s=60.0, uncertainty_s=0.6, into_s=63.2, period_s=900.0, can_shift=True, beyond="tell", lag=1.0, error=-1.0)
@example(drift_s=899.0, uncertainty_s=0.5, into_s=0.0, period_s=900.0, can_shift=False, beyond="set", lag=0.0, error=1.0)
def test_no_clock_goes_back_over_a_boundary_unless_allowed(
    drift_s: float, uncertainty_s: float, into_s: float, period_s: float, can_shift: bool, beyond: str, lag: float, error: float,
) -> None:
    """Whatever the true time is within the uncertainty, and however late the meter acts within the margin."""
    at = look(into_s)
    decision = decided(drift_s, uncertainty_s, at=at, period_s=period_s, can_shift=can_shift, settings=allowing(beyond=beyond))
    if decision.deed not in (Deed.SHIFT, Deed.SET):
        return
    before_s = at.local_s + lag * 2.0
    # A shift moves by what was said; a time that is written lands where we are, as exactly as we know that.
    after_s = before_s + decision.by_s + (error * uncertainty_s if decision.deed is Deed.SET else 0.0)
    assert math.floor(after_s / period_s) >= math.floor(before_s / period_s) or decision.by_s > 0


@given(**CLOCKS)
def test_it_never_waits_longer_than_an_interval_and_then_acts(
    drift_s: float, uncertainty_s: float, into_s: float, period_s: float, can_shift: bool, beyond: str, lag: float, error: float,
) -> None:
    del lag, error
    at = look(into_s)
    options: dict[str, Any] = {"period_s": period_s, "can_shift": can_shift, "settings": allowing(beyond=beyond)}
    decision = decided(drift_s, uncertainty_s, at=at, **options)
    if decision.deed is Deed.WAIT:
        assert 0 < decision.wait_s <= period_s + 1
        later = replace(at, utc_s=at.utc_s + decision.wait_s)
        again = decided(drift_s, uncertainty_s, at=later, **options)
        assert again.deed in (Deed.SHIFT, Deed.SET) or again.wait_s <= 1.0 + 4 * uncertainty_s


@given(**CLOCKS)
def test_what_is_off_less_than_the_threshold_is_left_alone_and_nothing_moves_away_from_us(
    drift_s: float, uncertainty_s: float, into_s: float, period_s: float, can_shift: bool, beyond: str, lag: float, error: float,
) -> None:
    del lag, error
    decision = decided(drift_s, uncertainty_s, at=look(into_s), period_s=period_s, can_shift=can_shift, settings=allowing(beyond=beyond))
    if decision.deed in (Deed.SHIFT, Deed.SET):
        assert abs(drift_s) > 10.0
        assert abs(drift_s + decision.by_s) <= 0.5
    if decision.deed is Deed.SHIFT:
        assert decision.by_s == int(decision.by_s)
        assert abs(decision.by_s) <= 120


@given(local_s=st.floats(0, 4e9), by_s=st.floats(-1e5, 1e5), slack_s=st.floats(0, 60), period_s=st.sampled_from([60.0, 900.0, 3_600.0]))
def test_crossings_are_counted_at_worst(local_s: float, by_s: float, slack_s: float, period_s: float) -> None:
    backwards, forwards = crossings(local_s, by_s, slack_s, period_s)
    assert backwards <= 0 <= forwards
    plain = math.floor((local_s + by_s) / period_s) - math.floor(local_s / period_s)
    assert backwards <= plain if by_s < 0 else plain <= forwards
