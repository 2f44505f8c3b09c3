"""Ciphered APDUs: sealing what goes out, opening what comes in (IEC 62056-5-3 clauses 5.3.5 and 9.5).

    general-glo   DB | title | length | sealed        any APDU, global key            general-ded  DC ...
    glo           C8..CF | length | sealed            one tag per service, global key     ded      D0..D7 ...

One object per association. It knows the meter's counters of this association and takes none twice, and takes nothing
that is less protected than agreed: with authentication agreed, everything must be authenticated; else encrypted.
"""

from typing import Literal, NamedTuple, Self

from edge.dlms.axdr import decode_length, encode_length
from edge.dlms.ciphering import TAG_BYTES, TITLE_BYTES, Cipher, Protection
from edge.dlms.counter import InvocationCounters
from edge.dlms.settings import Security
from edge.errors import NotGenuine, Violation

GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE = 0x21, 0x28
GENERAL_GLO, GENERAL_DED, GENERAL_CIPHERING = 0xDB, 0xDC, 0xDD

# plain tag -> the service's own ciphered tag: GET, SET, event-notification, ACTION, and the answers
_GLO = {0xC0: 0xC8, 0xC1: 0xC9, 0xC2: 0xCA, 0xC3: 0xCB, 0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF}
_DED = {plain: ciphered + 8 for plain, ciphered in _GLO.items()}
_OWN_TAGS = ({tag: (plain, False) for plain, tag in _GLO.items()}
             | {tag: (plain, True) for plain, tag in _DED.items()})
CIPHERED_TAGS = frozenset((GENERAL_GLO, GENERAL_DED, *_OWN_TAGS))
"""First octets of APDUs that `open` is for."""

OVERHEAD_BYTES = 1 + 1 + TITLE_BYTES + 3 + 5 + TAG_BYTES
"""Most that a seal adds to an APDU of up to 65,535 octets."""


class Ciphered(NamedTuple):
    """A ciphered APDU taken apart; nothing of it is proven yet.

    `title` is the sender's as it is written there: eight octets, b"" where it is left out or the form has none.
    `plain_tag` is the tag that must come out, None where the form does not say it.
    """

    title: bytes
    dedicated: bool
    plain_tag: int | None
    sealed: bytes

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Take an APDU with one of CIPHERED_TAGS apart. Raises Violation."""
        tag = message[0]
        if tag not in (GENERAL_GLO, GENERAL_DED):
            plain, dedicated = _OWN_TAGS[tag]
            return cls(b"", dedicated, plain, _counted(message, 1))
        length, at = decode_length(message, 1)
        if length not in (0, TITLE_BYTES) or at + length > len(message):
            raise NotGenuine(f"a ciphered APDU under a system title of {length} octets")
        return cls(message[at:at + length], tag == GENERAL_DED, None, _counted(message, at + length))

    def check(self, opened: bytes) -> None:
        """Raise NotGenuine where what was under the seal is not what may be there."""
        if self.plain_tag is not None and opened[:1] != bytes((self.plain_tag,)):
            raise NotGenuine("a ciphered APDU holds another service than its tag says")
        if not opened or opened[0] in CIPHERED_TAGS:
            raise NotGenuine("a ciphered APDU holds nothing, or another ciphered one")


class _Key(NamedTuple):
    """A cipher, and which direction-independent name the messages give it."""

    cipher: Cipher
    name: Literal["global", "dedicated"]


class SecureChannel:
    """Both directions of one ciphered association."""

    def __init__(self, security: Security, counters: InvocationCounters) -> None:
        """`counters` is the supply of the client's numbers; each sealed APDU takes one."""
        self.security = security
        self.counters = counters
        self.cipher = Cipher(security.suite, security.encryption_key, security.authentication_key)
        self.meter_title = security.meter_title
        self._global = _Key(self.cipher, "global")
        self._dedicated = _Key(Cipher(security.suite, security.dedicated_key, security.authentication_key),
                               "dedicated") if security.dedicated_key else None
        self._heard: dict[str, int] = {}      # key -> highest counter that the meter has used with it

    def learn_title(self, title: bytes) -> None:
        """Take the meter's title from its AARE; raise NotGenuine if it is malformed or another meter's."""
        if len(title) != TITLE_BYTES:
            raise NotGenuine(f"the meter tells a system title of {len(title)} octets instead of {TITLE_BYTES}")
        if self.meter_title not in (b"", title):
            raise NotGenuine(f"the meter's system title is {title.hex()}, {self.meter_title.hex()} is registered")
        if title == self.security.client_title:
            raise NotGenuine("the meter uses this client's own system title: its nonces would be ours")
        self.meter_title = title

    @property
    def meter_counter(self) -> int:
        """The highest invocation counter that the meter has used with the global key, -1 for none."""
        return self._heard.get(self._global.name, -1)

    # -- the initiate-request and what answers it ----------------------------------------------------------------------

    def seal_initiate(self, request: bytes) -> bytes:
        """Put an InitiateRequest under the global key: glo-initiateRequest."""
        return self._service(GLO_INITIATE_REQUEST, self._global, request)

    def open_initiate(self, response: bytes) -> bytes:
        """Return the InitiateResponse under glo-initiateResponse (or general-glo); raise Violation kinds."""
        if response[:1] == bytes((GENERAL_GLO,)):
            return self.open(response)
        if response[:1] != bytes((GLO_INITIATE_RESPONSE,)):
            raise NotGenuine("the AARE accepts, and its initiate-response is not ciphered")
        return self._unseal(self._global, _counted(response, 1))

    # -- any APDU ------------------------------------------------------------------------------------------------------

    def seal(self, message: bytes) -> bytes:
        """Cipher one APDU in the agreed form. Raises LocalStateError when no counter is left."""
        form = self.security.form
        dedicated = form in ("ded", "general-ded")
        key = self._dedicated if dedicated else self._global
        assert key is not None      # `Security` sees to it that there is a dedicated key
        own = (_DED if dedicated else _GLO).get(message[0]) if form in ("glo", "ded") else None
        if own is not None:
            return self._service(own, key, message)
        title = self.security.client_title
        sealed = self._seal(key, message)
        return b"".join((bytes((GENERAL_DED if dedicated else GENERAL_GLO, len(title))), title,
                         encode_length(len(sealed)), sealed))

    def open(self, message: bytes) -> bytes:
        """Return the APDU in a ciphered one. Raises NotGenuine, or Violation where it is malformed."""
        ciphered = Ciphered.parse(message)
        if ciphered.title not in (b"", self.meter_title):
            raise NotGenuine(f"a ciphered APDU under the system title {ciphered.title.hex()}, "
                             f"the meter's is {self.meter_title.hex()}")
        opened = self._unseal(self._key(dedicated=ciphered.dedicated), ciphered.sealed)
        ciphered.check(opened)
        return opened

    def _key(self, *, dedicated: bool) -> _Key:
        if not dedicated:
            return self._global
        if self._dedicated is None:
            raise NotGenuine("an APDU under a dedicated key, and none was agreed")
        return self._dedicated

    def _service(self, tag: int, key: _Key, message: bytes) -> bytes:
        sealed = self._seal(key, message)
        return bytes((tag,)) + encode_length(len(sealed)) + sealed

    def _seal(self, key: _Key, message: bytes) -> bytes:
        security = self.security
        return key.cipher.seal(security.protection, security.client_title, self.counters.take(), message)

    def _unseal(self, key: _Key, sealed: bytes) -> bytes:
        if not self.meter_title:
            raise NotGenuine("a ciphered APDU before the meter has told its system title")
        protection, counter, information = key.cipher.unseal(self.meter_title, sealed)
        if protection is Protection.ENCRYPTED and self.security.protection is not Protection.ENCRYPTED:
            raise NotGenuine("an answer without authentication, which was agreed")
        if counter <= self._heard.get(key.name, -1):
            raise NotGenuine(f"invocation counter {counter} of the meter after {self._heard[key.name]}: a repetition")
        self._heard[key.name] = counter
        return information


def _counted(message: bytes, at: int) -> bytes:
    """Return the octet-string at `at`, which must fill the rest."""
    length, at = decode_length(message, at)
    if length != len(message) - at:
        raise Violation(f"a ciphered APDU announces {length} octets, holds {len(message) - at}")
    return message[at:]
