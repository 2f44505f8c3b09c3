"""How the air is used, and whether the radio hears: by counters as drivers give them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.airtime import Way, frame_s
from halow.health import DUTY_S, AirWatch
from halow.model import DEAF_S, LinkSample, Mode, RadioFacts, RadioSample, RadioState, Rate, Survey

FACTS = RadioFacts("wlan0", "morse_sdio", "0c:bf:74:00:00:01", mode=Mode.AP, width_mhz=1, country="EU")
A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"


def look(*peers: LinkSample, survey: Survey | None = None) -> RadioSample:
    return RadioSample(FACTS, peers, survey)


def peer(mac: str = A, *, rx: int = 0, tx: int = 0, octets: int = 0, retries: int = 0, rate: Rate | None = None) -> LinkSample:
    return LinkSample(mac, -70, rx_packets=rx, tx_packets=tx, tx_bytes=octets, tx_retries=retries, tx_rate=rate)


def test_busy_and_sent_are_shares_of_the_surveys_own_clock() -> None:
    watch = AirWatch(1)
    assert watch.add(look(survey=Survey(-99, 1_000, 100, 10)), 0.0).busy_pct is None
    use = watch.add(look(survey=Survey(-99, 6_000, 1_350, 110)), 5.0)
    assert (use.busy_pct, use.tx_pct, use.estimated) == (25.0, 2.0, False)
    assert use.duty_pct == pytest.approx(100 * 0.02 * 5 / DUTY_S), "of an hour, not of what was seen of it"
    again = watch.add(look(survey=Survey(-99, 10, 5, 5)), 10.0)
    assert (again.busy_pct, again.tx_pct) == (None, None), "the counters began again"


def test_without_a_clock_the_duty_follows_from_frames_octets_and_rates() -> None:
    watch = AirWatch(1)
    watch.add(look(peer(tx=10, octets=1_000, rate=Rate(300, 0, 1))), 0.0)
    use = watch.add(look(peer(tx=20, octets=2_000, retries=2, rate=Rate(300, 0, 1))), 5.0)
    assert use.estimated
    assert use.duty_pct == pytest.approx(100 * 12 * frame_s(100, Way(1, 0)) / DUTY_S)
    slowest = AirWatch(1)
    slowest.add(look(peer(tx=0)), 0.0)
    unknown = slowest.add(look(peer(tx=1, octets=100)), 5.0)
    assert unknown.duty_pct == pytest.approx(100 * frame_s(100, Way(1, 10)) / DUTY_S), "an unknown rate is taken for the slowest"
    strange = slowest.add(look(peer(tx=2, octets=200, rate=Rate(None, 9, 2))), 10.0)
    assert strange.duty_pct == pytest.approx(2 * unknown.duty_pct), "and one that S1G does not have"


@given(st.lists(st.floats(0, 10), min_size=2, max_size=40))
def test_an_hour_of_sending_is_never_more_than_all_of_it_and_is_forgotten_after_it(shares: list[float]) -> None:
    watch, now, clock = AirWatch(1), 0.0, 0
    tx = 0.0
    for share in shares:
        now += 60.0
        clock += 60_000
        tx += 600 * share
        use = watch.add(look(survey=Survey(None, clock, 0, int(tx))), now)
        assert use.duty_pct is None or 0.0 <= use.duty_pct <= 100.0
    later = watch.add(look(survey=Survey(None, clock + 3_600_000, 0, int(tx))), now + 3 * DUTY_S)
    assert later.duty_pct == pytest.approx(0.0, abs=1e-6)


def test_a_radio_that_speaks_and_hears_nobody_is_deaf_and_one_that_is_silent_is_not() -> None:
    watch = AirWatch(1)
    watch.add(look(peer(rx=5, tx=5), peer(B, rx=1, tx=1)), 0.0)
    for n in range(1, 40):
        assert watch.add(look(peer(rx=5, tx=5), peer(B, rx=1, tx=1)), 5.0 * n).deaf_s == 0.0, "nobody was asked"
    assert watch.add(look(peer(rx=5, tx=6), peer(B, rx=1, tx=1)), 199.0).deaf_s == 0.0, "one that is silent may be switched off"
    assert watch.add(look(peer(rx=5, tx=6), peer(B, rx=1, tx=2)), 200.0).deaf_s == 200.0
    assert watch.add(look(peer(rx=5, tx=9), peer(B, rx=2, tx=1)), 205.0).deaf_s == 0.0, "one frame from anybody is enough"
    assert watch.add(look(peer(rx=5, tx=12), peer(B, rx=2, tx=2)), 210.0).deaf_s == 5.0
    assert watch.add(look(peer("02:00:00:00:0a:03")), 215.0).deaf_s == 0.0, "somebody new was heard"
    watch.gone()
    assert watch.add(look(peer(rx=1, tx=90)), 9_999.0).deaf_s == 0.0
    assert not RadioState(present=True, since=0.0, deaf_s=DEAF_S - 1).deaf
    assert RadioState(present=True, since=0.0, deaf_s=DEAF_S).deaf
    assert not RadioState(present=False, since=0.0, deaf_s=DEAF_S).deaf
