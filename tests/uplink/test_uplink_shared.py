"""The talk about shared attributes, and the one that proves a connection: what is asked, who hears what, what no bytes can do."""

from hypothesis import given
from hypothesis import strategies as st

from edge.uplink.proof import REFUSED_REST_S, TOPIC, Proof
from edge.uplink.shared import ASK_AGAIN_S, REQUEST_ID, RESPONSES, UPDATES, SharedAttributes

ANSWER = f"{RESPONSES}{REQUEST_ID}"


def followed():
    shared, seen = SharedAttributes(), {"fw": [], "config": []}
    shared.follow(("fw_title", "fw_version"), seen["fw"].append)
    shared.follow(("config",), seen["config"].append)
    return shared, seen


def test_all_attributes_are_asked_for_in_one_question_on_each_connection():
    shared, _seen = followed()
    assert shared.due(0.0, idle=True, limit_bytes=1000) is None
    shared.began()
    said = shared.due(0.0, idle=True, limit_bytes=1000)
    assert (said.publish.topic, said.publish.payload) == (
        f"v1/devices/me/attributes/request/{REQUEST_ID}", b'{"sharedKeys":"fw_title,fw_version,config"}')
    assert shared.due(1.0, idle=True, limit_bytes=1000) is None
    assert shared.rest_s(1.0) == ASK_AGAIN_S - 1.0
    assert shared.due(ASK_AGAIN_S, idle=True, limit_bytes=1000) is not None
    shared.ended()
    assert shared.due(9e9, idle=True, limit_bytes=1000) is None


def test_each_hears_of_its_own_and_an_answer_without_it_says_that_it_is_not_set():
    shared, seen = followed()
    shared.heard(ANSWER, b'{"shared":{"fw_title":"a","fw_version":"1","other":1}}', 1.0)
    assert seen == {"fw": [{"fw_title": "a", "fw_version": "1"}], "config": [{}]}
    shared.heard(UPDATES, b'{"other":2}', 1.0)
    shared.heard(UPDATES, b'{"config":{"poll":{"interval_s":5}}}', 1.0)
    shared.heard(UPDATES, b'{"fw_version":"2"}', 1.0)
    shared.heard(UPDATES, b'{"deleted":["fw_title","config"]}', 1.0)
    for wrong in (b"", b"[]", b'{"deleted":7}', b"\xff", b"[" * 100_000):
        shared.heard(UPDATES, wrong, 1.0)
    assert seen["fw"][1:] == [{"fw_title": "a", "fw_version": "2"}, {"fw_version": "2"}]
    assert seen["config"][1:] == [{"config": {"poll": {"interval_s": 5}}}, {}]
    shared.heard(ANSWER, b"{}", 1.0)
    assert (seen["fw"][-1], seen["config"][-1]) == ({}, {})


@given(st.text(), st.binary())
def test_no_bytes_of_the_server_raise(topic, payload):
    shared, _seen = followed()
    for each in (topic, UPDATES, ANSWER):
        shared.heard(each, payload, 0.0)


def test_a_connection_is_proven_by_what_is_said_on_it_and_acknowledged():
    proof, proven = Proof(), []
    proof.began()
    assert proof.due(0.0, idle=True, limit_bytes=1000) is None
    proof.ask(b"{}", lambda: proven.append("first"))
    said = proof.due(0.0, idle=True, limit_bytes=1000)
    assert (said.publish.topic, said.publish.payload) == (TOPIC, b"{}")
    assert proof.due(1.0, idle=True, limit_bytes=1000) is None
    proof.ended()
    assert proof.rest_s(1.0) == float("inf")
    proof.began()
    again = proof.due(2.0 + REFUSED_REST_S, idle=True, limit_bytes=1000)
    again.answered(0x97)      # refused: no proof, said again after a rest
    assert 0 < proof.rest_s(8.0) <= REFUSED_REST_S
    third = proof.due(100.0, idle=True, limit_bytes=1000)
    proof.ask(b"{}", lambda: proven.append("second"))
    third.answered(0)
    assert proven == [], "it was about what was asked before"
    proof.due(200.0, idle=True, limit_bytes=1000).answered(0)
    assert proven == ["second"]
    assert proof.due(300.0, idle=True, limit_bytes=1000) is None
    proof.ask(b"{}", lambda: proven.append("third"))
    proof.stop()
    assert proof.due(400.0, idle=True, limit_bytes=1000) is None
