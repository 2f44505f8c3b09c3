"""The simulated meter's ciphering and proofs of identity (sans-IO; AES-GCM itself is `cryptography`'s).

IEC 62056-5-3, 5.3 to 5.7: security control octet, general and service-specific glo and ded ciphering, HLS mechanisms
3 to 6. Suites 0 and 1 use AES-128, suite 2 AES-256; of the suites only the symmetric part is here.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from edge.demo.meter_data import take_octets
from edge.demo.meter_manners import AUTHENTICATED, ENCRYPTED, HLS_GMAC, HLS_MD5, HLS_SHA1, KEY_BYTES, Secured
from edge.demo.meter_objects import length

TAG_BYTES = 12
GENERAL_GLO, GENERAL_DED = 0xDB, 0xDC
# plain tag -> service-specific tags with the global and with the dedicated key
GLO = {0xC0: 0xC8, 0xC1: 0xC9, 0xC2: 0xCA, 0xC3: 0xCB, 0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF}
DED = {0xC0: 0xD0, 0xC1: 0xD1, 0xC2: 0xD2, 0xC3: 0xD3, 0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7}
SPECIFIC = {ciphered: (plain, dedicated) for dedicated, table in ((False, GLO), (True, DED))
            for plain, ciphered in table.items()}
COUNTER_MAX = 0xFFFFFFFF


class SecurityFault(Exception):
    """A request that is not protected as it must be. `counter`: the lowest one accepted, where that was the trouble."""

    def __init__(self, why: str, counter: int | None = None) -> None:
        """`why` is for logs of the simulator."""
        super().__init__(why)
        self.counter = counter


def seal(key: bytes, authentication_key: bytes, title: bytes, control: int, counter: int, plain: bytes) -> bytes:
    """Protect `plain`: security control, counter, then text and tag as `control` says."""
    header = bytes((control,)) + counter.to_bytes(4, "big")
    encryptor = BlockCipher(algorithms.AES(key), modes.GCM(title + header[1:])).encryptor()
    if control & AUTHENTICATED:
        encryptor.authenticate_additional_data(
            header[:1] + authentication_key + (b"" if control & ENCRYPTED else plain))
    text = encryptor.update(plain) if control & ENCRYPTED else plain
    encryptor.finalize()
    return header + text + (encryptor.tag[:TAG_BYTES] if control & AUTHENTICATED else b"")


def unseal(key: bytes, authentication_key: bytes, title: bytes, body: bytes) -> tuple[int, int, bytes]:
    """Undo `seal`: (security control, counter, plain). SecurityFault when the tag does not fit or parts are missing."""
    control, counter = body[0] if body else 0, body[1:5]
    tag_bytes = TAG_BYTES if control & AUTHENTICATED else 0
    if len(body) < 5 + tag_bytes or not control & (AUTHENTICATED | ENCRYPTED) or len(title) != 8:
        raise SecurityFault("not a protected text")
    text, tag = body[5:len(body) - tag_bytes], body[len(body) - tag_bytes:]
    if not control & AUTHENTICATED:
        # GCM without its tag is counter mode from block 2 on
        stream = BlockCipher(algorithms.AES(key), modes.CTR(title + counter + b"\x00\x00\x00\x02")).decryptor()
        return control, int.from_bytes(counter, "big"), stream.update(text) + stream.finalize()
    decryptor = BlockCipher(algorithms.AES(key), modes.GCM(title + counter, tag, min_tag_length=TAG_BYTES)).decryptor()
    decryptor.authenticate_additional_data(body[:1] + authentication_key + (b"" if control & ENCRYPTED else text))
    try:
        plain = decryptor.update(text) + decryptor.finalize() if control & ENCRYPTED else text
        if not control & ENCRYPTED:
            decryptor.finalize()
    except InvalidTag as fault:
        raise SecurityFault("the authentication tag does not fit") from fault
    return control, int.from_bytes(counter, "big"), plain


class Cipher:
    """Protection between one client SAP and the meter, for one association. The counters belong to the meter."""

    def __init__(self, secured: Secured, sap: int, own_title: bytes, client_title: bytes,
                 client_counters: dict[int, int], own_counters: dict[int, int]) -> None:
        """The counter tables are the meter's, by client SAP; they are read and written here."""
        self._secured = secured
        self._sap = sap
        self._own_title, self.client_title = own_title, client_title
        self._client_counters, self._own_counters = client_counters, own_counters
        self._dedicated_key = b""
        self._dedicated_counters = [-1, 0]              # last of the client, next of the meter
        self._control = 0                               # of the last request: answers are protected alike
        self._dedicated = self._general = False

    def use_dedicated(self, key: bytes) -> bool:
        """Take the key for this association; False when it is of the wrong length."""
        self._dedicated_key = key
        return not key or len(key) == KEY_BYTES[self._secured.suite or 0]

    def next_counter(self, by: int = 1) -> int:
        """The meter's next invocation counter for this client; goes on by `by`."""
        counter = self._own_counters.get(self._sap, 0)
        self._own_counters[self._sap] = counter + by
        return counter

    # -- requests --------------------------------------------------------------------------------------------------

    def open_initiate(self, body: bytes) -> bytes:
        """Read a glo-initiate-request after its tag. Raises SecurityFault, BadData."""
        text, _ = take_octets(body, 0)
        self._general = self._dedicated = False
        return self._open(text, self.client_title)

    def open(self, apdu: bytes) -> bytes:
        """Read a ciphered request and remember its form. Raises SecurityFault, BadData."""
        tag = apdu[0]
        title, place = self.client_title, 1
        if tag in (GENERAL_GLO, GENERAL_DED):
            self._general, self._dedicated = True, tag == GENERAL_DED
            named, place = take_octets(apdu, 1)
            title = named or title
        elif tag in SPECIFIC:
            self._general, self._dedicated = False, SPECIFIC[tag][1]
        else:
            raise SecurityFault(f"a plain request, tag {tag:#04x}")
        text, end = take_octets(apdu, place)
        if end != len(apdu) or title != self.client_title:
            raise SecurityFault("octets after the end, or another system title")
        plain = self._open(text, title)
        if tag in SPECIFIC and plain[:1] != bytes((SPECIFIC[tag][0],)):
            raise SecurityFault("another service inside than outside")
        return plain

    def _open(self, text: bytes, title: bytes) -> bytes:
        secured = self._secured
        if self._dedicated and not self._dedicated_key:
            raise SecurityFault("no dedicated key was agreed")
        key = self._dedicated_key if self._dedicated else secured.encryption_key
        control, counter, plain = unseal(key, secured.authentication_key, title, text)
        if control & 0x0F != secured.suite or control & 0xC0:
            raise SecurityFault("another security suite, broadcast key or compression")
        if secured.policy & ~control & (AUTHENTICATED | ENCRYPTED):
            raise SecurityFault("less protection than the policy asks for")
        last = self._dedicated_counters[0] if self._dedicated else self._client_counters.get(self._sap, -1)
        if counter <= last:
            raise SecurityFault("an invocation counter used before", counter=min(last + 1, COUNTER_MAX))
        if self._dedicated:
            self._dedicated_counters[0] = counter
        else:
            self._client_counters[self._sap] = counter
        self._control = control
        return plain

    # -- answers ---------------------------------------------------------------------------------------------------

    def seal_initiate(self, plain: bytes) -> bytes:
        """Protect the InitiateResponse as its request was; the recorded meter's counter goes on by two here."""
        secured = self._secured
        body = seal(secured.encryption_key, secured.authentication_key, self._own_title, self._control,
                    self.next_counter(2), plain)
        return length(len(body)) + body

    def seal(self, plain: bytes) -> bytes:
        """Protect an answer in the form of its request, or as `Secured` wants it wrong."""
        secured = self._secured
        control = self._control
        if secured.answer_protection is not None:
            if not secured.answer_protection:
                return plain
            control = control & 0x0F | secured.answer_protection
        body = self._seal(plain, control, dedicated=self._dedicated)
        general = self._general if secured.answer_form == "same" else secured.answer_form == "general"
        specific = (DED if self._dedicated else GLO).get(plain[0])
        if general or specific is None:
            return self._general_form(body, dedicated=self._dedicated)
        return bytes((specific,)) + length(len(body)) + body

    def seal_push(self, plain: bytes, control: int = AUTHENTICATED | ENCRYPTED) -> bytes:
        """Protect what nobody asked for: general-glo with the global key."""
        body = self._seal(plain, control | (self._secured.suite or 0), dedicated=False)
        return self._general_form(body, dedicated=False)

    def _seal(self, plain: bytes, control: int, *, dedicated: bool) -> bytes:
        secured = self._secured
        if dedicated:
            counter = self._dedicated_counters[1]
            self._dedicated_counters[1] += 1
        else:
            counter = self.next_counter(0 if secured.answer_counter == "repeats" else 1)
        key = self._dedicated_key if dedicated else secured.encryption_key
        body = seal(key, secured.authentication_key, self._own_title, control, counter, plain)
        return body[:-1] + bytes((body[-1] ^ 1,)) if secured.answer_damaged else body

    def _general_form(self, body: bytes, *, dedicated: bool) -> bytes:
        title = self._own_title
        return bytes((GENERAL_DED if dedicated else GENERAL_GLO, len(title))) + title + length(len(body)) + body

    # -- HLS: who is who -------------------------------------------------------------------------------------------

    def proof(self, to_client: bytes, to_server: bytes) -> bytes:
        """f(CtoS), the meter's answer to the client's challenge."""
        secured = self._secured
        if secured.mechanism == HLS_GMAC:
            return self._gmac(self._own_title, self.next_counter(), to_server)
        return _digest(secured, self._own_title, self.client_title, to_server, to_client)

    def proves(self, proof: bytes, to_client: bytes, to_server: bytes) -> bool:
        """Tell whether `proof` is the client's f(StoC)."""
        secured = self._secured
        if secured.mechanism == HLS_GMAC:
            if len(proof) != 5 + TAG_BYTES:
                return False
            wanted = self._gmac(self.client_title, int.from_bytes(proof[1:5], "big"), to_client)
        else:
            wanted = _digest(secured, self.client_title, self._own_title, to_client, to_server)
        return hmac.compare_digest(proof, wanted)

    def _gmac(self, title: bytes, counter: int, challenge: bytes) -> bytes:
        secured = self._secured
        whole = seal(secured.encryption_key, secured.authentication_key, title, AUTHENTICATED | (secured.suite or 0),
                     counter, challenge)
        return whole[:5] + whole[-TAG_BYTES:]


def _digest(secured: Secured, prover: bytes, verifier: bytes, challenge: bytes, other: bytes) -> bytes:
    """The proof of mechanisms 3, 4 and 6 for `challenge`, by the side whose title is `prover`."""
    if secured.mechanism == HLS_MD5:
        return hashlib.md5(challenge + secured.secret, usedforsecurity=False).digest()
    if secured.mechanism == HLS_SHA1:
        return hashlib.sha1(challenge + secured.secret, usedforsecurity=False).digest()
    return hashlib.sha256(secured.secret + prover + verifier + challenge + other).digest()
