"""What a backup holds, and how it is taken while the gateway runs (I/O edge).

    registry.db      meters, secrets, what was learned, counters, permissions, progress of duties, alarms
    gateway.toml     the settings file, as it is
    device.id ...    small files of the state directory, `PLAIN` and `SECRET`
    profiles/*.toml  meter types of one's own

Not in it: the ring, whose records wait for the server where they are (`ring salvage` saves those), and what lies
outside the state directory.
"""

import io
import re
import tarfile
import time
from pathlib import Path
from typing import NamedTuple

from edge import __version__
from edge.config import Settings
from edge.credentials import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PAGE_FILE,
    PASSWORD_FILE,
    PROVISION_SECRET_FILE,
    TOKEN_FILE,
)
from edge.errors import ConfigError, EdgeError
from edge.identity import ID_FILE, identify, named
from edge.meters.library import own_directory
from edge.rights import as_owner
from edge.store.copying import snapshot
from edge.store.registry import FILE_NAME, Registry
from edge.support.known import ACCESS_FILE, RING_KEY_FILE
from edge.support.sealing import Header

SETTINGS_FILE = "gateway.toml"
PROFILES = "profiles"
PLAIN = (ID_FILE, CERTIFICATE_FILE)
SECRET = (KEY_FILE, TOKEN_FILE, PASSWORD_FILE, PROVISION_SECRET_FILE, PAGE_FILE, ACCESS_FILE, RING_KEY_FILE,
          "provisioned.json")
"""`provisioned.json` has digests of what was brought in, so that it is not brought in again over what is restored."""

FILE_LIMIT_BYTES = 1_048_576
BODY_LIMIT_BYTES = 67_108_864
_PROFILE = re.compile(r"profiles/[A-Za-z0-9._-]{1,64}\.toml")


class Taken(NamedTuple):
    """A backup that is not sealed yet. `elsewhere`: what the settings name outside the state directory."""

    header: Header
    body: bytes
    files: tuple[str, ...]
    elsewhere: tuple[str, ...]


def take(settings: Settings, settings_file: Path | None, *, with_secrets: bool) -> Taken:
    """Gather everything. Raises RegistryError, ConfigError, OSError; nothing is written."""
    state_dir = Path(settings.gateway.state_dir)
    files = {FILE_NAME: snapshot(state_dir / FILE_NAME, with_secrets=with_secrets)}
    if settings_file is not None:
        with as_owner(settings_file):
            files[SETTINGS_FILE] = _read(settings_file)
    for name in (*PLAIN, *(SECRET if with_secrets else ())):
        if (state_dir / name).is_file():
            files[name] = _read(state_dir / name)
    for path in sorted(own_directory(settings.gateway).glob("*.toml")):
        if _PROFILE.fullmatch(f"{PROFILES}/{path.name}"):
            files[f"{PROFILES}/{path.name}"] = _read(path)
    identity = identify(state_dir)
    header = Header(gateway=named(settings, identity).gateway.name, id=identity, version=__version__,
                    made_ms=time.time_ns() // 1_000_000, meters=_meters(settings), secrets=with_secrets)
    return Taken(header, packed(files), tuple(files), tuple(_elsewhere(settings)))


def packed(files: dict[str, bytes]) -> bytes:
    """Return files as one body (pure)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpacked(body: bytes) -> dict[str, bytes]:
    """Return the files of a body. ConfigError for a name that belongs into none, or one of no reasonable size."""
    files: dict[str, bytes] = {}
    left = BODY_LIMIT_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
            for entry in tar:
                known = entry.name in (FILE_NAME, SETTINGS_FILE, *PLAIN, *SECRET) or _PROFILE.fullmatch(entry.name)
                content = tar.extractfile(entry) if known and entry.isreg() and entry.size <= left else None
                if content is None or entry.name in files:
                    raise ConfigError(f"holds {entry.name[:80]!r}, which belongs into no backup")
                files[entry.name] = content.read()
                left -= entry.size
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ConfigError("is damaged: its content cannot be unpacked") from error
    if FILE_NAME not in files:
        raise ConfigError("holds no registry")
    return files


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > FILE_LIMIT_BYTES:
        raise EdgeError(f"{path}: has {len(data)} bytes; this is no such file")
    return data


def _meters(settings: Settings) -> int:
    with Registry.open(Path(settings.gateway.state_dir) / FILE_NAME) as registry:
        return len(registry.list())


def _elsewhere(settings: Settings) -> list[str]:
    """Return what the settings name outside the state directory: it is the operator's to keep."""
    uplink, state_dir = settings.uplink, Path(settings.gateway.state_dir).absolute()
    named_files = (uplink.token_file, uplink.password_file, uplink.certificate_file, uplink.provision_secret_file,
                   uplink.ca_file, settings.ring.key_file, settings.alarms.file)
    return [name for name in named_files if name and Path(name).absolute().parent != state_dir] + [
        name for name in (uplink.ca_file, settings.alarms.file) if name and Path(name).absolute().parent == state_dir]
