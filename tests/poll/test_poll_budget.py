"""The gate: a bound on meters asked at once, one per lane, in fair order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.poll.budget import Gate


def test_first_come_first_served() -> None:
    gate = Gate(2)
    assert gate.ask("a")
    assert gate.ask("b")
    assert not gate.ask("c")
    assert not gate.ask("d")
    assert gate.leave("b") == ("c",)
    assert gate.leave("a") == ("d",)
    assert gate.leave("c") == ()
    state = gate.state()
    assert (state.inside, state.waiting, state.longest_queue) == (1, 0, 2)


def test_two_meters_behind_one_bridge_are_never_asked_together() -> None:
    gate = Gate(3)
    assert gate.ask("a", lane="bridge")
    assert not gate.ask("b", lane="bridge")
    assert gate.ask("c"), "a taken lane must not hold up the others"
    assert not gate.ask("d", lane="bridge")
    assert gate.leave("c") == ()
    assert gate.leave("a") == ("b",)
    assert gate.leave("b") == ("d",)


def test_giving_up_in_the_queue_costs_nobody_else_a_place() -> None:
    gate = Gate(1)
    assert gate.ask("a")
    assert not gate.ask("b")
    assert not gate.ask("c")
    assert gate.leave("b") == ()
    assert gate.leave("a") == ("c",)
    assert gate.leave("never seen") == ()


def test_misuse_is_told() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Gate(0)
    gate = Gate(1)
    gate.ask("a")
    with pytest.raises(ValueError, match="in use"):
        gate.ask("a")


def test_meters_that_failed_last_time_get_half_of_the_places_at_most() -> None:
    gate = Gate(4)
    for n in range(2):
        assert gate.ask(f"dead {n}", doubtful=True)
    assert not gate.ask("dead 2", doubtful=True)
    assert gate.ask("alive 0")
    assert gate.ask("alive 1")
    assert not gate.ask("alive 2")
    assert gate.leave("alive 0") == ("alive 2",)
    assert gate.leave("dead 0") == ("dead 2",)
    single = Gate(1)
    assert single.ask("dead", doubtful=True), "with one place only, everybody uses it"


moves = st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=200)
kinds = st.lists(st.tuples(st.sampled_from([None, "x", "y"]), st.booleans(), st.booleans()), min_size=12, max_size=12)


@given(limit=st.integers(1, 5), kinds=kinds, moves=moves)
def test_never_too_many_never_two_in_a_lane_nobody_starves(limit: int, kinds: list[tuple[str | None, bool, bool]], moves: list[tuple[bool, int]]) -> None:
    gate = Gate(limit)
    inside: list[int] = []
    queue: list[int] = []
    lanes, doubtful, background = ([kind[place] for kind in kinds] for place in range(3))
    half = max(1, limit // 2)

    def held_up(n: int) -> bool:
        return (lanes[n] in [lanes[m] for m in inside if lanes[m] is not None]
                or (doubtful[n] and sum(doubtful[m] for m in inside) >= half)
                or (background[n] and sum(background[m] for m in inside) >= half))

    def check() -> None:
        assert len(inside) <= limit
        taken = [lanes[n] for n in inside if lanes[n] is not None]
        assert len(taken) == len(set(taken))
        assert sum(doubtful[n] for n in inside) <= half
        assert sum(background[n] for n in inside) <= half
        # whoever waits could not go
        for n in queue:
            assert len(inside) == limit or held_up(n)
        assert gate.state().inside == len(inside)
        assert gate.state().waiting == len(queue)
        for lane in ("x", "y", None):
            assert gate.wanted(lane) == any(not background[n] and (len(inside) == limit or (lane and lanes[n] == lane)) for n in queue)

    for enters, n in moves:
        if enters and n not in inside and n not in queue:
            (inside if gate.ask(n, lanes[n], doubtful=doubtful[n], background=background[n]) else queue).append(n)
        elif not enters:
            admitted = gate.leave(n)
            for pile in (inside, queue):
                if n in pile:
                    pile.remove(n)
            for other in admitted:
                assert not held_up(other)
                before = [m for m in queue if (background[m], queue.index(m)) < (background[other], queue.index(other))]
                assert all(held_up(m) for m in before), "passed over only who could not go"
                queue.remove(other)
                inside.append(other)
        check()
    while inside:
        n = inside.pop(0)
        for other in gate.leave(n):
            queue.remove(other)
            inside.append(other)
    assert not queue
