"""What stands in files that a fleet file names: certificates, the secret of device provisioning (I/O edge)."""

from pathlib import Path

from cloud.errors import CloudError
from cloud.fleet import Fleet
from cloud.provision.wanted import Files

SECRET_LEAST = 16  # who has it can be any gateway that has not come yet


def read_files(fleet: Fleet, folder: Path) -> Files:
    """Read all of them; names are relative to `folder`. Raises CloudError, without what stands in them."""
    certificates = {one.name: read_certificate(folder, one.certificate) for one in fleet.gateway if one.certificate}
    return Files(certificates, read_secret(folder, fleet.provisioning.secret_file) if fleet.provisioning else "")


def read_secret(folder: Path, name: str) -> str:
    """Return the first line of a file. Raises CloudError, without what stands there."""
    path = folder / name
    try:
        secret = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if len(secret) < SECRET_LEAST:
        raise CloudError(f"{path}: the secret has {len(secret)} characters; at least {SECRET_LEAST} are wanted")
    return secret


def read_certificate(folder: Path, name: str) -> str:
    """Return the one PEM certificate in a file. Raises CloudError."""
    path = folder / name
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(
            f"{path}: not a certificate in PEM: {getattr(error, 'strerror', None) or 'not ASCII'}"
        ) from None
    if "PRIVATE KEY" in text:
        raise CloudError(f"{path}: holds a private key, which has no business here; give the certificate alone")
    if text.count("-----BEGIN CERTIFICATE-----") != 1:
        raise CloudError(f"{path}: holds {text.count('-----BEGIN CERTIFICATE-----')} certificates; one is wanted")
    return text
