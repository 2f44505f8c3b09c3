"""Duty cycles over the radio that is there: the gateway's own and each peer's, by the country of the driver."""

from edge.clock import SystemClock
from edge.daemon.air import AirDesk
from edge.daemon.links import LinkDesk
from edge.model import Meter
from halow.airtime import Way, exchange
from halow.duty import HOUR_S
from halow.model import Grade, LinkState, Mode, RadioFacts, RadioState, Rate

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
METERS = (Meter("a", "10.30.0.1", 4059, mac=A), Meter("b", "10.30.0.2", 4059, mac=B), Meter("wired", "192.0.2.1", 4059))


def hear(links: LinkDesk, country: str, mode: Mode, rate: Rate | None = None) -> None:
    facts = RadioFacts("wlan0", "morse_sdio", "m", mode=mode, width_mhz=1, country=country)
    peers = tuple(LinkState(mac, Grade.FAIR, rssi_avg_dbm=-94.0, tx_rate=rate) for mac in (A, B))
    links.heard(peers, RadioState(present=True, since=0.0, facts=facts))


def desk() -> LinkDesk:
    return LinkDesk(lambda: METERS, lambda _record: None, SystemClock(trust_wall=True), 900.0, tell=lambda _record: None)


def site(country: str, mode: Mode = Mode.AP) -> AirDesk:
    links = desk()
    hear(links, country, mode)
    return AirDesk(links, lambda: METERS, 2)


def polls_in_an_hour(air: AirDesk, meter: str, octets: tuple[int, int]) -> int:
    now, polls = 0.0, 0
    while now < 10 * HOUR_S:
        now = max(now + 0.2, air.ready_at(meter, now))
        air.spent(meter, *octets, now)
        polls += 1
    return polls // 10


def test_in_europe_a_talkative_meter_is_asked_as_often_as_its_own_duty_cycle_lets_it_answer() -> None:
    cost = exchange(40, 3_000, Way(1, 10))
    polls = polls_in_an_hour(site("EU"), "a", (40, 3_000))
    assert 0.75 * 0.028 * HOUR_S / cost.far_s <= polls <= 0.03 * HOUR_S / cost.far_s


def test_a_peer_that_is_used_up_leaves_the_others_their_own() -> None:
    air = site("EU")
    assert 0.0 < air.ready_at("b", 0.0) < 5.0, "no burst at the start, and no silence"
    for n in range(200):
        air.spent("a", 40, 3_000, float(n))
    assert air.ready_at("a", 200.0) > 230.0
    assert air.ready_at("b", 200.0) == 200.0
    assert air.ready_at("wired", 200.0) == 200.0


def test_the_gateways_own_share_holds_for_all_of_them() -> None:
    air = site("EU")
    for n in range(4_000):
        air.spent("a" if n % 2 else "b", 1_000, 1, n / 10)
    assert min(air.ready_at("a", 400.0), air.ready_at("b", 400.0)) > 500.0


def test_without_a_limit_or_without_a_radio_nothing_is_held_back() -> None:
    for country in ("AU", "", "XX"):
        free = site(country)
        for n in range(2_000):
            free.spent("a", 4_000, 4_000, float(n))
        assert free.ready_at("a", 2_000.0) == 2_000.0
    nobody = LinkDesk(lambda: METERS, lambda _record: None, SystemClock(trust_wall=True), 900.0, tell=lambda _record: None)
    assert AirDesk(nobody, lambda: METERS, 2).ready_at("a", 1.0) == 1.0


def test_an_interface_that_becomes_an_access_point_has_an_access_points_share_from_then_on() -> None:
    links = desk()
    hear(links, "EU", Mode.STATION)      # as the driver makes it, before hostapd has taken it
    air = AirDesk(links, lambda: METERS, 2)
    assert air.ready_at("a", 0.0) < 5.0
    hear(links, "EU", Mode.AP)
    like = site("EU")
    for n in range(200):
        air.spent("a", 40, 3_000, float(n))
        like.spent("a", 40, 3_000, float(n))
    assert air.ready_at("a", 200.0) == like.ready_at("a", 200.0) > 230.0


def test_a_country_that_is_not_told_for_a_moment_forgives_nothing() -> None:
    links = desk()
    hear(links, "EU", Mode.AP)
    air = AirDesk(links, lambda: METERS, 2)
    for n in range(200):
        air.spent("a", 40, 3_000, float(n))
    held_until = air.ready_at("a", 200.0)
    hear(links, "", Mode.AP)
    assert air.ready_at("a", 200.0) == held_until
    hear(links, "EU", Mode.AP)
    assert air.ready_at("a", 200.0) == held_until > 230.0


def test_a_rate_that_does_not_exist_costs_what_the_signal_says_and_stops_nobody() -> None:
    links = desk()
    hear(links, "EU", Mode.AP, Rate(None, 9, 2))
    air = AirDesk(links, lambda: METERS, 2)
    for n in range(200):
        air.spent("a", 40, 3_000, float(n))
    assert air.ready_at("a", 200.0) > 230.0


def test_what_connecting_takes_is_counted_beside_what_is_carried() -> None:
    kept, anew = site("EU"), site("EU")
    for n in range(400):
        kept.spent("a", 40, 3_000, float(n))
        anew.spent("a", 40, 3_000, float(n), connections=1)
    assert anew.ready_at("a", 400.0) > kept.ready_at("a", 400.0) > 400.0


def test_nothing_is_kept_of_meters_and_peers_that_are_gone() -> None:
    links, registered = desk(), [METERS]
    hear(links, "EU", Mode.AP)
    air = AirDesk(links, lambda: registered[0], 2)
    for name in ("a", "b"):
        air.spent(name, 40, 3_000, 0.0)
    registered[0] = METERS[:1]
    assert links.radio is not None
    links.heard(links.states[:1], links.radio)
    air.ready_at("a", 1.0)
    assert (set(air._usual), set(air._far)) == ({"a"}, {A})
