"""The gate: a bound on meters asked at once, one per lane, in fair order."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
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


def test_who_leaves_needs_its_lane_and_no_place() -> None:
    gate = Gate(1)
    assert gate.ask("poll", "x")
    assert gate.ask("goodbye", "y", leaving=True)
    assert not gate.ask("another goodbye", "x", leaving=True), "somebody is speaking there"
    assert not gate.ask("another poll", "z")
    assert gate.leave("goodbye") == ()
    assert gate.leave("poll") == ("another goodbye", "another poll")


moves = st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=200)
kinds = st.lists(st.tuples(st.sampled_from([None, "x", "y"]), st.booleans(), st.booleans()), min_size=12, max_size=12)


@settings(deadline=None)
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
            (inside if gate.ask(n, lanes[n], doubtful=doubtful[n], background=background[n], payer=n) else queue).append(n)
        elif not enters:
            admitted = gate.leave(n, float(n))
            for pile in (inside, queue):
                if n in pile:
                    pile.remove(n)
            for other in admitted:
                assert not held_up(other)
                # On a lane it is who has used least of it, in the place of the first of that lane in the queue.
                mates = [m for m in queue if m == other or (lanes[m] == lanes[other] is not None and not held_up(m))]
                place = min((background[m], queue.index(m)) for m in mates)
                before = [m for m in queue if (background[m], queue.index(m)) < place]
                assert all(held_up(m) for m in before), "passed over only who could not go"
                assert not any(lanes[m] == lanes[other] is not None and background[other] and not background[m] and not held_up(m)
                               for m in queue), "background work is behind every poll of its lane"
                queue.remove(other)
                inside.append(other)
        check()
    while inside:
        n = inside.pop(0)
        for other in gate.leave(n):
            queue.remove(other)
            inside.append(other)
    assert not queue


# -- a lane's time -------------------------------------------------------------------------------------------------------------

def saturated(payers: int, turns: int, takes_s: Callable[[int, int], float], dead: int = 0) -> tuple[list[int], dict[int, float]]:
    """Let everybody want one lane all the time, the first `dead` of them doubtful; `takes_s(payer, turn)` is how long a turn is.

    Returns who had it, turn by turn, and how much each has used.
    """
    gate = Gate(8)
    used = dict.fromkeys(range(payers), 0.0)
    order: list[int] = []
    inside = [(n, 0) for n in range(payers) if gate.ask((n, 0), "bus", payer=n, doubtful=n < dead)]
    for turn in range(turns):
        ((payer, _),) = inside
        order.append(payer)
        used[payer] += takes_s(payer, turn)
        assert not gate.ask((payer, turn + 1), "bus", payer=payer, doubtful=payer < dead)      # it wants it again at once
        inside = list(gate.leave(inside[0], takes_s(payer, turn)))
    return order, used


seconds = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=120)


@settings(deadline=None)
@example(3, [6.5, 7.0, 7.0, 4.0, 0.25, 1.0, 4.0, 7.0])
@given(st.integers(2, 8), seconds)
def test_who_always_wants_a_lane_gets_as_much_of_its_time_as_anybody(payers: int, took_s: list[float]) -> None:
    order, used = saturated(payers, len(took_s), lambda _, turn: took_s[turn])
    assert max(used.values()) - min(used.values()) <= 2 * max(took_s) + 1e-6, "however long its turns are"
    assert len(set(order[:payers])) == min(payers, len(order)), "everybody is served before anybody is again"


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), seconds)
def test_no_two_doubtful_ones_in_a_row_while_a_living_one_waits(dead: int, living: int, took_s: list[float]) -> None:
    order, _ = saturated(dead + living, len(took_s), lambda _, turn: took_s[turn], dead)
    assert not any(one < dead and following < dead for one, following in pairwise(order))


def test_eight_meters_of_which_two_are_dead() -> None:
    # A poll takes 0.4 s, an attempt at a dead one 8 s: by turns the dead would have 87 % of the line.
    order, used = saturated(8, 1_000, lambda payer, _: 8.0 if payer < 2 else 0.4, dead=2)
    whole = sum(used.values())
    assert all(abs(share - whole / 8) < 16 for share in used.values()), "an eighth of the time for each"
    polls = [order.count(n) for n in range(2, 8)]
    assert min(polls) * 2 >= sum(polls) / len(polls)
    assert min(polls) / whole > 0.25, "one in four seconds; by turns it would be one in eighteen"


def test_time_that_nobody_wanted_gives_no_credit_and_is_no_debt() -> None:
    gate = Gate(2)
    assert gate.ask("a1", "bus", payer="a")
    assert gate.leave("a1", 100.0) == ()
    assert gate._lanes == {}
    assert gate.ask("b1", "bus", payer="b")
    assert not gate.ask("a2", "bus", payer="a")
    assert not gate.ask("b2", "bus", payer="b")
    assert gate.leave("b1", 1.0) == ("a2",)
    assert gate.leave("a2", 1.0) == ("b2",)


def test_who_stands_aside_gives_its_place_but_not_its_lane_and_few_may() -> None:
    gate = Gate(1)
    assert gate.ask("a", "bridge")
    assert not gate.ask("b", "bridge")
    assert not gate.ask("c")
    assert gate.aside("a") == ("c",)
    assert gate.state().inside == 1
    assert gate.leave("c") == (), "the lane is taken"
    gate.back("a")
    assert not gate.ask("d")
    assert gate.leave("a", 1.0) == ("b",)
    assert gate.leave("b") == ("d",)
    admitted = ["d"]
    for number in range(5):
        gate.ask(f"e{number}")
        admitted += gate.aside(admitted[-1])
    assert admitted == ["d", "e0", "e1", "e2"], "three for each place"
    assert gate.aside("nobody") == ()
    for name in (*admitted, "e3", "e4"):
        gate.leave(name)
    assert gate.ask("f"), "nobody is lost track of"
