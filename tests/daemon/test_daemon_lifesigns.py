"""Who counts as silent: by polls, by pushes, and by not being polled at all."""

import pytest

from edge.daemon.lifesigns import LifeSigns


class Fleet:
    def __init__(self, **polled):
        self.polled = polled

    def last_heard(self, name):
        return self.polled.get(name)


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def signs(fleet, pushed=None, clock=None, *, known=True, after_s=300.0):
    return LifeSigns(fleet, lambda name: (0, (pushed or {}).get(name)), lambda: known, clock or Clock(), lambda: after_s)


@pytest.mark.parametrize(("polled", "pushed", "silent"), [
    ((10.0, 60.0), None, False), ((299.0, 60.0), None, False), ((300.0, 60.0), None, True),
    ((2_000.0, 900.0), None, False), ((2_700.0, 900.0), None, True),         # three polls of a slow one
    ((900.0, 60.0), 20.0, False), ((900.0, 60.0), 400.0, True),              # it speaks by itself
    (None, None, True), (None, 20.0, False), (None, 400.0, True),            # paused, refused or gone
])
def test_a_meter_is_silent(polled, pushed, silent):
    assert signs(Fleet(m=polled), {"m": pushed}).silent("m") is silent


def test_one_that_was_never_heard_has_the_same_time_from_its_first_look_on():
    clock, fleet = Clock(), Fleet(m=(None, 10.0))
    asked = signs(fleet, clock=clock)
    assert not asked.silent("m")
    clock.now = 299.0
    assert not asked.silent("m")
    clock.now = 300.0
    assert asked.silent("m")
    del fleet.polled["m"]
    assert asked.silent("m")
    fleet.polled["m"] = (None, 10.0)
    assert not asked.silent("m"), "taken up again"


def test_one_whose_poller_is_begun_anew_after_days_has_its_time_again():
    clock, fleet = Clock(), Fleet(m=(None, 10.0))
    asked = signs(fleet, clock=clock)
    assert not asked.silent("m")
    clock.now, fleet.polled["m"] = 86_400.0, (5.0, 10.0)
    assert not asked.silent("m")
    fleet.polled["m"] = (None, 10.0)      # its interval was edited, say
    assert not asked.silent("m")
    clock.now += 300.0
    assert asked.silent("m")


def test_before_the_registry_was_read_nobody_is_silent():
    assert not signs(Fleet(), known=False).silent("m")
