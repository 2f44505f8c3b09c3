"""Builds the single binary: `make binary`. Runs under the very CPython that goes in (Debian's python3.11).

    interpreter   libpython3.11-pic.a, expat and zlib linked whole into one executable with main.c
    libraries     extension modules and what they need, stripped and compressed
    archive       byte code of the program, its packages and the standard library, as far as imported; data files
    binary        the one behind the other

Same commit, same Debian packages: same bytes. See docs/decisions/0010-single-binary.md.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import carried
import elf
import pack
from target import VERSION, Target

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside"
ROOT = HERE.parent.parent
OWN = ("edge", "halow")
BUILD_ID = b'\n__build__ = ""\n'
HARDENING = ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack"]


@dataclass(frozen=True)
class Source:
    """What is built: our files, and how the result names itself."""

    files: tuple[str, ...]
    build_id: str
    epoch_s: int


def git(*words: str) -> str:
    """Run git in the project. Raises CalledProcessError."""
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout


def source() -> Source:
    """Return our files, the commit (marked where anything differs from it) and its date. SOURCE_DATE_EPOCH wins."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--", *OWN).splitlines()
    files = tuple(sorted(name for name in set(listed) if (ROOT / name).exists()))
    changed = git("status", "--porcelain", "--", *OWN, str(HERE)).strip()
    build_id = git("rev-parse", "--short=12", "HEAD").strip() + ("-changed" if changed else "")
    return Source(files, build_id, int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct", "HEAD")))


def link_interpreter(machine: Target, work: Path) -> bytes:
    """Compile main.c and link it with the static CPython; return the executable. Raises CalledProcessError."""
    out = work / "interpreter"
    subprocess.run([
        machine.tool("gcc"), "-O2", "-Wall", "-Wextra", "-fPIE", "-pie", *HARDENING,
        f"-ffile-prefix-map={HERE}=.", *machine.link_flags, str(HERE / "main.c"), "-o", str(out), "-rdynamic",
        "-Wl,--whole-archive", str(machine.static_library), "-Wl,--no-whole-archive",
        "-Wl,-Bstatic", "-lexpat", "-lz", "-Wl,-Bdynamic", "-lm", "-ldl", "-lutil", "-s",
    ], check=True)
    return out.read_bytes()


def unpack_wheels(wheels: Path, site: Path) -> None:
    """Lay the downloaded wheels out as one folder; of an sdist (pure Python) take its package."""
    for file in sorted(wheels.iterdir()):
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                wheel.extractall(site)
        else:
            with tarfile.open(file) as sdist:
                for member in sdist.getmembers():
                    top, _, inside = member.name.partition("/")
                    if member.isfile() and inside.startswith(top.rpartition("-")[0] + "/"):
                        (site / inside).parent.mkdir(parents=True, exist_ok=True)
                        (site / inside).write_bytes(cast("IO[bytes]", sdist.extractfile(member)).read())


def stage_extensions(folder: Path, staged: Path) -> None:
    """Copy extension modules under names without a machine in them: the finder knows this machine's names only."""
    staged.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.glob("*.cpython-*.so")):
        shutil.copyfile(file, staged / f"{file.name.partition('.')[0]}.so")


def add_modules(archive: pack.Archive, parts: list[carried.Part], built: Source, machine: Target) -> None:
    """Add the byte code of every module that is not machine code, the build id in its place."""
    for part in parts:
        if part.extension:
            continue
        text = part.file.read_bytes()
        if part.name == "edge":
            assert text.count(BUILD_ID) == 1, "edge/__init__.py: no place for the build id"
            text = text.replace(BUILD_ID, f'\n__build__ = "{built.build_id}"\n'.encode())
        # click's help texts are docstrings; the standard library's are nobody's
        docstrings = not part.file.is_relative_to(machine.standard_library)
        archive.add_source(part.name, text, package=part.package, docstrings=docstrings)
    # zoneinfo asks sysconfig where the time zones are; sysconfig would load the whole of CPython's Makefile for it.
    paths = {"TZPATH": sysconfig.get_config_var("TZPATH")}
    archive.add_source(f"_sysconfigdata__{machine.multiarch}", f"build_time_vars = {paths!r}\n".encode())


def add_libraries(
    libraries: pack.Libraries, parts: list[carried.Part], machine: Target, work: Path,
) -> dict[str, tuple[str, ...]]:
    """Add the extension modules and what they need; return per module its own library, then the others in order."""
    extensions = {}
    for part in parts:
        if part.extension:
            needed = elf.libraries(part.file, machine.libraries)
            extensions[part.name] = (f"{part.name}.so", *(library.name for library in needed))
            for name, file in zip(extensions[part.name], (part.file, *needed), strict=True):
                if name not in libraries.places:
                    libraries.add(name, elf.stripped(file, work, machine.tool("strip")))
    return extensions


def add_data(archive: pack.Archive, built: Source) -> None:
    """Add our own data files: all that lies beside the modules and is not part of what is absent."""
    absent = tuple(name.replace(".", "/") + "/" for name in carried.ABSENT)
    for name in built.files:
        if not name.endswith((".py", ".md")) and not name.startswith(absent):
            archive.add(name, (ROOT / name).read_bytes())


def own_roots(built: Source) -> tuple[str, ...]:
    """Return the modules from which the closure starts: the program, and the commands, which it imports by name."""
    commands = [name for name in built.files if name.startswith("edge/commands/") and name.endswith(".py")]
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in commands]
    return (*carried.ROOTS, *(name for name in names if name not in carried.ABSENT))


def build(target: Path, wheels: Path, machine: Target) -> None:
    """Build `target`, and beside it `<target>-probe`, which is the same but for its entry. Raises what fails."""
    built = source()
    work = target.parent / f"{target.name}.work"
    shutil.rmtree(work, ignore_errors=True)
    site, dynamic = work / "site", work / "dynamic"
    site.mkdir(parents=True)
    unpack_wheels(wheels, site)
    for folder in sorted({file.parent for file in site.rglob("*.cpython-*.so")}):
        stage_extensions(folder, folder)
    stage_extensions(machine.standard_library / "lib-dynload", dynamic)
    path = [ROOT, INSIDE, site, dynamic, machine.standard_library]
    parts, missing = carried.closure(own_roots(built), path)
    absent = [name for name in missing if name.partition(".")[0] in OWN and name not in carried.ABSENT]
    if absent:
        sys.exit(f"imported and not found: {', '.join(absent)}")

    interpreter = link_interpreter(machine, work)
    libraries = pack.Libraries(len(interpreter))
    extensions = add_libraries(libraries, parts, machine, work)
    archive = pack.Archive()
    add_modules(archive, parts, built, machine)
    add_data(archive, built)
    modules = tuple(part.name for part in parts)
    probe = archive.copy()
    probe.add_source("halow_gateway_probe", (INSIDE / "halow_gateway_probe.py").read_bytes())
    for suffix, variant, entry in (("", archive, "edge.cli:main"), ("-probe", probe, "halow_gateway_probe:main")):
        facts = {"ENTRY": entry, "EXTENSIONS": extensions, "LIBRARIES": libraries.places, "MODULES": modules}
        manifest = "".join(f"{key} = {value!r}\n" for key, value in facts.items())
        variant.add_source("halow_gateway_manifest", manifest.encode())
        pack.write_executable(target.with_name(target.name + suffix), interpreter, bytes(libraries.data),
                              variant.bytes_at(built.epoch_s))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, build {built.build_id}, {len(parts)} modules")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the files that requirements.txt names")
    parser.add_argument("--machine", default=platform.machine(), help="x86_64 or aarch64; default: this one")
    parser.add_argument("--sysroot", type=Path, default=Path("/"), help="where its Debian packages are unpacked")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    machine = Target(options.machine, options.sysroot.resolve())
    if sysconfig.get_python_version() != VERSION:
        sys.exit(f"{sys.executable}: the byte code is CPython {VERSION}'s, so that must compile it")
    if not machine.static_library.exists():
        sys.exit(f"{machine.static_library}: missing (Debian: libpython{VERSION}-dev)")
    options.target.parent.mkdir(parents=True, exist_ok=True)
    build(options.target.resolve(), options.wheels, machine)


if __name__ == "__main__":
    main()
