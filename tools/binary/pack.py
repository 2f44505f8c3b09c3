"""What lies behind the interpreter in the executable: libraries, then a zip archive. Same input, same bytes."""

import importlib.util
import io
import marshal
import time
import zipfile
import zlib
from pathlib import Path

PYC_HEADER = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)      # PEP 552: by hash, never checked


class Libraries:
    """Shared libraries, each compressed by itself, one behind the other from `offset` in the executable.

    They are not members of the zip archive: a library is inflated in small pieces straight into its memory file, and
    zipimport hands out whole members only.
    """

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.data = bytearray()
        self.places: dict[str, tuple[int, int]] = {}

    def add(self, name: str, library: bytes) -> None:
        """Add a library; its place (offset in the executable, compressed size, both in bytes) goes into `places`."""
        compressed = zlib.compress(library, 9)
        self.places[name] = (self.offset + len(self.data), len(compressed))
        self.data += compressed


class Archive:
    """Members by name; `bytes_at` writes them sorted, with one date and one mode."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}

    def add(self, name: str, data: bytes) -> None:
        """Add a member. Raises ValueError for a name that is there already."""
        if name in self.members:
            raise ValueError(f"{name} twice in the archive")
        self.members[name] = data

    def add_source(self, name: str, source: bytes, *, package: bool = False, docstrings: bool = False) -> None:
        """Compile a module and add its byte code. In tracebacks its file is its place in the program, no machine's."""
        member = name.replace(".", "/") + ("/__init__" if package else "")
        code = compile(source, f"halow-gateway/{member}.py", "exec", dont_inherit=True, optimize=0 if docstrings else 2)
        self.add(f"{member}.pyc", PYC_HEADER + marshal.dumps(code))

    def copy(self) -> "Archive":
        """Return another archive with the same members."""
        other = Archive()
        other.members = dict(self.members)
        return other

    def bytes_at(self, epoch_s: int) -> bytes:
        """Return the zip file, all members dated `epoch_s` (zip counts from 1980, in steps of two seconds)."""
        date = max(time.gmtime(epoch_s)[:6], (1980, 1, 1, 0, 0, 0))
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for name in sorted(self.members):
                info = zipfile.ZipInfo(name, date)
                info.create_system, info.external_attr = 3, 0o644 << 16
                file.writestr(info, self.members[name], zipfile.ZIP_DEFLATED, 9)
        return out.getvalue()


def write_executable(target: Path, *pieces: bytes) -> None:
    """Write the pieces as one executable file, whole or not at all."""
    part = target.with_suffix(".part")
    part.write_bytes(b"".join(pieces))
    part.chmod(0o755)
    part.replace(target)
