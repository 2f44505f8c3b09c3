"""The table of supported meters: fresh, made of captures that are there and play back, and never kinder than they are."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from dlms_compare import compare
from dlms_scripts import Replay
from test_dlms_replay import SKIPPED

from edge.meters.profile import Captures, Profile, load_profiles

ROOT = Path(__file__).parent.parent
PROFILES = load_profiles()
NAMED = sorted({(name, file, group.origin) for name, profile in PROFILES.items() for group in profile.captures for file in group.files})


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_meters", ROOT / "tools/docs/meters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.path[:]
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def row(tool: ModuleType, profile: Profile) -> dict[str, str]:
    heads = [head.strip() for head in tool.HEAD.splitlines()[-2].strip("|").split("|")]
    return dict(zip(heads, tool.cells(profile, tool.captures_of(profile)), strict=True))


def test_the_page_is_fresh(tool: ModuleType) -> None:
    assert (ROOT / "docs/meters.md").read_text() == tool.page(PROFILES.values()), "run `make docs`"
    assert tool.main(["--check"]) == 0


@pytest.mark.parametrize(("profile", "file", "origin"), NAMED)
def test_every_capture_that_a_type_names_plays_back(profile: str, file: str, origin: str) -> None:
    script = json.loads((ROOT / f"tests/captures/{file}.json").read_text())
    assert script["scenario"] == Path(file).name
    if origin == "meter":      # the gateway's own recordings say what they are of
        assert script["profile"] == profile
        assert script["replayable"]
    if origin == "independent-library":
        assert script["expected"][0]["kind"] == "data-notification"      # played in test_dlms_replay, after an association
        return
    replay = Replay(script, skipped=SKIPPED.get(file, ((), ""))[0])
    replay.run()
    done = sum(compare(expected, [event for index in expected["rx"] for event in replay.heard[index]], replay)
               for expected in script["expected"] if not set(expected["rx"]) & set(replay.skipped))
    assert done >= 1


def test_what_stands_there_follows_from_the_captures(tool: ModuleType) -> None:
    generic, microstar = PROFILES["generic-three-phase"], PROFILES["microstar"]
    assert row(tool, generic)["values and units"] == "9 of 9 recorded"
    assert row(tool, generic)["pushes"] == "library's bytes only"
    assert row(tool, microstar)["standing"] == "simulated from what its source says, no capture"
    assert set(list(row(tool, microstar).values())[4:]) <= {"-", "not recorded"}
    none = row(tool, msgspec.structs.replace(generic, captures=(), name="other"))
    assert none["standing"] == "no capture"
    assert none["values and units"] == "0 of 9 recorded"
    assert {none[head] for head in ("identity", "clock", "load profile", "relay", "pushes")} == {"not recorded"}


def test_each_claim_needs_its_own_evidence(tool: ModuleType) -> None:
    generic = PROFILES["generic-three-phase"]
    reads = msgspec.structs.replace(generic, captures=(Captures(origin="independent-server", files=("wrapper_lls_reads",)),))
    told = row(tool, reads)
    assert (told["values and units"], told["clock"], told["relay"], told["load profile"]) == (
        "9 of 9 recorded", "recorded", "not recorded", "not recorded")
    wrong = msgspec.structs.replace(generic, objects=(
        msgspec.structs.replace(generic.objects[0], unit="A"), msgspec.structs.replace(generic.objects[1], obis="1-0:99.7.0"), *generic.objects[2:]))
    assert row(tool, wrong)["values and units"] == "7 of 9 recorded", "another unit is no evidence, and no more is no answer"
    undefined = msgspec.structs.replace(generic, identity=msgspec.structs.replace(generic.identity, obis="0-0:96.1.0"))
    assert row(tool, undefined)["identity"] == "not recorded"
    meter = msgspec.structs.replace(generic, captures=(Captures(origin="meter", files=("wrapper_lls_reads",)),))
    assert row(tool, meter)["standing"] == "recorded from a meter of this type"


def test_a_capture_that_is_not_there_is_an_error(tool: ModuleType) -> None:
    generic = PROFILES["generic-three-phase"]
    missing = msgspec.structs.replace(generic, captures=(Captures(origin="meter", files=("nobody/has_it",)),))
    with pytest.raises(FileNotFoundError):
        tool.captures_of(missing)
