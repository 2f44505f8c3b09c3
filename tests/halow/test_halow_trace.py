"""Traces: parsing, looking up, looping."""

import json

import pytest

from halow.model import LinkSample
from halow.trace import parse

A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"

CSV = f"""# two meters, one of them fades and comes back
t_s,mac,signal_dbm,inactive_ms,tx_packets,tx_retries
0,*,-101,,,
0,{A},-60,100,10,1
2,{B.upper()},-85,,,
4,{B},,,,
6,*,,,,
8,*,-99,,,
10,{A},-61,,,
"""


def test_a_csv_trace_over_its_length():
    trace = parse(CSV)
    assert trace.length_s == 10
    assert trace.at(0).peers == (LinkSample(A, -60, inactive_ms=100, tx_packets=10, tx_retries=1),)
    assert [peer.mac for peer in trace.at(2).peers] == [A, B]
    assert [peer.mac for peer in trace.at(5.9).peers] == [A]
    assert (trace.at(6).present, trace.at(6).peers) == (False, ())
    assert (trace.at(8).present, trace.at(8).noise_dbm) == (True, -99)


def test_it_begins_again_at_its_end():
    trace = parse(CSV)
    assert trace.at(10) == trace.at(0)
    assert trace.at(1000_002.5) == trace.at(2.5)
    assert trace.next_change_s(0) == 2
    assert trace.next_change_s(9) == 1
    assert trace.next_change_s(29.5) == 0.5


def test_json_lines_say_the_same():
    rows = [{"t_s": 0, "mac": A, "signal_dbm": -60, "beacon_loss": 2}, {"t_s": 1.5, "mac": A, "signal_dbm": None}]
    trace = parse("\n".join(json.dumps(row) for row in rows))
    assert trace.at(0).peers == (LinkSample(A, -60, beacon_loss=2),)
    assert trace.at(0).noise_dbm is None
    assert trace.length_s == 1.5


def test_one_line_is_a_radio_that_never_changes():
    trace = parse(f"t_s,mac,signal_dbm\n0,{A},-70\n")
    assert trace.at(12345).peers[0].signal_dbm == -70


def test_before_the_first_line_there_is_nobody():
    trace = parse(f"t_s,mac,signal_dbm\n3,{A},-70\n5,{A},-71\n")
    assert trace.at(0).peers == ()
    assert trace.at(3).peers[0].signal_dbm == -70


@pytest.mark.parametrize(("text", "complaint"), [
    ("", "no line"),
    ("t_s,mac,signal_dbm\n", "no line"),
    (f"t_s,mac,signal_dbm\n1,{A},-60\n0,{A},-60\n", "line 3: t_s 0.0 is before"),
    (f"t_s,mac,signal_dbm\n0,{A},loud\n", "line 2.*loud"),
    (f"t_s,mac,signal_dbm\nnan,{A},-60\n", "line 2"),
    (f"t_s,mac,signal\n0,{A},-60\n", "line 2.*unknown column.*signal"),
    (f"t_s,mac,signal_dbm\n0,{A},-60,7\n", "line 2.*unknown column"),
    ('{"t_s": 0}\n', "line 1.*mac"),
    ('{"t_s": 0\n', "line 1: no JSON"),
    ('{"t_s": 0, "mac": "x", "signal_dbm": [1]}\n', "line 1"),
])
def test_what_is_wrong_is_named_with_its_line(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse(text)
