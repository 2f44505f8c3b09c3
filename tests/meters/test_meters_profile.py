"""Meter types as data: the shipped ones load, wrong ones are told apart by file, key path and value."""

import dataclasses
from pathlib import Path

import pytest

from edge.dlms.cosem import Attribute, Obis
from edge.errors import ConfigError
from edge.meters.profile import SHIPPED, load_profile, load_profiles
from edge.model import Meter

KEYS = ["voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "frequency", "active_power",
        "active_energy"]
GOOD = """
name = "mine"
vendor = "Example"
source = "its data sheet, 2026"
[[objects]]
key = "active_energy"
obis = "1-0:1.8.0"
unit = "Wh"
"""


def written(directory: Path, text: str, name: str = "mine") -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["generic-three-phase", "microstar"])
def test_the_shipped_profiles_read_the_nine_values_of_the_system_they_replace(name: str) -> None:
    profile = load_profiles()[name]
    assert [spec.key for spec in profile.objects] == KEYS
    assert {spec.key.split("_l")[0]: spec.unit for spec in profile.objects} == {
        "voltage": "V", "current": "A", "frequency": "Hz", "active_power": "W", "active_energy": "Wh"}
    assert profile.source
    assert profile.identity is not None
    assert f"{name}.toml" in {path.name for path in SHIPPED.iterdir()}


def test_microstar_is_as_the_field_knows_it() -> None:
    profile = load_profiles()["microstar"]
    assert profile.objects[0].target == Attribute(3, Obis(1, 1, 32, 7, 0, 255), 2)
    assert profile.objects[0].scaler_target == Attribute(3, Obis(1, 1, 32, 7, 0, 255), 3)
    assert profile.objects[0].learned_key == "1-1:32.7.0.255 2"
    assert profile.quirks.no_list
    assert profile.quirks.attribute_0
    assert profile.association.framing == "hdlc"
    assert profile.association.port == 3333
    assert 0 < profile.timing.keep_alive_s < 30


def test_the_registry_can_name_the_default_profile() -> None:
    default = {field.name: field.default for field in dataclasses.fields(Meter)}["profile"]
    assert default in load_profiles()


def test_a_directory_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD.replace('"mine"', '"microstar"'), "microstar")
    profiles = load_profiles(tmp_path)
    assert profiles["mine"].vendor == "Example"
    assert profiles["microstar"].vendor == "Example"
    with pytest.raises(ConfigError, match="no such directory"):
        load_profiles(tmp_path / "missing")


@pytest.mark.parametrize(("change", "words"), [
    (('"1-0:1.8.0"', '"1.8.0"'), "objects[0].obis: must be an OBIS code, like 1-0:1.8.0; the value is '1.8.0'"),
    (('"active_energy"', '"Active Energy"'), "objects[0].key: must be lower-case letters, digits and _"),
    (('unit = "Wh"', 'unit = "Wh"\nclas_id = 3'), "objects[0]: there is no key clas_id"),
    (('unit = "Wh"', 'unit = "Wh"\nclass_id = "3"'), "objects[0].class_id: must be a whole number, not text; the value is '3'"),
])
def test_a_mistake_is_told_in_the_words_of_who_writes_a_profile(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as told:
        load_profile(written(tmp_path, GOOD.replace(*change)))
    assert words in str(told.value)


@pytest.mark.parametrize(("change", "path", "value"), [
    (("vendor =", "vendro ="), "top level", "vendro"),
    (('"1-0:1.8.0"', '"1.8.0"'), "objects[0].obis", "'1.8.0'"),
    (('"1-0:1.8.0"', '"1-0:1.8.999"'), "objects[0].obis", "'1-0:1.8.999'"),
    (('"Wh"', '"kWh"'), "objects[0].unit", "'kWh'"),
    (('"active_energy"', '"Active Energy"'), "objects[0].key", "'Active Energy'"),
    (("[[objects]]", "[timing]\nkeep_alive_s = 30\ninactivity_s = 30.0\n[[objects]]"), "timing.keep_alive_s", "30"),
    (("[[objects]]", "[timing]\nkeep_alive_s = -1\n[[objects]]"), "timing.keep_alive_s", "-1"),
    (("[[objects]]", "[association]\nframing = 'modbus'\n[[objects]]"), "association.framing", "modbus"),
    (("[[objects]]", "[association]\naddress_bytes = 3\n[[objects]]"), "association.address_bytes", "3"),
    (("[[objects]]", "[association]\nport = '4059'\n[[objects]]"), "association.port", "'4059'"),
    (("[[objects]]", "[quirks]\nno_lists = true\n[[objects]]"), "quirks", "no_lists"),
    (('unit = "Wh"', 'unit = "Wh"\nclass_id = 70000'), "objects[0].class_id", "70000"),
    (('unit = "Wh"', 'unit = "Wh"\n[[objects]]\nkey = "active_energy"\nobis = "1-0:2.8.0"'), "objects[1].key", "active_energy"),
    (("[[objects]]", '[identity]\nobis = "0-0:300.0.0"\n[[objects]]'), "identity.obis", "0-0:300.0.0"),
    (('name = "mine"', 'name = "other"'), "name", "other"),
    (('name = "mine"', 'name = "mine'), "", "line 2"),
    (("[[objects]]", "[timing]\ninterval_s = inf\n[[objects]]"), "timing.interval_s", "inf"),
    (("[[objects]]", "[timing]\ninterval_s = nan\n[[objects]]"), "timing.interval_s", "nan"),
    (("[[objects]]", "[timing]\nexchange_timeout_s = inf\n[[objects]]"), "timing.exchange_timeout_s", "inf"),
    (("[[objects]]", "[timing]\nsettle_s = 1e300\n[[objects]]"), "timing.settle_s", "1e+300"),
    (('"active_energy"', '"not_read"'), "objects[0].key", "'not_read'"),
    (('"active_energy"', '"active_energy\\n"'), "objects[0].key", "active_energy\\n"),
    (('"1-0:1.8.0"', '"1-0:1.8.0\\n"'), "objects[0].obis", "1-0:1.8.0\\n"),
    (('"1-0:1.8.0"', '"1-0:\N{ARABIC-INDIC DIGIT ONE}.8.0"'), "objects[0].obis", "8.0"),
    (('unit = "Wh"', 'unit = "Wh"\nscaler = ' + "9" * 5_000), "", "digits"),
    (('unit = "Wh"', 'unit = "Wh"\nscaler = ' + "[" * 5_000), "", "nested"),
])
def test_a_mistake_is_told_with_file_key_path_and_value(tmp_path: Path, change: tuple[str, str], path: str, value: str) -> None:
    file = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError) as told:
        load_profile(file)
    text = str(told.value)
    assert text.startswith(f"{file}: {path}")
    assert value in text
    assert "\n" not in text


def test_a_profile_without_objects_or_with_foreign_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="objects"):
        load_profile(written(tmp_path, GOOD.split("[[objects]]", maxsplit=1)[0]))
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        load_profile(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_profile(tmp_path / "absent.toml")
