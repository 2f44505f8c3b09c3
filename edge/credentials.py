"""The gateway's own secrets, its private key and its access token: small files in the state directory (I/O edge).

    device.key      P-256, PEM (PKCS #8, RFC 5958), mode 0600; made on the device, never shown
    uplink.token    what ThingsBoard knows the gateway by; comes from the operator
"""

import base64
import binascii
from pathlib import Path

from edge.config import Settings
from edge.durable import write_file
from edge.errors import ConfigError

KEY_FILE = "device.key"
TOKEN_FILE = "uplink.token"      # noqa: S105 - a file's name in the state directory
TOKEN_LIMIT_BYTES = 1_024

_BOM = b"\xef\xbb\xbf"                            # an editor on Windows puts it in front
_P256 = bytes.fromhex("06082a8648ce3d030107")      # OID 1.2.840.10045.3.1.7 in DER


def ensure_key(state_dir: Path) -> str:
    """Make the device's private key where there is none: P-256, never shown. Return "made", "found" or "narrowed".

    "narrowed": other users could read it; they cannot now. Raises ConfigError for a file that holds no such key, which
    is never replaced (a certificate may hang on it), OSError as the storage says.
    """
    path = state_dir / KEY_FILE
    if not path.exists():
        write_file(path, _new_key())
        return "made"
    if not _is_key(path.read_bytes()[:4_096]):
        raise ConfigError(f"{path}: holds no P-256 key in PEM (PKCS #8); restore it, or move it away for a new one")
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
        return "narrowed"
    return "found"


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to load, needed once in a life
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - same

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _is_key(pem: bytes) -> bool:
    """Tell whether this is PEM of a whole PKCS #8 structure for P-256, without loading a library for it."""
    text = b"".join(pem.split())
    first, last = b"-----BEGINPRIVATEKEY-----", b"-----ENDPRIVATEKEY-----"      # without their spaces too
    if not (text.startswith(first) and text.endswith(last)):
        return False
    try:
        der = base64.b64decode(text[len(first) : -len(last)], validate=True)
    except binascii.Error:
        return False
    # one SEQUENCE, whole: its length is short, or one octet behind 0x81; such a key has 67 to 138 octets
    head = bytes((0x30, len(der) - 2)) if 2 <= len(der) < 0x82 else bytes((0x30, 0x81, (len(der) - 3) & 0xFF))
    return der.startswith(head) and _P256 in der


def token_path(settings: Settings) -> Path:
    """Return the file that holds the gateway's access token."""
    return Path(settings.uplink.token_file or Path(settings.gateway.state_dir) / TOKEN_FILE)


def read_token(path: Path) -> str:
    """Return the token in a file, as `parse_token` does. ConfigError in one line, never with the token."""
    try:
        with path.open("rb") as file:
            raw = file.read(TOKEN_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no access token; put the device's token from ThingsBoard there") from error
    except OSError as error:
        raise ConfigError(f"{path}: the access token cannot be read: {error.strerror}") from error
    return parse_token(raw, str(path))


def parse_token(raw: bytes, where: str) -> str:
    """Return the token, without what an editor leaves around it. ConfigError in one line, never with the token."""
    try:
        token = raw.removeprefix(_BOM).strip().decode("ascii")
    except UnicodeDecodeError:      # from None: the cause holds the whole text
        raise ConfigError(f"{where}: the access token cannot be read: is not ASCII text") from None
    if not token or not token.isprintable() or " " in token or len(raw) > TOKEN_LIMIT_BYTES:
        raise ConfigError(f"{where}: holds no access token; it must be one word")
    return token
