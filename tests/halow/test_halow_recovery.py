"""The recovery ladder: steps in order, limits kept, nothing without evidence."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from halow.recovery import HOUR_S, Ladder, Limits, Rung

ALL = frozenset(Rung)
QUICK = Limits(after_s=10.0, step_wait_s=5.0, heal_s=60.0, at_most_per_hour=20, reboots_in_row=2)


def climb(ladder: Ladder, begin: float, seconds: float, evidence: str = "deaf", step_s: float = 1.0) -> list[tuple[float, Rung]]:
    taken, now = [], begin
    while now < begin + seconds:
        rung = ladder.look(evidence, now)
        if rung is not None:
            taken.append((now - begin, rung))
        now += step_s
    return taken


def test_steps_come_in_order_each_with_its_time_to_help() -> None:
    assert climb(Ladder(ALL, QUICK), 0.0, 60.0) == [
        (10.0, Rung.REASSOCIATE), (15.0, Rung.RESTART_DAEMON), (20.0, Rung.VENDOR_RESTART), (25.0, Rung.RELOAD_DRIVER), (30.0, Rung.REBOOT)]


def test_what_is_not_configured_is_left_out_and_nothing_configured_does_nothing() -> None:
    some = Ladder(frozenset((Rung.RELOAD_DRIVER, Rung.RESTART_DAEMON)), QUICK)
    assert [rung for _, rung in climb(some, 0.0, 60.0)] == [Rung.RESTART_DAEMON, Rung.RELOAD_DRIVER]
    assert some.state(60.0).exhausted.startswith("every step was taken")
    assert climb(Ladder(frozenset(), QUICK), 0.0, 1_000.0) == []


def test_a_flicker_of_health_does_not_begin_the_ladder_anew_and_a_lasting_one_does() -> None:
    ladder = Ladder(ALL, QUICK)
    assert [rung for _, rung in climb(ladder, 0.0, 12.0)] == [Rung.REASSOCIATE]
    assert ladder.look("", 12.0) is None
    assert [rung for _, rung in climb(ladder, 13.0, 11.0)] == [Rung.RESTART_DAEMON], "the evidence must stand again, the step is the next"
    for n in range(70):
        ladder.look("", 30.0 + n)
    assert [rung for _, rung in climb(ladder, 200.0, 12.0)] == [Rung.REASSOCIATE]


def test_after_all_steps_it_rests_for_an_hour() -> None:
    ladder = Ladder(frozenset((Rung.RESTART_DAEMON,)), QUICK)
    taken = climb(ladder, 0.0, 2.5 * HOUR_S)
    assert len(taken) == 3
    assert all(later - before >= HOUR_S for (before, _), (later, _) in pairwise(taken))


def test_the_hourly_limit_says_when_it_goes_on_and_a_step_that_is_taken_ends_it() -> None:
    ladder = Ladder(ALL, Limits(after_s=10.0, step_wait_s=5.0, at_most_per_hour=2))
    assert len(climb(ladder, 0.0, 60.0)) == 2
    assert ladder.state(60.0).exhausted.startswith("2 steps were taken within an hour")
    assert ladder.look("deaf", HOUR_S + 20.0) is Rung.VENDOR_RESTART
    assert ladder.state(HOUR_S + 20.0).exhausted == ""


def test_reboots_in_a_row_are_counted_over_boots() -> None:
    reboots = 0
    for boot in range(5):
        ladder = Ladder(frozenset((Rung.REBOOT,)), QUICK, reboots_in_row=reboots)
        taken = climb(ladder, 0.0, 60.0)
        reboots = ladder.reboots_in_row
        assert len(taken) == (1 if boot < 2 else 0)
    assert reboots == 2
    assert ladder.state(60.0).exhausted == (
        "every step was taken, none helped (no further reboot after 2 in a row, until the radio has been healthy for 60 s); "
        "from the first one again in an hour")
    for n in range(70):
        ladder.look("", 100.0 + n)
    assert ladder.reboots_in_row == 0, "healthy again: the count begins anew"


@given(
    rungs=st.frozensets(st.sampled_from(Rung)),
    looks=st.lists(st.tuples(st.sampled_from(["", "deaf", "gone"]), st.floats(0.1, 400.0)), max_size=200),
    most=st.integers(1, 6),
)
def test_whatever_the_radio_does_the_limits_hold(rungs: frozenset[Rung], looks: list[tuple[str, float]], most: int) -> None:
    ladder = Ladder(rungs, Limits(after_s=30.0, step_wait_s=20.0, heal_s=120.0, at_most_per_hour=most))
    now, evident_since = 0.0, None
    taken: list[float] = []
    for evidence, step_s in looks:
        now += step_s
        evident_since = None if not evidence else now if evident_since is None else evident_since
        rung = ladder.look(evidence, now)
        if rung is None:
            continue
        assert rung in rungs
        assert evident_since is not None
        assert now - evident_since >= 30.0
        assert not taken or now - taken[-1] >= 20.0
        taken.append(now)
        assert sum(at > now - HOUR_S for at in taken) <= most
    assert sum(ladder.state(now).taken.values()) == len(taken)
