"""Link states as ring records. The states are halow's real ones: the shapes must fit."""

from dataclasses import replace

import pytest

from edge.health.linkrecords import GATEWAY_FIELDS, METER_LINK, STRANGERS_MAX, Polls, gateway_link, meter_link, tenths
from edge.model import Kind, Stamp
from halow.model import Grade, LinkState, RadioFacts, RadioState, Rate

STAMP = Stamp(1000, 1_700_000_000_000, "boot", synchronised=True)
FACTS = RadioFacts("wlan1", "morse_sdio", "0c:bf:74:00:00:01", noise_dbm=-102, channel="S1G 32, 918.0 MHz, 4 MHz wide")
RADIO = RadioState(present=True, since=0.0, facts=FACTS, absences=2)


def peer(n, grade, average=None, **more):
    return LinkState(f"02:00:00:00:0a:{n:02x}", grade, rssi_avg_dbm=average, **more)


def named(record):
    assert len(record.values) == len(record.schema.fields)
    return dict(zip((field.key for field in record.schema.fields), record.values, strict=True))


def test_a_meters_link_is_exact_in_tenths():
    state = peer(1, Grade.FAIR, -84.26, rssi_min_dbm=-91, rssi_max_dbm=-80, snr_db=17.74, age_s=1.25, retries_per_100=12.345,
                 failed_per_100=0.0, tx_rate=Rate(1300, 1, 2), margin_db=7.74)
    record = meter_link("meter-7", state, STAMP, Polls(0.1854, 2.5))
    assert (record.schema, record.device, record.stamp) == (METER_LINK, "meter-7", STAMP)
    assert named(record) == {
        "link_rssi_dbm": -843, "link_rssi_min_dbm": -91, "link_rssi_max_dbm": -80, "link_snr_db": 177, "link_grade": "fair",
        "link_age_s": 12, "link_tx_retry_pct": 123, "link_tx_fail_pct": 0, "link_tx_rate_kbps": 1300, "link_lost_reason": None,
        "link_margin_db": 77, "link_poll_rtt_ms": 185, "link_poll_loss_pct": 25,
    }
    assert METER_LINK.kind is Kind.LINK


def test_a_lost_meter_has_a_grade_and_a_reason_and_no_invented_figures():
    values = named(meter_link("m", peer(1, Grade.LOST, rssi_dbm=-90, age_s=301.0, lost_because="no frame for 301 s"), STAMP))
    assert {key: value for key, value in values.items() if value is not None} == {
        "link_grade": "lost", "link_age_s": 3010, "link_lost_reason": "no frame for 301 s"}


def test_the_gateways_record_names_the_worst():
    peers = [peer(1, Grade.GOOD, -75.0), peer(2, Grade.POOR, -93.06), peer(3, Grade.UNKNOWN), peer(4, Grade.LOST)]
    record = gateway_link(replace(RADIO, busy_pct=12.34, duty_pct=1.234, deaf_s=61.4), peers, STAMP)
    assert record.device == ""
    assert named(record) == {
        "link_radio_state": "present", "link_radio_reason": None, "link_radio_absences": 2, "link_channel": FACTS.channel,
        "link_noise_dbm": -102, "link_peer_count": 3, "link_lost_count": 1, "link_worst_rssi_dbm": -931,
        "link_worst_grade": "lost", "link_worst_peer": "02:00:00:00:0a:04",
        "link_busy_pct": 123, "link_duty_pct": 123, "link_deaf_s": 61,
    }
    assert record.schema.fields == GATEWAY_FIELDS


def test_no_radio_says_why():
    absent = RadioState(present=False, since=0.0, reason="no_nl80211", detail="this kernel ...", facts=FACTS)
    values = named(gateway_link(absent, [], STAMP))
    assert (values["link_radio_state"], values["link_radio_reason"], values["link_peer_count"]) == ("absent", "no_nl80211", 0)
    assert values["link_worst_grade"] is values["link_noise_dbm"] is values["link_channel"] is None


def test_strangers_get_keys_of_their_own_up_to_a_limit():
    strangers = [peer(n, Grade.GOOD, -70.0 - n) for n in range(STRANGERS_MAX + 4, -1, -1)]
    values = named(gateway_link(RADIO, strangers, STAMP, strangers))
    own = [key for key in values if key.startswith("link_peer_") and key.endswith("_grade")]
    assert len(own) == STRANGERS_MAX
    assert own[0] == "link_peer_020000000a00_grade"
    assert values["link_peer_020000000a01_rssi_dbm"] == -710


@pytest.mark.parametrize(("value", "expected"), [(None, None), (-84.26, -843), (0.0, 0), (-0.04, 0), (12.36, 124)])
def test_tenths(value, expected):
    assert tenths(value) == expected
