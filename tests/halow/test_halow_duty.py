"""A duty cycle is kept over every hour, wherever it begins, and no more is held back than must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.duty import HOUR_S, DutyBudget


@given(limit_pct=st.floats(0.5, 99.0), costs=st.lists(st.floats(0.001, 5.0), min_size=1, max_size=120), rests=st.lists(st.floats(0.0, 60.0), min_size=120, max_size=120))
def test_who_waits_as_told_never_sends_more_than_allowed_in_any_hour(limit_pct: float, costs: list[float], rests: list[float]) -> None:
    budget, now = DutyBudget(limit_pct), 0.0
    sent: list[tuple[float, float]] = []
    for cost, rest in zip(costs * 3, rests * 3, strict=False):
        now += rest
        now = max(now, budget.ready_at(cost, now))
        budget.spent(cost, now)
        sent.append((now, cost))
        hour = sum(one for at, one in sent if at > now - HOUR_S)
        assert hour <= limit_pct / 100.0 * HOUR_S + cost + 1e-6


def test_a_steady_sender_gets_most_of_what_is_allowed() -> None:
    budget, now, total = DutyBudget(2.8), 0.0, 0.0
    while now < 10 * HOUR_S:
        now = max(now, budget.ready_at(0.05, now))
        budget.spent(0.05, now)
        total += 0.05
        now += 0.05
    assert 0.799 * 0.028 <= total / now <= 0.028


def test_a_burst_after_a_quiet_time_is_served_at_once_and_no_limit_is_none() -> None:
    budget, quiet = DutyBudget(10.0), HOUR_S / 4
    assert budget.ready_at(0.5, 0.0) > 0.0, "the burst is to be earned"
    for n in range(100):
        assert budget.ready_at(0.5, quiet + n) == quiet + n
        budget.spent(0.5, quiet + n)
    free = DutyBudget(100.0)
    free.spent(9_999.0, 0.0)
    assert free.ready_at(9_999.0, 0.0) == 0.0
    huge = DutyBudget(0.1)
    assert 5.0 < huge.ready_at(1_000.0, 5.0) <= 5.0 + quiet
    assert huge.ready_at(1_000.0, 6.0 + quiet) == 6.0 + quiet, "what never fits comes into an empty bucket"
    for wrong in (0.0, 101.0):
        with pytest.raises(ValueError, match="duty cycle"):
            DutyBudget(wrong)


@pytest.mark.parametrize("restarts_every_s", [60.0, 600.0, 1_700.0])
def test_restarts_neither_break_the_rule_nor_make_mute(restarts_every_s: float) -> None:
    """Each process knows nothing of the one before; all of them together are one transmitter."""
    cost_s, now, sent = 0.05, 0.0, 0.0
    longest_s = 0.0
    while now < HOUR_S:
        budget, until = DutyBudget(2.8), now + restarts_every_s
        while (at := max(now, budget.ready_at(cost_s, now))) < min(until, HOUR_S):
            longest_s = max(longest_s, at - now)
            budget.spent(cost_s, at)
            sent, now = sent + cost_s, at + cost_s
        now = until
    assert sent <= 0.028 * HOUR_S + cost_s
    assert longest_s < 5.0
    assert sent > 0.7 * 0.028 * HOUR_S
