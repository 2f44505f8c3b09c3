"""Ciphered exchanges and load profiles, byte for byte as an independent meter gave them to the same recorded requests."""

import datetime as dt
import re
from typing import Any

import pytest
from test_sim_captures import RAW, load, moment_of, recorded_meter

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Counters, Secured
from edge.demo.meter_cosem import CosemObject
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_model import MeterModel
from edge.demo.meter_rows import TimedProfile
from edge.demo.meter_server import WrapperServer
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_timeline import Capture, Every

CIPHERED = [
    "wrapper_gmac_general_glo", "wrapper_gmac_bad_f_stoc", "wrapper_gmac_invocation_counter", "wrapper_gmac_plain_request",
    "wrapper_gmac_replayed_request", "wrapper_gmac_tampered_request", "wrapper_gmac_wrong_key",
]
PROFILES = ["wrapper_lls_profile_entry", "wrapper_lls_profile_range", "wrapper_lls_blocks_pdu128", "hdlc_lls_profile_info128",
            "hdlc_lls_flag_inside"]
NOW = dt.datetime(2026, 11, 22, 7, 2, tzinfo=dt.UTC).timestamp()
FULL = dt.datetime(2026, 1, 30, 23, 45, tzinfo=dt.UTC).timestamp()       # the recorded ring was filled up to here


def recorded_profile(model: MeterModel) -> CosemObject:
    """The recorded meter's 2,880 rows: values that go round by 7 and by 11, energy 25 Wh a row."""
    start = int(model.device.started_at)

    def cells(capture: Capture) -> list[bytes]:
        row = (int(capture.shown) - start) // 900
        values = [raw + (row + 1) % 7 for raw in RAW[:6]] + [raw + (row + 1) % 11 for raw in RAW[6:8]]
        energy = RAW[8] + 25 * (row + 1)
        tags = [spec.tag for spec in objects.GENERIC.specs]
        return [objects.integer(tag, value) for tag, value in zip(tags, [*values, energy], strict=True)]

    shipped = model._objects[(7).to_bytes(2, "big") + objects.LOAD_PROFILE]
    assert isinstance(shipped, TimedProfile)
    profile = TimedProfile(objects.LOAD_PROFILE, model.device, shipped.columns[1:], 2880, Every(900), cells)
    model.device.timeline.power(FULL + 1, on=False)      # it captured no more after the ring was full
    model.install(profile)
    return profile


def shown_in(answers: str, before: float) -> float:
    """The Unix time of an answered clock reading; else the time before. (A profile's rows are no clock readings.)"""
    found = re.search("c401..00(090c07ea.{20})", answers)
    return before if found is None else moment_of(found[1], before)


def replay(meter: WrapperServer | HdlcServer, scenario: dict[str, Any], model: MeterModel,
           settings: MeterSettings) -> int:
    """Put every recorded request to the meter, on new connections where the recording had them; count the answers."""
    exchange, compared = scenario["exchange"], 0
    now = shown_in("".join(answer["apdu"] for answer in scenario.get("deciphered_answers", [])), NOW)
    for place, entry in enumerate(exchange):
        if place in scenario.get("new_connection_before", []):
            meter = WrapperServer(model, settings, Counters())
        if entry["dir"] != "tx":
            continue
        recorded = []
        for answer in exchange[place + 1:]:
            if answer["dir"] == "tx":
                break
            recorded.append(answer["hex"])
        now = shown_in("".join(recorded), now)
        assert [frame.hex() for frame in meter.receive(bytes.fromhex(entry["hex"]), now)] == recorded, (
            f"entry {place}: {entry['note']}")
        compared += len(recorded)
    return compared


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_as_recorded(name: str) -> None:
    scenario = load(name)
    meter = recorded_meter(scenario)
    recorded_profile(meter._model)
    meter._settings.manners.whole_rows, meter._settings.segment_spare_bytes = True, 3
    assert replay(meter, scenario, meter._model, meter._settings) >= 5


def test_object_list_aside_the_profile_tells_of_itself_as_recorded() -> None:
    """Capture objects, period, entries in use and size (the object list itself is another meter's)."""
    scenario = load("wrapper_lls_object_list")
    meter = recorded_meter(scenario)
    recorded_profile(meter._model)
    scenario["exchange"] = scenario["exchange"][:2] + scenario["exchange"][6:]
    assert replay(meter, scenario, meter._model, meter._settings) == 5


@pytest.mark.parametrize("name", CIPHERED)
def test_ciphered_as_recorded(name: str) -> None:
    scenario = load(name)
    secrets = scenario["secrets"]
    meter = recorded_meter(scenario)
    assert isinstance(meter, WrapperServer)
    manners = meter._settings.manners
    manners.system_title = bytes.fromhex(secrets.get("meter_system_title", "475258000001e240"))
    challenges = [bytes.fromhex(entry["hex"].split("aa128010")[1][:32]) for entry in scenario["exchange"] if "aa128010" in entry["hex"]]
    manners.secured[scenario["client_sap"]] = Secured(
        5, encryption_key=bytes.fromhex(secrets["global_unicast_encryption_key"]),
        authentication_key=bytes.fromhex(secrets["authentication_key"]), challenges=challenges)
    recorded_profile(meter._model)
    assert replay(meter, scenario, meter._model, meter._settings) == sum(entry["dir"] == "rx" for entry in scenario["exchange"])
