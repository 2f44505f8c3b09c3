"""High-level security: what proves the secret over the other side's challenge (IEC 62056-5-3 clauses 5.3.2.3, 9.2.7.4).

    pass 1  AARQ: mechanism, client title, CtoS        pass 3  ACTION reply_to_HLS_authentication: f(StoC)
    pass 2  AARE: meter title, StoC                    pass 4  its return value: f(CtoS)

    hls-md5, hls-sha1   hash of challenge | secret
    hls-gmac            security control | counter | tag of AES-GCM over the challenge
    hls-sha256          hash of secret | own title | other title | challenge answered | challenge sent
"""

import hashlib
from hmac import compare_digest
from typing import NamedTuple

from edge.dlms.ciphering import HEADER_BYTES, TAG_BYTES, Cipher, Protection
from edge.errors import NotGenuine

MECHANISMS = {"none": 0, "lls": 1, "hls-md5": 3, "hls-sha1": 4, "hls-gmac": 5, "hls-sha256": 6}
"""Authentication -> number at the end of its mechanism name. 2 is the maker's own, 7 (ECDSA) is not implemented."""

HLS = frozenset(("hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"))
WITH_SECRET = frozenset(("hls-md5", "hls-sha1", "hls-sha256"))
CHALLENGE_BYTES = (8, 64)


class Titles(NamedTuple):
    """System titles of both sides; b"" where one was not told."""

    client: bytes
    meter: bytes


class Challenges(NamedTuple):
    """What each side must answer: CtoS and StoC."""

    client: bytes
    meter: bytes


def digest(mechanism: str, secret: bytes, *, own: bytes, other: bytes, answered: bytes, sent: bytes) -> bytes:
    """Return the hash by which the side with the title `own` answers the challenge `answered`."""
    match mechanism:
        case "hls-md5":
            return hashlib.md5(answered + secret, usedforsecurity=False).digest()      # what the standard says it is
        case "hls-sha1":
            return hashlib.sha1(answered + secret, usedforsecurity=False).digest()
        case "hls-sha256":
            return hashlib.sha256(secret + own + other + answered + sent).digest()
    raise ValueError(f"{mechanism} has no digest")


def proof(mechanism: str, secret: bytes, titles: Titles, challenges: Challenges) -> bytes:
    """Return f(StoC) of a mechanism with a secret; GMAC's is `Cipher.gmac`."""
    return digest(mechanism, secret, own=titles.client, other=titles.meter, answered=challenges.meter,
                  sent=challenges.client)


def check_proof(mechanism: str, secret: bytes, titles: Titles, challenges: Challenges, given: bytes) -> None:
    """Raise NotGenuine unless `given` is the meter's f(CtoS)."""
    due = digest(mechanism, secret, own=titles.meter, other=titles.client, answered=challenges.client,
                 sent=challenges.meter)
    if not compare_digest(due, given):
        raise NotGenuine(_NO_PROOF)


def check_gmac(cipher: Cipher, title: bytes, challenge: bytes, given: bytes) -> None:
    """Raise NotGenuine unless `given` is the GMAC of `challenge` made with these keys under the meter's title."""
    if len(given) != HEADER_BYTES + TAG_BYTES or given[0] & Protection.BOTH != Protection.AUTHENTICATED:
        raise NotGenuine(f"f(CtoS) of {len(given)} octets is no GMAC")
    if not compare_digest(cipher.gmac(title, int.from_bytes(given[1:HEADER_BYTES], "big"), challenge), given):
        raise NotGenuine(_NO_PROOF)


_NO_PROOF = "the meter does not prove that it knows the secret (f(CtoS) is wrong): another device, or another secret"
