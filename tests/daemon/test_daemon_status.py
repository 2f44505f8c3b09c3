"""The word that stands for a meter in `status`."""

from dataclasses import replace

import pytest
from test_daemon_vitals import poller

from edge.daemon.status import _word
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
