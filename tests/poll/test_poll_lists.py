"""How large a GET-with-list may be: found out once, remembered."""

from hypothesis import given
from hypothesis import strategies as st

from edge.poll.lists import ListSize


def test_everything_at_once_until_the_meter_says_no() -> None:
    lists = ListSize(None)
    assert lists.at_most(19, offered=True) == 19
    assert lists.refused(19)
    assert lists.at_most(19, offered=True) == 9
    lists.worked(9)
    assert lists.learned == 9
    assert ListSize(9).at_most(19, offered=True) == 9


def test_a_size_that_works_is_kept_without_becoming_a_limit() -> None:
    lists = ListSize(None)
    lists.worked(9)
    assert lists.learned == 9
    assert lists.at_most(20, offered=True) == 20
    lists.worked(20)
    assert lists.learned == 20


def test_profile_and_negotiation_come_first() -> None:
    assert ListSize(None, never=True).at_most(9, offered=True) == 1
    assert ListSize(None, most=4).at_most(9, offered=True) == 4
    assert ListSize(None).at_most(9, offered=False) == 1
    assert ListSize(1).at_most(9, offered=True) == 1


def test_silence_after_lists_only_is_the_meter_silence_after_everything_is_the_link() -> None:
    lists = ListSize(None)
    for _ in range(4):
        assert lists.at_most(9, offered=True) == 9
        lists.lost(9)
        assert lists.at_most(9, offered=True) == 1, "first a single one, to see whether it is the link"
        lists.lost(1)
        lists.lost(1)
        assert lists.at_most(9, offered=True) == 1
        lists.worked(1)
    assert lists.at_most(9, offered=True) == 1
    assert lists.learned is None, "a guess is not kept beyond this process"


def test_a_bad_link_at_first_contact_costs_no_lists() -> None:
    lists = ListSize(None)
    for _ in range(50):
        size = lists.at_most(9, offered=True)
        lists.lost(size)
    lists.worked(1)
    assert lists.at_most(9, offered=True) == 9
    lists.worked(9)
    lists.lost(9)
    assert lists.at_most(9, offered=True) == 9


def test_a_proven_list_survives_silences_and_a_busy_moment() -> None:
    lists = ListSize(None)
    lists.worked(9)
    for _ in range(10):
        lists.lost(9)
    assert not lists.refused(9)
    assert not lists.refused(9)
    lists.worked(9)
    assert not lists.refused(9)
    assert lists.at_most(9, offered=True) == 9
    assert not lists.refused(9)
    assert lists.refused(9), "the third in a row: it is not busy, it has changed"
    assert lists.at_most(9, offered=True) == 4


def test_a_meter_that_has_stopped_answering_lists_is_found_out() -> None:
    """New firmware, say: what was learned of the old one must not keep it unread for ever."""
    lists, polls = ListSize(9), 0
    while lists.at_most(9, offered=True) == 9 and polls < 50:
        lists.lost(9)
        polls += 1
    assert 10 < polls < 20, "a bad link alone does not look like this for so long"
    for _ in range(10):
        size = lists.at_most(9, offered=True)
        (lists.worked if size == 1 else lists.lost)(size)
    assert lists.at_most(9, offered=True) == 1
    assert lists.learned == 9, "a guess is not kept beyond this process"


@given(st.lists(st.tuples(st.sampled_from(["worked", "refused", "lost"]), st.integers(1, 30)), max_size=50), st.integers(1, 40))
def test_a_request_is_never_empty_nor_larger_than_asked(history: list[tuple[str, int]], count: int) -> None:
    lists = ListSize(None)
    for what, size in history:
        if what != "refused" or size > 1:
            getattr(lists, what)(size)
        assert 1 <= lists.at_most(count, offered=True) <= count


@given(limit=st.integers(1, 30), wanted=st.integers(1, 40))
def test_any_limit_of_a_meter_is_found_by_halving(limit: int, wanted: int) -> None:
    lists = ListSize(None)
    for _ in range(10):
        size = lists.at_most(wanted, offered=True)
        if size <= max(limit, 1):
            lists.worked(size)
            break
        assert lists.refused(size)
    assert lists.at_most(wanted, offered=True) <= max(limit, 1)
