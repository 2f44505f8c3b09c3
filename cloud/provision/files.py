"""What stands in files that a fleet file names: certificates, the secret of device provisioning (I/O edge)."""

import re
import ssl
from pathlib import Path

from cloud.errors import CloudError
from cloud.fleet import PROBLEMS_SHOWN, Fleet
from cloud.provision.wanted import Files

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
SECRET_LEAST = 16  # who has it can be any gateway that has not come yet
NOT_PEM = "no text; if it is a certificate, `openssl x509 -inform DER` makes PEM of it"


def read_files(fleet: Fleet, folder: Path) -> Files:
    """Read all of them; names are relative to `folder`. Raises CloudError: a line for each, without what it holds."""
    wrong: list[str] = []
    certificates: dict[str, str] = {}
    secret = ""
    for one in fleet.gateway:
        if one.certificate:
            try:
                certificates[one.name] = read_certificate(folder, one.certificate)
            except CloudError as error:
                wrong.append(f"gateway {one.name}: {error}")
    if fleet.provisioning:
        try:
            secret = read_secret(folder, fleet.provisioning.secret_file)
        except CloudError as error:
            wrong.append(f"provisioning.secret_file: {error}")
    if wrong:
        more = [f"and {len(wrong) - PROBLEMS_SHOWN} more"] if len(wrong) > PROBLEMS_SHOWN else []
        raise CloudError("\n".join([*wrong[:PROBLEMS_SHOWN], *more]))
    return Files(certificates, secret)


def read_secret(folder: Path, name: str) -> str:
    """Return the first line of a file. Raises CloudError, without what stands there."""
    path = folder / name
    try:
        secret = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(f"{path}: {_unread(error, 'not UTF-8')}") from None
    if len(secret) < SECRET_LEAST:
        raise CloudError(f"{path}: the secret has {len(secret)} characters; at least {SECRET_LEAST} are wanted")
    return secret


def read_certificate(folder: Path, name: str) -> str:
    """Return the one PEM certificate in a file, and nothing that stands around it. Raises CloudError.

    ThingsBoard hashes all that it is given but line ends and the two armour lines (EncryptionUtil.certTrimNewLines,
    v4.2.2.3), and looks for the hash of the leaf that a gateway shows: a line of comment would shut the gateway out.
    """
    path = folder / name
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(f"{path}: {_unread(error, NOT_PEM)}") from None
    if "PRIVATE KEY" in text:
        raise CloudError(f"{path}: holds a private key, which has no business here; give the certificate alone")
    if (count := text.count("-----BEGIN CERTIFICATE-----")) != 1:
        raise CloudError(f"{path}: holds {count} certificates; one is wanted")
    if (found := _PEM.search(text)) is None:
        raise CloudError(f"{path}: not a certificate in PEM: it has no end")
    try:
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(found[0]))
    except ValueError as error:  # binascii.Error is one
        raise CloudError(f"{path}: not a certificate in PEM: {error}") from None


def _unread(error: OSError | UnicodeDecodeError, otherwise: str) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}; names are looked for beside the fleet file"
    return otherwise
