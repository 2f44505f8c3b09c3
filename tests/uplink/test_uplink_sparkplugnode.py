"""The session of an edge node under its own clock: whatever happens in whatever order, a host's book has no fault."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sparkplug_oracle import Book, Payload

from edge.configfile import load
from edge.daemon.bdseq import BdSeq
from edge.errors import SettingsError
from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.uplink.attributes import Attributes
from edge.uplink.sparkplug import Sparkplug
from edge.uplink.sparkplugnode import GRACE_MS, REBIRTH_REST_S, EdgeNode, device_id

WALL_MS = 1_764_288_000_000
READING = Schema(Kind.READING, (Field("energy", 0, "Wh"), Field("power", -2, "W"), Field("state")), "three-phase")
FAILURE = Schema(Kind.FAILURE, (Field("reason"), Field("detail")), "three-phase")
HEALTH = Schema(Kind.GATEWAY, (Field("uptime_s"), Field("load")))
REBIRTH = Payload(metrics=[{"name": "Node Control/Rebirth", "boolean_value": True}]).SerializeToString()


class Site:
    """An edge node, its clock, and a host that hears everything at once."""

    def __init__(self, host_id=""):
        self.now_s, self.wall_ms, self.boot, self.bdseq, self.silent, self.seq, self.stamps = 100.0, WALL_MS, "boot", -1, set(), 0, 0
        clock = SimpleNamespace(monotonic=lambda: self.now_s, stamp=self.stamp)
        self.node = EdgeNode("g", "gw", host_id, clock, self.next, lambda name: name in self.silent)
        self.dialect = Sparkplug(self.node, Attributes())
        self.book = Book("g", "gw")
        self.connect()

    def stamp(self, age_s=0.0):
        self.stamps += 1
        return Stamp(int((self.now_s - age_s) * 1000), self.wall_ms - int(age_s * 1000), self.boot, True)

    async def next(self):
        self.bdseq = (self.bdseq + 1) % 256
        return self.bdseq

    def connect(self):
        self.will = asyncio.run(self.node.will())
        self.node.began()

    def cut(self):
        """The link breaks: the broker says the will."""
        self.book.heard(self.will.topic, self.will.payload)
        self.connect()

    def wait(self, seconds):
        self.now_s += seconds
        self.wall_ms += int(seconds * 1000)

    def hear(self, topic, payload):
        self.node.heard(topic, payload, self.now_s)

    def say(self, publish):
        sent = self.node.finished(publish)
        self.book.heard(sent.topic, sent.payload)

    def certificates(self):
        while (publish := self.node.certificate()) is not None:
            self.say(publish)
        return self.node.admitted

    def row(self, device, schema, *values, age_s=0.0):
        self.seq += 1
        return Stored(Stream.INSTANT, self.seq, Record(schema, device, self.stamp(age_s), values))

    def send(self, *rows, limit_bytes=60_000, meanwhile=""):
        """Pack and send as the drain does, with something between the two; return how many were taken."""
        assert self.certificates()
        packed = self.dialect.pack(rows, limit_bytes)
        if meanwhile:
            self.silent.update(stored.record.device for stored in rows)
            self.wait(40)
        if meanwhile == "rebirth":
            self.hear("spBv1.0/g/NCMD/gw", REBIRTH)
        assert self.certificates()
        for part in packed.parts:
            self.say(part.publish)
        return len(packed.batch.records)


values = st.one_of(st.none(), st.integers(-2**63, 2**63 - 1), st.sampled_from(["x", "", "on", "17"]))
devices = st.sampled_from(["m1", "m2", "m/1"])
steps = st.one_of(
    st.tuples(st.just("read"), st.lists(st.tuples(devices, values, values, values, st.sampled_from([0, 1, 2, 500])), min_size=1, max_size=6),
              st.sampled_from(["", "", "", "silence", "rebirth"])),
    st.tuples(st.just("health"), values), st.tuples(st.just("fail"), devices), st.tuples(st.just("wait"), st.sampled_from([0.001, 6, 40])),
    st.tuples(st.just("silent"), devices), st.tuples(st.just("speaks"), devices), st.just(("cut",)), st.just(("rebirth",)),
    st.tuples(st.just("clock"), st.sampled_from([-3_600_000, 3_600_000])), st.just(("forget",)), st.just(("shown",)))
ONE = [("m1", 1, 1, "a", 0)]


@given(st.lists(steps, max_size=25), st.sampled_from([120, 400, 60_000]))
@settings(max_examples=100)
@example([("read", ONE, ""), ("silent", "m1"), ("wait", 40), ("read", ONE, "")], 400)         # dead, and one more value of it
@example([("read", ONE, ""), ("wait", 40), ("read", ONE, "silence"), ("wait", 40)], 400)      # packed before it fell silent
@example([("read", ONE, ""), ("silent", "m1"), ("wait", 40), ("read", ONE, "rebirth")], 400)
@example([("read", ONE, ""), ("shown",), ("cut",), ("read", ONE, "")], 400)
def test_a_host_finds_no_fault_in_whatever_happens(story, limit_bytes):
    site = Site()
    told = 0
    for what, *more in story:
        site.wait(0.01)
        if what == "read":
            rows = []
            for device, *found, age_s in more[0]:
                site.wait(0.002)
                rows.append(site.row(device, READING, *found, age_s=age_s))
            while rows:
                count = site.send(*rows, limit_bytes=limit_bytes, meanwhile=more[1])
                told, rows = told + count, rows[count:]
        elif what == "forget":
            assert site.certificates()
            site.dialect.pack([site.row("m2", READING, 1, 2, 3)], limit_bytes)
        elif what == "shown":
            site.hear("spBv1.0/g/NCMD/gw", REBIRTH)
            site.wait(REBIRTH_REST_S)
            assert site.node.certificate() is not None      # and no room to send it
        elif what == "health":
            site.send(site.row("", HEALTH, more[0], 1))
        elif what == "fail":
            site.send(site.row(more[0], FAILURE, "timeout", "no answer"))
        elif what == "rebirth":
            site.hear("spBv1.0/g/NCMD/gw", REBIRTH)
        elif what == "cut":
            site.cut()
        elif what == "wait":
            site.wait(more[0])
            site.certificates()
        elif what == "clock":
            site.wall_ms += more[0]
        else:
            (site.silent.add if what == "silent" else site.silent.discard)(more[0])
    assert site.certificates()
    assert site.book.bdseq == site.bdseq
    assert [fault for fault in site.book.faults if not fault.endswith("goes back in time")] == []
    if not any(what == "clock" for what, *_ in story):
        assert site.book.faults == []
        assert sum(name == "poll_ok" for device, name, _ in site.book.values if site.book.values[device, name, _]) == told


def test_one_batch_has_one_type_for_a_tag():
    site = Site()
    site.send(site.row("m1", READING, 5, 100, "a"), site.row("m1", READING, "n/a", 250, 7, age_s=-0.01))
    assert site.book.faults == []
    assert [site.book.values[place] for place in sorted(site.book.values, key=lambda place: place[2]) if place[1] == "energy"] == ["5", "n/a"]


def test_what_is_current_and_what_is_history():
    site = Site()
    old, grace = site.row("m1", READING, 1, 1, "a", age_s=GRACE_MS / 1000 + 1), site.row("m1", READING, 2, 2, "b", age_s=GRACE_MS / 1000 - 1)
    site.send(old, grace)
    site.wait(500)
    site.send(site.row("m1", READING, 3, 3, "c"))
    site.send(site.row("m1", READING, 4, 4, "d", age_s=100))
    current = [site.book.values[place] for place in site.book.current if place[1] == "energy"]
    history = [site.book.values[place] for place in site.book.history if place[1] == "energy"]
    assert (current, history) == ([2, 3], [1, 4])
    site.cut()
    assert site.certificates()
    assert site.book.verbs[-2:] == ["NBIRTH", "DBIRTH m1"]
    site.send(Stored(Stream.INSTANT, 9, Record(READING, "m1", Stamp(1, site.wall_ms, "another boot", True), (9, 9, "e"))))
    assert site.book.history[-1] == ("m1", "state", site.wall_ms)


def test_a_clock_that_was_in_the_future_bars_nothing():
    site = Site()
    site.wall_ms += 10**11
    site.send(site.row("m1", READING, 1, 1, "a"))
    site.wall_ms -= 10**11
    site.wait(1)
    site.send(site.row("m1", READING, 2, 2, "b"))
    assert len([place for place in site.book.current if place[1] == "energy"]) == 2


def test_a_backlog_uses_up_no_time_of_the_clock():
    """No two stamps share a millisecond: one for each message would put the next readings into the future."""
    site = Site()
    for n in range(300):
        site.wait(0.001)
        site.send(site.row("m1", READING, n, n, "a"))
    assert len(site.book.verbs) > 300
    assert site.stamps < 300 + 10


def test_a_burst_whose_stamps_run_ahead_stays_in_order():
    site = Site()
    rows = [site.row("m1", READING, n, n, "a", age_s=-n / 1000) for n in range(200)]
    site.send(*rows[100:])
    site.send(*rows[:100])
    assert site.book.faults == []
    assert len([place for place in site.book.history if place[1] == "energy"]) == 100


def test_a_wish_that_the_first_birth_fulfils_is_fulfilled():
    site = Site()
    site.hear("spBv1.0/g/NCMD/gw", REBIRTH)
    assert site.certificates()
    site.wait(REBIRTH_REST_S + 1)
    assert site.certificates()
    assert site.book.verbs == ["NBIRTH"]


def test_a_time_that_may_not_be_believed_says_so():
    site = Site()
    stamp = Stamp(int(site.now_s * 1000), WALL_MS, site.boot, False, "bracket", WALL_MS + 5)
    assert site.certificates()
    packed = site.dialect.pack([Stored(Stream.INSTANT, 1, Record(READING, "m1", stamp, (1, None, None)))], 4_000)
    metric = Payload.FromString(packed.parts[0].publish.payload).metrics[-1]
    said = dict(zip(metric.properties.keys, metric.properties.values, strict=True))
    assert (said["ts_q"].string_value, said["ts_earliest_ms"].long_value, said["ts_latest_ms"].long_value) == ("bracket", WALL_MS, WALL_MS + 5)


def test_a_rebirth_is_at_most_one_in_a_while_and_none_is_forgotten():
    site = Site()
    site.send(site.row("m1", READING, 1, 1, "a"))
    for _ in range(100):
        site.hear("spBv1.0/g/NCMD/gw", REBIRTH)
    assert site.certificates()
    assert site.book.verbs.count("NBIRTH") == 1
    assert 0 < site.node.rest_s(site.now_s) <= REBIRTH_REST_S
    site.wait(REBIRTH_REST_S)
    assert site.certificates()
    assert site.book.verbs[-2:] == ["NBIRTH", "DBIRTH m1"]
    assert site.node.rest_s(site.now_s) == float("inf")
    assert site.book.faults == []


@pytest.mark.parametrize("state", [b"", b"ONLINE", b"[]", b'{"online":true}', b'{"online":1,"timestamp":1}', b'{"online":true,"timestamp":true}',
                                   b'{"online":true,"timestamp":"1"}', b"[" * 50_000])
def test_what_is_no_state_lets_nothing_out(state):
    site = Site("scada")
    site.hear("spBv1.0/STATE/scada", state)
    assert not site.certificates()
    assert (site.book.verbs, site.node.over) == ([], "")
    site.hear("spBv1.0/STATE/other", b'{"online":true,"timestamp":5}')
    assert not site.certificates()
    site.hear("spBv1.0/STATE/scada", b'{"online":true,"timestamp":5}')
    assert site.certificates()


def test_two_names_never_share_a_device():
    assert device_id("meter-17") == "meter-17"
    assert len({device_id(name) for name in ("a/1", "a+1", "a#1", "a_1")}) == 4
    assert not {"/", "+", "#"} & set("".join(map(device_id, ("a/1", "a+1", "a#1"))))


async def test_bdseq_goes_on_after_a_restart_and_after_255(tmp_path, caplog):
    first = BdSeq(tmp_path)
    assert [await first.next() for _ in range(3)] == [0, 1, 2]
    assert await BdSeq(tmp_path).next() == 3
    (tmp_path / "sparkplug.bdseq").write_bytes(b"255\n")
    assert await BdSeq(tmp_path).next() == 0
    for damaged in (b"", b"\0\0\0\0", b"-1", b"9999", b"1" * 100_000):
        (tmp_path / "sparkplug.bdseq").write_bytes(damaged)
        assert await BdSeq(tmp_path).next() == 0
    lost = BdSeq(tmp_path / "gone")
    assert [await lost.next(), await lost.next()] == [0, 1]
    assert "cannot be kept: No such file" in caplog.text


@pytest.mark.parametrize(("lines", "text"), [
    ('dialect = "sparkplug"', 'uplink.dialect = "sparkplug": needs uplink.sparkplug_group'),
    ('dialect = "sparkplug"\nsparkplug_group = "a/b"', 'uplink.sparkplug_group = "a/b": is a level of Sparkplug\'s topics'),
    ('dialect = "sparkplug"\nsparkplug_group = "a"\nsparkplug_primary_host = "#"', 'uplink.sparkplug_primary_host = "#": is a level'),
    ('dialect = "sparkplug"\nsparkplug_group = "a"\nprovision_key = "k"', "uplink.provision_key: ThingsBoard knows it"),
    ('sparkplug_group = "a"', 'uplink.sparkplug_group = "a": does nothing without'),
])
def test_settings_say_what_is_wrong(tmp_path, lines, text):
    path = tmp_path / "gateway.toml"
    path.write_text(f"[uplink]\n{lines}\n")
    with pytest.raises(SettingsError) as refused:
        load(path)
    assert text in str(refused.value)
