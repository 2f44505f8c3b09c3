"""Compares what an Association made of a recording with what the recording says must come out."""

from typing import Any

import pytest
from dlms_scripts import Replay

from edge.dlms import axdr
from edge.dlms.association import Closed, Conformance, Invoked, Opened, Written
from edge.dlms.datetimes import ClockTime
from edge.dlms.get import GetResult


def compare(expected: dict[str, Any], events: list[Any], replay: Replay) -> int:
    match expected["kind"]:
        case "association" if "server_challenge" in expected:
            assert events == []                                      # the proof must follow first
        case "association":
            (opened,) = events
            assert opened == Opened(int(expected["negotiated_conformance"], 16), expected["max_pdu"])
        case "get" | "data-access-error" | "profile" | "object-list":
            [answer] = events
            [result] = answer.results
            same(expected, result)
        case "get-list":
            [answer] = events
            for item, result in zip(expected["items"], answer.results, strict=True):
                same(item, result)
        case "disconnect":
            assert events == [Closed()]
        case "ua":
            assert events == []
            agreed, told = replay.association._link.agreed, expected["parameters"]
            assert agreed.max_info_transmit == min(told["max_info_rx"], replay.settings.max_info_bytes)
            assert agreed.max_info_receive == min(told["max_info_tx"], replay.settings.max_info_bytes)
        case "set":
            ((result,),) = events[0]
            assert type(events[0]) is Written
            assert str(result.attribute.obis) == "{}-{}:{}.{}.{}.{}".format(*expected["obis"].split("."))
            assert (result.error or 0) == expected["data_access_result"]
        case "action" if expected["obis"] == "0.0.40.0.0.255":       # the proof of high-level security, ours and theirs
            negotiated = next(told for told in replay.script["expected"] if told["kind"] == "association")
            assert events == [Opened(Conformance(int(negotiated["negotiated_conformance"], 16)), negotiated["max_pdu"])]
            assert expected["action_result"] == 0
        case "action":
            ((done,),) = events[0]
            assert type(events[0]) is Invoked
            assert str(done.request.obis) == "{}-{}:{}.{}.{}.{}".format(*expected["obis"].split("."))
            assert (done.error or 0) == expected["action_result"]
        case other:
            raise AssertionError(f"nothing compares {other}")
    return 1


def same(expected: dict[str, Any], result: GetResult) -> None:
    assert str(result.attribute.obis) == "{}-{}:{}.{}.{}.{}".format(*expected["obis"].split("."))
    assert (result.attribute.class_id, result.attribute.attribute) == (expected["class"], expected["attribute"])
    if "data_access_result" in expected:
        assert (result.data, result.error) == (None, expected["data_access_result"])
        return
    assert result.error is None
    if "data" in expected:
        assert axdr.encode(result.data).hex() == expected["data"]
    if "scaler" in expected and isinstance(result.data, tuple):
        assert result.data == (expected["scaler"], expected["unit"])
    if "raw" in expected:
        same_raw(expected["raw"], result.data)
    if "data_length" in expected:
        assert len(axdr.encode(result.data)) == expected["data_length"]
    if "rows" in expected:
        assert len(result.data) == expected["row_count"]
        for row, (when, *values) in zip(result.data, expected["rows"], strict=True):
            assert str(ClockTime.parse(row[0]).local()).replace(" ", "T") == when
            assert list(row[1:]) == values
    if "objects" in expected:
        assert len(result.data) == expected["count"]
        for entry, told in zip(result.data, expected["objects"], strict=True):
            assert (entry[0], entry[1], entry[2]) == (told["class"], told["version"], bytes(map(int, told["obis"].split("."))))


def same_raw(raw: Any, data: Any) -> None:
    match raw:
        case {"octets": octets}:
            assert data.hex() == octets
            if "local" in raw:
                clock = ClockTime.parse(data)
                assert str(clock.local()).replace(" ", "T") == raw["local"]
                assert (clock.weekday or 255, clock.hundredths, clock.deviation_minutes, clock.status) == (
                    raw["weekday"], raw["hundredths"], raw["deviation_minutes"], raw["status"])
        case list():
            assert len(raw) == len(data)
            for one, other in zip(raw, data, strict=True):
                same_raw(one, other)
        case float():
            assert float(data) == pytest.approx(raw)
        case _:
            assert data == raw
