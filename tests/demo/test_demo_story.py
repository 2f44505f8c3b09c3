"""The demo's account cannot be satisfied by nothing, and its script is sound."""

import pytest

from edge.configfile import load
from edge.demo import story
from edge.demo.director import at_rest
from edge.demo.verdict import judge
from edge.store import csvio
from halow.trace import parse

EPOCH = 1 << 40


def row(n: int, device: str = "m", *, kind: str = "reading", epoch: int = 1, stream: str = "instant") -> dict[str, object]:
    return {"stream": stream, "seq": epoch * EPOCH | n, "device": device, "kind": kind, "ts_ms": 1_000 + n, "acked": True}


DUMP = [row(1), row(2), row(3, "", kind="gateway"), row(4, kind="failure", epoch=2), row(1, "", kind="event", stream="alarm")]
ARRIVED = {("m", 1_001): 1, ("m", 1_002): 1, ("m", 1_004): 1}


def test_an_account_that_balances():
    verdict = judge(DUMP, ARRIVED, durable_seq=EPOCH | 3, conflicts=0)
    assert verdict.good
    assert (verdict.taken, verdict.failed_polls, verdict.acknowledged, verdict.received) == (3, 1, 3, 3)
    assert (verdict.lost, verdict.forgotten, verdict.invented, verdict.duplicated) == (0, 0, 0, 0)


@pytest.mark.parametrize(("dump", "arrived", "durable", "counts"), [
    (DUMP, {("m", 1_001): 1, ("m", 1_004): 1}, 3, {"lost": 1}),
    (DUMP, ARRIVED | {("m", 9_999): 1}, 3, {"invented": 1}),
    (DUMP[1:], {("m", 1_002): 1, ("m", 1_004): 1}, 3, {"forgotten": 1}),
    ([], {}, 0, {"taken": 0}),
])
def test_an_account_that_does_not(dump, arrived, durable, counts):
    verdict = judge(dump, arrived, durable_seq=EPOCH | durable, conflicts=0)
    assert not verdict.good
    assert {name: getattr(verdict, name) for name in counts} == counts


def test_repetitions_are_told_and_harmless_unless_they_differ():
    repeated = judge(DUMP, ARRIVED | {("m", 1_001): 3}, durable_seq=EPOCH | 3, conflicts=0)
    assert repeated.good
    assert repeated.duplicated == 2
    assert not judge(DUMP, ARRIVED, durable_seq=EPOCH | 3, conflicts=1).good


def test_the_script_is_one_the_gateway_accepts(tmp_path):
    (tmp_path / "gateway.toml").write_text(story.settings(str(tmp_path), 1883))
    settings = load(tmp_path / "gateway.toml")
    assert settings.radio.trace == f"{tmp_path}/radio.csv"
    assert [act.at_s for act in story.ACTS] == sorted(act.at_s for act in story.ACTS)
    assert story.ACTS[-1].at_s < story.END_S < 120


def test_the_radio_trace_fades_and_drops_a_peer():
    trace = parse(story.radio_trace())
    assert len(trace.at(0).peers) == story.METERS
    fading = [next(peer.signal_dbm for peer in trace.at(t_s).peers if peer.mac == story.peer_mac(3)) for t_s in (0, 30)]
    assert fading == [-72, -92]
    assert story.peer_mac(6) not in {peer.mac for peer in trace.at(30).peers}
    assert story.peer_mac(6) in {peer.mac for peer in trace.at(44).peers}


def test_peers_are_written_into_the_registry_rows():
    rows = csvio.parse(story.with_peers("name,host,port\r\nm1,127.0.0.1,4059\r\nm2,127.0.0.1,4060\r\n"))
    assert [each.meter.mac for each in rows] == [story.peer_mac(1), story.peer_mac(2)]


@pytest.mark.parametrize(("backlog", "in_memory", "state", "rests"), [
    (0, 0, "paused", True), (1, 0, "paused", False), (0, 1, "paused", False), (0, 0, "reading", False),
])
def test_the_account_waits_for_what_is_in_an_open_commit_window_too(backlog: int, in_memory: int, state: str, rests: bool) -> None:
    ring = {"backlog": {"instant": backlog}, "streams": {"instant": {"in_memory": in_memory}}}
    assert at_rest({"ring": ring, "meters": [{"state": "paused"}, {"state": state}]}) is rests
