"""The profile that a survey becomes: it loads whatever the meter said, and holds what was read and nothing else."""

import tomllib
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from edge.discovery.doors import Door
from edge.discovery.findings import Findings, proposed
from edge.discovery.objects import DEVICE_NAME, Listed, ObjectList
from edge.discovery.proposal import text
from edge.discovery.survey import Register, Survey
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.selection import Column
from edge.meters.exact import Exact
from edge.meters.profile import read_profile

DOORS = st.sampled_from([Door("wrapper", 16, 1), Door("hdlc", 1, 1, 17, 4), Door("hdlc", 16, 1, None, 1), Door("hdlc", 16, 1, 99, 2)])


def surveyed(registers: dict[str, Register], name: str = "ABC123") -> Survey:
    survey = Survey(conformance=OFFERED, max_pdu=1024, identities={DEVICE_NAME: name})
    survey.registers = {Attribute(3, Obis.parse(obis), 2): register for obis, register in registers.items()}
    return survey


def written(survey: Survey, door: Door = Door("wrapper", 16, 1), name: str = "found") -> str:  # noqa: B008 - frozen
    return text(Findings(name, 4059, door, "none", survey, "2026-01-01"))


def test_each_register_stands_where_it_belongs() -> None:
    survey = surveyed({
        "1-0:32.7.0": Register(-1, 35, Exact(2301, 0)), "1-1:32.7.0": Register(-2, 35, Exact(23010, 0)), "1-0:1.8.0": Register(0, 30, Exact(5, 0)),
        "1-0:1.8.1": Register(0, 30), "1-0:14.7.0": Register(None, None, None, "scaler_unit read write denied (3)"),
        "1-0:13.7.0": Register(-3, 99, Exact(1, 0)), "1-0:2.7.0": Register(0, 27, None, "read write denied (3)")})
    rows = {str(row.at.obis): row for row in proposed(survey)}
    assert [(row.key, row.unit) for row in rows.values() if not row.why] == [("active_energy", "Wh"), ("voltage_l1", "V")]
    assert rows["1-1:32.7.0.255"].key == "obis_1_1_32_7_0"
    assert "another channel" in rows["1-1:32.7.0.255"].why
    assert "not among the usual" in rows["1-0:1.8.1.255"].why
    assert rows["1-0:14.7.0.255"].why == "scaler_unit read write denied (3)"
    assert "unit code 99" in rows["1-0:13.7.0.255"].why
    assert rows["1-0:2.7.0.255"].why == "read write denied (3)"
    profile = read_profile(written(survey), Path("found.toml"))
    assert [spec.key for spec in profile.objects] == ["active_energy", "voltage_l1"]
    assert profile.identity is not None
    assert (profile.identity.target, profile.vendor) == (DEVICE_NAME, "ABC")


def test_quirks_are_what_was_negotiated() -> None:
    survey = surveyed({"1-0:1.8.0": Register(0, 30, Exact(5, 0))})
    assert tomllib.loads(written(survey))["quirks"] == {}
    survey.conformance = Conformance.GET | Conformance.ATTRIBUTE_0_GET
    assert tomllib.loads(written(survey))["quirks"] == {"no_list": True, "attribute_0": True}
    survey.conformance, survey.list_limit = OFFERED, 1
    assert tomllib.loads(written(survey))["quirks"] == {"no_list": True}


def test_what_the_format_has_no_place_for_is_a_comment() -> None:
    survey = surveyed({"1-0:1.8.0": Register(0, 30, Exact(5, 0))}, name="")
    assert "# [identity]: the meter told neither" in written(survey)
    assert "no object list" in written(survey)
    survey.listing = ObjectList((Listed(7, 1, Obis.parse("1-0:99.1.0"), None), Listed(1, 0, Obis.parse("0-0:42.0.0"), None)), 0)
    assert "#   1-0:99.1.0 class 7, profile\n#   and 1 objects more" in written(survey)


def test_clock_relay_and_load_profile_have_their_tables() -> None:
    survey = surveyed({"1-0:1.8.0": Register(0, 30, Exact(5, 0)), "1-0:1.7.0": Register(0, 27, Exact(5, 0)), "1-0:99.8.0": Register(0, 99),
                       "1-0:1.8.1": Register(0, 30)})
    survey.listing = ObjectList(tuple(Listed(class_id, 0, Obis.parse(obis), None) for class_id, obis in (
        (8, "0-0:1.0.0"), (70, "0-0:96.3.10"), (7, "1-0:99.1.0"), (7, "1-0:99.2.0"), (18, "0-0:44.0.0"),
        (1, "1-0:0.2.0"), (7, "0-0:99.98.0"), (7, "0-0:99.98.3"))), 0)
    survey.captured = (
        Column(8, Obis.parse("0-0:1.0.0"), 2), Column(1, Obis.parse("0-0:96.10.1"), 2), Column(3, Obis.parse("1-0:1.8.0"), 2),
        Column(3, Obis.parse("1-0:1.8.1"), 2), Column(3, Obis.parse("1-0:99.8.0"), 2), Column(3, Obis.parse("1-0:2.8.0"), 2),
        Column(3, Obis.parse("1-0:1.8.0"), 2, 1))
    profile = read_profile(written(survey), Path("found.toml"))
    assert profile.clock is not None
    assert profile.relay is not None
    assert profile.load_profile is not None
    assert profile.image is not None
    assert (profile.image.obis, profile.image.firmware_obis) == ("0-0:44.0.0", "1-0:0.2.0")
    assert [(log.name, log.obis) for log in profile.event_logs] == [("events", "0-0:99.98.0"), ("events_0_3", "0-0:99.98.3")]
    assert [(spec.key, spec.class_id, spec.unit, spec.data_index) for spec in profile.load_profile.columns] == [
        ("status", 1, "", 0), ("active_energy", 3, "Wh", 0), ("active_energy_t1", 3, "Wh", 0), ("obis_1_0_1_8_0", 3, "Wh", 1)]
    assert profile.billing is not None
    assert [(spec.key, spec.obis, spec.unit) for spec in profile.billing.objects] == [("active_energy_t1", "1-0:1.8.1", "Wh")]
    assert "without a unit that was told: 1-0:99.8.0.255, 1-0:2.8.0.255" in written(survey)
    survey.registers = {at: register for at, register in survey.registers.items() if at.obis.d != 7}
    assert read_profile(written(survey), Path("found.toml")).relay is None, "nobody would know the load"


codes = st.builds(Obis, *[st.integers(0, 255)] * 6)
registers = st.builds(
    Register, st.none() | st.integers(-128, 127), st.none() | st.integers(0, 255),
    st.none() | st.builds(Exact, st.integers(), st.integers(-20, 20)) | st.text(max_size=5), st.sampled_from(["", "read write denied (3)"]))


columns = st.lists(st.builds(Column, st.sampled_from([1, 3, 4, 5, 8]), codes, st.integers(1, 6), st.integers(0, 3)), max_size=6)


@given(st.dictionaries(codes, registers, max_size=12), st.text(max_size=20), DOORS, st.booleans(), columns)
@example({Obis(1, 0, 1, 8, 0): Register(0, 30, Exact(1, 0))}, 'a"\\\n[x]\x7f\u2028', Door("wrapper", 16, 1), True, [])
def test_whatever_a_meter_said_the_file_loads(
    found: dict[Obis, Register], name: str, door: Door, listed: bool, captured: list[Column],
) -> None:
    survey = surveyed({str(obis): register for obis, register in found.items()}, name)
    if listed:
        survey.listing = ObjectList((*(Listed(3, 0, obis, None) for obis in found), Listed(7, 1, Obis(1, 0, 99, 1, 0), None),
                                     Listed(8, 0, Obis(0, 0, 1, 0, 0), None), Listed(70, 0, Obis(0, 0, 96, 3, 10), None),
                                     *(Listed(7, 1, Obis(0, b, 99, 98, 1), None) for b in (0, 1, 0)), Listed(7, 1, Obis(0, 0, 99, 98, 0, 0), None), Listed(7, 1, Obis(0, 0, 99, 98, 0), None)), 0)
    survey.captured = (*captured, *(Column(3, obis, 2) for obis in found), *captured[:2])
    file = written(survey, door)
    wanted = [row for row in proposed(survey) if not row.why]
    assert len({row.key for row in wanted}) == len(wanted)
    if wanted:
        profile = read_profile(file, Path("found.toml"))
        assert [(spec.key, spec.canonical, spec.unit) for spec in profile.objects] == [(row.key, str(row.at.obis), row.unit) for row in wanted]
    else:
        assert "[[objects]]" not in "".join(line for line in file.splitlines() if not line.startswith("#"))
