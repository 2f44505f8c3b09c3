"""The choice of a path: fails over, comes back, never flaps, leaves no good path unused. Own clock throughout."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.uplink.paths import DOUBLINGS, HOUR_S, METERED_TIMES, MOST_PER_HOUR, Chooser, Rule

RULE = Rule(dead_after_s=60.0, return_after_s=300.0, probe_interval_s=60.0)
TICK_S = 5.0


@dataclass
class World:
    """Paths that work and answer as told: `answers` are probes, `works` is what the server is heard over."""

    metered: tuple[bool, ...] = (False, True)
    rule: Rule = RULE
    seed: int = 1
    now: float = 0.0
    switches: list = field(default_factory=list)
    probes: list = field(default_factory=list)

    def __post_init__(self):
        self.works = [True] * len(self.metered)
        self.answers = [True] * len(self.metered)
        self.chooser = Chooser(self.metered, self.rule, random.Random(self.seed), self.now)

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now += TICK_S
            if self.works[self.chooser.current]:
                self.chooser.heard(self.now)
            for path in self.chooser.due(self.now):
                self.probes.append((self.now, path))
                self.chooser.probed(path, answered=self.answers[path], detail="", now=self.now)
            if switch := self.chooser.step(self.now):
                assert switch.before != switch.path == self.chooser.current
                self.switches.append((self.now, switch.path))

    def dead(self, path):
        self.works[path] = self.answers[path] = False

    def alive(self, path):
        self.works[path] = self.answers[path] = True


def test_a_dead_path_is_left_after_its_time_and_taken_again_after_its_time():
    world = World()
    world.run(600)
    assert world.switches == []
    world.dead(0)
    world.run(55)
    assert world.switches == [], "not yet"
    world.run(10)
    assert world.switches == [(660.0, 1)]
    assert world.chooser.why == "not a word from the server for 60 s"
    world.run(3_600)
    assert len(world.switches) == 1
    world.alive(0)
    back = world.now
    world.run(295)
    assert len(world.switches) == 1, "not yet"
    world.run(200)
    (at, path), = world.switches[1:]
    assert path == 0
    assert back + 300 <= at <= back + 300 + RULE.probe_interval_s + TICK_S
    assert world.chooser.why.startswith("a better path has answered for 3")


def test_a_path_that_answers_in_between_is_not_taken_before_it_does_so_for_long():
    world = World()
    world.dead(0)
    world.run(120)
    for _ in range(20):
        world.alive(0)
        world.run(200)
        world.dead(0)
        world.run(100)
    assert world.switches == [(60.0, 1)]


def test_where_the_server_is_away_paths_are_tried_ever_more_seldom():
    world = World((False, True, False))
    for path in range(3):
        world.works[path] = False
    world.run(4 * HOUR_S)
    per_hour = [sum(1 for at, _ in world.switches if hour * HOUR_S < at <= (hour + 1) * HOUR_S) for hour in range(4)]
    assert per_hour[0] <= MOST_PER_HOUR - 2
    assert max(per_hour[1:]) <= MOST_PER_HOUR / 2
    assert {path for _, path in world.switches} == {0, 1, 2}


def test_the_third_path_has_its_turn_where_two_answer_and_do_not_work():
    world = World((False, False, True))
    world.works[:2] = False, False
    world.run(300)
    assert world.chooser.current == 2
    world.run(10 * HOUR_S)
    before = len(world.switches)
    world.run(10 * HOUR_S)
    assert len(world.switches) - before <= 40, "the others answer, and are tried again, but ever more seldom"


def test_a_path_that_answers_but_does_not_work_is_returned_to_ever_more_seldom():
    world = World()
    world.works[0] = False
    world.run(24 * HOUR_S)
    returns = [at for at, path in world.switches if path == 0]
    gaps = [later - earlier for earlier, later in pairwise(returns)]
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3]
    assert min(gaps[4:]) >= RULE.return_after_s * 2**DOUBLINGS
    assert len(returns) <= 24
    world.works[0] = True
    world.run(2 * RULE.return_after_s * 2**DOUBLINGS)
    assert world.chooser.current == 0


def test_metered_paths_are_probed_seldom_until_they_are_needed():
    world = World((False, True))
    world.run(HOUR_S)
    assert 4 <= len(world.probes) <= 2 * HOUR_S / RULE.probe_interval_s / METERED_TIMES + 1
    world.dead(0)
    before = len(world.probes)
    world.run(35)
    assert world.probes[before:], "once the path in use is suspect, the others are asked"
    assert world.switches == []


def test_probes_are_spread():
    world = World((False, False))
    world.run(HOUR_S)
    times = [at for at, _ in world.probes]
    assert len({round(later - earlier) for earlier, later in pairwise(times)}) > 3


def test_one_path_alone_is_never_left():
    world = World((True,))
    world.dead(0)
    world.run(HOUR_S)
    assert world.switches == []
    assert world.probes == []


def test_what_was_heard_on_the_path_before_says_nothing_of_this_one():
    chooser = Chooser((False, False), RULE, random.Random(1), 0.0)
    chooser.probed(1, answered=True, detail="", now=1.0)
    assert chooser.step(60.0).path == 1
    chooser.heard(59.0)
    assert chooser.heard_at is None


moments = st.tuples(st.floats(5, 2_000), st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=4))


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, max_size=25), st.lists(st.booleans(), min_size=2, max_size=4), st.integers(0, 3), st.integers(0, 99))
@pytest.mark.timeout(120)
def test_no_schedule_makes_it_flap_and_the_best_path_is_used_in_the_end(schedule, metered, best, seed):
    """Any course of what works and what answers probes; then all stays as it is, with `best` the first that works."""
    world = World(tuple(metered), seed=seed)
    count, best = len(metered), best % len(metered)
    for seconds, states in schedule:
        for path, (works, answers) in enumerate(states[:count]):
            world.works[path], world.answers[path] = works, answers
        world.run(seconds)
    for path in range(count):
        if path < best:
            world.dead(path)
        else:
            world.alive(path)
    world.run(HOUR_S + RULE.return_after_s * 2**DOUBLINGS + 3 * METERED_TIMES * RULE.probe_interval_s)
    assert world.chooser.current == best
    times = [at for at, _ in world.switches]
    assert all(later - earlier >= RULE.dead_after_s for earlier, later in pairwise(times))
    assert all(times[at] - times[at - MOST_PER_HOUR] >= HOUR_S for at in range(MOST_PER_HOUR, len(times)))
    world.run(6 * HOUR_S)
    assert len(world.switches) == len(times), "and stays"
