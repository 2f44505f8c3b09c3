"""Sets of seconds, against Python's own sets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.meters.ranges import Ranges

pairs = st.lists(st.tuples(st.integers(-30, 60), st.integers(-30, 60)), max_size=8)


def seconds(ranges: Ranges) -> set[int]:
    return {second for start, end in ranges.pairs for second in range(start, end)}


def plain(some: list[tuple[int, int]]) -> set[int]:
    return {second for start, end in some for second in range(start, end)}


def test_worked_example() -> None:
    held = Ranges.of((0, 900), (1800, 2700), (900, 1000))
    assert held.pairs == ((0, 1000), (1800, 2700))
    assert (Ranges.of((0, 3600)) - held).pairs == ((1000, 1800), (2700, 3600))
    assert (held & Ranges.of((950, 2000))).pairs == ((950, 1000), (1800, 2000))
    assert (held.first, held.end, held.seconds) == (0, 2700, 1900)
    assert 999 in held
    assert 1000 not in held
    assert not Ranges.of((5, 5), (9, 3))


@settings(deadline=None)
@given(one=pairs, other=pairs, start=st.integers(-30, 60), end=st.integers(-30, 60))
def test_the_algebra_of_sets(one: list[tuple[int, int]], other: list[tuple[int, int]], start: int, end: int) -> None:
    left, right = Ranges.of(*one), Ranges.of(*other)
    assert seconds(left) == plain(one)
    assert seconds(left | right) == plain(one) | plain(other)
    assert seconds(left & right) == plain(one) & plain(other)
    assert seconds(left - right) == plain(one) - plain(other)
    assert seconds(left.within(start, end)) == plain(one) & set(range(start, end))
    assert left.seconds == len(plain(one))
    for result in (left, left | right, left & right, left - right):
        assert all(a < b for a, b in result.pairs)
        assert all(before[1] < after[0] for before, after in zip(result.pairs, result.pairs[1:], strict=False))
        assert Ranges.decode(result.encode()) == result
        assert bool(result) == bool(seconds(result))


@settings(deadline=None)
@given(some=pairs, count=st.integers(0, 4))
def test_forgetting_keeps_the_longest(some: list[tuple[int, int]], count: int) -> None:
    whole = Ranges.of(*some)
    kept = whole.longest(count)
    assert len(kept.pairs) == min(count, len(whole.pairs))
    assert kept - whole == Ranges()
    gone = [end - start for start, end in (whole - kept).pairs]
    assert not gone or not kept or max(gone) <= min(end - start for start, end in kept.pairs)


@pytest.mark.parametrize("bad", [None, [1], [1, "2"], {"a": 1}, [1.0, 2], [True, 2]])
def test_what_is_no_set_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="no list of starts and ends"):
        Ranges.decode(bad)
