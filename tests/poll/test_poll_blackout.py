"""A link that was gone is told from meters that are: pure, and in virtual time with thirty meters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_air import Yard, in_virtual_time

from edge.config import PollSettings
from edge.poll.blackout import Blackout


def test_those_who_fell_silent_together_are_named_when_anybody_is_answered() -> None:
    blackout = Blackout()
    assert not blackout.silent("a")
    assert blackout.silent("b")
    assert blackout.lasts
    assert blackout.answered() == ("a", "b")
    assert not blackout.lasts
    assert blackout.answered() == ()


@given(st.lists(st.sampled_from("abcdef+"), max_size=60))
def test_one_alone_is_nobodys_blackout_and_nobody_is_named_twice_for_one_silence(happens: list[str]) -> None:
    """Letters fall silent, + is an answer of somebody."""
    blackout, since = Blackout(), set()
    for what in happens:
        if what == "+":
            named = blackout.answered()
            assert set(named) == (since if len(since) >= 2 else set())
            assert len(set(named)) == len(named)
            since = set()
        else:
            since.add(what)
            assert blackout.silent(what) == (len(since) >= 2)


@pytest.mark.parametrize("outage_s", [30.0, 1_800.0])
def test_after_a_blackout_of_any_length_all_meters_are_read_again_within_two_intervals(outage_s: float) -> None:
    """Each meter's own ladder would rest up to half an hour after half an hour without a link."""
    back_at = 100.0 + outage_s
    yard = in_virtual_time(
        Yard("fair", meters=10, outages=[(100.0, back_at)], settings=PollSettings(interval_s=30.0)), back_at + 100.0)
    firsts = [min((at for at in yard.at[name] if at >= back_at), default=float("inf")) - back_at for name in yard.names]
    assert max(firsts) <= 60.0, firsts


def test_two_dead_meters_among_the_living_are_tried_no_oftener_for_it() -> None:
    """They die together: one blackout at most, and then their rests double as ever, however often the others are answered."""
    yard = Yard("fair", meters=6, settings=PollSettings(interval_s=10.0))
    yard.dies_at = {yard.names[0]: 60.0, yard.names[1]: 60.0}
    in_virtual_time(yard, 3_660.0)
    for poller in yard.pollers[:2]:
        state = poller.recovery.state(3_660.0)
        assert state.rests <= 9, "120 + 240 + 480 + 960 + 1800 s, and a few more for one that was forgiven"
        assert state.reconnects <= 12
    assert min(len(yard.at[name]) for name in yard.names[2:]) >= 350
