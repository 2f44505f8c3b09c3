"""Payloads: exact numbers, ThingsBoard's traps, splitting, and the same bytes every time."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model import Batch, Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.uplink.thingsboard import (
    GATEWAY_TELEMETRY,
    INT64,
    OWN_TELEMETRY,
    ThingsBoardGateway,
    announce,
    decimal_text,
    element,
    element_by_value,
    key_of,
    pack,
    publishes,
    safe_text,
)

READING = Schema(Kind.READING, (Field("voltage_l1", -2, "V", "1-1:32.7.0.255"), Field("active_energy", 0, "Wh")), "three-phase")
FAILURE = Schema(Kind.FAILURE, (Field("reason"), Field("detail")), "three-phase")


def stored(seq, device, schema, *values, ts=None, synchronised=True, stream=Stream.INSTANT):
    stamp = Stamp(seq, 1_700_000_000_000 + seq if ts is None else ts, "boot", synchronised)
    return Stored(stream, seq, Record(schema, device, stamp, values))


def batch(*records):
    return Batch(SeqSpan(records[0].stream, records[0].seq, records[-1].seq), records)


def test_a_batch_on_the_wire():
    own = stored(3, "", Schema(Kind.GATEWAY, (Field("uptime_s"),)), 17)
    made = publishes(batch(
        stored(1, "A", READING, 23012, 56281), stored(2, "B", READING, None, 0), own,
        stored(4, "A", FAILURE, "no_answer", "no answer at 1/17 within 8 s", synchronised=False)))
    meters = (
        '{"A":[{"ts":1700000000001,"values":{"poll_ok":true,"voltage_l1":230.12,"active_energy":56281}},'
        '{"ts":1700000000004,"values":{"poll_ok":false,"poll_fail_reason":"no_answer",'
        '"poll_fail_detail":"no answer at 1/17 within 8 s","ts_q":"unsynchronised"}}],'
        '"B":[{"ts":1700000000002,"values":{"poll_ok":true,"active_energy":0}}]}'
    )
    assert [(p.topic, p.payload.decode()) for p in made] == [
        (OWN_TELEMETRY, '[{"ts":1700000000003,"values":{"uptime_s":17}}]'),
        (GATEWAY_TELEMETRY, meters),
    ]


@pytest.mark.parametrize(("trusted", "more"), [(True, b""), (False, b',"ts_q":"meter_doubtful"')])
def test_a_row_that_the_meter_dated_has_the_meters_time(trusted, more):
    stamp = Stamp(7, 1_700_000_000_000, "boot", synchronised=False).dated_by_meter(1_699_999_500_000, trusted=trusted)
    made, _ = element(Record(READING, "A", stamp, (None, 5)))
    assert made == b'{"ts":1699999500000,"values":{"poll_ok":true,"active_energy":5%b}}' % more


@pytest.mark.parametrize(("source", "latest_ms", "more"), [
    ("clock", None, b'"ts_q":"unsynchronised"'),
    ("meter_clock", None, b'"ts_q":"meter_clock"'),
    ("bracket", None, b'"ts_q":"bracket","ts_earliest_ms":5000'),
    ("bracket", 9_000, b'"ts_q":"bracket","ts_earliest_ms":5000,"ts_latest_ms":9000'),
])
def test_a_time_that_may_be_wrong_says_so(source, latest_ms, more):
    stamp = Stamp(7, 5_000, "boot", synchronised=False, source=source, latest_ms=latest_ms)
    assert element(Record(READING, "A", stamp, (None, 5)))[0] == b'{"ts":5000,"values":{"poll_ok":true,"active_energy":5,%b}}' % more


@pytest.mark.parametrize(("raw", "scaler", "text"), [
    (23012, -2, "230.12"), (5, -3, "0.005"), (-5, -3, "-0.005"), (-1234, -3, "-1.234"), (2300, -1, "230.0"),
    (7, 3, "7000"), (0, -2, "0.00"), (0, 5, "0"),
    (2**63 - 1, 0, "9223372036854775807"), (2**63, 0, "9223372036854775808.0"), (-(2**63) - 1, 0, "-9223372036854775809.0"),
    (1, -16, "0.0000000000000001"), (15, -17, "0.0000000000000002"), (25, -17, "0.0000000000000002"), (35, -17, "0.0000000000000004"),
])
def test_numbers(raw, scaler, text):
    assert decimal_text(raw, scaler) == text


@given(st.integers(-(2**70), 2**70), st.integers(-40, 20))
def test_numbers_are_exact_where_thingsboard_keeps_numbers(raw, scaler):
    text = decimal_text(raw, scaler)
    value = Decimal(raw).scaleb(scaler)
    if scaler >= -16:
        assert Decimal(text) == raw * Decimal(10) ** scaler
    else:
        assert abs(Decimal(text) - value) <= Decimal("0.5e-16")
    assert isinstance(msgspec.json.decode(text), int | float)
    assert len(text.partition(".")[2]) <= 16
    assert "." in text or int(text) in INT64


@pytest.mark.parametrize(("text", "safe"), [
    ("00123456", "#00123456"), ("-1.5", "#-1.5"), ("12.", "#12."), (".5", "#.5"), (" 7 ", "# 7 "), ("١٢", "#١٢"),
    ("1.2.3", "1.2.3"), ("MSL-123", "MSL-123"), ("", ""), ("1e5", "1e5"), ("a\0b", "ab"), ("x\udcffy", "x?y"),
])
def test_text(text, safe):
    assert safe_text(text) == safe


@pytest.mark.parametrize(("kind", "field", "key"), [
    (Kind.READING, "voltage_l1", "voltage_l1"), (Kind.FAILURE, "reason", "poll_fail_reason"), (Kind.LINK, "rssi_dbm", "link_rssi_dbm"),
    (Kind.LINK, "link_grade", "link_grade"), (Kind.EVENT, "event", "event"), (Kind.EVENT, "detail", "event_detail"),
    (Kind.ALARM, "alarm", "alarm"), (Kind.GAP, "count", "gap_count"), (Kind.GATEWAY, "uptime_s", "uptime_s"), (Kind.READING, "k" * 300, "k" * 255),
])
def test_keys(kind, field, key):
    assert key_of(kind, field) == key


def test_kinds_of_one_device_and_millisecond_share_no_key():
    """They may bear the same stamp, so they must not overwrite each other (but for what is the same in both)."""
    seen = {}
    for kind in Kind:
        schema = Schema(kind, (Field("detail"), Field("state"), Field(kind.name.lower())))
        made, _ = element(Record(schema, "A", Stamp(0, 0, "b", synchronised=True), ("x", "y", "z")))
        if kind in (Kind.READING, Kind.GATEWAY, Kind.PUSHED):
            continue        # a meter's and the gateway's own: never the same device; a push says what a poll would have
        for key in msgspec.json.decode(made)["values"]:
            assert key not in seen, f"{key} of {kind.name} and {seen[key].name}"
            seen[key] = kind


def test_what_a_meter_pushed_is_no_poll():
    pushed = Schema(Kind.PUSHED, (Field("voltage_l1", -1, "V"), Field("not_read")), "three-phase")
    assert element(stored(1, "A", pushed, 2301, "x").record) == (
        b'{"ts":1700000000001,"values":{"voltage_l1":230.1,"not_read":"x"}}', 2)


def test_what_says_nothing_is_not_sent():
    silent = stored(1, "", Schema(Kind.GATEWAY, (Field("uptime_s"),)), None, synchronised=False)
    assert publishes(batch(silent)) == ()
    both = publishes(batch(silent, stored(2, "A", READING, 1, 2)))
    assert [p.topic for p in both] == [GATEWAY_TELEMETRY]


def test_announcement():
    assert announce("A", "three-phase").payload == b'{"device":"A","type":"three-phase"}'
    assert announce("A", "").payload == b'{"device":"A","type":"default"}'
    link = Schema(Kind.LINK, (Field("link_grade"),))
    rows = [stored(1, "A", link, "good"), stored(2, "A", READING, 1, 2), stored(3, "B", link, "good"), stored(4, "", link, "good"), stored(5, "C", link, None)]
    found = ThingsBoardGateway({"B": "p", "A": ""}.__getitem__).pack(rows, 4_000).connects
    assert found == {"A": announce("A", "three-phase"), "B": announce("B", "p")}


def test_what_is_observed_of_a_silent_meter_is_told_as_the_gateways():
    """Telemetry of any kind makes a device active: a failed poll would too."""
    failure, link = Schema(Kind.FAILURE, (Field("reason"),), "p"), Schema(Kind.LINK, (Field("link_rssi_dbm", -1),))
    rows = [stored(1, "A", failure, "timeout"), stored(2, "A", link, -915), stored(3, "A", READING, 1, 2), stored(4, "B", failure, "timeout")]
    packed = ThingsBoardGateway(lambda _device: "p", lambda device: device == "A").pack(rows, 4_000)
    own, meters = (msgspec.json.decode(part.publish.payload) for part in packed.parts)
    assert [(element["ts"], msgspec.json.decode(element["values"]["silent_meter"])) for element in own] == [
        (1_700_000_000_001, {"meter": "A", "poll_ok": False, "poll_fail_reason": "timeout"}),
        (1_700_000_000_002, {"meter": "A", "link_rssi_dbm": -91.5})]
    assert {device: len(elements) for device, elements in meters.items()} == {"A": 1, "B": 1}
    assert packed.connects.keys() == {"A", "B"}, "a reading that was not sent yet is the meter's, whenever it comes"
    alone = ThingsBoardGateway(lambda _device: "p", lambda _device: True).pack(rows[:2], 4_000)
    assert (len(alone.parts), alone.connects) == (1, {})


quick_scalers = st.lists(st.integers(-5, 3), min_size=1, max_size=6)
scalers = st.lists(st.integers(-20, 20), max_size=6)
numbers = st.one_of(st.integers(-(10**6), 10**6), st.sampled_from([0, 1, -1]), st.integers(-(10**16), 10**16))
stamps = st.sampled_from([Stamp(1, 1_700_000_000_000, "b", synchronised=True), Stamp(1, -5, "b", synchronised=True, source="meter"),
                          Stamp(1, 5_000, "b", synchronised=False, source="bracket", latest_ms=9_000)])


@given(st.sampled_from(Kind), st.booleans(), st.booleans(), st.data(), stamps)
def test_the_quick_form_has_the_bytes_of_the_thorough_one(kind, odd_scalers, odd_values, data, stamp):
    described = data.draw(scalers if odd_scalers else quick_scalers)
    cell = st.one_of(numbers, st.none(), st.text(max_size=5), st.integers(-(2**70), 2**70)) if odd_values else numbers
    row = data.draw(st.lists(cell, min_size=len(described), max_size=len(described)))
    record = Record(Schema(kind, tuple(Field(f"k{n}", scaler) for n, scaler in enumerate(described))), "A", stamp, tuple(row))
    assert element(record) == element_by_value(record)


@pytest.mark.parametrize("odd", [('quo"te',), ("back\\slash",), ("Zähler",), ("new\nline",), ("",), ("a", "a"), ("poll_ok", "a"),
                                 ("k" * 300, "k" * 255), ("event", "poll_fail_event"), ()])
@pytest.mark.parametrize("kind", [Kind.READING, Kind.FAILURE, Kind.PUSHED])
def test_keys_that_the_quick_form_does_not_bear(kind, odd):
    record = stored(1, "A", Schema(kind, tuple(Field(key, -1) for key in odd)), *range(7, 7 + len(odd))).record
    assert element(record) == element_by_value(record)


@pytest.mark.parametrize("raw", [10**15 - 1, 10**15, -(10**15), 10**15 + 1, 10**16 - 1, 2**63, 10**400])
@pytest.mark.parametrize("scaler", [-6, -5, -1, 0, 3, 4])
def test_numbers_at_the_edges_of_the_quick_form(raw, scaler):
    record = stored(1, "A", Schema(Kind.PUSHED, (Field("a", scaler), Field("b", -2))), raw, 5).record
    assert element(record) == element_by_value(record)


names = st.sampled_from(["", "A", "B", 'quote"d', "Zähler 7"])
values = st.one_of(st.none(), st.integers(-(2**66), 2**66), st.text(max_size=40))
records = st.lists(st.tuples(names, values, values, st.booleans()), min_size=1, max_size=40).map(
    lambda rows: [stored(i, name, READING, a, b, synchronised=sync) for i, (name, a, b, sync) in enumerate(rows, 1)])


@given(records, st.integers(50, 4_000), st.one_of(st.none(), st.integers(1, 50)))
def test_packing_loses_nothing_and_keeps_within_its_limits(everything, limit_bytes, limit_points):
    rest, found = everything, []
    while rest:
        packed, _ = pack(rest, limit_bytes, limit_points)
        count = len(packed.batch.records)
        assert packed.batch.records == tuple(rest[:count])
        assert packed.batch.span == SeqSpan(Stream.INSTANT, rest[0].seq, rest[count - 1].seq)
        sent = tuple(part.publish for part in packed.parts)
        assert count == 1 or all(len(p.payload) <= limit_bytes for p in sent)
        assert limit_points is None or count == 1 or sum(part.points for part in packed.parts) <= limit_points
        assert publishes(packed.batch) == sent, "the same batch, the same bytes"
        for part in packed.parts:
            publish, entries, points = part.publish, part.entries, part.points
            body = msgspec.json.decode(publish.payload)
            assert part.own == (publish.topic == OWN_TELEMETRY)
            elements = [("", e) for e in body] if publish.topic == OWN_TELEMETRY else [(d, e) for d, es in body.items() for e in es]
            assert elements
            assert all(element["values"] for _, element in elements)
            assert points == sum(len(e["values"]) for _, e in elements)
            assert entries == len(body)
            found += [(device, e["ts"]) for device, e in elements]
        rest = rest[count:]
    assert sorted(found) == sorted((s.record.device, s.record.stamp.wall_ms) for s in everything)


@given(records)
def test_an_element_is_the_same_whatever_travels_beside_it(everything):
    together = b"".join(p.payload for p in publishes(batch(*everything)))
    for one in everything:
        text, points = element(one.record)
        assert text in together
        assert points >= 1
