"""Grades: worked examples, and the property that matters: no flapping."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.model import Grade
from halow.quality import Ewma, Thresholds, grade_of, plausible, regrade

TWO_MHZ = Thresholds.for_width(2)
WIDTHS = st.sampled_from([1, 2, 4, 8, 16])
LEVELS = st.floats(-119, -20)


@pytest.mark.parametrize(("dbm", "grade"), [
    (-30, Grade.EXCELLENT), (-70, Grade.EXCELLENT), (-70.1, Grade.GOOD), (-80, Grade.GOOD), (-80.1, Grade.FAIR),
    (-90, Grade.FAIR), (-90.1, Grade.POOR), (-97, Grade.POOR), (-97.1, Grade.LOST), (-120, Grade.LOST),
])
def test_grades_at_two_mhz(dbm, grade):
    assert grade_of(dbm, TWO_MHZ) is grade


@pytest.mark.parametrize(("width", "offset"), [(1, -3), (2, 0), (4, 3), (8, 6), (16, 9)])
def test_a_wider_channel_needs_three_db_more_a_doubling(width, offset):
    wide = Thresholds.for_width(width)
    assert (wide.excellent_dbm, wide.good_dbm, wide.fair_dbm, wide.poor_dbm) == (
        -70 + offset, -80 + offset, -90 + offset, -97 + offset)


@pytest.mark.parametrize(("rssi", "good"), [
    (-1, True), (-120, True), (0, False), (5, False), (-121, False), (-128, False), (None, False),
])
def test_what_a_driver_cannot_mean_is_rejected(rssi, good):
    assert plausible(rssi) is good


def test_a_grade_moves_only_three_db_past_its_threshold():
    walk = [(-71, "GOOD"), (-69, "GOOD"), (-67.1, "GOOD"), (-67, "EXCELLENT"), (-71, "EXCELLENT"), (-73, "EXCELLENT"),
            (-73.1, "GOOD"), (-100.1, "LOST"), (-97, "LOST"), (-94.1, "LOST"), (-94, "POOR"), (-60, "EXCELLENT")]
    grade = Grade.UNKNOWN
    for level, expected in walk:
        grade = regrade(grade, level, TWO_MHZ)
        assert grade is Grade[expected], level


def test_thresholds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="fall from excellent"):
        Thresholds(-80, -70, -90, -97, 3)
    with pytest.raises(ValueError, match="hysteresis"):
        Thresholds(-70, -80, -90, -97, -1)


@given(width=WIDTHS, base=LEVELS, swings=st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_a_signal_that_swings_within_three_db_never_changes_its_grade(width, base, swings):
    thresholds, average = Thresholds.for_width(width), Ewma(5)
    grade = regrade(Grade.UNKNOWN, average.add(base + swings[0]), thresholds)
    for swing in swings[1:]:
        assert regrade(grade, average.add(base + swing), thresholds) is grade


@given(width=WIDTHS, levels=st.lists(LEVELS, min_size=2, max_size=60))
def test_there_and_back_takes_at_least_six_db(width, levels):
    thresholds, grade = Thresholds.for_width(width), Grade.UNKNOWN
    path = []
    for level in levels:
        following = regrade(grade, level, thresholds)
        if following is not grade and grade is not Grade.UNKNOWN:
            path.append((grade, following, level))
        grade = following
    for (first, _, down_at), (_, back, up_at) in pairwise(path):
        if first is back:
            assert abs(up_at - down_at) >= 6 - 1e-9


@given(width=WIDTHS, start=st.sampled_from([grade for grade in Grade if grade >= 0]), level=LEVELS)
def test_a_grade_is_never_further_off_than_the_hysteresis(width, start, level):
    thresholds = Thresholds.for_width(width)
    grade = regrade(start, level, thresholds)
    assert grade_of(level - 3, thresholds) <= grade <= grade_of(level + 3, thresholds)
    assert regrade(grade, level, thresholds) is grade, "the same level again changes nothing"


@given(st.lists(LEVELS, min_size=1, max_size=40))
def test_an_average_stays_between_the_extremes(levels):
    average = Ewma(5)
    for level in levels:
        average.add(level)
    assert min(levels) - 1e-6 <= average.value <= max(levels) + 1e-6


def test_the_first_samples_are_a_plain_mean_and_later_ones_weigh_a_third():
    average = Ewma(5)
    assert [average.add(level) for level in (-60, -70, -80)] == [-60, -65, -70]
    for _ in range(5):
        average.add(-70)
    assert average.add(-40) == pytest.approx(-60)
