"""Images on flash until every meter that is to get one has it (I/O edge): `<state_dir>/images/<sha256>`."""

import hashlib
import logging
import os
import time
from collections.abc import Container
from pathlib import Path

from edge.durable import make_directory, write_file
from edge.errors import OrderRefused

log = logging.getLogger(__name__)

LIMIT_BYTES = 32 << 20
FRESH_S = 3_600.0
_NAME_CHARS = 64


class ImageStore:
    """The directory. Calls block: the daemon makes them in a thread."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is made before the first image comes."""
        self.directory = state_dir / "images"

    def put(self, image: bytes) -> str:
        """Keep an image durably and return its SHA-256. The same one again is no error. OSError."""
        make_directory(self.directory)
        name = hashlib.sha256(image).hexdigest()
        path = self.directory / name
        if not path.exists() or path.read_bytes() != image:
            write_file(path, image, replace=True)
        return name

    def check(self, sha256: str, size_bytes: int) -> None:
        """Read it whole once. OrderRefused where it is not what it was."""
        try:
            with self._path(sha256).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except OSError as error:
            raise OrderRefused(f"the image {sha256[:12]} cannot be read: {error.strerror}") from error
        if (found, size) != (sha256, size_bytes):
            raise OrderRefused(f"the image {sha256[:12]} is damaged: {size} bytes, SHA-256 {found[:12]}")

    def read(self, sha256: str, spans: list[tuple[int, int]]) -> list[bytes]:
        """Return pieces of it, each by offset and length. OrderRefused where they are not there."""
        try:
            with self._path(sha256).open("rb") as file:
                pieces = [os.pread(file.fileno(), length, offset) for offset, length in spans]
        except OSError as error:
            raise OrderRefused(f"the image {sha256[:12]} cannot be read: {error.strerror}") from error
        if [len(piece) for piece in pieces] != [length for _, length in spans]:
            raise OrderRefused(f"the image {sha256[:12]} is shorter than it was")
        return pieces

    def keep_only(self, wanted: Container[str]) -> None:
        """Delete what no meter waits for any more, but nothing that has just come and is about to be ordered."""
        try:
            for path in self.directory.iterdir() if self.directory.is_dir() else ():
                if path.name not in wanted and time.time() - path.stat().st_mtime > FRESH_S:
                    path.unlink()
        except OSError as error:
            log.warning("an image that is not needed stays for the next time: %s", error)

    def _path(self, sha256: str) -> Path:
        if len(sha256) != _NAME_CHARS or not sha256.isalnum():
            raise OrderRefused(f"{sha256[:80]!r} is no SHA-256")
        return self.directory / sha256
