"""Sparkplug payloads byte for byte beside the official Protocol Buffers runtime, and its bytes read by ours."""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sparkplug_oracle import SCALARS, Payload, value_of

from edge.uplink import sparkplugwire as wire
from edge.uplink.sparkplugwire import DataType, Metric

INT64 = st.integers(-2**63, 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
VALUES = st.one_of(st.booleans(), INT64, st.floats(allow_nan=False), TEXT)
MEMBERS = {DataType.INT64: "long_value", DataType.DOUBLE: "double_value", DataType.BOOLEAN: "boolean_value", DataType.STRING: "string_value"}


def put(message, value):
    setattr(message, MEMBERS[wire.datatype_of(value)], value & (2**64 - 1) if type(value) is int else value)


births = st.lists(st.tuples(TEXT, st.none() | UINT64, UINT64, VALUES, st.booleans(), st.dictionaries(TEXT, VALUES, max_size=3)), max_size=5)


@given(births, UINT64, st.integers(0, 255))
@example([("active_energy", 3, 1_764_288_000_000, -1, False, {"engUnit": "Wh"})], 1_764_288_000_001, 255)
def test_a_birth_has_the_official_bytes(metrics, wall_ms, seq):
    official = Payload(timestamp=wall_ms, seq=seq)
    for name, alias, at_ms, value, null, properties in metrics:
        one = official.metrics.add(name=name, alias=alias, timestamp=at_ms, datatype=int(wire.datatype_of(value)), is_null=True if null else None)
        for key, text in properties.items():
            one.properties.keys.append(key)
            put(one.properties.values.add(type=int(wire.datatype_of(text))), text)
        if not null:
            put(one, value)
    ours = b"".join(wire.declared(name, wire.datatype_of(value), None if null else value, at_ms, alias=alias, properties=properties)
                    for name, alias, at_ms, value, null, properties in metrics)
    assert wire.payload(ours, wall_ms=wall_ms, seq=seq) == official.SerializeToString()


@given(st.lists(st.tuples(UINT64, UINT64, VALUES, st.booleans()), max_size=5), UINT64, st.integers(0, 255))
def test_data_has_the_official_bytes(samples, wall_ms, seq):
    official, ours = Payload(timestamp=wall_ms, seq=seq), b""
    for alias, at_ms, value, historical in samples:
        put(official.metrics.add(alias=alias, timestamp=at_ms, is_historical=True if historical else None), value)
        ours += wire.metric(wire.alias_field(alias) + wire.timestamp_field(at_ms) + (wire.HISTORICAL if historical else b"")
                            + wire.value_field(wire.datatype_of(value), value))
    data = wire.payload(ours, wall_ms=wall_ms, seq=seq)
    assert data == official.SerializeToString()
    assert [value_of(metric) for metric in Payload.FromString(data).metrics] == [value for _, _, value, _ in samples]


scalars = {"int_value": st.integers(0, 2**32 - 1), "long_value": UINT64, "float_value": st.floats(width=32, allow_nan=False),
           "double_value": st.floats(allow_nan=False), "boolean_value": st.booleans(), "string_value": TEXT}
read = st.fixed_dictionaries({}, optional={"name": TEXT, "alias": UINT64, "timestamp": UINT64, "datatype": st.integers(0, 34),
                                           "is_historical": st.booleans(), "is_null": st.booleans(), "is_transient": st.booleans()})
member = st.none() | st.sampled_from([name for name, _ in SCALARS]).flatmap(lambda name: st.tuples(st.just(name), scalars[name]))


@given(st.lists(st.tuples(read, member), max_size=4), st.binary(max_size=20))
def test_what_the_official_encoder_writes_is_read(metrics, body):
    official = Payload(timestamp=1, body=body)
    for fields, value in metrics:
        official.metrics.add(**fields, **({value[0]: value[1]} if value else {}))
    assert wire.metrics_of(official.SerializeToString()) == [
        Metric(fields.get("name"), fields.get("alias"), fields.get("timestamp"), fields.get("datatype"), fields.get("is_historical"),
               fields.get("is_null"), value[1] if value else None) for fields, value in metrics]


@given(st.binary(max_size=64))
@settings(max_examples=300)
@example(b"\x12\x02\x0a\x05")
@example(b"\x0b\x0c")
@example(b"\x80" * 11)
def test_any_bytes_are_read_or_refused(data):
    try:
        metrics = wire.metrics_of(data)
    except ValueError:
        return
    assert len(metrics) <= len(data)


@pytest.mark.parametrize(("data", "text"), [
    (b"\x12\x05\x0a", "ends within a field"), (b"\x12", "ends within a number"), (b"\x0b", "wire type 3"), (b"\x00\x00", "field number 0"),
    (b"\x08" + b"\xff" * 11, "more than ten octets"), (b"\x09" + struct.pack("<f", 1), "ends within a field"),
])
def test_what_is_refused_and_why(data, text):
    with pytest.raises(ValueError, match=text):
        wire.metrics_of(data)
