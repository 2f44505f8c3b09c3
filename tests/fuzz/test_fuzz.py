"""A short run of every target, every case that broke something once, and the fuzzer itself against planted faults.

The long run is `make fuzz`.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fuzz_engine
import pytest
from fuzz_engine import Finding, Fuzzer, Target, ending, load, minimised, save
from fuzz_mutation import MAX_CASE_BYTES, MAX_PIECES, Case, Mutator, packed, unpacked
from fuzz_run import CRASHERS
from fuzz_targets import TARGETS, WHOLE_RUN
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dlms import axdr, axdr_encoder, ciphering, get, hdlc, opening
from edge.errors import LocalStateError, Violation

SHARE = 160            # of a whole run is played here
SEED = 20_261_122

# what a target says when a seed gets all the way: without this, most of what it should reach was never reached
REACHED = {
    "hdlc_deframer": "3 frames", "wrapper_deframer": "4 frames, no fault", "hdlc_link": "connected, 2 events", "axdr_value": "compact ",
    "clock_time": "time ++++++++++", "exact_number": "Float32 int", "poll_record": "READING, 9 scalers", "aare": "ready, True",
    "hdlc_opening": "ready, True", "digest_opening": "ready, True", "sealed_opening": "ready, True", "get": "ready", "get_list": "ready",
    "set_one": "ready", "set_list": "ready", "action": "ready", "action_list": "ready", "access": "ready", "general_blocks": "ready",
    "ciphered_apdu": "open True True", "sealed_answer": "ready", "push": "notification",
    "push_stream": "4 messages", "push_datagrams": "2 messages", "push_desk": "accepted", "load_profile": "8 rows, 8 dated",
    "meter_clock": "dated dated dated", "told_objects": "1 objects", "value_in_words": "array",
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run(name: str) -> None:
    target = TARGETS[name]
    report = Fuzzer(target, SEED).run(target.executions // SHARE)
    for finding in report.findings:
        pytest.fail(f"{finding.what}: saved as {save(minimised(target, finding), name, CRASHERS)}")
    assert report.executions == target.executions // SHARE


@pytest.mark.parametrize("path", sorted(CRASHERS.glob("*/*.txt")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_broke_something_once(path: Path) -> None:
    began = time.process_time()
    assert TARGETS[path.parent.name].run(load(path))
    assert time.process_time() - began < fuzz_engine.SLOW_S


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_get_all_the_way(name: str) -> None:
    words = [TARGETS[name].run(case) for case in TARGETS[name].seeds()]
    assert any(word.startswith(REACHED[name]) or f", {REACHED[name]}" in word for word in words), words


def test_the_table() -> None:
    assert sum(target.executions for target in TARGETS.values()) == WHOLE_RUN == 2_000_000
    assert all(target.run.__doc__ for target in TARGETS.values())
    assert set(REACHED) == set(TARGETS)


# -- faults planted in the product are found -------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "module", "attribute", "fault", "what"), [
    ("axdr_value", axdr, "MAX_DEPTH", 100_000, "RecursionError"),
    ("axdr_value", axdr_encoder, "encode_length", lambda length: bytes((length & 0xFF,)), "Violation"),
    ("get", get.apdu, "check_invoke_id", lambda answer, _invoke_id, shortest: answer.ljust(shortest, b"\xff")[1], "AssertionError"),
    ("ciphered_apdu", ciphering, "compare_digest", lambda _expected, _tag: True, "KeyError"),
    ("sealed_opening", opening.hls, "check_gmac", lambda *_: None, "AssertionError"),
    ("digest_opening", opening.hls, "check_proof", lambda *_: None, "AssertionError"),
    ("hdlc_deframer", hdlc.Deframer, "abandon", lambda _self: [], "AssertionError"),
])
def test_planted_faults_of_decoders_are_found(
    name: str, module: Any, attribute: str, fault: Any, what: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    TARGETS[name].seeds()
    monkeypatch.setattr(module, attribute, fault)
    assert any(what in finding.what for finding in Fuzzer(TARGETS[name], SEED).run(3_000).findings)


# -- the engine ----------------------------------------------------------------------------------------------------------------

def planted(run: Callable[[Case], str]) -> Target:
    return Target(run, lambda: [(b"abcd", b"efgh"), (b"\x00\x01\x02",)], 2_000)


def test_an_exception_is_found_made_small_kept_and_found_again(tmp_path: Path) -> None:
    def breaks(case: Case) -> str:
        return str(1 // (b"\xff" not in b"".join(case)))

    target = planted(breaks)
    finding, = Fuzzer(target, 1).run(2_000).findings
    assert finding.what == "ZeroDivisionError in test_fuzz.py:breaks"
    small = minimised(target, finding)
    assert small.case == (b"\xff",)
    assert load(save(small, "breaks", tmp_path)) == small.case
    again, = Fuzzer(target, 1).run(2_000).findings
    assert again == finding


@pytest.mark.parametrize(("bound", "value", "what"), [
    ("HANG_S", 0.2, "does not end"), ("SLOW_S", 0.5, "more time"), ("PEAK_BYTES", 100_000, "more memory"), ("KEPT_BLOCKS", 0.02, "growth"),
])
def test_what_costs_too_much_is_found(bound: str, value: float, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    spent_s = [0.0]

    def costs(case: Case) -> str:
        if bound == "KEPT_BLOCKS":
            kept.append(list(case))
        elif b"\x01" not in b"".join(case):
            return "little"
        elif bound == "PEAK_BYTES":
            return str(len(bytes(200_000)))
        elif bound == "SLOW_S":
            spent_s[0] += 2 * value
        else:
            try:
                while True:
                    pass
            except Exception:      # noqa: BLE001 - what code under test may do
                return "swallowed"
        return "kept"

    monkeypatch.setattr(fuzz_engine, bound, value)
    if bound == "SLOW_S":              # a clock of its own: some machines count processor time in hundredths of a second
        monkeypatch.setattr(fuzz_engine, "time", SimpleNamespace(process_time=lambda: spent_s[0]))
    finding, = Fuzzer(planted(costs), 1).run(600).findings
    assert what in finding.what


@pytest.mark.parametrize("fault", [LocalStateError("ours"), Violation("two\nlines"), Violation(""), Violation("x" * 301), KeyError("k")])
def test_errors_that_must_not_come_out(fault: Exception) -> None:
    def raises() -> str:
        raise fault

    with pytest.raises((AssertionError, LocalStateError, KeyError)):
        ending(raises)


def test_words_leave_out_what_varies() -> None:
    def raises(text: str) -> str:
        raise Violation(text)

    words = {ending(lambda text=text: raises(text)) for text in ("block 7 of 0x7f, 'hello'", "block 12 of 0xc0ffee01, 'you'")}
    assert words == {"Violation: block # of #, #"}


pieces = st.lists(st.binary(max_size=60), min_size=1, max_size=6).map(tuple)


@settings(deadline=None)
@given(pieces, pieces, st.integers(0, 1 << 32))
def test_mutated_cases_keep_to_the_limits_and_follow_the_seed(case: Case, other: Case, seed: int) -> None:
    made = []
    for _ in range(2):
        mutator = Mutator(random.Random(seed))
        changed = case
        for _ in range(5):
            changed = mutator.mutate(changed, other)
            assert 0 < len(changed) <= MAX_PIECES
            assert sum(map(len, changed)) <= MAX_CASE_BYTES
        made.append(changed)
    assert made[0] == made[1]


@settings(deadline=None)
@given(pieces)
def test_cases_travel_as_one_string(case: Case) -> None:
    assert unpacked(packed(case)) == case


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_string_is_a_case(octets: bytes) -> None:
    case = unpacked(octets)
    assert sum(map(len, case)) <= len(octets)
    assert unpacked(packed(case)) == case


def test_a_finding_is_told_by_place_not_by_case() -> None:
    assert Finding("x", (b"a",)) != Finding("x", (b"b",))
