"""The form of a backup file: a line that says whose it is, and a body that nobody can alter unseen.

    HALOW-GATEWAY-BACKUP 1\\n
    {"gateway", "id", "version", "made_ms", "secrets", "meters", "salt", "n", "r", "p"}\\n
    encrypted    nonce (12 octets), AES-256-GCM of the body, tag; key = scrypt(passphrase) of RFC 7914
    in clear     SHA-256 (32 octets), the body; holds no secrets

Both lines are told to everybody, and neither can be altered: they are sealed with the body.
"""

import hashlib
import hmac
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import ConfigError

MAGIC = b"HALOW-GATEWAY-BACKUP 1\n"
HEADER_LIMIT_BYTES = 4_096
SALT_BYTES, NONCE_BYTES, DIGEST_BYTES, KEY_BYTES = 16, 12, 32, 32
N, R, P = 2**15, 8, 3
"""32 MiB, one to two seconds on the board: dearer than a login, for whoever has the file has all the time."""
COST_LIMIT = 2**17
MEMORY_LIMIT_BYTES = 256 * 1_048_576
SHORTEST_PASSPHRASE = 10


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told without the passphrase. `made_ms`: Unix milliseconds by the gateway's clock."""

    gateway: str
    id: str
    version: str
    made_ms: int
    meters: int
    secrets: bool
    salt: str = ""
    n: int = 0
    r: int = 0
    p: int = 0


def seal(header: Header, body: bytes, passphrase: str) -> bytes:
    """Return the file; with `passphrase` "" in clear. ConfigError where that would show secrets, or for a short one."""
    if not passphrase:
        if header.secrets:
            raise ConfigError("secrets are not written in the clear")
        head = _head(header)
        return head + hashlib.sha256(head + body).digest() + body
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters: whoever has the file can guess")
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    header = msgspec.structs.replace(header, salt=salt.hex(), n=N, r=R, p=P)
    head = _head(header)
    return head + nonce + AESGCM(_key(passphrase, header)).encrypt(nonce, body, head)


def header_of(raw: bytes) -> Header:
    """Read the line in clear. ConfigError: this is no backup, or a newer version's."""
    if not raw.startswith(MAGIC):
        newer = raw.startswith(MAGIC.split()[0])
        raise ConfigError("is a backup of a newer version" if newer else "is no backup of this gateway's kind")
    end = raw.find(b"\n", len(MAGIC), len(MAGIC) + HEADER_LIMIT_BYTES)
    try:
        header = msgspec.json.decode(raw[len(MAGIC) : max(end, 0)], type=Header)
        salted = not header.salt or len(bytes.fromhex(header.salt)) == SALT_BYTES
    except (msgspec.DecodeError, ValueError) as wrong:
        raise ConfigError("is a damaged backup: its first lines cannot be read") from wrong
    if not salted or header.n > COST_LIMIT or header.r > R or header.p > 16:
        raise ConfigError("is a damaged backup: opening it would cost more than the board has")
    return header


def unseal(raw: bytes, passphrase: str) -> bytes:
    """Return the body. ConfigError: altered, cut off, or another passphrase."""
    header = header_of(raw)
    start = raw.index(b"\n", len(MAGIC)) + 1
    head, rest = raw[:start], raw[start:]
    if not header.salt:
        body = rest[DIGEST_BYTES:]
        if not hmac.compare_digest(hashlib.sha256(head + body).digest(), rest[:DIGEST_BYTES]):
            raise ConfigError("is damaged: its digest is not that of its content")
        return body
    try:
        return AESGCM(_key(passphrase, header)).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], head)
    except (InvalidTag, ValueError):      # from None: nothing of the key leaves
        raise ConfigError("does not open: another passphrase, or the file is damaged") from None


def _head(header: Header) -> bytes:
    return MAGIC + msgspec.json.encode(header) + b"\n"


def _key(passphrase: str, header: Header) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=bytes.fromhex(header.salt), n=header.n, r=header.r, p=header.p,
                          maxmem=MEMORY_LIMIT_BYTES, dklen=KEY_BYTES)
