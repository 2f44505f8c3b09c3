"""Plays recorded conversations to an Association: what it sends must be the recorded bytes, what it hears becomes events."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from edge.dlms import apdu, axdr, hdlc
from edge.dlms.association import NO_DATA, ActionRequest, Association, AssociationSettings, Event, Security
from edge.dlms.channel import CIPHERED_TAGS
from edge.dlms.ciphering import Cipher, Protection
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.counter import InvocationCounters
from edge.dlms.hls import HLS

CAPTURES = Path(__file__).parent.parent / "captures"
SCENARIOS = sorted(path.stem for path in CAPTURES.glob("*.json") if not path.stem.startswith(("hostile", "push")))


@cache
def load(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}.json").read_text())


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for octet in data:
        yield bytes((octet,))


def odd_pieces(data: bytes) -> Iterator[bytes]:
    at = 0
    for size in (1, 5, 3, 7, 13, 11) * (len(data) // 20 + 1):
        if at < len(data):
            yield data[at:at + size]
        at += size


CUTS: dict[str, Callable[[bytes], Iterator[bytes]]] = {"whole": whole, "bytewise": bytewise, "odd": odd_pieces}


def snrm_of(script: dict[str, Any]) -> hdlc.HdlcFrame | None:
    if script["framing"] != "hdlc":
        return None
    frames = hdlc.Deframer().feed(bytes.fromhex(script["exchange"][0]["hex"]))
    return frames[0] if frames else None


def settings_of(script: dict[str, Any], **more: Any) -> AssociationSettings:
    """The settings with which our client makes the choices of the recorded one."""
    server, snrm = script["server"], snrm_of(script)
    information = snrm.information if snrm else b""
    secrets = script["secrets"]
    if "global_unicast_encryption_key" in secrets:
        more = {"security": secured(script)} | more
    if "client_challenge" in secrets:
        more = {"challenge": bytes.fromhex(secrets["client_challenge"])} | more
    offered = int(script.get("conformance", "40121d" if script["authentication"] == "hls-gmac" else "00121d"), 16)
    return AssociationSettings(
        framing=script["framing"], client_sap=script["client_sap"], server_logical=server["logical"],
        server_physical=server.get("physical"), address_bytes=server.get("address_bytes", 1),
        authentication=script["authentication"], password=bytes.fromhex(secrets.get("lls_password", secrets.get("hls_secret", ""))),
        max_pdu=script.get("pdu") or 1024, conformance=offered, snrm_parameters=bool(information),
        max_info_bytes=int.from_bytes(information[5:7], "big") if information else 128, **more)


def asked(request: bytes) -> list[Attribute]:
    """Read the attributes out of a recorded GET request."""
    def one(octets: bytes) -> Attribute:
        return Attribute(int.from_bytes(octets[:2], "big"), Obis.from_bytes(octets[2:8]), octets[8],
                         octets[10:] if octets[9] else b"")
    if request[1] == apdu.NORMAL:
        return [one(request[3:])]
    assert request[1] == apdu.LIST
    assert len(request) == 4 + 10 * request[3]
    return [one(request[at:at + 10]) for at in range(4, len(request), 10)]


def to_set(request: bytes) -> list[tuple[Attribute, Any]]:
    """Read attribute and value out of a recorded SET request."""
    assert request[1] == 1
    assert not request[12]
    return [(asked(b"\xc0\x01" + request[2:13])[0], axdr.decode(request[13:]))]


def called(request: bytes) -> list[ActionRequest]:
    """Read the method and its parameters out of a recorded ACTION request."""
    assert request[1] == 1
    return [ActionRequest(int.from_bytes(request[3:5], "big"), Obis.from_bytes(request[5:11]), request[11],
                          axdr.decode(request[13:]) if request[12] else NO_DATA)]


def sealed_in(message: bytes) -> bytes:
    """What a ciphered APDU holds: behind the title of the general ones, behind the tag of the others."""
    length, at = axdr.decode_length(message, 10 if message[0] in (0xDB, 0xDC) else 1)
    assert at + length == len(message)
    return message[at:]


def secured(script: dict[str, Any]) -> Security:
    """The keys and titles of a ciphered recording."""
    secrets = script["secrets"]
    key = secrets.get("client_used_encryption_key", secrets["global_unicast_encryption_key"])
    return Security(bytes.fromhex(secrets["client_system_title"]), bytes.fromhex(key), bytes.fromhex(secrets["authentication_key"]),
                    suite=secrets.get("security_suite", 0), protection=Protection(secrets.get("protection", Protection.BOTH)),
                    form=secrets.get("ciphering", "general-glo"), dedicated_key=bytes.fromhex(secrets.get("dedicated_key", "")))


class Replay:
    """One recorded conversation, several connections if it has them. `heard[i]` = events after the received frame i."""

    def __init__(self, script: dict[str, Any], cut: Callable[[bytes], Iterator[bytes]] = whole,
                 skipped: tuple[int, ...] = (), settings: AssociationSettings | None = None) -> None:
        self.script, self.cut, self.skipped = script, cut, skipped
        self.settings = settings or settings_of(script)
        self.heard: dict[int, list[Event]] = {}
        self.agreed: list[Any] = []
        self.association: Association = Association(self.settings)
        self.now = 100.0

    def run(self) -> None:
        for index, entry in enumerate(self.script["exchange"]):
            if index not in self.skipped:
                self.step(index, entry)

    def step(self, index: int, entry: dict[str, Any]) -> None:
        octets = bytes.fromhex(entry["hex"])
        if entry["dir"] == "tx":
            sent = self.association.data_to_send() or self.act(index)
            assert sent.hex() == octets.hex(), f"sent frame {index}: {entry['note']}"
            return
        assert self.association.data_to_send() == b""
        self.heard[index] = []
        for piece in self.cut(octets):
            self.association.receive_data(piece, self.now)
        while (event := self.association.next_event()) is not None:
            self.heard[index].append(event)

    def act(self, index: int) -> bytes:
        """Make the call that should bring about the frame recorded at `index`."""
        request = self.request_at(index)
        match request[:1]:
            case b"\x60" | b"S":
                self.association = self.associated(index, request)
                self.association.open(self.now)
            case b"D":
                self.association.close(self.now)
            case b"\xc0":
                self.association._invoke_id = request[2] & 0x0F
                self.association.get(asked(request), self.now)
            case b"\xc1":
                self.association._invoke_id = request[2] & 0x0F
                self.association.set(to_set(request), self.now)
            case b"\xc3":
                self.association._invoke_id = request[2] & 0x0F
                self.association.action(called(request), self.now)
            case other:
                raise AssertionError(f"nothing sends {other.hex()}")
        return self.association.data_to_send()

    def request_at(self, index: int) -> bytes:
        """The APDU that begins with the recorded frame `index`, or b"S", b"D" for SNRM and DISC."""
        entries = self.script["exchange"]
        first = bytes.fromhex(entries[index]["hex"])
        if self.script["framing"] == "wrapper":
            return self.deciphered(first[8:])
        information = b""
        for entry in entries[index:]:
            if entry["dir"] == "rx":
                continue
            (frame,) = hdlc.Deframer().feed(bytes.fromhex(entry["hex"]))
            if frame.control in (hdlc.SNRM, hdlc.DISC):
                return b"S" if frame.control == hdlc.SNRM else b"D"
            information += frame.information
            if not frame.segmented:
                break
        return self.deciphered(information[3:])

    def deciphered(self, request: bytes) -> bytes:
        if request[:1] == b"" or request[0] not in CIPHERED_TAGS:
            return request
        dedicated = request[0] == 0xDC or 0xD0 <= request[0] <= 0xD7
        security = secured(self.script)
        key = security.dedicated_key if dedicated else security.encryption_key
        return Cipher(security.suite, key, security.authentication_key).unseal(security.client_title, sealed_in(request)).information

    def associated(self, index: int, request: bytes) -> Association:
        """A new association; where keys are used, with the recorded counters; with high-level security, the invoke-id."""
        if self.settings.authentication not in HLS and self.settings.security is None:
            return Association(self.settings)
        proof = self._proof_after(index)
        ciphered = re.search(rb"\xbe.\x04.\x21.[\x10-\x3f](.{4})", self.request_at(self._aarq_after(index)), re.DOTALL)
        counter = int.from_bytes(ciphered[1], "big") if ciphered else int.from_bytes(proof[-16:-12], "big") if proof else 0
        self.counters = InvocationCounters(counter, 1_000)
        return Association(replace(self.settings, first_invoke_id=proof[2] & 0x0F if proof else 1), self.counters)

    def _aarq_after(self, index: int) -> int:
        return next(place for place, entry in enumerate(self.script["exchange"])
                    if place >= index and entry["dir"] == "tx" and self.request_at(place)[:1] == b"\x60")

    def _proof_after(self, index: int) -> bytes:
        """The ACTION of high-level security that follows, b"" where the meter refuses before."""
        for place, entry in enumerate(self.script["exchange"]):
            if place > index and entry["dir"] == "tx" and (request := self.request_at(place))[:1] == b"\xc3":
                return request
        return b""
