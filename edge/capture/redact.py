"""Takes secrets out of APDUs without changing their length (pure).

    AARQ              password -> filler; challenge, title -> those of every recording
    AARE              title, challenge, likewise
    ciphered          deciphered with the meter's keys, redacted, enciphered with the recordings' keys
    proof of HLS      computed anew for the recordings' secret, keys, titles and challenges
    everywhere        the meter's identity -> another one, unless it is to be kept

What comes out is a sound exchange of a meter whose secrets everybody knows, so that it plays back. What cannot be
deciphered becomes zeros, and the recording says that it does not play back.
"""

from collections import Counter
from typing import NamedTuple

from edge.capture import standin
from edge.capture.reseal import Reseal
from edge.dlms import apdu as tags
from edge.dlms import hls
from edge.dlms.axdr import decode_length
from edge.dlms.channel import (
    CIPHERED_TAGS,
    GENERAL_DED,
    GENERAL_GLO,
    GLO_INITIATE_REQUEST,
    GLO_INITIATE_RESPONSE,
)
from edge.dlms.ciphering import HEADER_BYTES
from edge.dlms.gbt import GENERAL_BLOCK_TRANSFER
from edge.dlms.settings import AssociationSettings
from edge.errors import Violation

AARQ, AARE = 0x60, tags.AARE
CLIENT_TITLE, METER_TITLE, VALUE, CHALLENGE, USER_INFORMATION = 0xA6, 0xA4, 0xAC, 0xAA, 0xBE
BLOCK_HEAD_BYTES = 7                                     # of a general block: tag, control, two numbers, length
_DEDICATED = frozenset(range(0xD0, 0xD8)) | {GENERAL_DED}
REPLY_TO_HLS = bytes.fromhex("000f0000280000ff01")      # class 15, 0.0.40.0.0.255, method 1
_OCTET_STRING = 0x09


class Span(NamedTuple):
    """A part of an APDU."""

    start: int
    end: int


class Redacted(NamedTuple):
    """What stands for an APDU: as it travels, and as it is under its seal (b"" where no key opens that)."""

    apdu: bytes
    clear: bytes


class Redactor:
    """Redacts the messages of one recording, in their order. `done` counts what was taken out, by what it is."""

    def __init__(self, settings: AssociationSettings, identities: tuple[bytes, ...], *, keep_identity: bool) -> None:
        """`identities` are texts that tell the meter from others, as they travel."""
        self.done: Counter[str] = Counter()
        self.sound = True                         # False: something is filler that no key opens
        self.plain: list[bytes] = []              # everything that was under a seal or in clear, redacted
        self.answers: list[tuple[int, bytes]] = []      # deciphered answers: the meter's counter, and the APDU
        self.challenge_bytes = 0                  # of the client's
        self._settings = settings
        self._keep_identity = keep_identity
        self._identities = {} if keep_identity else _stand_ins(identities)
        self._secrets = {settings.password, *self._identities}
        if settings.security is not None and any(settings.security.encryption_key):      # hls-sha256 needs none
            self._secrets |= {settings.security.encryption_key, settings.security.authentication_key}
        self._connection = 0
        self._seals = Reseal(settings, keep_title=keep_identity)
        self._proof_due = False

    @property
    def secrets(self) -> frozenset[bytes]:
        """What must be nowhere in the outcome."""
        return frozenset((self._secrets | self._seals.secrets) - {b""})

    def message(self, connection: int, apdu: bytes, *, sent: bool) -> Redacted:
        """Return the APDU that stands for `apdu`, as long as it is."""
        if connection != self._connection:
            self._secrets |= self._seals.secrets
            self._connection, self._seals, self._proof_due = (
                connection, Reseal(self._settings, keep_title=self._keep_identity), False)
        try:
            if apdu[0] in (AARQ, AARE):
                new = self._opening(apdu, sent=sent)
                return Redacted(new, new)
            if apdu[0] in CIPHERED_TAGS:
                return self._ciphered(apdu, sent=sent)
        except (Violation, IndexError):
            return Redacted(self._blank(apdu, 1), b"")
        if apdu[0] == GENERAL_BLOCK_TRANSFER and self._settings.ciphered:
            return Redacted(self._blank(apdu, BLOCK_HEAD_BYTES), b"")
        new = self._clear(apdu, sent=sent)
        return Redacted(new, new)

    # -- opening ---------------------------------------------------------------------------------------------------

    def _opening(self, apdu: bytes, *, sent: bool) -> bytes:
        """Redact an AARQ or AARE. Raises Violation or IndexError where it is malformed."""
        out, spans = bytearray(apdu), fields(apdu)
        title = inner(apdu, spans.get(CLIENT_TITLE if sent else METER_TITLE))
        if title is not None:
            self._put(out, title, self._seals.title(apdu[slice(*title)], client=sent), "system titles")
        value = inner(apdu, spans.get(VALUE if sent else CHALLENGE))
        if value is not None:
            real = apdu[slice(*value)]
            if sent and self._settings.authentication not in hls.HLS:
                self._secrets.add(real)
                self._put(out, value, standin.filler("*", len(real)), "the password")
            else:
                self.challenge_bytes = len(real) if sent else self.challenge_bytes
                self._put(out, value, self._seals.challenge(real, client=sent), "challenges")
        content = inner(apdu, spans.get(USER_INFORMATION))
        if content is not None and apdu[content.start] in (GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE):
            length, at = decode_length(apdu, content.start + 1)
            self._reseal(out, Span(at, at + length), sent=sent, dedicated=False)
        return self._anonymous(bytes(out))

    def _put(self, out: bytearray, at: Span, new: bytes, what: str) -> None:
        if out[slice(*at)] != new:
            self.done[what] += 1
            out[slice(*at)] = new

    # -- ciphered --------------------------------------------------------------------------------------------------

    def _ciphered(self, apdu: bytes, *, sent: bool) -> Redacted:
        """Redact a ciphered APDU. Raises Violation or IndexError where it is malformed."""
        out, at = bytearray(apdu), 1
        if apdu[0] in (GENERAL_GLO, GENERAL_DED):
            length, at = decode_length(apdu, at)
            if length:
                title = self._seals.title(apdu[at:at + length], client=sent)
                self._put(out, Span(at, at + length), title, "system titles")
            at += length
        length, at = decode_length(apdu, at)
        clear = self._reseal(out, Span(at, min(at + length, len(apdu))), sent=sent, dedicated=apdu[0] in _DEDICATED)
        return Redacted(bytes(out), clear)

    def _reseal(self, out: bytearray, at: Span, *, sent: bool, dedicated: bool) -> bytes:
        """Put what stands for a sealed part in its place; return what is under the seal, b"" where no key opens it."""
        clear = b""

        def redacted(content: bytes) -> bytes:
            nonlocal clear
            if content[:1] == b"\x01":
                known = self._seals.dedicated_key(content)
                self.done["the dedicated key"] += known != content
                content = known
                self.plain.append(content)
            else:
                content = self._clear(content, sent=sent)
            clear = content
            return content

        new = self._seals.reseal(bytes(out[slice(*at)]), redacted, sent=sent, dedicated=dedicated)
        if new is None:
            head = min(at.start + HEADER_BYTES, at.end)
            out[head:at.end] = bytes(at.end - head)
            self.done["ciphered content that these keys do not open"] += 1
            self.sound = False
        else:
            out[slice(*at)] = new
            self.done["ciphered APDUs, enciphered anew"] += 1
            if not sent:
                self.answers.append((int.from_bytes(new[1:HEADER_BYTES], "big"), clear))
        return clear

    # -- in clear --------------------------------------------------------------------------------------------------

    def _clear(self, apdu: bytes, *, sent: bool) -> bytes:
        """Redact an APDU in clear: proofs of high-level security, and identities."""
        if sent and apdu[:2] == b"\xc3\x01" and apdu[3:12] == REPLY_TO_HLS:
            self._proof_due = True
            apdu = self._proof(apdu, client=True)
        elif not sent and self._proof_due and apdu[:1] == b"\xc7":
            self._proof_due = False
            apdu = self._proof(apdu, client=False)
        apdu = self._anonymous(apdu)
        self.plain.append(apdu)
        return apdu

    def _proof(self, apdu: bytes, *, client: bool) -> bytes:
        """Put another proof in the place of the octet-string at the end of an ACTION; a refusal has none."""
        for at in range(len(apdu) - 2):
            if apdu[at] == _OCTET_STRING and apdu[at + 1] == len(apdu) - at - 2:
                self.done["proofs of high-level security"] += 1
                return apdu[:at + 2] + self._seals.proof(apdu[at + 2:], client=client)
        return apdu

    def _anonymous(self, apdu: bytes) -> bytes:
        for real, new in self._identities.items():
            if real in apdu:
                self.done["the meter's identity"] += apdu.count(real)
                apdu = apdu.replace(real, new)
        return apdu

    def _blank(self, apdu: bytes, head: int) -> bytes:
        """Return the APDU with nothing but its first octets."""
        self.sound = False
        self.done["APDUs that were not understood"] += 1
        return apdu[:head] + bytes(len(apdu) - head)


def _stand_ins(identities: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """Return what stands for each identity and for each number in it, longest first."""
    found: dict[bytes, bytes] = {}
    for text in identities:
        new = standin.identity(text)
        for part in ([text] if text else []) + standin.numbers(text):
            at = text.index(part)
            found.setdefault(part, new[at:at + len(part)])
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def fields(apdu: bytes) -> dict[int, Span]:
    """Return where the fields of an AARQ or AARE have their content. Raises Violation or IndexError."""
    length, at = decode_length(apdu, 1)
    end = min(at + length, len(apdu))
    spans: dict[int, Span] = {}
    while at < end:
        tag = apdu[at]
        length, at = decode_length(apdu, at + 1)
        spans[tag] = Span(at, min(at + length, end))
        at += length
    return spans


def inner(apdu: bytes, field: Span | None) -> Span | None:
    """Return where the one element inside a field has its content; None without a field. Raises Violation."""
    if field is None:
        return None
    length, at = decode_length(apdu, field.start + 1)
    return Span(at, min(at + length, field.end))
