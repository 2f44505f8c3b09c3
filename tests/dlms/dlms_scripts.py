"""Plays recorded conversations to an Association: what it sends must be the recorded bytes, what it hears becomes events."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from edge.dlms import apdu, axdr, hdlc
from edge.dlms.association import NO_DATA, ActionRequest, Association, AssociationSettings, Event, Security
from edge.dlms.ciphering import Cipher
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.counter import InvocationCounters

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
    ciphered = script["authentication"] == "hls-gmac"
    if ciphered:
        more = {"security": secured(script), "challenge": bytes.fromhex(script["secrets"]["client_challenge"])} | more
    return AssociationSettings(
        framing=script["framing"], client_sap=script["client_sap"], server_logical=server["logical"],
        server_physical=server.get("physical"), address_bytes=server.get("address_bytes", 1),
        authentication=script["authentication"], password=bytes.fromhex(script["secrets"].get("lls_password", "")),
        max_pdu=script.get("pdu") or 1024, conformance=0x40121D if ciphered else 0x00121D, snrm_parameters=bool(information),
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
    """What a general-glo APDU holds."""
    length, at = axdr.decode_length(message, 10)
    assert at + length == len(message)
    return message[at:]


def secured(script: dict[str, Any]) -> Security:
    """The keys and titles of a ciphered recording."""
    secrets = script["secrets"]
    key = secrets.get("client_used_encryption_key", secrets["global_unicast_encryption_key"])
    return Security(bytes.fromhex(secrets["client_system_title"]), bytes.fromhex(key),
                    bytes.fromhex(secrets["authentication_key"]))


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
        return information[3:]

    def deciphered(self, request: bytes) -> bytes:
        if request[:1] != b"\xdb":
            return request
        security = secured(self.script)
        return Cipher(0, security.encryption_key, security.authentication_key).unseal(
            security.client_title, sealed_in(request)).information

    def associated(self, index: int, request: bytes) -> Association:
        """A new association; where it is ciphered, with the recorded counters and invoke-id."""
        if self.settings.security is None:
            return Association(self.settings)
        self.counters = InvocationCounters(int.from_bytes(request[request.index(b"\x21\x1f\x30") + 3:][:4], "big"), 1_000)
        proof = next((place for place, entry in enumerate(self.script["exchange"])
                      if place > index and entry["dir"] == "tx" and entry["hex"][16:18] == "db"), None)
        first = 1 if proof is None else self.request_at(proof)[2] & 0x0F
        return Association(replace(self.settings, first_invoke_id=first), self.counters)
