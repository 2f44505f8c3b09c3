"""The interval ledger, against sets of seconds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.meters.ledger import MOST_RANGES, Counts, Ledger, next_span
from edge.meters.ranges import Ranges

P = 10


def fresh(start: int = 0, end: int = 100) -> Ledger:
    ledger = Ledger()
    ledger.look(start, end, P)
    return ledger


def test_worked_example() -> None:
    ledger = fresh()
    assert ledger.counts() == Counts(10, 0, 10, 0, 10)
    ledger.taken(Ranges.of((60, 100)), ledger.rows_at([70, 80, 85, 100]))
    assert ledger.held.pairs == ((60, 80), (90, 100))
    assert ledger.counts() == Counts(10, 3, 6, 1, 10)
    assert next_span(ledger.missing(), "newest", 3, P) == (30, 60)
    assert next_span(ledger.missing(), "oldest", 3, P) == (0, 30)
    ledger.on_way = Ranges.of((30, 60))
    assert next_span(ledger.missing(), "newest", 9, P) == (0, 30)
    assert ledger.counts().missing == 6, "what has not come to flash is missing"
    ledger.taken(Ranges.of((30, 60)), Ranges())
    assert (ledger.on_way, ledger.counts()) == (Ranges(), Counts(10, 3, 3, 4, 10))
    ledger.again(60, 80)
    assert ledger.missing().pairs == ((0, 30), (60, 80))


def test_which_rows_are_news() -> None:
    ledger = fresh()
    ledger.taken(Ranges.of((40, 80)), Ranges.of((40, 60)))
    assert [at for at in range(-10, 130, 10) if ledger.wants(at)] == [10, 20, 30, 40, 70, 80, 90, 100]
    assert not ledger.wants(75), "out of turn, in an interval that was asked for"
    assert ledger.wants(35)


def test_what_the_ring_may_have_lost_is_read_again_when_there_is_room() -> None:
    ledger = fresh()
    ledger.taken(Ranges.of((0, 50)), Ranges.of((0, 50)))
    ledger.drained()
    ledger.taken(Ranges.of((50, 80)), Ranges.of((50, 70)))
    ledger.look_at_ring(0)
    assert not ledger.lost
    ledger.look_at_ring(3)
    assert ledger.missing().pairs == ((80, 100),), "not yet: the ring has no room"
    ledger.reclaim()
    assert ledger.missing().pairs == ((50, 70), (80, 100))
    assert ledger.counts() == Counts(10, 5, 4, 1, 60)
    ledger.look_at_ring(3)
    ledger.reclaim()
    assert ledger.counts() == Counts(10, 5, 4, 1, 60), "once"


def test_another_meter_begins_anew() -> None:
    ledger = fresh()
    assert ledger.rests_on("one")
    ledger.taken(Ranges.of((0, 50)), Ranges.of((0, 50)))
    assert ledger.rests_on("one")
    assert not Ledger.decode(ledger.encode()).rests_on("two")
    assert not ledger.rests_on("two")
    assert ledger.counts() == Counts(10, 0, 10, 0, 10)


@pytest.mark.parametrize(("missing", "most", "newest", "oldest"), [
    (Ranges(), 5, None, None), (Ranges.of((0, 10)), 0, None, None), (Ranges.of((0, 100)), 4, (60, 100), (0, 40)),
    (Ranges.of((0, 20), (50, 60)), 4, (50, 60), (0, 20)), (Ranges.of((5, 25)), 1, (15, 25), (5, 15))])
def test_what_is_asked_next(missing: Ranges, most: int, newest: Any, oldest: Any) -> None:
    assert next_span(missing, "newest", most, P) == newest
    assert next_span(missing, "oldest", most, P) == oldest


places = st.integers(0, 30).map(lambda n: n * P)
spans = st.tuples(places, places).map(lambda ends: (min(ends), max(ends)))
acts = st.lists(st.tuples(st.sampled_from(["taken", "again", "look", "suspect", "reclaim", "drained", "kept"]), spans, spans), max_size=14)


@given(acts=acts)
@settings(max_examples=200, deadline=None)
def test_the_ledger_is_four_sets(acts: list[Any]) -> None:
    """Every operation against plain sets of interval ends; a power cut in between loses what was not kept, nothing else."""
    def ends(span: tuple[int, int]) -> set[int]:
        return set(range(span[0] + P, span[1] + P, P))

    ledger, window = fresh(0, 200), (0, 200)
    known: set[int] = set()
    held: set[int] = set()
    undelivered: set[int] = set()
    lost: set[int] = set()
    for act, one, other in acts:
        match act:
            case "taken":
                some = ends(one) & ends(other)
                ledger.taken(Ranges.of(one), Ranges.of(*((end - P, end) for end in some)))
                known |= ends(one)
                held = (held - ends(one)) | some
                undelivered |= some
            case "again":
                ledger.again(*one)
                known, held, undelivered, lost = (part - ends(one) for part in (known, held, undelivered, lost))
            case "look" | "kept":
                if act == "kept":
                    ledger = Ledger.decode(ledger.encode())
                else:
                    window = one
                ledger.look(*window, P)
                if known and min(known) <= window[0]:      # what lies before the window is forgotten
                    known, held, undelivered, lost = ({end for end in part if end > window[0]} for part in (known, held, undelivered, lost))
            case "suspect":
                ledger.look_at_ring(ledger.ring_lost + 1)
                lost, undelivered = lost | undelivered, set()
            case "reclaim":
                ledger.reclaim()
                known, held, lost = known - lost, held - lost, set()
            case "drained":
                ledger.drained()
                undelivered = set()
        inside = ends(window)
        missing = inside - known
        assert {second + P for start, end in ledger.missing().pairs for second in range(start, end, P)} == missing
        absent = (known & inside) - held
        assert ledger.counts() == Counts(len(inside), len(inside) - len(missing) - len(absent), len(missing), len(absent),
                                         min(missing, default=None))


@pytest.mark.parametrize("pieces", [MOST_RANGES, MOST_RANGES + 37])
def test_what_is_kept_stays_small_and_forgetting_means_asking_again(pieces: int) -> None:
    ledger = Ledger()
    end = pieces * 3 * P
    ledger.look(0, end, P)
    for place in range(pieces):
        ledger.taken(Ranges.of((place * 3 * P, place * 3 * P + P)), Ranges.of((place * 3 * P, place * 3 * P + P)))
    kept = Ledger.decode(ledger.encode())
    kept.look(0, end, P)
    assert len(kept.known.pairs) == MOST_RANGES
    assert kept.counts().missing == end // P - MOST_RANGES


@pytest.mark.parametrize("bad", [None, [], "x", {"known": [1]}, {"held": "x"}, {"basis": 5}, {"ring_lost": "x"}])
def test_what_was_not_kept_by_it_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="no "):
        Ledger.decode(bad)
