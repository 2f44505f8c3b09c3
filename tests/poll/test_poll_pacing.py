"""The limit of meters asked at once, against models of links: a queue with a rate, a delay, a deadline."""

import heapq
import random
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.poll.pacing import CALM_ANSWERS, PATIENCE_MOST, Pacing, Patience


@dataclass(frozen=True)
class Air:
    """`air_s` of the channel for each poll; the answer comes `delay_s` after that, plus up to twice `jitter_s`."""

    air_s: float
    delay_s: float
    jitter_s: float
    deadline_s: float = 8.0

    def ideal_per_s(self, meters: int) -> float:
        """What the channel, and so many meters each asked one thing at a time, can give."""
        return min(1.0 / self.air_s, meters / (self.air_s + self.delay_s + self.jitter_s))


LINKS = {
    "good": Air(0.0008, 0.012, 0.004),
    "fair": Air(0.004, 0.040, 0.025),
    "poor": Air(0.025, 0.15, 0.12),
    "eu-duty": Air(0.09, 0.05, 0.02),
    "sleepy": Air(0.01, 1.2, 2.3),
}


def run(air: Air, pacing: Pacing, seconds: float, *, meters: int = 30, seed: int = 1, start: float = 0.0, closed: int = 0) -> tuple[float, int]:
    """Poll as fast as the limit lets; return answers a second in the second half, and misses. Each meter is asked one thing at a time.

    So many are `closed`: their first place is held for connecting and associating too, three round trips instead of one.
    """
    rng = random.Random(seed)
    now, free, answers, misses = start, start, 0, 0
    inside: list[tuple[float, float, bool]] = []      # (ends at, began at, answered)
    idle = meters
    while now < start + seconds:
        while idle and len(inside) < pacing.limit:
            began = at = now
            for _ in range(3 if closed else 1):
                began, free = at, max(free, now) + air.air_s
                at = max(began, free) + air.delay_s + rng.uniform(0, 2 * air.jitter_s)
            closed -= closed > 0
            in_time = at - began <= air.deadline_s
            heapq.heappush(inside, (at if in_time else began + air.deadline_s, began, in_time))
            idle -= 1
        now, began, answered = heapq.heappop(inside)
        idle += 1
        if answered:
            pacing.answered(now, now - began, len(inside) + 1, waiting=idle > 1)
            answers += now > start + seconds / 2
        else:
            pacing.missed(now, now - began)
            misses += 1
    return answers / (seconds / 2), misses


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("first", [1, 8, 32])
def test_each_link_gives_most_of_what_it_can_wherever_the_limit_begins(name: str, first: int) -> None:
    air = LINKS[name]
    pacing = Pacing(first, 64)
    seconds = min(600, max(45, 12_000 / air.ideal_per_s(30)))      # long enough to climb, and no longer
    got, misses = run(air, pacing, seconds)
    ideal = air.ideal_per_s(30)
    assert got >= 0.85 * ideal, (got, ideal, pacing.limit)
    assert misses == 0
    for fixed in (1, 4, 16):
        assert got >= 0.93 * run(air, Pacing(fixed, fixed), seconds / 4)[0], fixed


@settings(max_examples=25, deadline=None)
@given(st.floats(0.02, 0.3), st.floats(0.01, 3.0), st.floats(0.0, 1.0), st.integers(0, 9))
@example(0.02, 3.0, 1.0, 1)
@example(0.09, 0.05, 0.2, 1)
def test_from_a_cold_start_no_fixed_number_does_better(air_s: float, delay_s: float, jitter: float, seed: int) -> None:
    air = Air(air_s, delay_s, jitter * delay_s, deadline_s=32.0)
    got, misses = run(air, Pacing(16, 64), 90, seed=seed, closed=30)
    assert misses == 0
    for fixed in (1, 4, 16):
        assert got >= 0.9 * run(air, Pacing(fixed, fixed), 90, seed=seed, closed=30)[0], fixed


def test_slow_answers_are_no_sign_of_a_crowd_and_late_ones_are() -> None:
    """Both take four seconds: on one link with two meters at once as with one, on the other because sixteen wait for the air."""
    sleepy, crowded = Pacing(16, 64), Pacing(16, 64)
    run(Air(0.01, 3.0, 1.0), sleepy, 60)
    run(Air(0.25, 0.05, 0.0, deadline_s=32.0), crowded, 200)
    assert crowded.limit <= 16 < sleepy.limit


def test_an_outage_that_silences_all_at_once_halves_the_limit_once_and_it_is_back_in_a_moment() -> None:
    pacing = Pacing(32, 64)
    for n in range(32):
        pacing.missed(10.0 + n / 1000, 8.0)
    assert pacing.limit == 16
    got, _ = run(LINKS["fair"], pacing, 10, start=20.0)
    assert pacing.limit >= 16
    assert got >= 0.9 * run(LINKS["fair"], Pacing(16, 16), 10)[0]


def test_a_round_ends_though_answers_take_long() -> None:
    """With one exchange in two places a round is judged after ten seconds, not after four in each."""
    pacing = Pacing(16, 64)
    pacing.answered(4.0, 4.0, 16, waiting=True)
    for n in range(7):
        assert pacing.answered(5.0 + n, 4.0, 16, waiting=True) == 16
    assert pacing.answered(14.0, 4.0, 16, waiting=True) == 32


def test_where_a_crowd_only_makes_answers_miss_their_deadline_the_limit_falls() -> None:
    crowded = Air(0.5, 0.1, 0.05, deadline_s=4.0)      # two polls a second, and a ninth in the queue is too late
    pacing = Pacing(32, 64)
    got, misses = run(crowded, pacing, 600)
    _, late = run(crowded, pacing, 300, start=600)
    assert pacing.limit <= 8
    assert got >= 1.6
    assert late <= misses / 4 + 5


def test_a_link_that_mends_is_used_again() -> None:
    pacing = Pacing(8, 64)
    run(Air(0.5, 0.1, 0.05, deadline_s=2.0), pacing, 300)
    low = pacing.limit
    got, _ = run(LINKS["sleepy"], pacing, 900, start=300)
    assert low < 8 <= pacing.limit
    assert got >= 0.8 * LINKS["sleepy"].ideal_per_s(30)


def test_nobody_waiting_means_no_step_up_and_equal_bounds_fix_the_limit() -> None:
    pacing = Pacing(4, 32)
    for n in range(2_000):
        pacing.answered(n * 0.1, 0.05, 1, waiting=False)
    assert pacing.limit == 4
    fixed = Pacing(5, 5)
    run(LINKS["sleepy"], fixed, 100)
    assert fixed.limit == 5
    with pytest.raises(ValueError, match="at least one"):
        Pacing(0, 4)
    with pytest.raises(ValueError, match="at most 4"):
        Pacing(5, 4)


@given(st.integers(1, 8), st.integers(8, 64), st.lists(st.tuples(st.booleans(), st.floats(0, 10), st.booleans()), max_size=400))
def test_the_limit_stays_within_its_bounds_whatever_happens(first: int, most: int, happens: list[tuple[bool, float, bool]]) -> None:
    pacing = Pacing(first, most)
    now = 0.0
    for answered, took_s, waiting in happens:
        now += took_s
        limit = pacing.answered(now, took_s, pacing.limit, waiting=waiting) if answered else pacing.missed(now, took_s)
        assert 1 <= limit == pacing.limit <= most
    assert pacing.state().limit == pacing.limit


def test_patience_grows_with_silence_and_comes_back_with_early_answers() -> None:
    patience = Patience(8.0)
    for _ in range(10):
        patience.missed()
    assert patience.factor == PATIENCE_MOST
    for _ in range(CALM_ANSWERS - 1):
        patience.answered(1.0)
    patience.answered(7.0)      # late: counted anew
    assert patience.factor == PATIENCE_MOST
    for _ in range(CALM_ANSWERS * 10):
        patience.answered(1.0)
    assert patience.factor < 1.5


@given(st.floats(0.001, 6.0), st.floats(0.0, 1.0), st.floats(2.0, 20.0), st.integers(0, 99))
@example(3.9, 0.5, 8.0, 1)
@example(0.065, 0.1, 8.0, 1)
@example(1.875, 0.875, 15.0, 84)
@example(0.3359375, 0.28125, 19.5, 60)
def test_a_deadline_holds_the_answer_to_a_first_copy_and_ends_just_before_no_other(
    round_trip_s: float, spread: float, deadline_s: float, seed: int,
) -> None:
    """Against Linux's reckoning of the same round trips (RFC 6298; 0.2 s at least over the round trip; the first copy a probe)."""
    rng = random.Random(seed)
    patience = Patience(deadline_s)
    patience.connected(round_trip_s)
    smooth_s, deviation_s = round_trip_s, round_trip_s / 2
    for _ in range(60):
        took_s = round_trip_s * (1 + spread * rng.uniform(-1, 1))
        patience.answered(took_s)
        deviation_s += (abs(took_s - smooth_s) - deviation_s) / 4
        smooth_s += (took_s - smooth_s) / 8
    timeout_s = smooth_s + max(0.2, 4 * deviation_s)
    longest_s = min(round_trip_s * (1 + spread), timeout_s)      # beyond it TCP takes it for lost as well
    limit_s = patience.factor * deadline_s
    assert deadline_s <= limit_s <= PATIENCE_MOST * deadline_s
    assert limit_s >= min(timeout_s + longest_s, PATIENCE_MOST * deadline_s) * 0.9
    copies = [timeout_s * 2**n for n in range(12)]
    near = next(copy for copy in copies if copy + longest_s > deadline_s)
    if near * 1.1 + timeout_s <= 1.4 * deadline_s:
        assert limit_s >= near + longest_s


def test_a_round_trip_that_was_a_fade_makes_no_deadline_long() -> None:
    patience = Patience(8.0)
    patience.connected(0.06)
    for _ in range(50):
        patience.answered(0.06)
    before = patience.factor
    patience.answered(7.9)
    assert patience.factor <= 1.5 * before


def test_what_began_before_the_link_was_back_accuses_no_crowd() -> None:
    pacing = Pacing(16, 64)
    for n in range(60):
        pacing.answered(n / 100, 0.05, 16, waiting=False)
    pacing.answered(9.0, 8.4, 16, waiting=False)      # the first one after 8 s of silence
    for n in range(12):
        pacing.missed(9.1 + n / 10, 9.0)
    assert pacing.limit == 16
    for n in range(12):
        pacing.missed(12.0 + n / 10, 2.5)
    assert pacing.limit < 16
