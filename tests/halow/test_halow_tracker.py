"""One peer over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.model import Grade, LinkSample, Rate
from halow.quality import Thresholds
from halow.tracker import PeerTracker, TrackerSettings

MAC = "02:00:00:00:0a:01"
TWO_MHZ = Thresholds.for_width(2)


def tracker(**settings):
    return PeerTracker(MAC, TrackerSettings(**settings))


def look(peer, now, signal=-70, inactive_ms=100, noise=None, **more):
    return peer.add(LinkSample(MAC, signal, inactive_ms=inactive_ms, **more), now, TWO_MHZ, noise)


def test_one_look_is_enough_for_a_grade():
    state = look(tracker(), 10.0, -66, noise=-100)
    assert (state.grade, state.changed, state.rssi_dbm, state.rssi_avg_dbm, state.snr_db) == (
        Grade.EXCELLENT, True, -66, -66, 34)
    assert state.trend_db is None, "no trend before the average is settled"
    assert state.age_s == pytest.approx(0.1)


def test_an_implausible_rssi_is_counted_and_kept_out():
    peer = tracker()
    look(peer, 0, -80)
    state = look(peer, 5, 0)
    assert (state.rssi_dbm, state.rssi_avg_dbm, state.rejected, state.samples) == (-80, -80, 1, 1)
    assert look(tracker(), 0, -128).grade is Grade.UNKNOWN


def test_an_rssi_that_is_not_told_leaves_the_grade_unknown():
    state = look(tracker(), 0, None)
    assert (state.grade, state.rssi_avg_dbm, state.rssi_min_dbm) == (Grade.UNKNOWN, None, None)


def test_the_same_frame_is_not_taken_twice():
    peer = tracker()
    look(peer, 0, -60, inactive_ms=0)
    for now in (5, 10, 15):
        state = look(peer, now, -90, inactive_ms=now * 1000)
    assert (state.samples, state.rssi_avg_dbm) == (1, -60)


def test_stale_after_three_polls_and_lost_after_long_silence():
    peer = tracker(poll_s=5, silent_s=300)
    look(peer, 0, -60, inactive_ms=0)
    assert not look(peer, 15, inactive_ms=15_000).stale
    state = look(peer, 15.1, inactive_ms=15_100)
    assert state.stale
    assert state.grade is Grade.EXCELLENT
    state = look(peer, 301, inactive_ms=301_000)
    assert (state.grade, state.changed, state.lost_because) == (Grade.LOST, True, "no frame for 301 s")
    assert state.rssi_avg_dbm is None, "an average of the past would pass for the present"
    assert state.rssi_dbm == -60
    state = look(peer, 306, -85, inactive_ms=200)
    assert (state.grade, state.rssi_avg_dbm, state.samples) == (Grade.FAIR, -85, 1), "a new beginning"


def test_the_third_look_in_a_row_without_a_frame_tells_a_cut_link():
    peer = tracker(poll_s=5)
    look(peer, 0, inactive_ms=0)
    assert [look(peer, now, inactive_ms=round(now * 1000)).stale for now in (1, 1.5, 6, 11, 12.2)] == [False] * 5
    assert not look(peer, 13, inactive_ms=100).stale
    assert [look(peer, now, inactive_ms=round((now - 12.9) * 1000)).stale for now in (16, 21, 26)] == [False, False, True]
    assert not look(peer, 31, inactive_ms=100).stale


def test_gone_and_back():
    peer = tracker()
    look(peer, 0, -60)
    state = peer.missing(5)
    assert (state.grade, state.changed, state.lost_because) == (Grade.LOST, True, "not associated any more")
    assert not peer.missing(10).changed
    state = look(peer, 15, -75)
    assert (state.grade, state.rssi_avg_dbm, state.lost_because) == (Grade.GOOD, -75, "")


def test_too_weak_is_lost_with_hysteresis_and_not_a_new_beginning_each_time():
    peer = tracker()
    grades = [look(peer, 5 * n, signal).grade for n, signal in enumerate([-99] * 3 + [-96] * 20 + [-90] * 20)]
    assert grades[0] is Grade.LOST
    assert grades[22] is Grade.LOST, "-96 is less than 3 dB above the threshold"
    assert grades[-1] is Grade.POOR
    assert "average of -99 dBm" in look(tracker(), 0, -99).lost_because


def test_min_and_max_slide():
    peer = tracker(window_s=60)
    for now, signal in [(0, -50), (30, -60), (61, -70)]:
        state = look(peer, now, signal)
    assert (state.rssi_min_dbm, state.rssi_max_dbm) == (-70, -60)


def test_trend_tells_the_direction():
    rising, falling = tracker(), tracker()
    for n in range(20):
        up, down = look(rising, 5 * n, -90 + n), look(falling, 5 * n, -60 - n)
    assert up.trend_db > 2
    assert down.trend_db < -2


def test_retries_per_100_frames_of_the_window():
    peer = tracker(window_s=60)
    look(peer, 0, tx_packets=1000, tx_retries=10, tx_failed=1)
    state = look(peer, 5, tx_packets=1200, tx_retries=60, tx_failed=3)
    assert (state.retries_per_100, state.failed_per_100) == (25, 1)
    state = look(peer, 10, tx_packets=5, tx_retries=1, tx_failed=0)
    assert state.retries_per_100 is None, "a new association counts anew"
    assert look(peer, 15, tx_packets=25, tx_retries=None).retries_per_100 is None, "a vendor that does not count"


def test_nothing_sent_is_no_rate_of_retries():
    peer = tracker()
    look(peer, 0, tx_packets=7, tx_retries=0)
    assert look(peer, 5, tx_packets=7, tx_retries=0).retries_per_100 is None


def test_rates_and_connection_are_passed_on_while_the_peer_is_there():
    peer = tracker()
    state = look(peer, 0, tx_rate=Rate(6500, 7, 2), connected_s=9)
    assert (state.tx_rate.kbps, state.connected_s) == (6500, 9)
    assert peer.missing(5).tx_rate is None


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(-130, 5), st.integers(0, 400_000))), min_size=1, max_size=50))
def test_whatever_comes_the_state_is_consistent(looks):
    peer = tracker()
    before = Grade.UNKNOWN
    for n, one in enumerate(looks):
        state = peer.missing(5.0 * n) if one is None else look(peer, 5.0 * n, one[0], one[1], tx_packets=n, tx_retries=n)
        assert state.changed == (state.grade is not before)
        assert (state.grade is Grade.LOST) == bool(state.lost_because)
        if state.rssi_min_dbm is not None:
            assert -120 <= state.rssi_min_dbm <= state.rssi_max_dbm < 0
        assert state.age_s is None or state.age_s >= 0
        before = state.grade
