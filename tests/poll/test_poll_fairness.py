"""Nobody starves: thirty meters on one channel with sleeping stations, with fades, in virtual time (`virtual_air`)."""

import random

import pytest
from virtual_air import Yard, in_virtual_time

from edge.config import PollSettings
from edge.poll.schedule import phase

FADES = [(10.0 + 15 * n, 15.0 + 15 * n) for n in range(5)]      # gone for 5 s in every 15


@pytest.mark.parametrize("seed", [1, 2])
def test_a_lost_segment_of_a_sleeping_station_is_waited_for_and_costs_no_association(seed: int) -> None:
    """Its second copy comes after 8 s or more, which is when the configured deadline ends."""
    yard = in_virtual_time(Yard("sleepy", seed=seed), 105, warm_up_s=15)
    assert sum(yard.failures.values()) <= 2, yard.failures
    assert yard.fewest_of_mean >= 0.65, sorted(yard.readings.values())
    assert yard.readings.total() >= 0.75 * 30 * 105 / 3.9


def test_fades_fail_hardly_a_poll_and_starve_nobody() -> None:
    """After a fade of 5 s the copy that finds the link back is on its way after 8.5 s: a limit of 8 s failed all, each time."""
    yard = in_virtual_time(Yard("fair", meters=8, seed=2, outages=FADES), 45, warm_up_s=10)
    assert sum(yard.failures.values()) <= 4, "eight meters, three fades"
    assert yard.fewest_of_mean >= 0.7, sorted(yard.readings.values())
    assert yard.turnstile.pacing.limit >= 8


def test_a_yard_of_dead_meters_holds_up_no_living_one_at_the_start() -> None:
    """Connections that never come keep no place: the living were asked up to half a minute late behind them."""
    yard = Yard("good", meters=200, settings=PollSettings(interval_s=30.0))
    yard.dies_at = dict.fromkeys(random.Random(3).sample(yard.names, 120), 0.0)
    in_virtual_time(yard, 40)
    late_s = sorted(yard.at[name][0] - phase(name) * 30.0 for name in yard.names if name not in yard.dies_at)
    assert late_s[-1] < 5.0, late_s[-10:]
    assert yard.turnstile.gate.state().inside == 0, "nobody is lost track of"
