"""The shared libraries that an extension module needs, as far as the target's C library does not bring them."""

import re
import subprocess
from pathlib import Path

SYSTEM = re.compile(r"(libc|libm|libdl|librt|libpthread|libutil|ld-linux.*)\.so\.\d+")
"""glibc's own, older names included: the target has them, the binary itself is linked to the first two."""


def needed(file: Path) -> list[str]:
    """Return the names in an ELF file's DT_NEEDED entries that are not the C library's."""
    text = subprocess.run(["readelf", "--dynamic", str(file)], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"\(NEEDED\).*\[(.+)\]", text)
    return [name for name in names if not SYSTEM.fullmatch(name)]


def libraries(file: Path, directories: list[Path]) -> list[Path]:
    """Return the libraries of `file`, those that others need first. Raises FileNotFoundError."""
    found: list[Path] = []
    for name in needed(file):
        library = next((path for path in (directory / name for directory in directories) if path.exists()), None)
        if library is None:
            raise FileNotFoundError(f"{file.name} needs {name}, which is in none of {[str(d) for d in directories]}")
        found += [path for path in (*libraries(library, directories), library) if path not in found]
    return found


def stripped(file: Path, directory: Path, tool: str) -> bytes:
    """Return an ELF file without what the dynamic loader does not read (debug sections, static symbols)."""
    out = directory / file.name
    subprocess.run([tool, "--strip-unneeded", "-o", str(out), str(file)], check=True)
    data = out.read_bytes()
    out.unlink()
    return data
