"""Puts ciphered content and proofs of high-level security under keys that everybody may know (pure).

One object per connection of a recording. Titles, challenges and a dedicated key are learned as they pass.
"""

from collections.abc import Callable

from edge.capture import standin
from edge.dlms import hls
from edge.dlms.ciphering import HEADER_BYTES, TITLE_BYTES, Cipher
from edge.dlms.hls import Challenges, Titles
from edge.dlms.settings import AssociationSettings
from edge.errors import NotGenuine

NO_TITLES, NO_CHALLENGES = Titles(b"", b""), Challenges(b"", b"")
_KEY_FLAG, _KEY_AT = b"\x01\x01", 3        # in an InitiateRequest: 01 | 01 length key | ...


class Reseal:
    """The meter's keys beside those of the recordings. `secrets` grows by what must be nowhere in the outcome."""

    def __init__(self, settings: AssociationSettings, *, keep_title: bool) -> None:
        """`keep_title` leaves the meter's system title as it is."""
        self.secrets: set[bytes] = set()
        self._settings = settings
        self._keep_title = keep_title
        self._real, self._new = NO_TITLES, NO_TITLES
        self._asked, self._asked_new = NO_CHALLENGES, NO_CHALLENGES
        self._global: tuple[Cipher, Cipher] | None = None
        self._dedicated: tuple[Cipher, Cipher] | None = None
        security = settings.security
        if security is not None:
            self._global = (Cipher(security.suite, security.encryption_key, security.authentication_key),
                            standin_cipher(security.suite, standin.ENCRYPTION_KEY))
            if security.meter_title:
                self.title(security.meter_title, client=False)

    def title(self, real: bytes, *, client: bool) -> bytes:
        """Take a side's system title; return the one that stands for it."""
        if client:
            new = standin.CLIENT_TITLE[:len(real)]
            self._real, self._new = self._real._replace(client=real), self._new._replace(client=new)
        else:
            new = real if self._keep_title else standin.meter_title(real)
            self._real, self._new = self._real._replace(meter=real), self._new._replace(meter=new)
        self.secrets |= {real} - {new}
        return new

    def challenge(self, real: bytes, *, client: bool) -> bytes:
        """Take a side's challenge; return the one that stands for it."""
        new = standin.filler("C" if client else "S", len(real))
        if client:
            self._asked, self._asked_new = self._asked._replace(client=real), self._asked_new._replace(client=new)
        else:
            self._asked, self._asked_new = self._asked._replace(meter=real), self._asked_new._replace(meter=new)
        self.secrets |= {real} - {new}
        return new

    def reseal(self, sealed: bytes, redact: Callable[[bytes], bytes], *, sent: bool, dedicated: bool) -> bytes | None:
        """Return what stands for something sealed, with `redact` applied to its content; None where no key opens it."""
        ciphers = self._dedicated if dedicated else self._global
        real, new = (self._real.client, self._new.client) if sent else (self._real.meter, self._new.meter)
        if ciphers is None or len(real) != TITLE_BYTES:
            return None
        try:
            opened = ciphers[0].unseal(real, sealed)
        except NotGenuine:
            return None
        return ciphers[1].seal(opened.protection, new, opened.counter, redact(opened.information))

    def dedicated_key(self, request: bytes) -> bytes:
        """Take the dedicated key of an InitiateRequest; return the request with the one that stands for it."""
        security = self._settings.security
        if security is None or request[:2] != _KEY_FLAG:
            return request
        end = _KEY_AT + request[2]
        key, new = request[_KEY_AT:end], standin.key(standin.DEDICATED_KEY, security.suite)
        self.secrets.add(key)
        if len(key) != len(new):
            return request[:_KEY_AT] + bytes(len(key)) + request[end:]
        self._dedicated = (Cipher(security.suite, key, security.authentication_key),
                           standin_cipher(security.suite, standin.DEDICATED_KEY))
        return request[:_KEY_AT] + new + request[end:]

    def proof(self, real: bytes, *, client: bool) -> bytes:
        """Return the proof that stands for one side's, as long as it is: of the recordings' secret or keys."""
        self.secrets.add(real)
        titles, asked = self._new, self._asked_new
        own, other = (titles.client, titles.meter) if client else (titles.meter, titles.client)
        answered, sent = (asked.meter, asked.client) if client else (asked.client, asked.meter)
        if self._settings.authentication == "hls-gmac":
            if self._global is None or len(own) != TITLE_BYTES or len(real) < HEADER_BYTES:
                return bytes(len(real))
            new = self._global[1].gmac(own, int.from_bytes(real[1:HEADER_BYTES], "big"), answered)
        else:
            secret = standin.filler("*", len(self._settings.password))
            new = hls.digest(self._settings.authentication, secret, own=own, other=other, answered=answered, sent=sent)
        return new if len(new) == len(real) else bytes(len(real))


def standin_cipher(suite: int, first: int) -> Cipher:
    """Return the cipher of a key of the recordings."""
    return Cipher(suite, standin.key(first, suite), standin.key(standin.AUTHENTICATION_KEY, suite))
