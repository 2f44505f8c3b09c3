"""Alarms: on-delay, hysteresis, latching, acknowledgement, restarts; what a condition's file may say; figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarms.conditions import Condition, Judgement, in_force, parse, shipped
from edge.alarms.engine import Engine
from edge.alarms.figures import of_record
from edge.errors import ConfigError, EdgeError, SettingsError
from edge.model import Field, Kind, Record, Schema, Stamp

NOMINAL = {"nominal_voltage_v": 230.0, "nominal_frequency_hz": 50.0, "max_current_a": 60.0, "max_power_w": 10_000.0}
STAMP = Stamp(1_000, 1_700_000_000_000, "b", synchronised=True)
HOT = Condition(name="hot", device="meter", figures=("t",), severity="major", above=80.0, clear_at=75.0, for_s=60.0)


def engine_of(*conditions, standing=()):
    return Engine(Judgement(conditions, ()), standing)


def told(engine, value, now, figure="t"):
    return [change.state for change in engine.look("m", {figure: value}, now, int(now * 1000))]


def test_on_delay_and_hysteresis_by_a_worked_example():
    engine = engine_of(HOT)
    assert told(engine, 81.0, 0) == []
    assert told(engine, 80.0, 30) == [], "not above: the delay begins anew"
    assert told(engine, 81.0, 40) == []
    assert told(engine, 90.0, 99.9) == []
    (change,) = engine.look("m", {"t": 90.0}, 100, 100_000)
    assert (change.state, change.alarm.detail, change.standing) == ("raised", "t 90", 1)
    assert told(engine, 76.0, 110) == [], "below the limit, above clear_at"
    assert told(engine, 75.0, 120) == ["cleared"]
    assert told(engine, 81.0, 121) == [] == told(engine, 81.0, 180)
    assert told(engine, 81.0, 181) == ["raised"]


def test_a_latched_alarm_stands_until_it_is_gone_and_acknowledged_in_either_order():
    latched = replace_condition(HOT, latched=True, for_s=0.0)
    engine = engine_of(latched)
    assert told(engine, 90.0, 0) == ["raised"]
    assert told(engine, 20.0, 1) == [] == told(engine, 90.0, 2), "gone and back: it stood all the while"
    assert told(engine, 20.0, 3) == []
    states = [(change.state, change.standing) for change in engine.acknowledge("m", "hot", "ana", 4_000)]
    assert states == [("acknowledged", 1), ("cleared", 0)]
    assert told(engine, 90.0, 5) == ["raised"]
    assert [change.state for change in engine.acknowledge("m", "hot", "ana", 6_000)] == ["acknowledged"]
    assert engine.acknowledge("m", "hot", "eve", 7_000) == [], "the first who saw it"
    assert told(engine, 20.0, 8) == ["cleared"]
    with pytest.raises(EdgeError, match="no alarm 'hot' stands at m"):
        engine.acknowledge("m", "hot", "ana", 9_000)


def test_what_stood_before_a_restart_stands_is_not_raised_again_and_clears():
    before = engine_of(replace_condition(HOT, for_s=0.0))
    assert told(before, 90.0, 0) == ["raised"]
    after = engine_of(replace_condition(HOT, for_s=0.0), standing=before.standing())
    assert told(after, 78.0, 0) == [], "hysteresis goes on too"
    assert told(after, 90.0, 1) == []
    assert told(after, 70.0, 2) == ["cleared"]


def test_a_fall_and_an_event_are_raised_once_until_they_are_acknowledged():
    falls = Condition(name="back", device="meter", figures=("e",), severity="major", falls=True, latched=True)
    engine = engine_of(falls)
    assert [told(engine, value, now, "e") for now, value in enumerate((5.0, 6.0, 6.0, 5.5, 5.0, 9.0))] == [
        [], [], [], ["raised"], [], []]
    assert [change.state for change in engine.acknowledge("m", "back", "ana", 0)] == ["acknowledged", "cleared"]
    assert told(engine, 8.0, 9, "e") == ["raised"]
    tamper = engine_of(shipped()["tamper"])
    assert told(tamper, "meter_clock_adjusted", 0, "event") == []
    assert told(tamper, "meter_strong_dc_field", 0, "event") == ["raised"]


def test_another_meter_that_goes_by_the_name_is_not_compared_with_the_one_before():
    engine = engine_of(shipped()["energy_backwards"])
    for name in ("m", "n"):
        engine.look(name, {"active_energy": 8_000.0}, 0, 0)
    engine.forget(["m"])
    changes = [change for name in ("m", "n") for change in engine.look(name, {"active_energy": 3.0}, 10, 10_000)]
    assert [change.alarm.device for change in changes] == ["n"]


def test_any_figure_raises_and_one_that_is_no_longer_known_does_not_clear():
    engine = engine_of(replace_condition(HOT, figures=("a", "b"), for_s=0.0))
    assert [c.alarm.detail for c in engine.look("m", {"a": 90.0, "b": 20.0}, 0, 0)] == ["a 90"]
    assert engine.look("m", {"b": 20.0}, 1, 1) == []
    assert [c.state for c in engine.look("m", {"a": 20.0}, 2, 2)] == ["cleared"]
    assert [c.state for c in engine.look("m", {"a": 90.0}, 3, 3)] == ["raised"]
    assert [c.alarm.detail for c in engine.retain([], 4)] == ["this meter is registered no longer"]


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from([70.0, 75.0, 76.0, 80.0, 80.5, 95.0]) | st.none(),
                          st.booleans(), st.booleans()), max_size=60), st.booleans())
def test_raised_and_cleared_take_turns_and_no_delay_is_cut_short(looks, latched):
    engine = engine_of(replace_condition(HOT, latched=latched))
    now, since, stands, acknowledged, gone = 0.0, None, False, False, False
    for step, value, acknowledge, restart in looks:
        now += step
        if restart:
            engine, since = engine_of(replace_condition(HOT, latched=latched), standing=engine.standing()), None
        states = [] if value is None else told(engine, value, now)
        if value is not None and value > 80:
            since = now if since is None else since
        if value is not None and value <= (75 if stands and not gone else 80):
            since = None
        expected = []
        if not stands and value is not None and value > 80 and now - since >= 60:
            expected, stands, acknowledged, gone = ["raised"], True, False, False
        elif stands and value is not None and value <= 75 and not gone:
            gone = latched and not acknowledged
            expected, stands = ([], True) if gone else (["cleared"], False)
        elif stands and gone and value is not None and value > 80:
            gone = False
        assert states == expected
        if acknowledge and stands:
            engine.acknowledge("m", "hot", "ana", 0)
            acknowledged, stands, gone = True, not gone, False
        assert len(engine.standing()) == stands


def test_the_shipped_conditions_are_whole_and_follow_the_nominal_figures():
    force = in_force(shipped(), NOMINAL)
    limits = {one.name: (one.above, one.below, one.clear_at) for one in force.meter}
    assert limits["over_voltage"] == (253.0, None, 250.7)
    assert limits["under_voltage"] == (None, 207.0, 209.3)
    assert limits["over_frequency"][0] == 50.5
    assert limits["over_current"][0] == 60.0
    off = in_force(shipped(), dict.fromkeys(NOMINAL, 0.0))
    assert not {"over_voltage", "over_current", "under_frequency"} & {one.name for one in off.meter}
    assert {one.name for one in force.gateway} >= {"backlog_old", "ring_loss", "ring_unhealthy", "flash_worn", "board_hot"}


@pytest.mark.parametrize(("line", "why"), [
    ("above = 1.0\nbelow = 0.0", "just one of"), ("", "just one of"), ("above = 1.0\nclear_at = 2.0", "beyond the limit"),
    ("rises = true", "latched = true"), ("above = nan", "finite"), ("above = 1.0\nabowe = 2", "abowe"),
    ('one_of = ["x"]\nclear_at = 1.0', "clear_at needs"), ("above = 1.0\nfor_s = -1", "below 0"),
])
def test_a_condition_that_is_wrong_is_named_with_the_reason(line, why):
    table = f'[[alarm]]\nname = "x"\ndevice = "meter"\nfigures = ["t"]\nseverity = "minor"\n{line}\n'
    with pytest.raises(SettingsError, match=r"own\.toml: alarm x: .*" + why):
        parse(table, "own.toml")


def reading(**volts):
    return Record(Schema(Kind.READING, tuple(Field(key, -1, "V") for key in volts)), "m", STAMP, tuple(volts.values()))


def test_phases_are_told_apart_from_an_outage_and_unbalance_from_a_lost_phase():
    whole = of_record(reading(voltage_l1=2300, voltage_l2=2300, voltage_l3=2369))
    assert whole["phases_lost"] == 0
    assert whole["voltage_unbalance_pct"] == pytest.approx(1.98, abs=0.01)
    lost = of_record(reading(voltage_l1=2300, voltage_l2=120, voltage_l3=2290))
    assert (lost["phases_lost"], lost["voltage_present_min"]) == (1, 229.0)
    assert "voltage_unbalance_pct" not in lost
    assert of_record(reading(voltage_l1=0, voltage_l2=0))["phases_lost"] == 0
    assert of_record(reading(voltage_l1=1250))["voltage_present_min"] == 125.0


def replace_condition(condition, **changes):
    import msgspec

    return msgspec.structs.replace(condition, **changes)


def test_a_change_becomes_a_record_of_the_alarm_stream():
    engine = engine_of(replace_condition(HOT, for_s=0.0))
    (change,) = engine.look("m", {"t": 90.0}, 0, 0)
    record = replace(change, at_ms=5).record(STAMP)
    assert record.schema.kind is Kind.ALARM
    assert record.values == ("hot", "raised", "major", "t 90", None, 1, "hot")


def test_other_conditions_clear_what_nobody_judges_any_more_and_begin_delays_anew():
    cold = Condition(name="cold", device="meter", figures=("t2",), severity="major", below=5.0, for_s=0.0)
    engine = engine_of(replace_condition(HOT, for_s=0.0), cold)
    assert told(engine, 90.0, 0) == told(engine, 1.0, 0, "t2") == ["raised"]
    engine.told("m", "link_poor", "minor", "elsewhere", 0, raised=True)
    changes = engine.use(Judgement((replace_condition(HOT, above=95.0, clear_at=92.0, for_s=10.0),), ()), 1_000)
    assert [(change.alarm.name, change.state, change.alarm.detail) for change in changes] == [
        ("cold", "cleared", "its condition is there no longer")]
    assert [alarm.name for alarm in engine.standing()] == ["hot", "link_poor"], "what others judge is theirs"
    assert told(engine, 91.0, 2) == ["cleared"]
    assert told(engine, 96.0, 3) == []
    engine.use(Judgement((replace_condition(HOT, above=95.0, clear_at=92.0, for_s=20.0),), ()), 4_000)
    assert told(engine, 96.0, 14) == []
    assert told(engine, 96.0, 34) == ["raised"]


def test_a_condition_may_concern_some_meters_only():
    one = parse('[[alarm]]\nname = "load"\ndevice = "meter"\nfigures = ["active_power"]\nabove = 5.0\nseverity = "minor"\nmeters = ["a"]', "own")
    engine = Engine(in_force(one, NOMINAL))
    assert [change.state for change in engine.look("a", {"active_power": 6.0}, 0, 0)] == ["raised"]
    assert engine.look("b", {"active_power": 6.0}, 0, 0) == []
    with pytest.raises(ConfigError, match="meters needs device"):
        parse('[[alarm]]\nname = "load"\ndevice = "gateway"\nfigures = ["x"]\nabove = 5.0\nseverity = "minor"\nmeters = ["a"]', "own")
