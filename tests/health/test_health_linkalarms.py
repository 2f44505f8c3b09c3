"""Alarms over links: raised once with the reason, cleared once; and what a month of link records takes of the ring."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.config import RingSettings
from edge.health.linkalarms import LinkAlarms
from edge.health.linkrecords import METER_LINK, Polls, gateway_link, meter_link
from edge.model import Kind, Stamp
from edge.ring.frame import new_packer
from halow.model import DEAF_S, Grade, LinkState, RadioFacts, RadioState

STAMP = Stamp(1_000, 1_700_000_000_000, "b", synchronised=True)
RADIO = RadioState(present=True, since=0.0, facts=RadioFacts("wlan0", "morse_sdio", "m"), duty_pct=1.0, duty_limit_pct=10.0)
GOOD = LinkState("02:00:00:00:00:01", Grade.GOOD, rssi_avg_dbm=-71.0)


def told(alarms: LinkAlarms, radio: RadioState, *links: tuple[str, LinkState]) -> list[tuple[str, str, bool]]:
    return [(alarm.device, alarm.name, alarm.raised) for alarm in alarms.look(radio, links)]


def test_a_link_that_gets_worse_raises_each_alarm_once_and_clears_them_when_it_is_back() -> None:
    alarms = LinkAlarms()
    assert told(alarms, RADIO, ("m", GOOD)) == []
    poor = replace(GOOD, grade=Grade.POOR, rssi_avg_dbm=-93.0)
    assert told(alarms, RADIO, ("m", poor)) == [("m", "link_poor", True)]
    assert told(alarms, RADIO, ("m", poor)) == []
    lost = replace(GOOD, grade=Grade.LOST, rssi_avg_dbm=None, lost_because="no frame for 301 s")
    (alarm,) = alarms.look(RADIO, [("m", lost)])
    assert (alarm.name, alarm.raised, alarm.severity) == ("link_lost", True, "major")
    assert alarm.detail == "peer 02:00:00:00:00:01: no frame for 301 s"
    assert told(alarms, RADIO, ("m", replace(GOOD, grade=Grade.UNKNOWN))) == [], "not known: nothing changes"
    assert told(alarms, RADIO, ("m", GOOD)) == [("m", "link_lost", False), ("m", "link_poor", False)]
    assert told(alarms, RADIO, ("m", poor)) == [("m", "link_poor", True)]
    assert told(alarms, RADIO) == [("m", "link_poor", False)], "a meter that was removed keeps no alarm"
    assert alarms.standing() == {}


def test_what_stood_before_a_restart_is_neither_raised_again_nor_cleared_before_its_peer_was_seen() -> None:
    alarms = LinkAlarms()
    alarms.stand([("m", "link_poor"), ("gone", "link_lost")])
    poor = replace(GOOD, grade=Grade.POOR)
    assert told(alarms, RADIO) == [], "neither meters nor stations are known in the first moments"
    alarms.retain(["m", "another"])
    assert told(alarms, RADIO) == [("gone", "link_lost", False)], "its meter is registered no longer"
    assert told(alarms, RADIO, ("m", poor)) == []
    assert told(alarms, RADIO) == [("m", "link_poor", False)], "seen, and gone since"
    alarms.stand([("m", "link_poor")])
    assert told(alarms, RADIO, ("m", GOOD)) == [("m", "link_poor", False)]


def test_the_radio_gone_deaf_or_over_its_duty_cycle_is_an_alarm_of_the_gateway() -> None:
    alarms = LinkAlarms()
    gone = RadioState(present=False, since=0.0, reason="interface_gone", detail="the interface went away")
    assert told(alarms, gone) == [], "a radio that was never there is a stated condition"
    assert told(alarms, RADIO) == []
    (alarm,) = alarms.look(gone, [])
    assert (alarm.device, alarm.name, alarm.detail, alarm.severity) == ("", "radio_absent", "the interface went away", "critical")
    record = alarm.record(STAMP)
    assert (record.schema.kind, record.values) == (Kind.ALARM, ("radio_absent", "raised", "critical", "the interface went away"))
    assert told(alarms, RADIO) == [("", "radio_absent", False)]
    assert told(alarms, replace(RADIO, deaf_s=DEAF_S)) == [("", "radio_deaf", True)]
    assert told(alarms, replace(RADIO, duty_pct=10.5)) == [("", "radio_deaf", False), ("", "duty_exceeded", True)]
    assert told(alarms, replace(RADIO, duty_pct=None)) == [], "not known: it stands"
    assert told(alarms, RADIO) == [("", "duty_exceeded", False)]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(Grade), st.booleans()), max_size=60))
def test_every_alarm_is_raised_and_cleared_in_turn(looks: list[tuple[bool, Grade, bool]]) -> None:
    alarms = LinkAlarms()
    standing: set[tuple[str, str]] = set()
    for present, grade, deaf in looks:
        radio = replace(RADIO, present=present, deaf_s=DEAF_S if deaf else 0.0)
        for alarm in alarms.look(radio, [("m", replace(GOOD, grade=grade))]):
            key = (alarm.device, alarm.name)
            assert alarm.raised is (key not in standing)
            standing ^= {key}
        assert set(alarms.standing()) == standing


def test_a_month_of_link_records_of_thirty_meters_fits_in_two_percent_of_the_default_ring() -> None:
    from edge.config import RadioSettings

    full = replace(GOOD, rssi_min_dbm=-80, rssi_max_dbm=-60, snr_db=31.0, margin_db=21.0, age_s=2.5, retries_per_100=12.5, failed_per_100=0.5)
    row = meter_link("meter-17", full, STAMP, Polls(0.185, 1.5)).values
    assert len(row) == len(METER_LINK.fields)
    gateway = gateway_link(RADIO, [full] * 30, STAMP).values
    packed = [len(new_packer()([7, 3, 1_234_567, *values])) for values in (row, gateway)]
    per_month = 30 * 86_400 / RadioSettings().record_interval_s
    assert per_month * (30 * packed[0] + packed[1]) <= 0.02 * RingSettings().size_mib * 1_048_576, packed
