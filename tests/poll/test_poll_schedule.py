"""The schedule: a fixed grid, late ticks skipped and counted, phase from the name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.poll.schedule import PROMPT_S, Between, Schedule, Tick, between_polls, phase

intervals = st.floats(0.05, 86_400)
starts = st.floats(0, 1e7)
names = st.text(min_size=1, max_size=20)


def test_a_worked_example() -> None:
    schedule = Schedule(10.0, 0.25, 1000.0)
    tick = schedule.first()
    assert tick == Tick(0, 1002.5)
    assert schedule.following(tick, 1003.0) == Tick(1, 1012.5)
    # a poll of 24 s runs over two ticks: they are skipped, the phase stays
    assert schedule.following(Tick(1, 1012.5), 1036.5) == Tick(4, 1042.5, skipped=2)
    # finished exactly on the grid: that tick is still served
    assert schedule.following(tick, 1012.5) == Tick(1, 1012.5)


def test_a_quarter_hour_meter_shows_itself_soon_and_then_keeps_its_phase() -> None:
    schedule = Schedule(900.0, 0.5, 0.0)
    first = schedule.first()
    assert first == Tick(-1, 15.0)
    assert schedule.following(first, 15.2) == Tick(0, 450.0)


@given(name=names, interval_s=intervals, now=starts, took=st.lists(st.floats(0, 300_000), max_size=30))
def test_ticks_stay_on_the_grid_never_burst_and_every_slot_is_accounted_for(name: str, interval_s: float, now: float, took: list[float]) -> None:
    schedule = Schedule.spread(name, interval_s, now)
    tick = schedule.first()
    assert now <= tick.at <= now + min(interval_s, PROMPT_S)
    first_index, served, skipped = tick.index, 1, 0
    at = tick.at
    for seconds in took:
        at = max(at, tick.at) + seconds
        following = schedule.following(tick, at)
        assert following.at >= at                                   # never in the past: no burst of make-up polls
        assert following.at - at <= interval_s * (1 + 1e-6) + 1e-6 or following.index == tick.index + 1
        assert following.index > tick.index
        assert following.skipped == following.index - tick.index - 1
        assert following.at == schedule.at(following.index)         # on the grid exactly: nothing drifts
        served, skipped, tick = served + 1, skipped + following.skipped, following
        assert served + skipped - 1 <= schedule.due(at) + 1
        assert abs(schedule.due(tick.at) - (served + skipped)) <= 1      # rounding may put a tick on either side of itself
        assert schedule.due(tick.at + interval_s / 2) == served + skipped
    assert served + skipped == tick.index - first_index + 1


@given(interval_s=intervals, share=st.floats(0, 1, exclude_max=True), started=starts, last=st.integers(-1, 1000), late=st.floats(0, 1e6))
def test_following_skips_no_tick_that_was_still_to_come(interval_s: float, share: float, started: float, last: int, late: float) -> None:
    schedule = Schedule(interval_s, share, started)
    now = schedule.at(last) + late
    found = schedule.following(Tick(last, schedule.at(last)), now)
    assert found.at >= now
    assert found.index == last + 1 or schedule.at(found.index - 1) < now


def test_a_million_ticks_do_not_drift() -> None:
    schedule = Schedule(0.1, 0.0, 0.0)
    assert math.isclose(schedule.at(1_000_000), 100_000.0, abs_tol=1e-6)


@given(names)
def test_the_phase_is_a_share(name: str) -> None:
    assert 0 <= phase(name) < 1
    assert phase(name) == phase(name)


def test_phases_spread_evenly() -> None:
    counts = [0] * 10
    for n in range(1000):
        counts[int(phase(f"meter-{n:03d}") * 10)] += 1
    assert min(counts) > 60
    assert max(counts) < 140


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_an_interval_must_be_a_positive_number(wrong: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Schedule.spread("m", wrong, 0.0)


@pytest.mark.parametrize(("interval_s", "inactivity_s", "keep_alive_s", "expected"), [
    (10, 0, 0, Between.KEEP),                # nothing ever drops it
    (900, 0, 20, Between.KEEP),
    (10, 30, 20, Between.KEEP),              # the polls themselves keep it
    (20, 30, 20, Between.KEEP),
    (25, 30, 20, Between.KEEP_ALIVE),        # bridge with 30 s limit
    (60, 30, 20, Between.KEEP_ALIVE),
    (300, 30, 20, Between.HANG_UP),          # connecting anew is cheaper than 14 keep-alives
    (60, 180, 60, Between.KEEP),
    (900, 180, 60, Between.HANG_UP),
    (100, 180, 0, Between.KEEP),
    (170, 180, 0, Between.HANG_UP),          # too close to the limit, and no keep-alive wanted
])
def test_what_happens_between_two_polls(interval_s: float, inactivity_s: float, keep_alive_s: float, expected: Between) -> None:
    assert between_polls(interval_s, inactivity_s=inactivity_s, keep_alive_s=keep_alive_s) is expected
