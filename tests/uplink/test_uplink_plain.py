"""A plain broker: what goes over the wire by template, what a template may be, and that nothing is lost or hidden."""

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_bench import until
from wiretap import WireTap

from edge.config import UplinkSettings
from edge.configfile import load
from edge.errors import SettingsError
from edge.model import Batch, Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.templates import Payload, Topic
from edge.uplink.attributes import Attributes
from edge.uplink.plain import MAX_PARTS, PlainMqtt

READING = Schema(Kind.READING, (Field("voltage_l1", -1, "V"), Field("active_energy", 0, "Wh")), "three-phase")
HEALTH = Schema(Kind.GATEWAY, (Field("uptime_s"),))


def row(seq, device, schema, *values):
    return Stored(Stream.INSTANT, seq, Record(schema, device, Stamp(seq, 1_700_000_000_000 + seq, "boot", True), values))


def plain(gateway="gw", **changes):
    return PlainMqtt(UplinkSettings(dialect="mqtt", **changes), gateway)


def sent(packed):
    return [(part.publish.topic, part.publish.payload.decode()) for part in packed.parts]


ROWS = [row(1, "m1", READING, 2301, 7), row(2, "m2", READING, 2302, None), row(3, "", HEALTH, 17), row(4, "m1", READING, 2303, 9)]


M1_FIRST = '{"device":"m1","kind":"reading","ts":1700000000001,"values":{"poll_ok":true,"voltage_l1":230.1,"active_energy":7}}'
M1_LAST = '{"device":"m1","kind":"reading","ts":1700000000004,"values":{"poll_ok":true,"voltage_l1":230.3,"active_energy":9}}'


def test_one_array_for_each_topic_of_a_batch():
    packed = plain().pack(ROWS, 4_000)
    assert packed.batch == Batch(SeqSpan(Stream.INSTANT, 1, 4), tuple(ROWS))
    assert sent(packed) == [
        ("halow/gw/m1", f"[{M1_FIRST},{M1_LAST}]"),
        ("halow/gw/m2", '[{"device":"m2","kind":"reading","ts":1700000000002,"values":{"poll_ok":true,"voltage_l1":230.2}}]'),
        ("halow/gw/gw", '[{"device":"gw","kind":"gateway","ts":1700000000003,"values":{"uptime_s":17}}]')]
    assert [part.own for part in packed.parts] == [False, False, True]


def test_one_publication_for_each_record_where_that_is_wanted():
    dialect = plain(payload_per="record", topic="a/{kind}/{profile}", payload='{"t":{ts},"who":[{gateway},{device}],"v":{values}}')
    assert sent(dialect.pack(ROWS[2:], 4_000)) == [
        ("a/gateway/_", '{"t":1700000000003,"who":["gw","gw"],"v":{"uptime_s":17}}'),
        ("a/reading/three-phase", '{"t":1700000000004,"who":["gw","m1"],"v":{"poll_ok":true,"voltage_l1":230.3,"active_energy":9}}')]


def test_names_cannot_break_out_of_a_topic_level_or_a_string():
    dialect = plain('g/+#"')
    (topic, payload), = sent(dialect.pack([row(1, 'm/"\x00\ud800', READING, 1, 2)], 4_000))
    assert topic == 'halow/g___"/m_"__'
    assert json.loads(payload)[0]["device"] == 'm/"?'


def test_a_batch_has_no_more_publications_than_the_window_or_the_dialect_takes():
    many = [row(n, f"m{n}", READING, n, n) for n in range(1, 30)]
    assert len(plain().pack(many, 60_000, None, 100).parts) == MAX_PARTS
    assert len(plain().pack(many, 60_000, None, 3).parts) == 3
    assert len(plain().pack(many, 60_000, None, 0).parts) == 1


rows = st.lists(st.tuples(st.sampled_from(["m1", "m2", ""]), st.one_of(st.none(), st.integers()), st.one_of(st.none(), st.integers())),
                min_size=1, max_size=40).map(lambda found: [row(n, device, READING if device else HEALTH, *values[:2 if device else 1])
                                                            for n, (device, *values) in enumerate(found, 1)])


@given(rows, st.integers(60, 3_000), st.one_of(st.none(), st.integers(1, 30)), st.sampled_from(["batch", "record"]))
def test_packing_loses_nothing_and_keeps_within_its_limits(everything, limit_bytes, limit_points, per):
    dialect, rest, found = plain(payload_per=per), everything, []
    while rest:
        packed = dialect.pack(rest, limit_bytes, limit_points)
        count = len(packed.batch.records)
        assert packed.batch.records == tuple(rest[:count])
        alone = sum(part.entries for part in packed.parts) <= 1        # beside records that say nothing
        assert alone or all(len(part.publish.payload) <= limit_bytes for part in packed.parts)
        assert alone or limit_points is None or sum(part.points for part in packed.parts) <= limit_points
        for part in packed.parts:
            body = msgspec.json.decode(part.publish.payload)
            elements = body if per == "batch" else [body]
            assert part.entries == len(elements)
            assert part.points == sum(len(one["values"]) for one in elements)
            found += [one["ts"] for one in elements]
        rest = rest[count:]
    said = [stored.record.stamp.wall_ms for stored in everything
            if stored.record.device or any(value is not None for value in stored.record.values)]
    assert sorted(found) == said


# ---- templates

@pytest.mark.parametrize(("template", "text"), [
    ("", "must be a topic"), ("a/{", "must be a topic"), ("a/}b", "must be a topic"), ("a/{meter}", "{meter} is no place: there are {gateway}"),
    ("a/+/b", "may not hold"), ("#", "may not hold"), ("a\n", "may not hold"), ("x" * 600, "at most 512 bytes"),
])
def test_a_topic_that_cannot_be(template, text):
    with pytest.raises(ValueError, match=text.replace("{", r"\{").replace("}", r"\}")):
        Topic(template)


@pytest.mark.parametrize(("template", "text"), [
    ("", "must have a place {ts}"), ('{"ts":{ts}}', "must have a place {values}"), ('{"a":{ts}{values}}', "is not JSON"),
    ('{"ts":{ts},"values":{values},"x":{meter}}', "is not JSON"), ('{"ts":{ts},"values":{values}', "is not JSON"),
])
def test_a_payload_that_cannot_be(template, text):
    with pytest.raises(ValueError, match=text.replace("{", r"\{").replace("}", r"\}")):
        Payload(template)


def test_settings_say_what_is_wrong_with_a_template(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('[uplink]\ndialect = "mqtt"\nprovision_key = "k"\ntopic = "a/#"\npayload = "{}"\nattributes_topic = "{x}"\n')
    with pytest.raises(SettingsError) as refused:
        load(path)
    for line in ('uplink.topic = "a/#": may not hold +, #', 'uplink.payload = "{}": must have a place {ts}',
                 'uplink.attributes_topic = "{x}": {x} is no place', "uplink.provision_key: ThingsBoard knows it"):
        assert line in str(refused.value)


# ---- against Mosquitto

def told(publications):
    """(device, ts, values) of every record, and the topics."""
    found, topics = [], set()
    for topic, payload in publications:
        body = json.loads(payload)
        topics.add(topic)
        found += [(one["device"], one["ts"], json.dumps(one["values"])) for one in (body if isinstance(body, list) else [body])]
    return found, topics


@pytest.mark.parametrize("per", ["batch", "record"])
async def test_through_a_kill_of_the_broker_nothing_is_lost_and_nothing_of_thingsboards_is_said(mosquitto, ring, feed, run_uplink, per):
    board = Attributes()
    board.tell("", {"identity": "ab12"})
    board.tell("m1", {"meter_driver": "microstar"})
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, run_uplink(
            tap.port, dialect="mqtt", payload_per=per, attributes=board, attributes_topic="halow/{gateway}/{device}/about",
            window_messages=8, batch_bytes=1_000, ack_timeout_s=0.5) as uplink:
        await feed.readings(150)
        await until(lambda: len(tap.acked) >= 5)
        await mosquitto.kill()
        await feed.readings(50)
        await mosquitto.start()
        await until(lambda: not ring.backlog(Stream.INSTANT).records, 20)
        await until(lambda: {"halow/gw/gw/about", "halow/gw/m1/about"} <= {topic for topic, _ in tap.acked_payloads})
        assert uplink.state().refused == 0
    about = [(topic, payload) for topic, payload in tap.acked_payloads if topic.endswith("/about")]
    assert ("halow/gw/gw/about", b'{"identity":"ab12"}') in about
    found, topics = told(one for one in tap.acked_payloads if not one[0].endswith("/about"))
    readings = [json.loads(values)["active_energy"] for device, _, values in found if device != "gw"]
    assert set(readings) == set(range(200))
    assert max(Counter(readings).values()) <= 2
    assert topics <= {"halow/gw/gw", *(f"halow/gw/m{n}" for n in range(5))}
    assert not any(published.topic.startswith("v1/") for published in tap.published)
