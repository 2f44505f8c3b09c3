"""Secrets of the page as they are kept: the password by scrypt (RFC 7914), tokens and one-time codes as SHA-256.

A token and a session id have 256 random bits, so a plain digest of them is enough; a person's password gets what
guessing makes dear. The cost stands beside each hash, so that it may be raised later without locking anybody out.
"""

import hashlib
import hmac
import secrets

import msgspec

LEAST_CHARS, MOST_CHARS = 10, 128
SALT_BYTES, KEY_BYTES = 16, 32
N, R, P = 2**14, 8, 5
"""16 MiB for 0.2 to 1 s: one of the settings that OWASP's password storage cheat sheet gives as equal to each other."""
MEMORY_LIMIT_BYTES = 64 * 1_048_576

CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"      # nothing that looks like something else on a phone in the sun
CODE_CHARS = 10


class Hashed(msgspec.Struct, frozen=True):
    """A password's scrypt hash, in hexadecimal digits, and what it cost."""

    salt: str
    key: str
    n: int = N
    r: int = R
    p: int = P

    def __repr__(self) -> str:
        """Leave salt and key out."""
        return "Hashed(...)"


def hashed(password: str, *, n: int = N) -> Hashed:
    """Hash a new password. Takes `N`'s time and memory: call it in a thread; OpenSSL lets the loop run meanwhile."""
    salt = secrets.token_bytes(SALT_BYTES)
    return Hashed(salt.hex(), _derive(password, salt, n, R, P).hex(), n)


def matches(password: str, kept: Hashed) -> bool:
    """Tell whether this is the password. Call it in a thread as well."""
    try:
        salt, key = bytes.fromhex(kept.salt), bytes.fromhex(kept.key)
        return hmac.compare_digest(_derive(password, salt, kept.n, kept.r, kept.p), key)
    except ValueError:      # a file that somebody has edited: nobody's password
        return False


def fault(password: str) -> str:
    """Say why this can be no password, "" where it can."""
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        return f"must have {LEAST_CHARS} to {MOST_CHARS} characters"
    if not password.isprintable():
        return "must be characters that can be typed"
    if len(set(password)) < 4:
        return "must not repeat the same few characters"
    return ""


def new_token() -> str:
    """Return a token or session id: 256 random bits."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """Return a one-time code that can be read out and typed: 49 random bits, shown as two groups."""
    code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
    return f"{code[:5]}-{code[5:]}"


def plain_code(code: str) -> str:
    """Return what is compared of a code: case, spaces and dashes are a typist's."""
    return "".join(char for char in code.upper() if char in CODE_ALPHABET)


def code_digest(code: str) -> str:
    """Return what is kept of a drawn code for its minutes."""
    return digest(plain_code(code))


def digest(secret: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p,
                          maxmem=MEMORY_LIMIT_BYTES, dklen=KEY_BYTES)
