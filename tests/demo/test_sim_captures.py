"""The simulated meter gives, byte for byte, the answers that an independent meter gave to the same recorded requests."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Counters
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_model import MeterModel
from edge.demo.meter_server import WrapperServer
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_zone import Zone, read_date_time

CAPTURES = Path(__file__).parent.parent / "captures"
RAW = (2301, 2305, 2298, 512, 498, 505, 5001, 3478, 123456789)

BYTE_EXACT = [
    "wrapper_lls_reads", "wrapper_none", "wrapper_lls_rejected", "wrapper_no_association", "wrapper_lls_undefined",
    "wrapper_lls_set_action",
    "hdlc_lls_1byte", "hdlc_lls_4byte", "hdlc_none", "hdlc_no_association", "hdlc_lls_rejected",
    "hdlc_lls_negotiated_down", "hdlc_lls_flag_in_address",
]


def recorded_meter(scenario: dict[str, Any]) -> WrapperServer | HdlcServer:
    """A meter with the values, name and address of the recorded one."""
    model = MeterModel(serial="0000123456", seed=1, device_name=b"GRX0000000123456")
    for spec, raw in zip(objects.GENERIC.specs, RAW, strict=True):
        model.hold(objects.GENERIC.obis(spec), raw)
    server = scenario["server"]
    settings = MeterSettings(
        framing=scenario["framing"], server_logical=server["logical"], server_physical=server.get("physical"),
        address_bytes=server.get("address_bytes", 1))
    return (WrapperServer if scenario["framing"] == "wrapper" else HdlcServer)(model, settings, Counters())


def moment_of(answer: str, before: float) -> float:
    """The Unix time that a recorded answer with a clock value was given at; else the time before."""
    place = answer.find("090c07ea")
    if place < 0:
        return before
    moment = read_date_time(bytes.fromhex(answer[place + 4:place + 28]), Zone())
    return before if moment is None else moment


def load(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", BYTE_EXACT)
def test_answers_as_the_recorded_meter_did(name: str) -> None:
    scenario = load(name)
    meter = recorded_meter(scenario)
    exchange = scenario["exchange"]
    now = dt.datetime(2026, 11, 22, 7, 2, tzinfo=dt.UTC).timestamp()
    asked = 0
    for place, entry in enumerate(exchange):
        if entry["dir"] != "tx":
            continue
        recorded = []
        for answer in exchange[place + 1:]:
            if answer["dir"] == "tx":
                break
            recorded.append(answer["hex"])
        now = moment_of("".join(recorded), now)
        answers = [frame.hex() for frame in meter.receive(bytes.fromhex(entry["hex"]), now)]
        assert answers == recorded, f"entry {place}: {entry['note']}"
        asked += 1
    assert asked == sum(entry["dir"] == "tx" for entry in exchange) > 0


@pytest.mark.parametrize("name", ["wrapper_lls_reads", "hdlc_lls_4byte"])
def test_byte_by_byte_gives_the_same_answers(name: str) -> None:
    scenario = load(name)
    at_once, in_drops = recorded_meter(scenario), recorded_meter(scenario)
    for entry in scenario["exchange"]:
        if entry["dir"] == "tx":
            request = bytes.fromhex(entry["hex"])
            whole = at_once.receive(request, 1e9)
            drops = [frame for octet in request for frame in in_drops.receive(bytes((octet,)), 1e9)]
            assert drops == whole


def test_pulls_a_long_answer_by_blocks_as_recorded() -> None:
    """The requests of a recorded object list fetch ours, which is another: with a fitting PDU it takes two blocks too."""
    scenario = load("wrapper_lls_object_list")
    meter = recorded_meter(scenario)
    exchange = [bytes.fromhex(entry["hex"]) for entry in scenario["exchange"][:6]]
    whole = meter._model.object_list()
    limit = len(whole) // 2 + 40
    meter.receive(exchange[0][:-2] + limit.to_bytes(2, "big"), 1e9)
    blocks = []
    for request, recorded in ((exchange[2], exchange[3]), (exchange[4], exchange[5])):
        (answer,) = meter.receive(request, 1e9)
        # version and ports; then tag, choice, invoke-id, last-block flag, block number, result, form of the length
        assert answer[:6] == recorded[:6]
        assert answer[8:18] == recorded[8:18]
        assert len(answer) <= limit + 8
        blocks.append(answer[20:])
    assert b"".join(blocks) == whole


def test_hostile_requests_never_raise() -> None:
    """Altered client bytes: the meter answers or stays silent, and still serves a good request afterwards."""
    scenario = load("wrapper_lls_reads")
    requests = [bytes.fromhex(entry["hex"]) for entry in scenario["exchange"] if entry["dir"] == "tx"]
    for request in requests:
        for cut in range(9, len(request)):
            meter = recorded_meter(scenario)
            meter.receive(requests[0], 1e9)
            short = request[:6] + (cut - 8).to_bytes(2, "big") + request[8:cut]
            meter.receive(short, 1e9)
            (again,) = meter.receive(requests[0], 1e9)
            assert again[8] == 0x61
