"""Every secret that the gateway has, so that an archive can be searched for them (I/O edge).

What cannot be read is no secret that this process could give away. Nothing here logs, and the values go nowhere else.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge.config import Settings
from edge.credentials import (
    KEY_FILE,
    NEXT,
    PAGE_FILE,
    credential_path,
    provision_secret_path,
)
from edge.errors import EdgeError
from edge.store.registry import FILE_NAME, Registry

FILE_LIMIT_BYTES = 65_536
RING_KEY_FILE = "ring.key"
ACCESS_FILE = "page.access"
CODE_FILE = "page.code"


def secrets(settings: Settings) -> Iterator[bytes]:
    """Yield them: passwords and keys of meters, credentials, keys of the device, the ring and the page."""
    for path in secret_files(settings):
        with suppress(OSError):
            yield from _parts(path.read_bytes()[:FILE_LIMIT_BYTES])
    yield settings.uplink.provision_key.encode()
    with suppress(EdgeError):
        yield from _of_meters(Path(settings.gateway.state_dir) / FILE_NAME)


def secret_files(settings: Settings) -> tuple[Path, ...]:
    """Return the files that hold nothing but secrets; most of them will not be there."""
    state_dir = Path(settings.gateway.state_dir)
    logins = [credential_path(settings, kind) for kind in ("access_token", "mqtt_basic")]
    return (*logins, *(path.with_name(path.name + NEXT) for path in logins), provision_secret_path(settings),
            Path(settings.ring.key_file or state_dir / RING_KEY_FILE), state_dir / KEY_FILE, state_dir / PAGE_FILE,
            state_dir / ACCESS_FILE, state_dir / CODE_FILE)


def _parts(raw: bytes) -> Iterator[bytes]:
    """Yield a file's secret, and of PEM and JSON, which hold several, each long word."""
    yield raw.strip()
    if raw.startswith((b"-----BEGIN", b"{")):
        yield from (word for word in raw.translate(bytes.maketrans(b'",:{}[]', b"       ")).split() if len(word) >= 20)
    else:
        with suppress(ValueError):      # a key in hexadecimal digits is used as bytes
            yield bytes.fromhex(raw.strip().decode("ascii"))


def _of_meters(path: Path) -> Iterator[bytes]:
    if not path.exists():      # opening would make it
        return
    with Registry.open(path) as registry:
        for meter in registry.list():
            keys = registry.keys(meter.name)
            yield from filter(None, (registry.password(meter.name), keys.encryption, keys.authentication))
