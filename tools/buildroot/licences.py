"""Writes the licence texts of what the single binary carries: `python3 tools/buildroot/licences.py FOLDER`.

FOLDER is where `make binary-aarch64` left the executable, with the wheels and Debian packages that it is made of.
The texts go to FOLDER/licenses, one folder per package; the image brings them to /usr/share/licenses/halow-gateway.
"""

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

WORDS = ("licen", "copying", "notice", "authors")
# Debian packages whose code is in the executable; tools/setup fetches them.
LINKED = (
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libexpat1-dev",
    "zlib1g-dev",
    "libssl3",
    "libsqlite3-0",
    "libffi8",
    "libuuid1",
    "libgcc-s1",
)


def is_text(name: str) -> bool:
    """Say whether an archive's member is a licence text, by its name."""
    last = name.rstrip("/").rsplit("/", 1)[-1].lower()
    return not name.endswith("/") and not last.endswith(".py") and any(last.startswith(word) for word in WORDS)


def from_wheel(wheel: Path) -> dict[str, bytes]:
    """Return the licence texts of a wheel, by file name."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.rsplit("/", 1)[-1]: archive.read(name)
            for name in archive.namelist()
            if ".dist-info/" in name and is_text(name)
        }


def from_source(archive: Path) -> dict[str, bytes]:
    """Return the licence texts at the top of a source archive; failing those its metadata, which names the licence."""
    found, metadata = {}, b""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            parts = member.name.split("/")
            if len(parts) == 2 and member.isfile():
                if is_text(member.name):
                    found[parts[1]] = tar.extractfile(member).read()
                elif parts[1] == "PKG-INFO":
                    metadata = tar.extractfile(member).read()
    if not found and b"License" in metadata:
        found["PKG-INFO"] = metadata
    return found


def collect(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return package -> name -> text. Raises SystemExit naming the packages that have none."""
    texts = {path.name.split("-")[0]: from_wheel(path) for path in sorted((folder / "wheels").glob("*.whl"))}
    texts |= {path.name.split("-")[0]: from_source(path) for path in sorted((folder / "wheels").glob("*.tar.gz"))}
    for package in LINKED:
        # libgcc's text lies in a package that the sysroot has not; the building machine is the same Debian.
        places = [root / "usr/share/doc" / package / "copyright" for root in (folder / "sysroot", Path("/"))]
        texts[package] = next(({"copyright": place.read_bytes()} for place in places if place.exists()), {})
    bare = sorted(package for package, files in texts.items() if not files)
    if bare or not texts:
        sys.exit(
            f"no licence text found for: {', '.join(bare) or 'anything; is this the folder of make binary-aarch64?'}"
        )
    return texts


def main() -> int:
    """Write the folder anew."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    texts = collect(folder)
    target = folder / "licenses"
    shutil.rmtree(target, ignore_errors=True)
    for package, files in texts.items():
        (target / package).mkdir(parents=True)
        for name, text in files.items():
            (target / package / name).write_bytes(text)
    print(f"{target}: {sum(map(len, texts.values()))} licence texts of {len(texts)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
