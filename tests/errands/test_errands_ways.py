"""Pure parts of the backfill: the search by entry, the size of requests, a meter's clock between two looks."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dlms.axdr import Integer, decode
from edge.dlms.cosem import Obis
from edge.dlms.selection import Column
from edge.errands.meterclock import MeterClock
from edge.errands.pace import FIRST_ROWS, MOST_ROWS, Pace
from edge.errands.ways import ByEntry, ByRange, Whole
from edge.meters.ledger import Ledger, next_span
from edge.meters.loadrows import Layout, Row
from edge.meters.localtime import Instant, Reckoning
from edge.meters.ranges import Ranges

P = 900
LAYOUT = Layout((Column(8, Obis(0, 0, 1, 0, 0), 2),), 0, (), P, newest_first=False)
TURNED = Layout(LAYOUT.columns, 0, (), P, newest_first=True)


class Buffer:
    """A meter's buffer: times of its rows in the order of capture."""

    def __init__(self, times: Sequence[int], *, newest_first: bool = False) -> None:
        self.times = list(times)
        self.newest_first = newest_first
        self.requests = 0

    def read(self, selection: bytes) -> list[Row]:
        """Answer an entry descriptor; rows come in the order of capture, as `loadrows.rows` gives them."""
        self.requests += 1
        assert selection[0] == 2
        first, last, *_ = (int(part) for part in decode(selection[1:]))
        assert 1 <= first <= last <= len(self.times)
        stored = self.times[::-1] if self.newest_first else self.times
        found = stored[first - 1:last]
        return [Row(at * 1000, "", ()) for at in (found[::-1] if self.newest_first else found)]


lives = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30), st.booleans()), min_size=1, max_size=6)


@given(life=lives, window=st.tuples(st.integers(0, 20), st.integers(0, 30)), count=st.integers(1, 9),
       order=st.sampled_from(["newest", "oldest"]), newest_first=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_search_by_entry_finds_every_row_and_calls_none_absent_that_is_there(
        life: list[Any], window: tuple[int, int], count: int, order: Any, newest_first: bool) -> None:
    """Meters that were off now and then, and captured out of turn when power came back."""
    times: list[int] = []
    now = 100
    for on, off, out_of_turn in life:
        if out_of_turn:
            times.append(now * P - 400)
        times += [number * P for number in range(now, now + on)]
        now += on + off
    buffer, ledger = Buffer(times, newest_first=newest_first), Ledger()
    end = (times[-1] // P + window[1] % 3) * P
    ledger.look((95 + window[0]) * P, end, P)
    way = ByEntry(TURNED if newest_first else LAYOUT, len(times))
    newest = Ranges.of((end - P, end))
    edge = False
    while (span := next_span(ledger.missing() - newest if edge else ledger.missing(), order, count, P)) is not None:
        assert buffer.requests <= 4 * len(times) + 20, "the search leads nowhere"
        rows = buffer.read(way.selection(span, count))
        covered = way.covered(span, ledger.window, rows)
        assert isinstance(covered, Ranges)
        known = covered.within(*ledger.window)
        if not any(row.at_s > end - P for row in rows):
            edge, known = edge or span[1] == end, known - newest
        ledger.taken(known, ledger.rows_at(row.at_s for row in rows) & known)
    due = Ranges.of(ledger.window) - (newest if edge else Ranges())
    assert ledger.known.within(*ledger.window) == due
    held = ledger.rows_at(at for at in times if at % P == 0) & Ranges.of(ledger.window)
    assert ledger.held == held & due


def test_entries_that_do_not_come_as_asked_for_begin_the_search_anew() -> None:
    way = ByEntry(LAYOUT, 50)
    way.selection((0, P), 4)
    assert way.covered((0, P), (0, 9 * P), [Row(1000, "", ())] * 3) == "of 4 entries 3 came, 3 of them with a date"
    assert way.covered((0, P), (0, 9 * P), [Row(None, "", ())] * 4) == "of 4 entries 4 came, 0 of them with a date"


def test_a_buffer_that_makes_no_sense_is_read_whole_in_the_end() -> None:
    """Every row of the same moment: nothing is ever found between two of them."""
    way, buffer = ByEntry(LAYOUT, 700), Buffer([99 * P] * 700)
    found: Ranges | str = Ranges()
    span = (8 * P, 9 * P)
    while not found & Ranges.of(span):
        assert buffer.requests < 40
        found = way.covered(span, (0, 99 * P), buffer.read(way.selection(span, 2)))
        assert isinstance(found, Ranges)
    assert found.pairs == ((0, 99 * P),)


def test_by_range_and_whole() -> None:
    unix = Layout((Column(1, Obis(0, 0, 1, 1, 0), 2),), 0, (), P, newest_first=False)
    way = ByRange(unix, Reckoning(), None)
    assert decode(way.selection((900, 2700), 2)[1:]) == (
        (Integer(18, 1), bytes((0, 0, 1, 1, 0, 255)), Integer(15, 2), Integer(18, 0)), 901, 2700, [])
    assert way.covered((900, 2700), (0, 9000), []) == Ranges.of((900, 2700))
    hour = [Row(1000 * (2_700 + late), "", ()) for late in (0, 3_600, 86_400)]
    assert way.covered((900, 2700), (0, 9000), hour[:2]) == Ranges.of((900, 2700))
    assert way.covered((900, 2700), (0, 9000), hour) == "1 of 3 rows are of other times than asked for"
    assert Whole().selection((900, 2700), 2) == b""
    assert Whole().covered((900, 2700), (0, 9000), []) == Ranges.of((0, 9000))


# -- how many rows -------------------------------------------------------------------------------------------------


@given(row_s=st.floats(0.0005, 2.0), overhead_s=st.floats(0.001, 1.0), budget_s=st.floats(0.2, 4.0))
@settings(max_examples=200, deadline=None)
def test_requests_grow_to_what_the_budget_bears_and_no_further(row_s: float, overhead_s: float, budget_s: float) -> None:
    pace, took = Pace(budget_s, 1.0), []
    for _ in range(40):
        rows = pace.rows
        took.append((rows, overhead_s + rows * row_s))
        pace.answered(rows, took[-1][1])
    rows, seconds = took[-1]
    assert 1 <= rows <= MOST_ROWS
    assert rows == 1 or seconds <= budget_s * 1.2
    assert pace.lasts_s >= (overhead_s + pace.rows * row_s) * 0.8, "what a step is said to last is no less than it takes"
    assert rows == MOST_ROWS or seconds + 2 * rows * row_s >= 0.3 * budget_s, "and the line is used"
    assert max(rows for rows, _ in took[:1]) == FIRST_ROWS


def test_the_line_is_shared_and_a_lost_request_halves() -> None:
    pace = Pace(4.0, 0.25)
    assert pace.answered(4, 2.0) == pytest.approx(6.0)
    before = pace.rows
    pace.failed()
    assert pace.rows == max(1, before // 2)
    assert Pace(4.0, 1.0).answered(4, 2.0) == 0


# -- a meter's clock -----------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_says_how_far() -> None:
    clock = MeterClock()
    assert clock.look(Instant(10_000), None, 50.0, 0.1, None) == (10_000, None)
    assert clock.look(Instant(10_899), None, 950.0, 0.1, None) == (10_899, None), "a second is nothing"
    assert clock.look(Instant(12_000), None, 1850.0, 0.1, None) == (12_000, None), "forward"
    assert clock.look(Instant(12_300), None, 2750.0, 0.1, None) == (12_300, 11_400)
    assert clock.look(Instant(12_900), None, 3360.0, 30.0, None) == (12_900, None), "a slow answer is no clock set back"
    assert clock.at(3365.0) == 12_905


def test_which_of_two_hours_the_time_passed_decides_else_our_own_clock() -> None:
    twice = Instant(5_000, "which_hour", 8_600)
    assert MeterClock().look(twice, None, 0.0, 0.1, None).at_s == 5_000
    assert MeterClock().look(twice, None, 0.0, 0.1, 8_500.0).at_s == 8_600
    clock = MeterClock()
    clock.look(Instant(4_100), None, 100.0, 0.1, None)
    assert clock.look(twice, None, 1_000.0, 0.1, 8_600.0).at_s == 5_000
    assert clock.look(twice, None, 4_600.0, 0.1, None).at_s == 8_600
