"""The page's own files: what lies in `static`, read once, in memory (they are small), each with its ETag.

Nothing else can be asked for: the names are those that were there at the start, so no path leads anywhere.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

STATIC = files("edge.api").joinpath("static")      # a folder in the source tree, a part of the file in the binary
LIMIT_BYTES = 150_000

MEDIA = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".js": "text/javascript; charset=utf-8", ".json": "application/json",
         ".webmanifest": "application/manifest+json"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media: str
    etag: str

    def response(self, known: str) -> Response:
        """Return it, or that it is still the one that the browser knows."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}      # asked for each time, sent once
        if self.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media)


class Assets:
    """All of them, by path."""

    def __init__(self) -> None:
        """Read them."""
        self.by_path: dict[str, Asset] = {}
        self._read(STATIC, "/")
        self.by_path["/"] = self.by_path.pop("/index.html")

    def find(self, path: str) -> Asset | None:
        """Return what lies at a path."""
        return self.by_path.get(path)

    def _read(self, folder: Traversable, path: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{path}{entry.name}/")
            elif (media := MEDIA.get(entry.name[entry.name.rfind("."):])) is not None:
                content = entry.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
                self.by_path[f"{path}{entry.name}"] = Asset(content, media, etag)
