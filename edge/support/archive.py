"""A support archive: pieces looked at one by one, cleaned, bounded, packed, and there whole or not at all (I/O edge).

    <name>/README.txt      what is in it, what is missing and why, what was taken out
    <name>/status.json ... the pieces

Works beside a gateway and without one; takes seconds at most. Nobody but the owner may read the file.
"""

import gzip
import hashlib
import io
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge import __version__
from edge.durable import write_file
from edge.errors import EdgeError
from edge.redaction import Scrubber
from edge.rights import as_started
from edge.support.pieces import Piece

PIECE_LIMIT_BYTES = 1_048_576
"""Of a longer piece its end is kept: there is what is newest."""

_PREAMBLE = """Support archive of the gateway {name}, version {version}, made {when} UTC.

It holds no passwords, keys or tokens: they are left out, and what was made was searched for each of them. It does hold
names, network addresses, serial numbers and the latest values of meters: look it over before you pass it on.
"""


@dataclass(frozen=True, slots=True)
class Made:
    """An archive that is on flash. `missing`: one line each."""

    path: Path
    size_bytes: int
    sha256: str
    missing: tuple[str, ...]


def make(path: Path, name: str, pieces: Iterable[Piece], secrets: Iterable[bytes], *, replace: bool = False) -> Made:
    """Look at all pieces and write the archive, mode 0600. Raises EdgeError where the file cannot be written.

    Without `replace` a file that is there stays as it is, and is told. Blocks for the time of the looks.
    """
    scrubber = Scrubber(secrets)
    files: list[tuple[str, bytes]] = []
    missing: list[str] = []
    for piece in pieces:
        try:
            found = piece.look()
        except (EdgeError, OSError) as error:
            missing.append(f"{piece.name}: {_reason(error)}")
            continue
        except Exception as error:      # noqa: BLE001 - an archive is wanted just when something is broken; its text may hold anything
            missing.append(f"{piece.name}: internal error: {type(error).__name__}")
            continue
        raw = found.encode() if isinstance(found, str) else found
        files.append((piece.name, scrubber.clean(_bounded(raw))))
    told = [scrubber.clean(line.encode()).decode() for line in missing]
    files.insert(0, ("README.txt", _readme(name, [each for each, _ in files], told, scrubber.found)))
    data = _packed(f"halow-gateway-{name}", files)
    try:
        with as_started():
            write_file(path, data, replace=replace)
    except FileExistsError:
        raise EdgeError(f"{path}: is there already; an archive replaces nothing") from None
    except OSError as error:
        raise EdgeError(f"{path}: cannot be written: {error.strerror}") from error
    return Made(path, len(data), hashlib.sha256(data).hexdigest(), tuple(told))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
    return " ".join(str(error).split())


def _bounded(raw: bytes) -> bytes:
    if len(raw) <= PIECE_LIMIT_BYTES:
        return raw
    left_out = len(raw) - PIECE_LIMIT_BYTES
    return f"({left_out} bytes before this are left out)\n".encode() + raw[-PIECE_LIMIT_BYTES:]


def _readme(name: str, files: list[str], missing: list[str], found: int) -> bytes:
    text = _PREAMBLE.format(name=name, version=__version__, when=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()))
    parts = [text, "In it:", *(f"    {each}" for each in files),
             "", "Missing:", *(f"    {line}" for line in missing or ["nothing"])]
    if found:
        parts += ["", f"Pieces in which a secret was found and taken out: {found}. Please report that."]
    return ("\n".join(parts) + "\n").encode()


def _packed(folder: str, files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    now = int(time.time())
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=now) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for name, data in files:
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, now
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
