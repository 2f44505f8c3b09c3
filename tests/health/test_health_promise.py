"""Promises: arithmetic of who is late."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.health.promise import Overdue, Promises


def test_a_meter_polled_every_quarter_of_an_hour_is_not_stuck():
    promises = Promises()
    promises.expect("poller meter-7", 900 + 30, now=0)
    assert promises.overdue(now=929) == ()
    assert promises.overdue(now=930) == (), "due now is still kept"
    assert promises.overdue(now=931) == ("poller meter-7",)


def test_the_longest_overdue_comes_first_and_a_new_promise_replaces_the_old():
    promises = Promises()
    promises.expect("a", 5, now=0)
    promises.expect("b", 2, now=0)
    promises.expect("c", 100, now=0)
    assert promises.broken(now=10) == (Overdue("b", 8), Overdue("a", 5))
    promises.expect("b", 5, now=10)
    assert promises.overdue(now=10) == ("a",)
    assert promises.owing(now=10) == {"a": -5, "b": 5, "c": 90}


def test_released_is_forgotten():
    promises = Promises()
    promises.expect("a", 1, now=0)
    promises.release("a")
    promises.release("never known")
    assert promises.overdue(now=100) == ()
    assert promises.owing(now=100) == {}


@pytest.mark.parametrize("within_s", [0, -1, math.inf, math.nan])
def test_an_endless_promise_is_refused(within_s):
    with pytest.raises(ValueError, match="poller x"):
        Promises().expect("poller x", within_s, now=0)


@given(st.dictionaries(st.text(max_size=5), st.floats(0.001, 1e6)), st.floats(0, 1e6))
def test_overdue_are_exactly_those_whose_time_has_passed(dues, now):
    promises = Promises()
    for name, within_s in dues.items():
        promises.expect(name, within_s, now=0)
    assert set(promises.overdue(now)) == {name for name, due in dues.items() if due < now}
    lates = [broken.late_s for broken in promises.broken(now)]
    assert lates == sorted(lates, reverse=True)
