"""From plan to record: what is asked, what is learned, what is refused to be believed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms.association import GetResult
from edge.dlms.axdr import Float32, Integer, Utf8
from edge.dlms.cosem import AccessError, Attribute, Obis
from edge.errors import FailReason, Refused, WrongMeter
from edge.meters import reading
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import Identity, Profile, load_profiles
from edge.meters.reading import Plan
from edge.model import Kind, Learned, Record, Stamp

PROFILE = load_profiles()["generic-three-phase"]
STAMP = Stamp(1000, 1_700_000_000_000, "boot", synchronised=True)
UNIT_CODES = {"V": 35, "A": 33, "Hz": 44, "W": 27, "Wh": 30}
SCALERS = {"V": -1, "A": -2, "Hz": -2, "W": 0, "Wh": 0}
KNOWN = Learned("HGW1", 20, {spec.learned_key: (SCALERS[spec.unit], UNIT_CODES[spec.unit]) for spec in PROFILE.objects})
RAW = [2301, 2302, 2303, 131, 132, 133, 4999, 905, 56_352]


def scaler_unit(spec: ObjectSpec) -> tuple[Integer, Integer]:
    return Integer(15, SCALERS[spec.unit]), Integer(22, UNIT_CODES[spec.unit])


def answers(plan: Plan, changed: Mapping[Attribute, Any] = {}) -> tuple[GetResult, ...]:
    """What a good meter answers; `changed` replaces data, or refuses with an AccessError."""
    good: dict[Attribute, Any] = {}
    for spec, value in zip(PROFILE.objects, RAW, strict=True):
        good[spec.target] = Integer(18 if value < 65536 else 6, value)
        assert spec.scaler_target is not None
        good[spec.scaler_target] = scaler_unit(spec)
        good[spec.target._replace(attribute=0)] = (spec.target.obis.to_bytes(), good[spec.target], scaler_unit(spec))
    assert PROFILE.identity is not None
    good[PROFILE.identity.target] = b"HGW1"
    good |= changed
    return tuple(GetResult(a, None, good[a]) if isinstance(good[a], AccessError) else GetResult(a, good[a]) for a in plan.attributes)


def by_key(record: Record) -> dict[str, Any]:
    return {field.key: value for field, value in zip(record.schema.fields, record.values, strict=True)}


def test_the_first_poll_asks_for_identity_values_and_scalers_the_next_only_for_values() -> None:
    first = reading.plan(PROFILE, Learned(), identify=True)
    assert len(first.attributes) == 19
    learned = reading.learn(first, answers(first))
    assert learned.identity == "HGW1"
    assert learned.scalers == KNOWN.scalers
    second = reading.plan(PROFILE, learned)
    assert [a.attribute for a in second.attributes] == [2] * 9
    assert reading.learn(second, answers(second)) is learned


def test_a_record_has_exact_integers_with_scaler_unit_and_obis() -> None:
    for plan in (reading.plan(PROFILE, KNOWN), reading.plan(PROFILE, Learned(), identify=True), reading.plan(PROFILE, Learned(), whole_objects=True)):
        record = reading.record(plan, answers(plan), STAMP, "m1")
        assert record.schema.kind is Kind.READING
        assert record.schema.profile == "generic-three-phase"
        assert record.device == "m1"
        assert record.stamp == STAMP
        assert record.values == tuple(RAW)
        assert all(type(value) is int for value in record.values), "plain numbers, for msgpack"
        fields = record.schema.fields
        assert [(f.key, f.scaler, f.unit) for f in fields[:4]] == [("voltage_l1", -1, "V"), ("voltage_l2", -1, "V"), ("voltage_l3", -1, "V"), ("current_l1", -2, "A")]
        assert fields[-1].obis == "1-0:1.8.0.255"


def test_a_kept_plan_keeps_its_schema_object() -> None:
    plan = reading.plan(PROFILE, KNOWN)
    assert reading.record(plan, answers(plan), STAMP, "m1").schema is reading.record(plan, answers(plan), STAMP, "m1").schema


def test_whole_objects_are_asked_only_where_the_scaler_is_unknown() -> None:
    half = Learned(scalers=dict(list(KNOWN.scalers.items())[:4]))
    plan = reading.plan(PROFILE, half, whole_objects=True)
    assert [a.attribute for a in plan.attributes] == [2] * 4 + [0] * 5
    assert reading.learn(plan, answers(plan)).scalers == KNOWN.scalers


def test_a_whole_object_of_another_name_is_not_believed() -> None:
    plan = reading.plan(PROFILE, Learned(), whole_objects=True)
    spec = PROFILE.objects[0]
    foreign = (PROFILE.objects[1].target.obis.to_bytes(), Integer(18, 1), scaler_unit(spec))
    results = answers(plan, {spec.target._replace(attribute=0): foreign})
    assert by_key(reading.record(plan, results, STAMP, "m1"))["voltage_l1"] is None
    assert spec.learned_key not in reading.learn(plan, results).scalers


def test_one_refused_object_is_named_and_the_others_count() -> None:
    plan = reading.plan(PROFILE, KNOWN)
    record = reading.record(plan, answers(plan, {PROFILE.objects[1].target: AccessError.OBJECT_UNDEFINED}), STAMP, "m1")
    values = by_key(record)
    assert record.schema.kind is Kind.READING
    assert values["voltage_l2"] is None
    assert values["voltage_l1"] == 2301
    assert values["not_read"] == "voltage_l2: object undefined (4)"


def test_known_refusals_are_not_asked_again_and_still_named() -> None:
    target = PROFILE.objects[1].target
    plan = reading.plan(PROFILE, KNOWN, refused={target: AccessError.OBJECT_UNDEFINED})
    assert target not in plan.attributes
    assert len(plan.attributes) == 8
    values = by_key(reading.record(plan, answers(plan), STAMP, "m1"))
    assert values["not_read"] == "voltage_l2: object undefined (4)"
    assert values["active_energy"] == 56_352


def test_all_refused_is_a_failure() -> None:
    plan = reading.plan(PROFILE, KNOWN)
    record = reading.record(plan, answers(plan, dict.fromkeys(plan.attributes, AccessError.READ_WRITE_DENIED)), STAMP, "m1")
    assert record.schema.kind is Kind.FAILURE
    assert record.values[0] == FailReason.ACCESS_REFUSED.value
    assert "voltage_l1: read write denied (3)" in str(record.values[1])


@pytest.mark.parametrize("told", [33, 255, 250])
def test_a_unit_that_contradicts_the_profile_is_never_accepted(told: int) -> None:
    spec = PROFILE.objects[0]
    plan = reading.plan(PROFILE, Learned())
    assert spec.scaler_target is not None
    results = answers(plan, {spec.scaler_target: (Integer(15, -1), Integer(22, told))})
    values = by_key(reading.record(plan, results, STAMP, "m1"))
    assert values["voltage_l1"] is None
    assert values["not_read"].startswith("voltage_l1: unit ")
    assert values["not_read"].endswith("instead of V")
    learned = reading.learn(plan, results)
    assert spec.learned_key not in learned.scalers, "asked again until somebody has put it right"
    assert len(learned.scalers) == 8


@pytest.mark.parametrize("broken", [None, Integer(15, 1), (Integer(15, 1),), (Integer(6, 500), Integer(22, 35)), b"x"])
def test_without_a_scaler_there_is_no_value(broken: object) -> None:
    spec = PROFILE.objects[0]
    plan = reading.plan(PROFILE, Learned())
    assert spec.scaler_target is not None
    values = by_key(reading.record(plan, answers(plan, {spec.scaler_target: broken}), STAMP, "m1"))
    assert values["voltage_l1"] is None
    assert values["not_read"] == "voltage_l1: scaler_unit is malformed"


@pytest.mark.parametrize("odd", [None, [], (), b"abc", "abc", float("nan")])
def test_a_register_must_hold_one_number(odd: object) -> None:
    plan = reading.plan(PROFILE, KNOWN)
    values = by_key(reading.record(plan, answers(plan, {PROFILE.objects[0].target: odd}), STAMP, "m1"))
    assert values["voltage_l1"] is None
    assert values["not_read"].startswith("voltage_l1: ")


def test_floats_are_exact_and_the_schema_settles() -> None:
    plan = reading.plan(PROFILE, KNOWN)
    target = PROFILE.objects[6].target
    seen = []
    for value in (50.0, 49.99, 50.1, 50.0, 49.9):
        record = reading.record(plan, answers(plan, {target: Float32(value)}), STAMP, "m1")
        at = record.schema.fields[6]
        assert record.values[6] == round(value * 100) * 10 ** (-2 - 2 - at.scaler)     # meter's own scaler is -2
        seen.append(record.schema)
    assert at.scaler == -4
    assert seen[1] is seen[2] is seen[3] is seen[4]


def test_a_number_that_no_receiver_can_hold_is_none() -> None:
    """A float of 300 digits and a scaler of 127: JSON takes it, a database that reads it as a float64 gets infinity."""
    learned = replace(KNOWN, scalers={**KNOWN.scalers, PROFILE.objects[0].learned_key: (127, 35)})
    plan = reading.plan(PROFILE, learned)
    for number, held in ((1e300, False), (1.7e182, False), (1.5e181, True), (-1.7e182, False), (0.0, True)):
        values = by_key(reading.record(plan, answers(plan, {PROFILE.objects[0].target: number}), STAMP, "m1"))
        assert (values["voltage_l1"] is not None) is held
        assert held or values["not_read"] == "voltage_l1: a number of more than 308 digits"


def test_another_identity_is_another_meter() -> None:
    plan = reading.plan(PROFILE, KNOWN, identify=True)
    assert PROFILE.identity is not None
    target = PROFILE.identity.target
    assert reading.learn(plan, answers(plan)) is KNOWN
    with pytest.raises(WrongMeter, match="HGW2 answers where HGW1 was"):
        reading.learn(plan, answers(plan, {target: b"HGW2"}))
    with pytest.raises(WrongMeter, match="without a readable identity"):
        reading.learn(plan, answers(plan, {target: AccessError.OBJECT_UNDEFINED}))
    with pytest.raises(Refused) as told:
        reading.learn(plan, answers(plan, {target: AccessError.TEMPORARY_FAILURE}))
    assert told.value.temporary
    nameless = reading.plan(PROFILE, Learned(), identify=True)
    assert reading.learn(nameless, answers(nameless, {target: AccessError.OBJECT_UNDEFINED})).identity == ""


def test_a_scaler_the_profile_states_is_not_asked() -> None:
    spec = ObjectSpec(key="temperature", obis="0-0:96.9.0", class_id=3, unit="°C", scaler=-1)
    clock = ObjectSpec(key="relay", obis="0-0:96.3.10", class_id=70)
    profile = Profile(name="p", vendor="v", source="s", objects=(spec, clock))
    plan = reading.plan(profile, Learned(), identify=True)
    assert len(plan.attributes) == 2
    record = reading.record(plan, (GetResult(spec.target, Integer(16, -25)), GetResult(clock.target, True)), STAMP, "m1")
    assert record.values == (-25, 1)
    assert record.schema.fields[0].scaler == -1


def test_text_objects_are_text() -> None:
    spec = ObjectSpec(key="serial", obis="1-0:0.0.0", class_id=1)
    profile = Profile(name="p", vendor="v", source="s", objects=(spec,), identity=Identity(obis="1-0:0.0.0"))
    plan = reading.plan(profile, Learned())
    assert reading.record(plan, (GetResult(spec.target, "1234"),), STAMP, "m1").values == ("1234",)


def test_a_failure_is_one_short_line() -> None:
    record = reading.failure("m1", PROFILE, FailReason.NO_ANSWER, "a\nb " + "x" * 1000, STAMP)
    assert record.values[0] == "no_answer"
    assert str(record.values[1]).startswith("a b xxx")
    assert len(str(record.values[1])) <= reading.DETAIL_LIMIT
    assert record.schema is reading.failure("m2", PROFILE, FailReason.UNREACHABLE, "", STAMP).schema


anything = st.one_of(
    st.none(), st.booleans(), st.builds(lambda v: Integer(20, v), st.integers(-2**63, 2**63 - 1)), st.floats(), st.floats(width=32).map(Float32),
    st.binary(max_size=20), st.text(max_size=10), st.lists(st.none(), max_size=3), st.tuples(st.builds(lambda v: Integer(15, v), st.integers(-128, 127)),
    st.builds(lambda v: Integer(22, v), st.integers(0, 255))), st.sampled_from(list(AccessError)))


@given(data=st.data(), identify=st.booleans(), whole=st.booleans(), known=st.integers(0, 9))
def test_whatever_a_meter_answers_gives_a_record_or_a_typed_error(data: st.DataObject, identify: bool, whole: bool, known: int) -> None:
    learned = Learned("HGW1", None, dict(list(KNOWN.scalers.items())[:known]))
    plan = reading.plan(PROFILE, learned, identify=identify, whole_objects=whole)
    changed = {attribute: data.draw(anything) for attribute in plan.attributes if data.draw(st.booleans())}
    results = answers(plan, changed)
    try:
        reading.learn(plan, results)
    except (WrongMeter, Refused):
        return
    record = reading.record(plan, results, STAMP, "m1")
    assert len(record.values) == len(record.schema.fields)
    for value in record.values:
        assert value is None or isinstance(value, str) or -2**63 <= value < 2**64
    msgspec.msgpack.encode(list(record.values))
    if record.schema.kind is Kind.READING:
        for spec, value in zip(PROFILE.objects, record.values, strict=False):
            if spec.target in plan.attributes and spec.target not in changed and spec.scaler_target not in changed:
                assert value == RAW[PROFILE.objects.index(spec)], "an untouched value is never changed by its neighbours"


def test_obis_of_a_spec_is_canonical() -> None:
    assert ObjectSpec(key="a", obis="1-0:1.8.0").canonical == str(Obis(1, 0, 1, 8, 0, 255))


# -- what a meter may say and a record cannot show ------------------------------------------------------------------------

def first_value(data: Any) -> tuple[Any, str]:
    """What the record shows for the first object when the meter answers `data`, and what it says about it."""
    plan = reading.plan(PROFILE, KNOWN)
    shown = by_key(reading.record(plan, answers(plan, {PROFILE.objects[0].target: data}), STAMP, "m1"))
    return shown["voltage_l1"], str(shown.get("not_read", ""))


@pytest.mark.parametrize(("octet", "value"), [(0x00, 0), (0x25, 25), (0x99, 99)])
def test_a_bcd_is_two_digits_and_not_its_octet(octet: int, value: int) -> None:
    assert first_value(Integer(13, octet)) == (value, "")


@pytest.mark.parametrize("data", [Integer(13, 0x2A), Integer(13, 0xA2), Integer(28, 5), Integer(33, 5)])
def test_what_is_no_number_by_itself_is_not_read(data: Integer) -> None:
    value, why = first_value(data)
    assert value is None
    assert why.startswith("voltage_l1: ")


def only(key: str) -> Profile:
    """A profile with one object of class Data, whose value is a text."""
    spec = ObjectSpec(key=key, obis="0-0:96.1.0", class_id=1)
    return msgspec.structs.replace(PROFILE, objects=(spec,), identity=Identity(obis="0-0:42.0.0"))


@pytest.mark.parametrize(("text", "shown"), [
    ("E650 \xe9", "E650 \xe9"),
    ("a\nb", "610a62"),                                       # a line of its own in a log
    ("\x1b[2J", "1b5b324a"),                                  # a terminal's "clear the screen"
    (Utf8("\u202e1"), "\u202e1".encode().hex()),                    # writes backwards
])
def test_texts_that_could_steer_a_terminal_are_shown_in_hexadecimal(text: str, shown: str) -> None:
    plan = reading.plan(only("label"), Learned())
    record = reading.record(plan, (GetResult(plan.attributes[0], text),), STAMP, "m1")
    assert record.values == (shown,)


def test_a_text_without_end_costs_only_its_own_place() -> None:
    profile = msgspec.structs.replace(PROFILE, objects=(*PROFILE.objects, *only("label").objects))
    plan = reading.plan(profile, KNOWN)
    results = [GetResult(spec.target, Integer(18, 1)) for spec in PROFILE.objects]
    record = reading.record(plan, [*results, GetResult(plan.attributes[-1], b"\xff" * 60_000)], STAMP, "m1")
    assert by_key(record)["voltage_l1"] == 1
    assert by_key(record)["label"] is None
    assert "label: a text of 120000 characters" in by_key(record)["not_read"]


def test_an_identity_has_an_end_and_no_control_characters() -> None:
    plan = reading.plan(PROFILE, KNOWN, identify=True)
    assert PROFILE.identity is not None
    with pytest.raises(WrongMeter) as told:
        reading.learn(plan, answers(plan, {PROFILE.identity.target: "x\n\x1b" + "y" * 60_000}))
    assert len(str(told.value)) < 400
    assert str(told.value).isprintable()


def test_floats_of_ever_other_sizes_do_not_gather_schemas() -> None:
    plan = reading.plan(PROFILE, KNOWN)
    for place in range(3_000):
        sizes = {spec.target: Float32(float(f"1e{(place >> column) % 70 - 35}")) for column, spec in enumerate(PROFILE.objects)}
        reading.record(plan, answers(plan, sizes), STAMP, "m1")
    assert len(plan.schemas) <= 64
