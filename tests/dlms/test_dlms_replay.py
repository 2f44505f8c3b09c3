"""Every recorded conversation, plain and ciphered: our bytes are the recorded client's bytes, the values are the recorded ones."""

from typing import Any

import pytest
from dlms_compare import compare, same_raw
from dlms_scripts import CUTS, SCENARIOS, Replay, load, sealed_in, secured

from edge.dlms import axdr
from edge.dlms.association import Association, Closed, Pushed
from edge.dlms.ciphering import Cipher
from edge.dlms.cosem import Attribute, Obis
from edge.errors import CounterTooLow, FailReason, LocalStateError, Refused

# (scenario, frames that are left out): why. What is not named here is played and compared to the last octet.
SKIPPED: dict[str, tuple[tuple[int, ...], str]] = {
    "hdlc_none": ((10, 11), "a second DISC after the link is down: this client says it once"),
    "wrapper_lls_reads": ((52, 53), "RLRQ is never sent: closing the connection releases, and some meters trip over it"),
    "wrapper_lls_set_action": ((26, 27), "RLRQ"),
    "wrapper_none": ((46, 47), "RLRQ"),
    "wrapper_no_association": ((0, 1), "GET before AARQ: this client cannot"),
    "wrapper_lls_blocks_pdu128": ((2, 3), "a request of 184 octets for a meter that takes 128: refused here, see below"),
}
# These end in an error that belongs to them; their own tests stand below.
ENDING = {"hdlc_lls_rejected", "wrapper_lls_rejected", "hdlc_no_association", "wrapper_gmac_bad_f_stoc",
          "wrapper_gmac_plain_request", "wrapper_gmac_replayed_request", "wrapper_gmac_tampered_request",
          "wrapper_gmac_wrong_key", "wrapper_gmac_invocation_counter"}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ENDING])
def test_recorded_conversation(name: str, cut: str) -> None:
    script = load(name)
    replay = Replay(script, CUTS[cut], SKIPPED.get(name, ((), ""))[0])
    replay.run()
    played = [expected for expected in script["expected"] if not set(expected["rx"]) & set(replay.skipped)]
    for expected in played:
        assert compare(expected, [event for index in expected["rx"] for event in replay.heard[index]], replay)
    assert len(played) >= len(script["expected"]) - 1 > 0


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["hdlc_lls_rejected", "wrapper_lls_rejected"])
def test_wrong_password_is_refused_with_its_diagnostic(name: str, cut: str) -> None:
    replay = Replay(load(name), CUTS[cut])
    with pytest.raises(Refused, match=r"rejected permanent \(1\), authentication failed \(13\)") as caught:
        replay.run()
    assert caught.value.reason is FailReason.ASSOCIATION_REFUSED
    assert not caught.value.temporary
    assert "0000" not in str(caught.value)
    if name == "hdlc_lls_rejected":       # the link is still there and is taken down as the recorded client does
        replay.association.close(replay.now)
        assert replay.association.data_to_send().hex() == load(name)["exchange"][4]["hex"]
        replay.association.receive_data(bytes.fromhex(load(name)["exchange"][5]["hex"]), replay.now)
        assert replay.association.next_event() == Closed()


def test_get_without_association_is_answered_by_an_exception() -> None:
    script = load("hdlc_no_association")
    replay = Replay(script, skipped=(2, 3, 4, 5))
    replay.run()
    link = replay.association._link
    link.data_to_send()                     # instead of the AARQ that is due now, the recorded GET
    link._segments, link._answer_due, link._send_number = [], False, 0
    link.send(replay.request_at(2), replay.now)
    assert link.data_to_send().hex() == script["exchange"][2]["hex"]
    with pytest.raises(Refused, match=r"service not allowed \(1\), service not supported \(2\)") as caught:
        replay.association.receive_data(bytes.fromhex(script["exchange"][3]["hex"]), replay.now)
    assert caught.value.reason is FailReason.EXCEPTION_RESPONSE
    replay.association.close(replay.now)
    assert replay.association.data_to_send().hex() == script["exchange"][4]["hex"]
    replay.association.receive_data(bytes.fromhex(script["exchange"][5]["hex"]), replay.now)
    assert replay.association.next_event() == Closed()


def test_request_above_the_meters_pdu_is_not_sent() -> None:
    script = load("wrapper_lls_blocks_pdu128")
    replay = Replay({**script, "exchange": script["exchange"][:2]})
    replay.run()
    association = replay.association
    with pytest.raises(LocalStateError, match=r"184 octets, the meter takes 128: ask for 12 at most"):
        association.get([*_eighteen(script)], replay.now)
    assert association.data_to_send() == b""
    association.get([*_eighteen(script)][:12], replay.now)
    assert len(association.data_to_send()) == 8 + 4 + 120


def _eighteen(script: dict[str, Any]) -> Any:
    from dlms_scripts import asked
    return asked(bytes.fromhex(script["exchange"][2]["hex"])[8:])


# -- high-level security and ciphering: the refusals ---------------------------------------------------------------------

def played(name: str, cut: str, frames: int) -> Replay:
    """The first `frames` of a recording, after which the association must still be alive."""
    replay = Replay(load(name), CUTS[cut])
    for index, entry in enumerate(replay.script["exchange"][:frames]):
        replay.step(index, entry)
    return replay


@pytest.mark.parametrize("cut", CUTS)
def test_wrong_proof_is_refused_by_the_meter_and_ends_the_association(cut: str) -> None:
    replay = played("wrapper_gmac_bad_f_stoc", cut, 2)
    assert replay.association.data_to_send().hex() != replay.script["exchange"][2]["hex"]      # ours is right
    with pytest.raises(Refused, match=r"our proof of the secret: read write denied \(3\)") as caught:
        replay.step(3, replay.script["exchange"][3])
    assert caught.value.reason is FailReason.ASSOCIATION_REFUSED


@pytest.mark.parametrize("cut", CUTS)
def test_wrong_key_is_told_by_the_meter(cut: str) -> None:
    replay = played("wrapper_gmac_wrong_key", cut, 1)        # to the last octet what the recorded client sent
    with pytest.raises(Refused, match=r"deciphering error \(5\); check keys") as caught:
        replay.step(1, replay.script["exchange"][1])
    assert caught.value.reason is FailReason.SECURITY


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("name", "text", "lowest"), [
    ("wrapper_gmac_plain_request", r"service not allowed \(1\), deciphering error \(5\)", None),
    ("wrapper_gmac_tampered_request", r"deciphering error \(5\)", None),
    ("wrapper_gmac_replayed_request", r"invocation counter error \(6\); it takes 5 and above", 5),
])
def test_what_the_meter_says_to_requests_that_this_client_never_sends(name: str, text: str, lowest: int | None, cut: str) -> None:
    replay = played(name, cut, 6)
    replay.association.get([Attribute(3, Obis.parse("1-0:32.7.0"), 2)], replay.now)
    sent = replay.association.data_to_send()
    assert sent[8:9] == b"\xdb"
    assert sent.hex() != replay.script["exchange"][6]["hex"]
    with pytest.raises(Refused, match=text) as caught:
        replay.step(7, replay.script["exchange"][7])
    assert caught.value.reason is FailReason.SECURITY
    assert getattr(caught.value, "lowest", None) == lowest
    assert replay.association.next_event() is None


@pytest.mark.parametrize("cut", CUTS)
def test_stale_counter_is_told_with_the_lowest_that_is_taken(cut: str) -> None:
    script = load("wrapper_gmac_invocation_counter")
    replay = played("wrapper_gmac_invocation_counter", cut, 7)
    with pytest.raises(CounterTooLow) as caught:
        replay.step(7, script["exchange"][7])
    assert caught.value.lowest == script["expected"][3]["invocation_counter"] == 1004
    for index in range(8, len(script["exchange"])):          # the next association begins with just that one
        replay.step(index, script["exchange"][index])
    assert compare(script["expected"][6], list(replay.heard[13]), replay)


@pytest.mark.parametrize("name", sorted(name for name in SCENARIOS if name.startswith("wrapper_gmac")))
def test_every_recorded_answer_deciphers_to_the_recorded_text(name: str) -> None:
    script = load(name)
    security, title = secured(script), bytes.fromhex(script["secrets"].get("meter_system_title", ""))
    meter = Cipher(0, bytes.fromhex(script["secrets"]["global_unicast_encryption_key"]), security.authentication_key)
    due = [(told["meter_invocation_counter"], told["apdu"]) for told in script.get("deciphered_answers", ())]
    got = []
    for entry in script["exchange"]:
        octets = bytes.fromhex(entry["hex"])[8:]
        if entry["dir"] == "rx" and octets[0] in (0x61, 0xDB):
            sealed = octets[octets.index(b"\x28\x1f") + 2:] if octets[0] == 0x61 else sealed_in(octets)
            opened = meter.unseal(title, sealed)
            got.append((opened.counter, opened.information.hex()))
    assert got == due


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["push_wrapper", "push_hdlc"])
def test_pushes_are_handed_on(name: str, cut: str) -> None:
    script, reads = load(name), load("wrapper_none" if name == "push_wrapper" else "hdlc_none")
    opening = 2 if name == "push_wrapper" else 4
    replay = Replay({**reads, "exchange": reads["exchange"][:opening]}, CUTS[cut])
    replay.run()
    replay.script = {**script, "exchange": [*reads["exchange"][:opening], *script["exchange"]]}
    for index, entry in enumerate(script["exchange"]):
        replay.step(index, entry)
    for expected in script["expected"]:
        (pushed,) = [event for index in expected["rx"] for event in replay.heard[index]]
        assert isinstance(pushed, Pushed)
        assert pushed.apdu.hex() == expected["apdu"]
        assert pushed.date_time.hex() == (expected.get("date_time_octets") or "")
        same_raw(expected["raw"], pushed.data)
        assert axdr.encode(pushed.data).hex() == expected["body"]


def test_skips_name_what_is_there() -> None:
    for name, (indices, why) in SKIPPED.items():
        assert why
        assert max(indices) < len(load(name)["exchange"])


def test_nine_values_cost_102_octets_out_54_in_and_one_round_trip() -> None:
    script = load("wrapper_none")
    replay = Replay({**script, "exchange": script["exchange"][:38]})
    replay.run()
    association: Association = replay.association
    before = (association.traffic.sent_bytes, association.traffic.received_bytes, association.traffic.round_trips)
    replay.script = script
    replay.step(38, script["exchange"][38])
    replay.step(39, script["exchange"][39])
    after = (association.traffic.sent_bytes, association.traffic.received_bytes, association.traffic.round_trips)
    assert tuple(b - a for a, b in zip(before, after, strict=True)) == (102, 54, 1)
