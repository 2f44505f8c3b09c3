"""What edge.dlms relies on in dlms_cosem 21.3.2, and what it works around: fails when a pinned behaviour changes.

See docs/decisions/0002-dlms-cosem.md. A work-around whose test fails here may be dropped.
"""

import importlib.metadata
import logging
import subprocess
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from dlms_cosem import enumerations, utils
from dlms_cosem.protocol.acse import ApplicationAssociationRequest, ApplicationAssociationResponse
from dlms_cosem.protocol.acse.user_information import UserInformation
from dlms_cosem.protocol.xdlms import InitiateRequest
from dlms_cosem.protocol.xdlms.conformance import Conformance as LibraryConformance

from edge.dlms import acse
from edge.dlms.ciphering import Cipher, Protection
from edge.dlms.conformance import OFFERED, Conformance
from edge.errors import FailReason, Refused, Violation

AARE = bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000121d04000007")


def test_the_pinned_release_is_installed() -> None:
    assert importlib.metadata.version("dlms-cosem") == "21.3.2"


# -- AARQ ------------------------------------------------------------------------------------------------------------------

def test_aarq_without_authentication() -> None:
    assert acse.aarq(conformance=0x00121D, max_pdu=1024).hex() == (
        "601da109060760857405080101be10040e01000000065f1f040000121d0400")


@pytest.mark.parametrize("size", [1, 5, 8, 10, 16, 48, 64])
def test_aarq_has_right_lengths_for_every_password(size: int) -> None:
    octets = acse.aarq(mechanism=1, value=b"p" * size, conformance=0x00121D, max_pdu=1024)
    assert octets[1] == len(octets) - 2 < 0x80
    at, fields = 2, {}
    while at < len(octets):
        fields[octets[at]] = octets[at + 2:at + 2 + octets[at + 1]]
        at += 2 + octets[at + 1]
    assert at == len(octets)
    assert list(fields) == [0xA1, 0x8A, 0x8B, 0xAC, 0xBE]         # no AP title (A6) among them
    assert fields[0xAC] == bytes((0x80, size)) + b"p" * size
    assert fields[0x8B].hex() == "60857405080201"                 # low-level security


def test_aarq_above_127_octets_gets_a_long_length() -> None:
    """The library writes one length octet whatever it says: suite 2 with a dedicated key and a long challenge is 175."""
    cipher = Cipher(2, bytes(32), bytes(32))
    request = acse.initiate_request(conformance=0x00121D, max_pdu=1024, dedicated_key=bytes(32))
    sealed = cipher.seal(Protection.BOTH, b"CLIENT01", 1, request)
    octets = acse.aarq(conformance=0x00121D, max_pdu=1024, mechanism=5, value=b"c" * 64, title=b"CLIENT01",
                       ciphered_initiate=b"\x21" + bytes((len(sealed),)) + sealed)
    assert octets[:2] == b"\x60\x81"
    assert octets[2] == len(octets) - 3 > 0x7F
    assert b"\xac\x42\x80\x40" + b"c" * 64 in octets
    assert octets.endswith(b"\x21" + bytes((len(sealed),)) + sealed)


def test_initiate_request_is_the_one_of_the_standards_example() -> None:
    """Green Book, example of a ciphered AARQ: with a dedicated key, conformance 007E1F, PDU 1200."""
    assert acse.initiate_request(conformance=0x007E1F, max_pdu=1200,
                                 dedicated_key=bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == (
        "01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0")


def test_a_title_goes_in_only_when_one_is_given() -> None:
    content = UserInformation(content=InitiateRequest(proposed_conformance=LibraryConformance(get=True)))
    assert b"\xa6" not in ApplicationAssociationRequest(user_information=content, system_title=None).to_bytes()
    assert b"\xa6\x0a\x04\x08TITLE123" in ApplicationAssociationRequest(
        user_information=content, system_title=b"TITLE123").to_bytes()


@pytest.mark.parametrize(("flag", "name"), [
    (Conformance.ATTRIBUTE_0_GET, "attribute_0_supported_with_get"), (Conformance.GET, "get"), (Conformance.SET, "set"),
    (Conformance.BLOCK_TRANSFER_WITH_GET, "block_transfer_with_get_or_read"), (Conformance.ACTION, "action"),
    (Conformance.MULTIPLE_REFERENCES, "multiple_references"), (Conformance.SELECTIVE_ACCESS, "selective_access"),
    (Conformance.BLOCK_TRANSFER_WITH_SET, "block_transfer_with_set_or_write"), (Conformance.ACCESS, "access"),
    (Conformance.BLOCK_TRANSFER_WITH_ACTION, "block_transfer_with_action"),
    (Conformance.GENERAL_BLOCK_TRANSFER, "general_block_transfer"), (Conformance.DATA_NOTIFICATION, "data_notification"),
    (Conformance.GENERAL_PROTECTION, "general_protection"), (Conformance.EVENT_NOTIFICATION, "event_notification"),
])
def test_conformance_bits_are_where_both_sides_think(flag: Conformance, name: str) -> None:
    assert LibraryConformance(**{name: True}).to_bytes() == flag.to_bytes(4, "big")


def test_offered_services_are_those_that_can_be_read() -> None:
    """The library's own default offers general block transfer, access and event-notification, which it cannot read."""
    offered = LibraryConformance.from_bytes(OFFERED.to_bytes(4, "big"))
    assert {name for name in LibraryConformance.conformance_bit_position if getattr(offered, name)} == {
        "get", "block_transfer_with_get_or_read", "multiple_references", "selective_access", "set", "action",
        "block_transfer_with_set_or_write", "block_transfer_with_action"}


# -- AARE ------------------------------------------------------------------------------------------------------------------

def test_aare_is_read() -> None:
    assert acse.accepted(AARE, OFFERED) == (OFFERED & 0x00121D, 1024)


def long_aare() -> bytes:
    """An AARE above 127 octets: with a responding AP title field of 100."""
    body = AARE[2:25] + b"\xa4\x64\x04\x62" + bytes(98) + AARE[25:]
    return b"\x61\x81" + bytes((len(body),)) + body


def test_long_aare_is_read_although_the_library_cannot() -> None:
    """Upstream issue 116: seen on a real meter."""
    with pytest.raises(ValueError, match="lenght"):
        ApplicationAssociationResponse.from_bytes(long_aare())
    assert acse.accepted(long_aare(), OFFERED) == (OFFERED & 0x00121D, 1024)


def with_initiate(content: str) -> bytes:
    octets = bytes.fromhex(content)
    body = AARE[2:25] + bytes((0xBE, len(octets) + 2, 4, len(octets))) + octets
    return bytes((0x61, len(body))) + body


def test_maximum_pdu_zero_and_quality_of_service() -> None:
    assert acse.accepted(with_initiate("0800065f1f040000121d00000007"), 0x1FFFFF).server_max_pdu == 0
    assert acse.accepted(with_initiate("080105065f1f040000121d02000007"), 0x1FFFFF).server_max_pdu == 512


@pytest.mark.parametrize("content", [
    "0800065f04040000121d04000007", "0800065f1f030000121d04000007", "0800065f1f040000121d040000fa", "08", "",
    "0800065f1f040000121d0400000700", "2109", "0e01",
])
def test_initiate_responses_that_are_none_are_refused_before_the_library_prints_them(
    content: str, capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Violation):
        acse.accepted(with_initiate(content), OFFERED)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("octets", [1, 2, 3, 12])
def test_a_meter_that_takes_no_whole_get_is_a_violation_at_once(octets: int) -> None:
    """Otherwise the first GET would be this side's fault, for ever: a GET of one attribute has 13 octets."""
    with pytest.raises(Violation, match=f"APDUs of {octets} octets"):
        acse.accepted(with_initiate(f"0800065f1f040000121d{octets:04x}0007"), OFFERED)
    assert acse.accepted(with_initiate("0800065f1f040000121d000d0007"), OFFERED).server_max_pdu == 13


@pytest.mark.parametrize("diagnostic", [0x0B, 0x0C, 0x0D])
def test_a_wrong_password_is_not_temporary_even_where_the_meter_calls_it_so(diagnostic: int) -> None:
    """Meters count wrong passwords and lock themselves: "rejected transient" must not lead to trying it again."""
    aare = AARE.replace(b"\xa2\x03\x02\x01\x00", b"\xa2\x03\x02\x01\x02").replace(
        b"\xa1\x03\x02\x01\x00", bytes((0xA1, 3, 2, 1, diagnostic)))
    with pytest.raises(Refused, match="authentication") as caught:
        acse.accepted(aare, OFFERED)
    assert not caught.value.temporary


@pytest.mark.parametrize(("source", "diagnostic", "words"), [
    (0xA1, 15, "diagnostic 15"), (0xA1, 255, "diagnostic 255"), (0xA2, 13, "provider diagnostic 13"),
    (0xA2, 2, "no common acse version"), (0xA1, 13, "authentication failed"),
])
@pytest.mark.parametrize(("result", "told"), [(1, "rejected permanent"), (2, "rejected transient"), (3, "result 3")])
def test_a_refusal_with_a_code_of_the_makers_own_is_a_refusal(source: int, diagnostic: int, words: str, result: int, told: str) -> None:
    """It may be the maker's word for a wrong password, so it must lead to the long rest, not to a reconnection."""
    aare = AARE.replace(b"\xa2\x03\x02\x01\x00", bytes((0xA2, 3, 2, 1, result))).replace(
        b"\xa1\x03\x02\x01\x00", bytes((source, 3, 2, 1, diagnostic)))
    with pytest.raises(Refused, match=told) as caught:
        acse.accepted(aare, OFFERED)
    assert words in str(caught.value)
    assert caught.value.reason is FailReason.ASSOCIATION_REFUSED
    assert caught.value.temporary is (result == 2 and words == "no common acse version")


@pytest.mark.parametrize("rest", ["", "a305a103020101", "a3020500", "a305a103020101be0404020f00", "a305a103020101be03040108"])
def test_a_refusal_is_believed_whatever_else_is_wrong_with_it(rest: str) -> None:
    """A meter that counts wrong passwords counts this one too, though its AARE lacks a field or carries a strange one."""
    body = bytes.fromhex("a109060760857405080101a203020101" + rest)
    with pytest.raises(Refused, match="rejected permanent") as caught:
        acse.accepted(bytes((0x61, len(body))) + body, OFFERED)
    assert not caught.value.temporary


@pytest.mark.parametrize(("aare", "text", "temporary"), [
    (AARE.replace(b"\xa2\x03\x02\x01\x00", b"\xa2\x03\x02\x01\x02"), "rejected transient", True),
    (AARE.replace(b"\xa1\x03\x02\x01\x00", b"\xa1\x03\x02\x01\x0e"), "high-level security", False),
    (with_initiate("0e010600"), "initiate error", False),
    (bytes.fromhex("611fa109060760857405080103a203020100a305a103020100be06040428000000"), None, False),
    (AARE.replace(bytes.fromhex("60857405080101"), bytes.fromhex("60857405080103")), "ciphering", False),
])
def test_refusals(aare: bytes, text: str | None, temporary: bool) -> None:
    if text is None:
        with pytest.raises(Violation):
            acse.accepted(aare, OFFERED)
        return
    with pytest.raises(Refused, match=text) as caught:
        acse.accepted(aare, OFFERED)
    assert caught.value.temporary is temporary
    assert caught.value.reason is FailReason.ASSOCIATION_REFUSED


def test_other_dlms_version_is_refused() -> None:
    with pytest.raises(Violation, match="version 6"):
        acse.accepted(with_initiate("0800055f1f040000121d04000007"), OFFERED)


def test_every_altered_aare_is_read_or_refused_with_one_of_two_errors() -> None:
    for place in range(len(AARE)):
        for octet in (0x00, 0x7F, 0x80, 0xFF, AARE[place] ^ 1, AARE[place] ^ 0x20):
            altered = AARE[:place] + bytes((octet,)) + AARE[place + 1:]
            try:
                acse.accepted(altered, OFFERED)
            except (Violation, Refused) as why:
                assert "\n" not in str(why)      # noqa: PT017 - the point is which types come out


# -- what is kept away from the product --------------------------------------------------------------------------------------

def test_library_loggers_are_silent(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("dlms_cosem.connection")
    with caplog.at_level(logging.DEBUG):
        logger.warning("00000000")
        logger.error("00000000")
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")


def test_transports_and_serial_are_never_imported() -> None:
    code = ("import sys, edge.dlms.association; "
            "print([n for n in sys.modules if n.startswith(('serial', 'dlms_cosem.clients', 'asyncio'))])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


class StillRunning(BaseException):
    """Not an Exception, so that no handler in the library takes it for one of its own."""


def runs_on(call: Callable[[], Any], lines: int = 20_000) -> bool:
    """Tell whether `call` is still at it after so many lines."""
    left = lines

    def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise StillRunning
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except StillRunning:
        return True
    except Exception:  # noqa: BLE001 - any error is an end
        return False
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("octets", ["1208", "0600", "0103"])
def test_cut_values_hang_the_library_which_is_why_the_decoder_is_our_own(octets: str) -> None:
    assert runs_on(lambda: utils.parse_as_dlms_data(bytes.fromhex(octets)))
    assert not runs_on(lambda: utils.parse_as_dlms_data(bytes.fromhex("1208fd")))


def test_diagnostics_have_names() -> None:
    assert enumerations.AcseServiceUserDiagnostics(13).name == "AUTHENTICATION_FAILED"
