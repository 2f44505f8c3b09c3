"""What can be checked of the external tree by reading it: named files, hashes, variables. No Buildroot is needed."""

import re
from pathlib import Path

_ASSIGNED = re.compile(r"^(?:define )?([A-Z][A-Z0-9_]*)(?:\s*[:+?]?=|\s*$)", re.MULTILINE)
_SYMBOL = re.compile(r"\bBR2_[A-Za-z0-9_]+")
# Given by Buildroot's Makefile, not by Kconfig.
NOT_KCONFIG = re.compile(r"^BR2_(EXTERNAL\w*|CONFIG|DEFCONFIG|VERSION|VERSION_FULL)$")
# Names that are put together: "BR2_PACKAGE_HAS_" in a text, "BR2_HALOW_RADIO_$(...)".
_STEM = re.compile(r"BR2_\w*_$")


def packages(external: Path) -> dict[str, Path]:
    """Return package -> its .mk."""
    return {path.stem: path for path in sorted(external.glob("package/*/*.mk"))}


def prefix(package: str) -> str:
    """Return what the package's variables begin with."""
    return package.upper().replace("-", "_") + "_"


def variables(text: str) -> dict[str, str]:
    """Return the plain assignments of a .mk, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return dict(re.findall(r"^([A-Z][A-Z0-9_]*)\s*[:+?]?=[ \t]*(.*)$", joined, re.MULTILINE))


def expand(value: str, known: dict[str, str]) -> str:
    """Replace $(NAME) by what the same file assigns."""
    return re.sub(r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), value)


def hashes(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return file -> sha256 of a .hash file, and the lines that are none."""
    found, faults = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"sha256  ([0-9a-f]{64})  (\S+)", line)
            if match:
                found[match[2]] = match[1]
            else:
                faults.append(f"{path.name}:{number}: no line `sha256  <64 digits>  <file>`")
    return found, faults


def missing_hashes(external: Path) -> list[str]:
    """Return the packages whose archive or licence file has no hash."""
    faults = []
    for name, path in packages(external).items():
        text = path.read_text()
        if "virtual-package" in text:
            continue
        own = variables(text)
        file = path.with_suffix(".hash")
        if not file.exists():
            faults.append(f"{name}: {file.name} is missing")
            continue
        known, wrong = hashes(file)
        faults += wrong
        source = expand(own.get(prefix(name) + "SOURCE", ""), own)
        wanted = [source] if source else []
        if not source and own.get(prefix(name) + "SITE", "") and own.get(prefix(name) + "SITE_METHOD") != "local":
            faults.append(f"{name}: {prefix(name)}SOURCE is empty")
        licences = expand(own.get(prefix(name) + "LICENSE_FILES", ""), own).split()
        if not licences:
            faults.append(f"{name}: {prefix(name)}LICENSE_FILES is empty")
        faults += [
            f"{name}: no sha256 of {wanted_file} in {file.name}"
            for wanted_file in wanted + licences
            if wanted_file not in known
        ]
    return faults


def unknown_variables(external: Path, suffixes: set[str]) -> list[str]:
    """Return variables of our packages that neither Buildroot's package infrastructure nor the file itself reads."""
    faults = []
    for name, path in packages(external).items():
        text = path.read_text()
        for variable in sorted(set(_ASSIGNED.findall(text))):
            if not variable.startswith(prefix(name)):
                continue
            # Expanded, or named as a hook.
            used = re.search(rf"\$\({variable}\)|HOOKS \+?= .*\b{variable}\b", text) is not None
            if variable.removeprefix(prefix(name)) not in suffixes and not used:
                faults.append(f"{path.name}: {variable} is read by nobody; misspelt?")
    return faults


def infrastructure_suffixes(buildroot: Path) -> set[str]:
    """Return the endings of package variables that Buildroot reads: $(2)_VERSION, $($(PKG)_BUILD_CMDS) and so on."""
    found: set[str] = set()
    for path in [*buildroot.glob("package/pkg-*.mk"), buildroot / "Makefile", *buildroot.glob("package/*/pkg-*.mk")]:
        found |= set(re.findall(r"\(?(?:2|3|PKG|\$\(2\)|\$\(pkg\))\)_([A-Z0-9_]+)", path.read_text()))
    return found


def defined_symbols(*roots: Path) -> set[str]:
    """Return every symbol that a Config.in below these folders defines."""
    found: set[str] = set()
    for root in roots:
        for path in root.rglob("Config*.in*"):
            found |= set(re.findall(r"^\s*(?:menu)?config (\w+)", path.read_text(errors="replace"), re.MULTILINE))
    return found


def unknown_symbols(external: Path, defined: set[str]) -> list[str]:
    """Return the BR2_ names in our Config.in, .mk, scripts and Makefile that no Config.in defines."""
    faults = []
    for path in sorted(external.rglob("*")):
        if path.is_file() and (path.suffix in {".mk", ".sh", ".in"} or path.name in {"Makefile", "settings"}):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                faults += [
                    f"{path.relative_to(external)}:{number}: {name} is defined nowhere"
                    for name in _SYMBOL.findall(line.split("#")[0])
                    if name not in defined and not NOT_KCONFIG.match(name) and not _STEM.match(name)
                ]
    return faults


def missing_files(external: Path) -> list[str]:
    """Return the files of the tree that a defconfig, Config.in or .mk names and that are not there."""
    faults = []
    for path in sorted([*external.glob("configs/*"), *external.rglob("*.mk"), *external.rglob("Config.in")]):
        named = re.findall(r"\$\(?BR2_EXTERNAL_HALOW_GATEWAY_PATH\)?(/[\w./-]+)(?![\w./*-])", path.read_text())
        gone = (name for name in named if not name.endswith("/") and not (external / name.strip("/")).exists())
        faults += [f"{path.relative_to(external)}: {name} is not there" for name in gone]
    return faults
