"""The gateway's own secrets and what it logs in with: small files in the state directory (I/O edge).

    device.key         P-256, PEM (PKCS #8, RFC 5958), mode 0600; made on the device, never shown
    device.pem         its certificate, issuers behind it; comes from the operator, who gets a request by `csr`
    uplink.token       what ThingsBoard knows the gateway by; comes from the operator
    uplink.password    the same with a user name (ThingsBoard's MQTT Basic)
    page.pem           key and certificate of the local page, mode 0600; self-signed and made on the device, or brought
    provision.secret   what a new gateway gets all that with by itself (docs/uplink.md); deleted when it has

A new token, password or certificate lies beside the one in use, with NEXT behind its name, until the server took it:
`edge.candidate`.
"""

import base64
import binascii
import datetime as dt
import hashlib
import ipaddress
import re
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config import Credentials, Settings
from edge.durable import write_file
from edge.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

KEY_FILE = "device.key"
TOKEN_FILE = "uplink.token"      # noqa: S105 - a file's name in the state directory
CERTIFICATE_FILE = "device.pem"
PASSWORD_FILE = "uplink.password"      # noqa: S105 - same
PROVISION_SECRET_FILE = "provision.secret"      # noqa: S105 - same
NEXT = ".next"
PAGE_FILE = "page.pem"
TOKEN_LIMIT_BYTES = 1_024
CERTIFICATE_LIMIT_BYTES = 65_536

WORDS: dict[Credentials, str] = {"access_token": "access token", "mqtt_basic": "password", "x509": "certificate"}

_BOM = b"\xef\xbb\xbf"                            # an editor on Windows puts it in front
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"                # id-kp-serverAuth, RFC 5280 clause 4.2.1.12
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


def parse_token(raw: bytes, where: str) -> str:
    """Return the token, without what an editor leaves around it. ConfigError in one line, never with the token."""
    try:
        token = raw.removeprefix(_BOM).strip().decode("ascii")
    except UnicodeDecodeError:      # from None: the cause holds the whole text
        raise ConfigError(f"{where}: the access token cannot be read: is not ASCII text") from None
    if not token or not token.isprintable() or " " in token or len(raw) > TOKEN_LIMIT_BYTES:
        raise ConfigError(f"{where}: holds no access token; it must be one word")
    return token


@dataclass(frozen=True, slots=True)
class Login:
    """How the gateway says who it is. Two are equal when they lead to the same; `source` tells people where it is from.

    `secret_file` is what nobody else may read. With x509 that is the key, `username` is "", and `certificate` is what
    stood in `certificate_file`.
    """

    source: str
    username: str = field(default="", repr=False)      # an access token is one
    password: str | None = field(default=None, repr=False)
    certificate: bytes = field(default=b"", repr=False)
    certificate_file: Path = Path()
    secret_file: Path | None = None


def credential_path(settings: Settings, kind: Credentials | None = None) -> Path:
    """Return the file that holds the token, the password or the certificate; of `uplink.credentials` by default."""
    uplink, state_dir = settings.uplink, Path(settings.gateway.state_dir)
    match kind or uplink.credentials:
        case "access_token":
            return token_path(settings)
        case "mqtt_basic":
            return Path(uplink.password_file or state_dir / PASSWORD_FILE)
        case _:
            return Path(uplink.certificate_file or state_dir / CERTIFICATE_FILE)


def read_login(settings: Settings, *, kind: Credentials | None = None, at: Path | None = None) -> Login:
    """Return what to log in with, by `uplink.credentials` or `kind`. ConfigError in one line, never with a secret.

    `at`: read the token, password or certificate there instead of at its own place.
    """
    kind = kind or settings.uplink.credentials
    path = at or credential_path(settings, kind)
    return login_of(settings, _read(path, limit_bytes(kind), WORDS[kind]), path, kind)


def limit_bytes(kind: Credentials) -> int:
    """Return how long a file of such credentials may be."""
    return CERTIFICATE_LIMIT_BYTES if kind == "x509" else TOKEN_LIMIT_BYTES


def login_of(settings: Settings, raw: bytes, path: Path, kind: Credentials) -> Login:
    """Return the login that stands in a file's bytes; `path` names it. ConfigError in one line, never with a secret."""
    if kind == "access_token":
        return Login(f"the access token in {path}", parse_token(raw, str(path)), secret_file=path)
    if kind == "mqtt_basic":
        return Login(f"uplink.username, uplink.client_id and the password in {path}", settings.uplink.username,
                     one_line(raw, path), secret_file=path)
    if b"-----BEGIN CERTIFICATE-----" not in raw:
        raise ConfigError(f"{path}: holds no certificate in PEM; have one made from `halow-gateway csr`")
    return Login(f"the certificate in {path}", certificate=raw, certificate_file=path,
                 secret_file=Path(settings.gateway.state_dir) / KEY_FILE)


def _read(path: Path, most_bytes: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no {what}; put the one that ThingsBoard knows there") from error
    except OSError as error:
        raise ConfigError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    if len(raw) > most_bytes:
        raise ConfigError(f"{path}: longer than {most_bytes} bytes; this is no {what}")
    return raw


def read_provision_secret(settings: Settings) -> str:
    """Return the secret that belongs to `uplink.provision_key`. ConfigError in one line, never with the secret."""
    path = provision_secret_path(settings)
    return one_line(_read(path, TOKEN_LIMIT_BYTES, "provision secret"), path)


def provision_secret_path(settings: Settings) -> Path:
    """Return the file that holds it."""
    return Path(settings.uplink.provision_secret_file or Path(settings.gateway.state_dir) / PROVISION_SECRET_FILE)


def one_line(raw: bytes, path: Path) -> str:
    """Return a password or secret, spaces and all: only the line end and a byte order mark are an editor's."""
    try:
        text = raw.removeprefix(_BOM).decode()
    except UnicodeDecodeError:      # from None: the cause holds the whole text
        raise ConfigError(f"{path}: the password cannot be read: is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or not text.isprintable():
        raise ConfigError(f"{path}: holds no password or secret; it must be one line")
    return text


def new_secret() -> str:
    """Draw a token or password: 32 letters, digits, dashes and underscores, 192 bits."""
    return secrets.token_urlsafe(24)


def signing_request(state_dir: Path, name: str) -> str:
    """Return a certificate signing request (PKCS #10, PEM) of the device's key for `name`. Raises ConfigError."""
    from cryptography import x509  # noqa: PLC0415 - slow to load, needed once in a life
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - same

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(_key(state_dir), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def self_signed(state_dir: Path, name: str) -> bytes:
    """Return a certificate (PEM) of the device's key for `name` that only this key vouches for. Raises ConfigError.

    For a server that knows a device by its very certificate. Without an end, as RFC 5280 (4.1.2.5) has it for devices,
    and begun long ago: a board without the time makes one too.
    """
    from cryptography import x509  # noqa: PLC0415 - slow to load, needed once in a life
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - same

    key = _key(state_dir)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin, end = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, end)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key(state_dir: Path) -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to load, needed once in a life
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - same

    path = state_dir / KEY_FILE
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no key; `halow-gateway init` makes it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path}: holds no P-256 key in PEM (PKCS #8); restore it, or move it away for a new one")
    return key


def page_certificate(state_dir: Path, name: str, listen: str) -> Path:
    """Return the file with key and certificate of the local page; make it where there is none. Raises ConfigError.

    Self-signed, P-256, for `name`, localhost and the address that is listened on. A board without a battery clock makes
    it at a moment that it does not know, so it is good from 2000 to the end of UTCTime (RFC 5280 clause 4.1.2.5);
    whoever wants another puts it there.
    """
    path = state_dir / PAGE_FILE
    try:
        if not path.exists():
            write_file(path, _new_page_certificate(name, listen))
        page_fingerprint(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"{path}: the page's certificate cannot be kept: {error.strerror}") from error
    return path


def page_fingerprint(path: Path) -> str:
    """Return the SHA-256 of the page's certificate, as browsers show it. Raises ConfigError."""
    text = _read(path, CERTIFICATE_LIMIT_BYTES, "certificate").decode("ascii", "replace")
    start = text.find("-----BEGIN CERTIFICATE-----")
    end = text.find("-----END CERTIFICATE-----", start)
    try:
        der = ssl.PEM_cert_to_DER_cert(text[start : end + len("-----END CERTIFICATE-----")])
    except ValueError:
        raise ConfigError(f"{path}: holds no certificate in PEM; remove it, and the gateway makes another") from None
    return hashlib.sha256(der).digest().hex(":").upper()


def page_pair(raw: bytes, where: str) -> bytes:
    """Return what a file holds if that is a key and the certificate of it, in PEM. ConfigError in one line.

    `where` is the file: OpenSSL reads it there.
    """
    try:
        # an empty passphrase, or OpenSSL asks whoever sits at the terminal for that of a protected key
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(where, password="")
    except (OSError, ValueError):      # ssl.SSLError is an OSError
        raise ConfigError(f"{where}: must hold a private key without a passphrase and its certificate, both in "
                          "PEM") from None
    return raw


def page_certificate_ends(path: Path) -> dt.datetime:
    """Return when the page's certificate ends. Raises ConfigError, also where its key is not the one beside it."""
    from cryptography import x509  # noqa: PLC0415 - slow to load, needed once in a life

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        return x509.load_pem_x509_certificate(_read(path, CERTIFICATE_LIMIT_BYTES, "certificate")).not_valid_after_utc
    except (OSError, ValueError):      # ssl.SSLError is an OSError
        raise ConfigError(f"{path}: key and certificate do not belong together, or one is missing; "
                          "remove the file, and the gateway makes both") from None


def _new_page_certificate(name: str, listen: str) -> bytes:
    from cryptography import x509  # noqa: PLC0415 - slow to load, needed once in a life
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - same
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - same

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    host = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-").lower()[:63] or "gateway"
    addresses = {ipaddress.ip_address(text.partition("%")[0]) for text in ("127.0.0.1", "::1", listen)}
    names = [x509.DNSName(host), x509.DNSName("localhost"),
             *(x509.IPAddress(address) for address in sorted(addresses, key=str) if not address.is_unspecified)]
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2049, 12, 31, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(_SERVER_AUTH)]), critical=False)
        .sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + made.public_bytes(pem)
