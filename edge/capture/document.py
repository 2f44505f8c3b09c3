"""A recording as a file: redacted, looked over once more, and in the form of tests/captures (pure).

    pieces ─► cut ─► Redactor, message by message ─► frames anew ─► audit: no secret in any byte ─► JSON
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from edge.capture import standin
from edge.capture.cut import Cut, Frame, Piece, cut, rebuilt
from edge.capture.expect import Told, expected, note
from edge.capture.redact import AARE, Redactor
from edge.dlms import hdlc
from edge.dlms import hls as mechanisms
from edge.dlms.apdu import BLOCK, GET_RESPONSE
from edge.dlms.axdr import decode, decode_length
from edge.dlms.settings import AssociationSettings
from edge.errors import EdgeError, MeterError

_DATA_CLASS = 1
SHORTEST_SECRET_BYTES = 4
"""Shorter ones are in any exchange by chance; a password of that size is replaced all the same, where it stands."""


class Subject(NamedTuple):
    """What was recorded. `identities` are texts that tell the meter from others, as the gateway writes them."""

    name: str
    description: str
    settings: AssociationSettings
    identities: tuple[str, ...]
    keep_identity: bool
    made_by: str
    profile: str


class Document(NamedTuple):
    """The file, and for people: what was taken out, what is still in it."""

    text: str
    redacted: tuple[str, ...]
    replayable: bool


def document(pieces: Sequence[Piece], subject: Subject) -> Document:
    """Make the file. Raises EdgeError where nothing was recorded, or a secret is still in it: nothing is made then."""
    settings = subject.settings
    whole = cut(pieces, settings.framing, settings.client_sap)
    if not whole.frames:
        raise EdgeError("nothing was exchanged, so there is nothing to record")
    identities = (*_as_octets((*subject.identities, settings.device_address)), *_texts_read(whole, settings))
    redactor = Redactor(settings, identities, keep_identity=subject.keep_identity)
    apdus, told = _redacted(whole, redactor)
    addresses = {} if subject.keep_identity else _addresses(settings, identities)
    frames = rebuilt(whole, apdus, addresses)
    body = _body(subject, whole, frames, told, redactor, addresses)
    text = _written(body)
    _audit(redactor, frames, told, text, " ".join((subject.name, subject.description, *whole.words)))
    return Document(text, tuple(body["redacted"]), body["replayable"])


def _redacted(whole: Cut, redactor: Redactor) -> tuple[dict[int, bytes], list[Told]]:
    """Return what stands for each message, by its place, and what is under its seal."""
    apdus: dict[int, bytes] = {}
    told: list[Told] = []
    for place, message in enumerate(whole.messages):
        before = len(redactor.answers)
        redacted = redactor.message(message.connection, message.apdu, sent=message.sent)
        apdus[place] = redacted.apdu
        opened = [clear for _, clear in redactor.answers[before:]] if redacted.clear[:1] == bytes((AARE,)) else []
        told.append(Told(message, redacted.clear, opened[0] if opened else b""))
    return apdus, told


def _texts_read(whole: Cut, settings: AssociationSettings) -> tuple[bytes, ...]:
    """Return every text that was read from a data object: names and serial numbers are such, of whichever meter."""
    _, told = _redacted(whole, Redactor(settings, (), keep_identity=True))
    found: list[bytes] = []
    for result in expected((), told):
        for item in result.get("items", [result]):
            if item.get("class") == _DATA_CLASS and "data" in item:
                value = decode(bytes.fromhex(item["data"]))
                found.append(value.encode("latin-1", "replace") if isinstance(value, str) else value
                             if isinstance(value, bytes) else b"")
    return tuple(each for each in found if len(each) >= SHORTEST_SECRET_BYTES)


def _as_octets(identities: Sequence[str]) -> tuple[bytes, ...]:
    """Return identities as they travel: as text, and where they are written in hexadecimal, as octets."""
    found: list[bytes] = []
    for text in identities:
        found.append(text.encode())
        try:
            found.append(bytes.fromhex(text) if not text.isdigit() else b"")
        except ValueError:
            continue
    return tuple(each for each in found if len(each) >= SHORTEST_SECRET_BYTES)


def _addresses(settings: AssociationSettings, identities: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return another HDLC address for one whose lower part is the end of the serial number."""
    physical = settings.server_physical
    if settings.framing != "hdlc" or not physical:
        return {}
    for text in identities:
        tail = _tail(text)
        if tail and int(tail) == physical:
            new = int(_tail(standin.identity(text))) or 17
            new = new if settings.address_bytes == 4 else 17
            return {hdlc.encode_address(settings.server_logical, physical, settings.address_bytes):
                    hdlc.encode_address(settings.server_logical, new, settings.address_bytes)}
    return {}


def _tail(identity: bytes) -> str:
    """Return the last four digits of an identity."""
    return "".join(chr(octet) for octet in identity if chr(octet) in "0123456789")[-4:]


def _body(subject: Subject, whole: Cut, frames: Sequence[Frame], told: Sequence[Told], redactor: Redactor,
          addresses: dict[bytes, bytes]) -> dict[str, Any]:
    settings = subject.settings
    ends = {each.message.frames[-1]: each.clear for each in told}
    redacted = [f"{what} ({count})" for what, count in sorted(redactor.done.items()) if count]
    if addresses:
        redacted.append("the lower HDLC address, which ended the serial number")
    if subject.keep_identity:
        redacted.append("not the meter's identity: it was to be kept")
    server = {"logical": settings.server_logical}
    if settings.framing == "hdlc":
        _, physical = hdlc.decode_address(next(iter(addresses.values()), hdlc.encode_address(
            settings.server_logical, settings.server_physical, settings.address_bytes)))
        server |= ({} if physical is None else {"physical": physical}) | {"address_bytes": settings.address_bytes}
    starts = [at for at, frame in enumerate(frames) if at and frame.connection != frames[at - 1].connection]
    return {
        "scenario": subject.name, "description": subject.description, "recorder": subject.made_by,
        "profile": subject.profile, "redacted": redacted, "replayable": redactor.sound,
        "framing": settings.framing, "client_sap": settings.client_sap, "server": server,
        "authentication": settings.authentication, "secrets": _secrets(settings, redactor),
        "conformance": f"{settings.conformance:06x}", "pdu": settings.max_pdu,
        "info_length": settings.max_info_bytes if settings.framing == "hdlc" else None,
        **({"words": list(whole.words)} if whole.words else {}),
        **({"stray_octets": whole.stray_bytes} if whole.stray_bytes else {}),
        **({"new_connection_before": starts} if starts else {}),
        **({"deciphered_answers": [{"meter_invocation_counter": counter, "apdu": clear.hex()}
                                   for counter, clear in redactor.answers]} if redactor.answers else {}),
        "exchange": [{"dir": "tx" if frame.sent else "rx", "hex": frame.octets.hex(), "note": note(frame, ends.get(at))}
                     for at, frame in enumerate(frames)],
        "expected": expected(frames, told),
    }


def _secrets(settings: AssociationSettings, redactor: Redactor) -> dict[str, Any]:
    """Return the secrets of the recording, which everybody may know."""
    found: dict[str, Any] = {}
    password = standin.filler("*", len(settings.password)).hex()
    if settings.authentication == "lls":
        found["lls_password"] = password
    if settings.authentication in mechanisms.WITH_SECRET:
        found["hls_secret"] = password
    if settings.authentication in mechanisms.HLS:
        found["client_challenge"] = standin.filler("C", redactor.challenge_bytes).hex()
    security = settings.security
    if security is not None:
        found |= {
            "global_unicast_encryption_key": standin.key(standin.ENCRYPTION_KEY, security.suite).hex(),
            "authentication_key": standin.key(standin.AUTHENTICATION_KEY, security.suite).hex(),
            "client_system_title": standin.CLIENT_TITLE.hex(), "security_suite": security.suite,
            "protection": int(security.protection), "ciphering": security.form}
        if security.wants_dedicated_key:
            found["dedicated_key"] = standin.key(standin.DEDICATED_KEY, security.suite).hex()
    return found


def _written(body: dict[str, Any]) -> str:
    """Write it as the other recordings are: a line for each frame and each result."""
    lines = []
    for key, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f' "{key}": [\n{items}\n ]')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _audit(redactor: Redactor, frames: Sequence[Frame], told: Sequence[Told], text: str, words: str) -> None:
    """Look for every secret in every byte that was made, and in `words` of the file. Raises EdgeError, naming none."""
    places = [frame.octets for frame in frames] + redactor.plain + [each.clear for each in told] + [_blocks(told)]
    written = text.lower()
    for secret in redactor.secrets:
        if len(secret) < SHORTEST_SECRET_BYTES or secret == standin.filler("*", len(secret)):
            continue
        if any(secret in place for place in (*places, words.encode())) or secret.hex() in written:
            raise EdgeError("not written: a secret, or the meter's identity, would still be in it (the file's name "
                            "counts too); this exchange cannot be recorded")


def _blocks(told: Sequence[Told]) -> bytes:
    """Return what came in GET blocks, joined: a secret may lie across the border of two."""
    joined = bytearray()
    for each in told:
        clear = each.clear
        if not each.message.sent and clear[:2] == bytes((GET_RESPONSE, BLOCK)) and len(clear) > 10:
            try:
                _, at = decode_length(clear, 9)
            except MeterError:
                continue
            joined += clear[at:]
    return bytes(joined)
