"""The account of the recordings: each file is what it was, and is played to the client and put to the simulated meter.

What a recorded client sent and ours never does is named here, frame by frame; everything else is compared to the last octet.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import test_dlms_hostile as hostile
import test_dlms_replay as replays
import test_dlms_security as security
import test_sim_captures as simulated
import test_sim_captures_deep as simulated_deep
import test_sim_push as simulated_push
from dlms_compare import same
from dlms_scripts import CAPTURES, SCENARIOS, Replay, asked, load

from edge.dlms.apdu import refusal
from edge.dlms.get import GetExchange
from edge.errors import FailReason


class Played(NamedTuple):
    """Which test plays a recording to the client, and which puts its requests to the simulated meter."""

    client: Callable[..., Any]
    meter: Callable[..., Any]


WHOLE, EXACT, DEEP = replays.test_recorded_conversation, simulated.test_answers_as_the_recorded_meter_did, simulated_deep.test_profiles_as_recorded
NEVER_SENT, SEALED = replays.test_what_the_meter_says_to_requests_that_this_client_never_sends, simulated_deep.test_ciphered_as_recorded
LEDGER: dict[str, Played] = {
    "hdlc_lls_1byte": Played(WHOLE, EXACT),
    "hdlc_lls_4byte": Played(WHOLE, EXACT),
    "hdlc_lls_flag_in_address": Played(WHOLE, EXACT),
    "hdlc_lls_flag_inside": Played(WHOLE, DEEP),
    "hdlc_lls_negotiated_down": Played(WHOLE, EXACT),
    "hdlc_lls_profile_info128": Played(WHOLE, DEEP),
    "hdlc_lls_rejected": Played(replays.test_wrong_password_is_refused_with_its_diagnostic, EXACT),
    "hdlc_no_association": Played(replays.test_get_without_association_is_answered_by_an_exception, EXACT),
    "hdlc_none": Played(WHOLE, EXACT),
    "push_hdlc": Played(replays.test_pushes_are_handed_on, simulated_push.test_notifications_as_recorded),
    "push_wrapper": Played(replays.test_pushes_are_handed_on, simulated_push.test_notifications_as_recorded),
    "wrapper_gmac_bad_f_stoc": Played(replays.test_wrong_proof_is_refused_by_the_meter_and_ends_the_association, SEALED),
    "wrapper_gmac_general_glo": Played(WHOLE, SEALED),
    "wrapper_gmac_invocation_counter": Played(replays.test_stale_counter_is_told_with_the_lowest_that_is_taken, SEALED),
    "wrapper_gmac_plain_request": Played(NEVER_SENT, SEALED),
    "wrapper_gmac_replayed_request": Played(NEVER_SENT, SEALED),
    "wrapper_gmac_tampered_request": Played(NEVER_SENT, SEALED),
    "wrapper_gmac_wrong_key": Played(replays.test_wrong_key_is_told_by_the_meter, SEALED),
    "wrapper_lls_blocks_pdu128": Played(WHOLE, DEEP),
    "wrapper_lls_object_list": Played(WHOLE, simulated_deep.test_object_list_aside_the_profile_tells_of_itself_as_recorded),
    "wrapper_lls_profile_entry": Played(WHOLE, DEEP),
    "wrapper_lls_profile_range": Played(WHOLE, DEEP),
    "wrapper_lls_reads": Played(WHOLE, EXACT),
    "wrapper_lls_rejected": Played(replays.test_wrong_password_is_refused_with_its_diagnostic, EXACT),
    "wrapper_lls_set_action": Played(WHOLE, EXACT),
    "wrapper_lls_undefined": Played(WHOLE, EXACT),
    "wrapper_no_association": Played(WHOLE, EXACT),
    "wrapper_none": Played(WHOLE, EXACT),
}

# hostile.json by layer, and hostile_sequences.json: each input has one test that must refuse it or come back into step
REFUSED = {"hdlc": hostile.test_deframer, "wrapper": hostile.test_wrapper, "apdu": hostile.test_apdu, "axdr": hostile.test_axdr,
           "ciphered": security.test_recorded_hostile_answers}

# (recording, frame) that the recorded client sent and ours does not: why
NOT_SENT = {(name, at): why for name, (indices, why) in replays.SKIPPED.items() for at in indices if load(name)["exchange"][at]["dir"] == "tx"} | {
    ("wrapper_gmac_bad_f_stoc", 2): "a wrong proof; ours is right", ("wrapper_gmac_bad_f_stoc", 4): "a GET after the refused proof",
    ("wrapper_gmac_plain_request", 6): "a GET in clear in a ciphered association", ("wrapper_gmac_replayed_request", 6): "a counter used before",
    ("wrapper_gmac_tampered_request", 6): "an altered tag",
}


def test_the_files_are_what_they_were() -> None:
    """`sha256sum --check SHA256SUMS` in tests/captures, and no file beside those."""
    told = dict(reversed(line.split("  ")) for line in (CAPTURES / "SHA256SUMS").read_text().splitlines())
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in CAPTURES.glob("*.json")} == told


def test_every_file_is_in_the_ledger() -> None:
    assert {path.stem for path in CAPTURES.glob("*.json")} == {*LEDGER, "hostile", "hostile_sequences"}
    assert {name for name in LEDGER if not name.startswith("push")} == set(SCENARIOS)


@pytest.mark.parametrize("name", LEDGER)
def test_the_tests_named_do_play_the_file(name: str) -> None:
    for test in LEDGER[name]:
        assert name in named_in(test), f"{test.__module__}.{test.__name__} never sees {name}"


def test_every_hostile_input_is_refused_somewhere() -> None:
    for layer, test in REFUSED.items():
        assert {item["name"] for item in load("hostile")["inputs"] if item["layer"] == layer} <= named_in(test)
    assert {item["layer"] for item in load("hostile")["inputs"]} == set(REFUSED)
    assert {script["name"] for script in load("hostile_sequences")["sequences"]} <= named_in(hostile.test_sequence)


def named_in(test: Callable[..., Any]) -> set[str]:
    """Every text that a test is parametrised with, by value or by id, or that stands in its code; lists in its module too."""
    found: set[str] = set()
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            for case in mark.args[1]:
                found |= set(texts(getattr(case, "values", case))) | set(texts(getattr(case, "id", "")))
            if callable(label := mark.kwargs.get("ids")):
                found |= {label(case) for case in mark.args[1]}
    return found | {text for constant in test.__code__.co_consts for text in texts(constant)} | {f"push_{text}" for text in found}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from texts(each)


def test_what_is_left_out_is_a_request_and_has_a_reason() -> None:
    requests = {(name, at) for name in SCENARIOS for at, entry in enumerate(load(name)["exchange"]) if entry["dir"] == "tx"}
    assert set(NOT_SENT) <= requests
    assert all(NOT_SENT.values())
    assert (len(requests), len(NOT_SENT)) == (352, 11)


# -- what the meter answered to those is read all the same -------------------------------------------------------------------

def test_a_list_that_is_too_long_for_the_meter_is_read_if_it_answers() -> None:
    script = load("wrapper_lls_blocks_pdu128")
    request, answer = (bytes.fromhex(script["exchange"][at]["hex"])[8:] for at in (2, 3))
    exchange = GetExchange(tuple(asked(request)), request[2] & 0x0F)
    assert exchange.request == request
    exchange.receive(answer)
    (expected,) = [told for told in script["expected"] if told["rx"] == [3]]
    for item, result in zip(expected["items"], exchange.results, strict=True):
        same(item, result)


@pytest.mark.parametrize(("name", "at"), [("wrapper_no_association", 1), ("wrapper_gmac_bad_f_stoc", 5)])
def test_the_exception_for_a_request_without_association_is_told(name: str, at: int) -> None:
    error = refusal(bytes.fromhex(load(name)["exchange"][at]["hex"])[8:])
    assert error.reason is FailReason.EXCEPTION_RESPONSE
    assert "service not allowed (1), service not supported (2)" in str(error)


def test_a_second_disc_needs_no_answer() -> None:
    replay = Replay(load("hdlc_none"), skipped=(10, 11))
    replay.run()
    replay.association.receive_data(bytes.fromhex(load("hdlc_none")["exchange"][11]["hex"]), replay.now)
    assert replay.association.next_event() is None
