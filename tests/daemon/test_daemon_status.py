"""The word that stands for a meter in `status`."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_daemon_vitals import poller

from edge.daemon.status import StatusDesk, _word
from edge.model import Meter
from edge.poll.recovery import Circuit


@pytest.mark.parametrize(("state", "refused", "paused", "word"), [
    (None, "", False, "starting"),
    (poller(), "", False, "starting"),
    (poller(3), "", False, "reading"),
    (replace(poller(3), last_reading_age_s=29.0), "", False, "reading"),
    (replace(poller(3), last_reading_age_s=31.0), "", False, "late"),
    (replace(poller(3, 1, last_failure="no_answer: silence"), last_reading_age_s=31.0), "", False, "failing"),
    (poller(3, 6, last_failure="circuit_open: x", circuit=Circuit.OPEN), "", False, "resting"),
    (poller(3, 6, circuit=Circuit.HALF_OPEN), "", False, "resting"),
    (None, "profile 'x' is unknown", False, "refused"),
    (poller(3), "", True, "paused"),
])
def test_one_word_for_each_state(state, refused, paused, word):
    """The interval is 10 s."""
    assert _word(state, refused, paused=paused) == word


async def test_polls_go_in_between_while_a_hundred_meters_are_told():
    """A page asks every other second; no poll waits for all of its answer."""
    desk = object.__new__(StatusDesk)
    desk._enrolment = SimpleNamespace(meters=tuple(Meter(name=f"m{number}", host="h", port=1) for number in range(100)))
    desk._fleet = SimpleNamespace(refused=dict, state=lambda name: poller(3) if name != "m7" else None)
    desk._links, desk._pushes, desk._backfill = SimpleNamespace(peer_of=lambda _: None), SimpleNamespace(of=lambda _: (0, None)), dict
    telling, turns = asyncio.ensure_future(desk._meters()), 0
    while not telling.done():
        turns += 1
        await asyncio.sleep(0)
    told = await telling
    assert turns >= 20
    assert [meter["state"] for meter in told[6:9]] == ["reading", "starting", "reading"]
