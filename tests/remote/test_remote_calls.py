"""Calls of the server: read, allowed, answered; an answer goes out until it is acknowledged; a change is done once."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from edge.clock import SystemClock
from edge.config import RemoteSettings, Settings
from edge.daemon.remote import INTERRUPTED, MOST_AT_ONCE, Parts, RemoteDesk
from edge.errors import ConfigError
from edge.logs.level import LevelDesk
from edge.model import Publish
from edge.remote.calls import METHODS, Call, Relay, answer, call_of, request_of
from edge.remote.hands import BUSY, TOO_LONG, Hands
from edge.remote.journal import Journal

OWN, GATEWAY = "v1/devices/me/rpc/request/7", "v1/gateway/rpc"
EVERYTHING = tuple(METHODS)


def test_both_forms_are_read_and_answered_in_their_own_form():
    own = call_of(OWN, b'{"method":"status","params":{}}')
    of_meter = call_of(GATEWAY, b'{"device":"m1","data":{"id":9,"method":"read","params":{"targets":["1-0:1.8.0"]}}}')
    assert own == Call("", 7, "status", {})
    assert answer(own, {"a": 1}) == Publish("v1/devices/me/rpc/response/7", b'{"a":1}')
    assert answer(of_meter, {"a": 1}) == Publish(GATEWAY, b'{"device":"m1","id":9,"data":{"a":1}}')


@pytest.mark.parametrize(("topic", "payload"), [
    (GATEWAY, b"{"), (GATEWAY, b'{"device":"m1"}'), (GATEWAY, b'{"device":"","data":{"id":1,"method":"read"}}'),
    ("v1/devices/me/rpc/request/x", b"{}"), ("v1/devices/me/rpc/request/" + "9" * 30, b"{}"), ("v1/devices/me/attributes", b"{}")])
def test_what_nobody_can_be_answered_for_is_left(topic, payload):
    assert call_of(topic, payload) is None


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"method":1}', b"[" * 5_000, b'{"method":"\xff"}'])
def test_a_call_that_cannot_be_read_is_answered_with_why(payload):
    told = call_of(OWN, payload)
    assert isinstance(told, Publish)
    assert told.topic.endswith("/7")
    assert "no call" in msgspec.json.decode(told.payload)["error"]


@pytest.mark.parametrize(("call", "says"), [
    (Call("m1", 1, "reboot", None), "no method 'reboot'"), (Call("", 1, "pause", None), "no method 'pause'"),
    (Call("m1", 1, "status", None), "no method 'status'"), (Call("m1", 1, "relay", {"order": "up"}), "relay: Invalid enum value"),
    (Call("m1", 1, "read", {"targets": []}), "between 1 and"), (Call("m1", 1, "read", None), "missing required field"),
    (Call("m1", 1, "pause", {"for": 3}), "unknown field"), (Call("m1", 1, "backfill", {"from_s": "x", "to_s": 1}), "backfill: Expected `int`"),
    (Call("", 1, "log_level", {"level": "debug", "part": "kitchen"}), "log_level: Invalid enum value 'kitchen'")])
def test_nonsense_is_refused_in_one_line(call, says):
    with pytest.raises(ConfigError, match=says) as caught:
        request_of(call, EVERYTHING)
    assert "\n" not in str(caught.value)


def test_what_changes_something_is_not_allowed_at_first():
    allowed = Settings().remote.allow
    only_reading = {name for name, method in METHODS.items() if not method.changes}
    assert set(allowed) == only_reading - {"bundle_part"}, "an archive tells more than a call"
    with pytest.raises(ConfigError, match=r"remote\.allow"):
        request_of(Call("m1", 1, "relay", {"order": "off"}), allowed)
    assert request_of(Call("m1", 1, "relay", {"order": "off"}), EVERYTHING) == Relay(order="off")
    assert request_of(Call("m1", 1, "pause", ""), EVERYTHING)      # a dashboard's way of giving nothing


def said(hands, limit_bytes=65_000):
    return hands.due(0.0, idle=True, limit_bytes=limit_bytes)


def test_an_answer_without_a_puback_goes_out_on_the_next_connection():
    hands, finished = Hands(), []
    hands.reply(Call("", 1, "status", None), {"a": 1}, lambda: finished.append(1))
    hands.reply(Call("", 2, "status", None), {"b": 2})
    first, second = said(hands), said(hands)
    second.answered(0)
    hands.ended()
    hands.began()
    again = said(hands)
    assert again.publish == first.publish
    assert said(hands) is None
    assert not finished
    again.answered(0)
    hands.began()
    assert finished == [1]
    assert said(hands) is None


def test_calls_beyond_what_is_taken_and_answers_too_long_are_told():
    hands = Hands()
    hands.heard(OWN, b'{"method":"status"}', 0.0)
    assert msgspec.json.decode(said(hands).publish.payload) == {"error": BUSY}
    hands.reply(Call("", 1, "status", None), {"a": "x" * 900})
    assert msgspec.json.decode(said(hands, 500).publish.payload) == {"error": TOO_LONG}


class Place:
    """A desk with parts that count what they are asked to do."""

    def __init__(self, path, allow=EVERYTHING, box=None):
        self.events, self.paused, self.gate = [], [], asyncio.Event()
        self.gate.set()
        clock = SystemClock(trust_wall=True)
        means = SimpleNamespace(clock=clock, keep=lambda _stream, record: self.events.append(record.values))
        enrolment = SimpleNamespace(meters=(SimpleNamespace(name="m1"),), profile_of=lambda _name: "p", set_paused=self.set_paused,
                                    reload=lambda: asyncio.sleep(0))
        self.hands, self.levels = Hands(), LevelDesk("info")
        self.desk = RemoteDesk(RemoteSettings(allow=allow), self.hands, path, Parts(None, enrolment, None, means, None, None, box, self.levels))
        self.woken = asyncio.Event()
        self.hands.wake = self.woken.set

    async def set_paused(self, name, *, paused):
        self.paused.append((name, paused))
        await self.gate.wait()
        return True

    async def ask(self, number=1, method="pause", params=None, *, own=False):
        if own:
            self.hands.heard(f"v1/devices/me/rpc/request/{number}", msgspec.json.encode({"method": method, "params": params}), 0.0)
        else:
            self.call(number, method)
        return await self.answer()

    def call(self, number=1, method="pause"):
        self.hands.heard(GATEWAY, msgspec.json.encode({"device": "m1", "data": {"id": number, "method": method}}), 0.0)

    async def answer(self):
        while (due := said(self.hands)) is None:
            self.woken.clear()
            async with asyncio.timeout(10):
                await self.woken.wait()
        told = msgspec.json.decode(due.publish.payload)
        return told["data"] if due.publish.topic == GATEWAY else told, due

    async def __aenter__(self):
        self.task = asyncio.create_task(self.desk.run(lambda _within_s: None))
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_a_change_is_done_once_however_often_it_is_delivered(tmp_path):
    async with Place(tmp_path) as place:
        first, _ = await place.ask()
        second, _ = await place.ask()
        assert first == second == {"changed": True, "summary": "m1 is paused"}
        assert place.paused == [("m1", True)]
        assert [event[0] for event in place.events] == ["remote_done"]
        assert place.events[0][2] == "thingsboard rpc 1"
    async with Place(tmp_path) as after:      # a start of the gateway in between
        again, _ = await after.ask()
        assert again == first
        assert after.paused == []
        await after.ask(2, "resume")
        assert after.paused == [("m1", False)]


async def test_a_change_cut_off_by_a_restart_is_not_repeated(tmp_path):
    async with Place(tmp_path) as place:
        place.gate.clear()
        place.call()
        async with asyncio.timeout(10):
            while not place.paused:
                await asyncio.sleep(0)
        place.call()      # delivered again while it is worked on
    async with Place(tmp_path) as after:
        told, _ = await after.ask()
        assert told == {"error": INTERRUPTED}
        assert after.paused == []


async def test_once_the_server_has_the_answer_the_same_number_is_another_call(tmp_path):
    """ThingsBoard numbers from 0 again after a restart of its own."""
    async with Place(tmp_path) as place:
        for _ in range(2):
            _, due = await place.ask()
            due.answered(0)
        assert place.paused == [("m1", True)] * 2
        _, due = await place.ask(2, "resume")
        due.answered(0x97)      # over its rate limit: it has not got it, and delivers the call again
        assert place.hands.due(0.0, idle=True, limit_bytes=1_000) is None
        place.hands.began()
        assert (await place.answer())[1].publish == due.publish
        await place.ask(2, "resume")
        assert place.paused[2:] == [("m1", False)]


async def test_the_gateway_resumes_a_meter_that_cannot_be_called(tmp_path):
    async with Place(tmp_path) as place:
        place.hands.heard(OWN, b'{"method":"resume_meter","params":{"meter":"m1"}}', 0.0)
        while (due := said(place.hands)) is None:
            place.woken.clear()
            async with asyncio.timeout(10):
                await place.woken.wait()
        assert msgspec.json.decode(due.publish.payload) == {"changed": True, "summary": "m1 is polled"}
        assert place.paused == [("m1", False)]


async def test_the_log_says_more_of_one_part_for_a_while_and_as_before_by_its_word(tmp_path):
    async with Place(tmp_path) as place:
        levels = place.levels
        told, _ = await place.ask(1, "log_level", {"level": "debug", "part": "uplink", "for_s": 600}, own=True)
        assert told == {"summary": "log level of uplink debug, for 600 s, then as the rest again"}
        assert [(part["part"], part["level"]) for part in levels.state()["parts"]] == [("uplink", "debug")]
        assert levels.state()["level"] == "info", "and of no other"
        told, _ = await place.ask(2, "log_level", {"level": "default", "part": "uplink"}, own=True)
        assert told == {"summary": "log level of uplink as the rest again"}
        assert levels.state()["parts"] == []
        assert [event[0] for event in place.events] == ["remote_done"] * 2


async def test_what_is_refused_leaves_an_event_and_no_work(tmp_path):
    async with Place(tmp_path, allow=("read",)) as place:
        told, _ = await place.ask()
        assert "remote.allow" in told["error"]
        assert (place.paused, [event[0] for event in place.events]) == ([], ["remote_refused"])


async def test_no_more_calls_at_once_than_can_be_served(tmp_path):
    async with Place(tmp_path) as place:
        place.gate.clear()
        for number in range(MOST_AT_ONCE + 1):
            place.call(number)
        told, _ = await place.answer()
        assert told == {"error": BUSY}


def test_an_answer_that_the_server_has_is_forgotten_at_once_and_one_that_it_lacks_late(tmp_path):
    journal = Journal(tmp_path)
    for key in "ab":
        journal.begin(key, 0)
        journal.done(key, {"key": key})
    journal.taken("a")
    assert journal.known("a", 0) == (False, None), "the same number is another call: the server was started anew"
    assert Journal(tmp_path).known("a", 0)[0]
    journal.save()
    assert not Journal(tmp_path).known("a", 0)[0]
    assert [journal.known(key, 86_399_000) for key in "ab"] == [(False, None), (True, {"key": "b"})]
    assert journal.known("b", 86_401_000) == (False, None)


def test_a_clock_that_does_not_know_the_time_makes_no_call_old(tmp_path):
    now_ms, day_ms = 1_800_000_000_000, 86_400_000
    journal = Journal(tmp_path)
    journal.begin("reboot", now_ms)
    journal = Journal(tmp_path)      # the board is up again, in 1970, and the call is delivered once more
    assert journal.known("reboot", None) == (True, None)
    journal.begin("switch", None)
    journal = Journal(tmp_path)
    assert journal.known("switch", now_ms + 1) == (True, None), "the time is known by now"
    assert journal.known("reboot", now_ms + day_ms) == (False, None)
    assert journal.known("switch", now_ms + day_ms) == (True, None)
    assert journal.known("switch", now_ms + 1 + day_ms) == (False, None)


@pytest.mark.parametrize("damage", [b"", b"{", b'[{"key":1}]'])
def test_a_damaged_journal_is_as_good_as_none(tmp_path, damage):
    (tmp_path / "remote.json").write_bytes(damage)
    assert Journal(tmp_path).known("a", 0) == (False, None)


def test_a_damaged_journal_is_told_and_none_at_all_is_not(tmp_path, caplog):
    assert Journal(tmp_path).known("k", 0) == (False, None)
    assert caplog.text == ""
    (tmp_path / "remote.json").write_bytes(b"[{")
    damaged = Journal(tmp_path)
    assert "remote.json: cannot be read, a remote call that ThingsBoard repeats may be done twice" in caplog.text
    damaged.begin("k", 1)
    assert Journal(tmp_path).known("k", 1) == (True, None)
