"""Bodies of pushes become records: by the profile's layout, by what they say of themselves, or as an event in words."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dlms_scripts import load
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms.axdr import Float32, Integer, decode
from edge.dlms.cosem import Obis
from edge.dlms.push import Pushed, notification
from edge.errors import ConfigError
from edge.meters import events
from edge.meters.localtime import Reckoning, Zone
from edge.meters.profile import Profile, load_profile, load_profiles
from edge.meters.pushed import PushReader, Understood, record
from edge.meters.pushtime import MeterTime, meter_time
from edge.meters.selftold import Told, self_told
from edge.model import Kind, Learned, Record, Stamp, Stream

GENERIC = load_profiles()["generic-three-phase"]
NOW_MS = 1_767_323_100_000           # 2026-01-02 03:05:00 UTC
STAMP = Stamp(5_000, NOW_MS, "boot", synchronised=True)
SOME_TIME = MeterTime(1)
VALUES = [2301, 2305, 2298, 512, 498, 505, 5001, 3478, 123456789]
SCALERS = {"voltage": (-1, 35), "current": (-2, 33), "frequency": (-2, 44), "active_power": (0, 27), "active_energy": (0, 30)}
LEARNED = Learned(scalers={spec.learned_key: SCALERS[spec.key.split("_l")[0]] for spec in GENERIC.objects})


def recorded(number: int) -> Pushed:
    return notification(bytes.fromhex(load("push_wrapper")["expected"][number]["apdu"]))


def told(record: Record) -> dict[str, Any]:
    return {field.key: value for field, value in zip(record.schema.fields, record.values, strict=True)}


def made(profile: Profile, body: Any, learned: Learned = LEARNED, time: MeterTime = SOME_TIME) -> Record:
    understood = PushReader(profile, learned).read(body)
    assert isinstance(understood, Understood), understood
    found = record(understood, time, STAMP, "m")
    assert isinstance(found, Record), found
    return found


def long(value: int) -> Integer:
    return Integer(6, value)


def name(obis: str) -> bytes:
    return Obis.parse(obis).to_bytes()


def own_profile(tmp_path: Path, push: str, objects: str = "") -> Profile:
    path = tmp_path / "mine.toml"
    path.write_text("""
name = "mine"
vendor = "Example"
source = "its data sheet"
[identity]
obis = "0-0:96.1.0"
[[objects]]
key = "active_energy"
obis = "1-0:1.8.0"
unit = "Wh"
""" + objects + push)
    return load_profile(path)


# -- layouts -----------------------------------------------------------------------------------------------------------

def test_a_recorded_push_becomes_the_profiles_values() -> None:
    pushed = recorded(0)
    understood = PushReader(GENERIC, LEARNED).read(pushed.data)
    assert isinstance(understood, Understood)
    assert (understood.stream, understood.strangers) == (Stream.INSTANT, ())
    assert understood.clock.hex() == "07ea01020503000000000000"
    made = record(understood, meter_time(pushed.date_time, STAMP, Reckoning()), STAMP, "m")
    assert isinstance(made, Record)
    assert (made.schema.kind, made.schema.profile, made.device) == (Kind.PUSHED, "generic-three-phase", "m")
    assert made.stamp == STAMP.dated_by_meter(NOW_MS - 55_000)
    assert told(made) == dict(zip([spec.key for spec in GENERIC.objects], VALUES, strict=True))
    assert [field.scaler for field in made.schema.fields] == [-1, -1, -1, -2, -2, -2, -2, 0, 0]
    assert [field.unit for field in made.schema.fields][:9] == [spec.unit for spec in GENERIC.objects]


def test_one_meters_records_share_their_schema() -> None:
    reader = PushReader(GENERIC, LEARNED)
    first, second = (record(reader.read(recorded(0).data), MeterTime(at), STAMP, "m") for at in (1, 2))
    assert first.schema is second.schema


def test_a_body_of_another_layout_is_not_forced_into_it() -> None:
    """Three values and no word on which: as recorded."""
    why = PushReader(GENERIC, LEARNED).read(recorded(1).data)
    assert isinstance(why, str)
    event = events.unread(recorded(1), why, GENERIC, STAMP, "m")
    assert told(event) == {
        "event": "push_unread", "object": None, "value": None, "time": "2026-01-02T03:04:06+00:00",
        "detail": f"{why}: structure of 3 (2301, 2305, 123456789)"}
    assert event.schema.kind is Kind.EVENT


@pytest.mark.parametrize("at", range(10))
def test_what_cannot_stand_at_a_place_is_another_layout(at: int) -> None:
    body = list(recorded(0).data)
    body[at] = b"text" if at else long(1)
    assert isinstance(PushReader(GENERIC, LEARNED).read(tuple(body)), str)


def test_without_scalers_nothing_is_guessed() -> None:
    understood = PushReader(GENERIC, Learned()).read(recorded(0).data)
    why = record(understood, MeterTime(), STAMP, "m")
    assert isinstance(why, str)
    assert "voltage_l1: its scaler is not known" in why
    part = Learned(scalers={key: pair for key, pair in LEARNED.scalers.items() if "32.7" in key})
    values = told(made(GENERIC, recorded(0).data, part, MeterTime()))
    assert values["voltage_l1"] == 2301
    assert values["voltage_l2"] is None
    assert values["not_read"].startswith("voltage_l2: its scaler is not known")


def test_a_meter_that_is_never_read_has_its_scalers_in_the_profile(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, """
[[push]]
stream = "billing"
objects = [
  { obis = "0-0:25.9.0", class_id = 40, attribute = 1 },
  { obis = "0-0:96.1.0", class_id = 1 },
  { key = "reactive_energy", obis = "1-0:3.8.0", unit = "varh", scaler = 3 },
  { key = "status", obis = "0-0:97.97.0", class_id = 1 },
  { obis = "1-0:1.8.0", attribute = 3 },
  { key = "active_energy" },
]
""")
    body = (name("0-0:25.9.0"), b"S0001", long(7), Integer(17, 5), (Integer(15, -1), Integer(22, 30)), long(42))
    understood = PushReader(profile, Learned()).read(body)
    assert isinstance(understood, Understood)
    assert understood.stream is Stream.BILLING
    assert PushReader(profile, Learned()).identity(body, ()) == "S0001"
    fields = record(understood, MeterTime(), STAMP, "m").schema.fields
    assert [(field.key, field.scaler, field.unit, field.obis) for field in fields] == [
        ("reactive_energy", 3, "varh", "1-0:3.8.0.255"), ("status", 0, "", "0-0:97.97.0.255"),
        ("active_energy", -1, "Wh", "1-0:1.8.0.255")]
    other = (name("0-1:25.9.0"), *body[1:])
    assert isinstance(PushReader(profile, Learned()).read(other), str), "another push setup's"


def test_a_scaler_that_the_push_tells_counts_before_the_learned_one(tmp_path: Path) -> None:
    learned = Learned(scalers={"1-0:1.8.0.255 2": (0, 30)})
    profile = own_profile(tmp_path, "")
    row = made(profile, [(name("1-0:1.8.0"), long(42), (Integer(15, 2), Integer(22, 30)))], learned)
    assert (row.values[0], row.schema.fields[0].scaler) == (42, 2)
    assert record(PushReader(profile, learned).read([(name("1-0:1.8.0"), long(42), (Integer(15, 2), Integer(22, 27)))]),
                  MeterTime(), STAMP, "m") == "active_energy: unit W instead of Wh"


@pytest.mark.parametrize(("push", "says"), [
    ("[[push]]\nobjects = []", "push[0].objects"),
    ("[[push]]\nobjects = [{}]", "push[0].objects[0].obis: neither this nor a key is given"),
    ("[[push]]\nobjects = [{key = 'who'}]", "push[0].objects[0].key: 'who' is none of [[objects]]"),
    ("[[push]]\nobjects = [{obis = '1-0:1.8.999'}]", "push[0].objects[0].obis: '1-0:1.8.999'"),
    ("[[push]]\nobjects = [{obis = '1-0:1.8.0', unit = 'kWh', key = 'x'}]", "push[0].objects[0].unit: 'kWh'"),
    ("[[push]]\nobjects = [{obis = '1-0:2.8.0', unit = 'Wh', key = 'active_energy'}]", "is another object or unit"),
    ("[[push]]\nobjects = [{obis = '1-0:1.8.0', key = 'active_energy'}]", "is another object or unit"),
    ("[[push]]\nobjects = [{key = 'active_energy'}, {key = 'active_energy'}]", "stands in this push already"),
    ("[[push]]\nobjects = [{key = 'time_doubt', obis = '1-0:1.9.0'}]", "is the column for what is wrong with a meter's time"),
    ("[[push]]\nobjects = [{key = 'active_energy'}]\n" * 2, "push[1]: cannot be told from push[0]"),
    ("[[push]]\nstream = 'alarm'\nobjects = [{key = 'active_energy'}]", "push[0].stream"),
    ("[[push]]\nobject = [{key = 'active_energy'}]", "push[0]"),
])
def test_a_layout_that_is_wrong_is_one_clear_line(tmp_path: Path, push: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        own_profile(tmp_path, push)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["time_doubt", "not_read"])
def test_no_object_takes_a_column_of_the_gateways_own(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"objects\\[1\\].key: '{key}' is the column"):
        own_profile(tmp_path, "", f'[[objects]]\nkey = "{key}"\nobis = "1-0:2.8.0"\n')


def test_two_push_setups_of_one_size_are_told_apart_by_name(tmp_path: Path) -> None:
    layout = "[[push]]\nobjects = [{{obis = '{}:25.9.0', class_id = 40, attribute = 1}}, {{key = '{}', obis = '{}', scaler = 0}}]\n"
    profile = own_profile(tmp_path, layout.format("0-0", "a", "1-0:1.9.1") + layout.format("0-1", "b", "1-0:1.9.2"))
    assert told(made(profile, (name("0-1:25.9.0"), long(5)))) == {"b": 5}


# -- bodies that say what they hold ------------------------------------------------------------------------------------

ENERGY = name("1-0:1.8.0")
FORMS = {
    "rows": [(ENERGY, long(5)), (name("1-0:2.8.0"), long(6))],
    "rows with scaler": [(ENERGY, long(5), (Integer(15, 1), Integer(22, 30))), (name("0-0:96.1.0"), b"S1")],
    "rows with class": ((Integer(18, 3), ENERGY, Integer(15, 2), long(5)), (Integer(18, 3), ENERGY, Integer(15, 3), (Integer(15, 1), Integer(22, 30)))),
    "alternating": ("Example_V0001", name("1-1:0.0.5"), b"16 digits", ENERGY, long(5)),
    "alternating without a head": (ENERGY, long(5)),
    "list first": ([(Integer(18, 1), name("0-0:96.1.0"), Integer(15, 2), Integer(18, 0)), (Integer(18, 3), ENERGY, Integer(15, 2), Integer(18, 0))], b"S1", long(5)),
    "list that holds itself": (
        [(Integer(18, 40), name("0-0:25.9.0"), Integer(15, 2), Integer(18, 0)),
         (Integer(18, 3), ENERGY, Integer(15, 2), Integer(18, 0), (Integer(22, 0), None))], long(5)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_self_told_bodies(tmp_path: Path, form: str) -> None:
    profile = own_profile(tmp_path, "")
    learned = Learned(scalers={"1-0:1.8.0.255 2": (1, 30)})
    row = made(profile, FORMS[form], learned)
    assert (row.values[0], row.schema.fields[0].scaler) == (5, 1)
    understood = PushReader(profile, learned).read(FORMS[form])
    assert isinstance(understood, Understood)
    assert PushReader(profile, learned).identity(FORMS[form], self_told(FORMS[form])) == (
        "S1" if form in ("rows with scaler", "list first") else "")
    assert understood.strangers == {"rows": ("1-0:2.8.0.255",), "alternating": ("1-1:0.0.5.255",)}.get(form, ())


@pytest.mark.parametrize("body", [
    None, long(5), b"123456", "text", [], (), (long(1), long(2)), ("a", "b"), (ENERGY,), (ENERGY, long(1), long(2)),
    [(ENERGY, long(5)), long(6)], ([], long(5)), ([(Integer(18, 3), ENERGY, Integer(15, 2), Integer(18, 0))], long(5), long(6)),
    [(ENERGY,)], [ENERGY], ("text", ENERGY, long(5), b"12345", long(6)),
])
def test_what_says_nothing_of_itself(body: Any) -> None:
    assert self_told(body) == ()


def test_a_self_told_clock_and_foreign_objects_only() -> None:
    clock = bytes.fromhex("07ea01020503000000000000")
    understood = PushReader(GENERIC, LEARNED).read([(name("0-0:1.0.0"), clock), (name("1-0:99.99.0"), long(1))])
    assert isinstance(understood, Understood)
    assert (understood.clock, understood.strangers) == (clock, ("1-0:99.99.0.255",))
    assert record(understood, MeterTime(), STAMP, "m") == "none of its objects is in the profile"


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.binary(max_size=14), st.text(max_size=5), st.just(ENERGY), st.just(Float32(1.5)),
              st.integers(0, 255).map(lambda n: Integer(17, n)), st.floats(allow_nan=True)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.lists(inner, max_size=5).map(tuple)), max_leaves=25))
def test_any_body_is_read_or_told_in_words(body: Any) -> None:
    understood = PushReader(GENERIC, LEARNED).read(body)
    row = understood if isinstance(understood, str) else record(understood, MeterTime(), STAMP, "m")
    if isinstance(row, str):
        detail = told(events.unread(Pushed(b"", body), row, GENERIC, STAMP, "m"))["detail"]
        assert 0 < len(detail) <= 240
        assert detail.isprintable()


# -- when --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("octets", "offset_ms", "doubt"), [
    ("", None, ""),
    ("07ea0102ff03040500000000", -55_000, ""),
    ("07ea0102ff030405003200ff"[:18] + "800000", None, "no_zone: 2026-01-02T03:04:05"),
    ("07ea0102ff04040500ffc400", -55_000, ""),                 # deviation -60: an hour ahead of UTC
    ("07ea0102ff03040500000001", None, "invalid: 2026-01-02T03:04:05+00:00"),
    ("07ea0102ff03040500000008", None, "invalid: 2026-01-02T03:04:05+00:00"),
    ("07ea0102ff03040500000080", -55_000, ""),                 # daylight saving is no doubt
    ("07ea0102ffff040500000000", None, "incomplete: 07ea0102ffff040500000000"),
    ("07ea0d02ff03040500000000", None, "malformed: 07ea0d02ff03040500000000"),
    ("07d00101ff00000500000000", None, "far_off: 2000-01-01T00:00:05+00:00"),
    ("07eb0102ff03040500000000", None, "far_off: 2027-01-02T03:04:05+00:00"),
    ("07b10101ff00000500000000", None, "far_off: 1969-01-01T00:00:05+00:00"),
])
def test_the_meters_time_where_it_can_be_believed(octets: str, offset_ms: int | None, doubt: str) -> None:
    assert meter_time(bytes.fromhex(octets), STAMP, Reckoning()) == MeterTime(None if offset_ms is None else NOW_MS + offset_ms, doubt)


def test_a_doubtful_time_is_taken_as_such() -> None:
    """The meter could set its clock again after an outage, and would not swear to it."""
    doubtful = meter_time(bytes.fromhex("07ea0102ff03040500000002"), STAMP, Reckoning())
    assert doubtful == MeterTime(NOW_MS - 55_000, trusted=False)
    assert doubtful.dated(STAMP) == STAMP.dated_by_meter(NOW_MS - 55_000, trusted=False)
    assert MeterTime(doubt="no_zone: x").dated(STAMP) == STAMP


@pytest.mark.parametrize(("octets", "reckoning", "offset_ms"), [
    ("07ea0102ff04040500003c00", Reckoning("reversed"), -55_000),      # +60: an hour ahead, the other way round
    ("07ea0102ff04040500800000", Reckoning(zone=Zone(3_600)), -55_000),     # the deviation is left open
    ("07ea0102ff04040500ffc400", Reckoning(zone=Zone(18_000)), -55_000),    # what the meter tells counts first
])
def test_type_and_settings_say_how_such_a_meter_writes_times(octets: str, reckoning: Reckoning, offset_ms: int) -> None:
    assert meter_time(bytes.fromhex(octets), STAMP, reckoning) == MeterTime(NOW_MS + offset_ms)


@pytest.mark.parametrize(("now_utc", "meant"), [("2026-10-25 00:31", "2026-10-25 00:30"), ("2026-10-25 01:31", "2026-10-25 01:30")])
def test_of_an_hour_that_comes_twice_a_push_means_the_nearer_one(now_utc: str, meant: str) -> None:
    """Clocks go back at 01:00 UTC; half past two comes before and after, and this meter does not say which it is."""
    octets, central = bytes.fromhex("07ea0a19ff021e00008000ff"), Reckoning(zone=Zone(3_600, daylight_saving=True))
    now, expected = (int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000) for text in (now_utc, meant))
    assert meter_time(octets, Stamp(5, now, "boot", synchronised=True), central) == MeterTime(expected)
    assert meter_time(octets, Stamp(5, 5, "boot", synchronised=False), central).trusted is False


def test_an_unset_clock_of_ours_judges_nobody() -> None:
    unset = Stamp(5_000, 5_000, "boot", synchronised=False)
    assert meter_time(bytes.fromhex("07ea0102ff03040500000000"), unset, Reckoning()) == MeterTime(NOW_MS - 55_000)
    assert meter_time(bytes.fromhex("07b10101ff00000500000000"), unset, Reckoning()).doubt.startswith("far_off")


def test_a_doubt_stands_in_the_record() -> None:
    row = made(GENERIC, recorded(0).data, time=MeterTime(doubt="invalid: 2000-01-01T00:00:00+00:00"))
    assert (told(row)["time_doubt"], row.stamp) == ("invalid: 2000-01-01T00:00:00+00:00", STAMP)


# -- events ------------------------------------------------------------------------------------------------------------

def test_an_event_notification_is_told_with_object_value_and_time() -> None:
    octets = "c2010c07ea0102ff030405000000000001" + "0000600b00ff" + "02" + "1128"
    event = told(events.notification(notification(bytes.fromhex(octets)), GENERIC, STAMP, "m"))
    assert event == {"event": "meter_notification", "object": "0-0:96.11.0.255 attribute 2", "value": 40,
                     "time": "2026-01-02T03:04:05+00:00", "detail": "1/0-0:96.11.0.255 attribute 2 = 40"}


def test_an_event_of_a_known_register_and_of_a_text() -> None:
    voltage = notification(bytes.fromhex("c2000003" + "0100200700ff" + "02" + "1208fd"))
    assert told(events.notification(voltage, GENERIC, STAMP, "m"))["object"] == "voltage_l1"
    text = notification(bytes.fromhex("c2000001" + "0000600100ff" + "02" + "0903414243"))
    row = told(events.notification(text, GENERIC, STAMP, "m"))
    assert (row["value"], row["time"], row["detail"]) == (None, None, "1/0-0:96.1.0.255 attribute 2 = ABC")


@pytest.mark.parametrize(("octets", "words"), [
    ("01020000", "array of 2 (null, null)"),
    ("0202" + "0203" + "120001" + "040180" + "0a024142" + "0902ff00", "structure of 2 (structure of 3 (1, bits 80, AB), ff00)"),
    ("13" + "11" + "03" + "010203", "compact-array of array of 3 (1, 2, 3)"),
])
def test_values_in_words(octets: str, words: str) -> None:
    assert events.sketch(decode(bytes.fromhex(octets))) == words


def test_words_have_an_end() -> None:
    assert len(events.sketch([[long(1)] * 1000] * 1000)) < 300


def test_self_told_values_keep_what_was_said() -> None:
    assert self_told([(ENERGY, long(5))]) == (Told(Obis(1, 0, 1, 8, 0), 5),)


def test_objects_without_a_key_are_named() -> None:
    row = told(events.unknown_objects(("1-0:2.8.0.255",), GENERIC, STAMP, "m"))
    assert (row["event"], row["detail"]) == ("push_unknown_objects", "not in the profile generic-three-phase: 1-0:2.8.0.255")
