"""`make check-buildroot BUILDROOT_DIR=...`: does Buildroot take the external tree as it is meant? Exits 1 on any fault.

Nothing is downloaded or built: what only a full build can tell is listed in buildroot/README.md.
"""

import argparse
import difflib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import external as tree
import fragments as options
import kernelsource
from asked import Buildroot, BuildrootError

PROJECT = Path(__file__).resolve().parent.parent.parent
BRANCH = "2026.02"

# What a build may add to a board's defconfig (buildroot/settings writes such lines).
FORMS = {
    "python": "BR2_PACKAGE_HALOW_GATEWAY_PYTHON=y\n",
    "morse-sdio": 'BR2_HALOW_RADIO_MORSE_SDIO=y\nBR2_HALOW_RADIO_COUNTRY="AU"\n',
    "newracom-spi": 'BR2_HALOW_RADIO_NEWRACOM_SPI=y\nBR2_HALOW_RADIO_COUNTRY="US"\n',
    "none": "BR2_HALOW_RADIO_NONE=y\n",
}


def settings(config: Path, external: Path) -> dict[str, str]:
    """Return the string and bool settings of a .config, with our tree's path written out."""
    found = dict(re.findall(r'^(BR2_\w+)="?([^"\n]*)"?$', config.read_text(), re.MULTILINE))
    return {name: value.replace("$(BR2_EXTERNAL_HALOW_GATEWAY_PATH)", str(external)) for name, value in found.items()}


class Check:
    """The checks, each a list of faults; run() tells them as they come."""

    def __init__(self, buildroot: Buildroot, external: Path, kernel_source: Path | None) -> None:
        """`kernel_source` None leaves the fragments to their reading alone."""
        self.buildroot, self.external, self.kernel_source = buildroot, external, kernel_source
        self.defconfigs = sorted((external / "configs").glob("*_defconfig"))

    def all(self) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        """Return the checks in order, cheap ones first."""
        yield "files that are named are there", lambda: tree.missing_files(self.external)
        yield "hashes of archives and licences", lambda: tree.missing_hashes(self.external)
        yield "symbols exist", self.symbols
        yield (
            "variables of packages are read",
            lambda: tree.unknown_variables(self.external, tree.infrastructure_suffixes(self.buildroot.folder)),
        )
        yield "check-package", self.style
        for path in self.defconfigs:
            yield f"{path.name} loads, is stable", lambda path=path: self.defconfig(path)
        for form, lines in FORMS.items():
            yield (
                f"{self.defconfigs[-1].name} + {form} loads",
                lambda form=form, lines=lines: self.buildroot.load(form, self.defconfigs[-1], lines)[1],
            )
        for path in self.defconfigs:
            yield f"{path.name}: packages, dependencies", lambda path=path: self.packages(path.name)
        yield "Python form: packages, dependencies", lambda: self.packages("python")
        for path in self.defconfigs:
            yield f"{path.name}: kernel fragments", lambda path=path: self.fragments(path)

    def symbols(self) -> list[str]:
        """Every BR2_ name in our Config.in, .mk and scripts is defined somewhere: Kconfig passes over unknown ones."""
        return tree.unknown_symbols(self.external, tree.defined_symbols(self.buildroot.folder, self.external))

    def style(self) -> list[str]:
        """Buildroot's own check-package over every file of the tree."""
        return self.buildroot.style(
            [path for path in sorted(self.external.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
        )

    def defconfig(self, path: Path) -> list[str]:
        """Nothing is dropped when it is loaded, and it is what savedefconfig makes of itself."""
        _, faults = self.buildroot.load(path.name, path)
        saved = self.buildroot.saved(path.name)
        changes = difflib.unified_diff(
            path.read_text().splitlines(), saved.splitlines(), path.name, "savedefconfig", lineterm="", n=0
        )
        return faults + [f"not stable: {line}" for line in changes if not line.startswith(("---", "+++", "@@"))]

    def packages(self, name: str) -> list[str]:
        """Our packages say version, licence and hashes; every dependency exists; no variable came out empty."""
        known = self.buildroot.packages(name)
        ours = {
            package: known[package]
            for package in tree.packages(self.external)
            if package in known and not known[package]["virtual"]
        }
        faults = [] if "halow-gateway" in ours else ["halow-gateway is not among the packages"]
        for package, info in ours.items():
            shown = self.buildroot.variables(name, f"{tree.prefix(package)}VERSION")
            if not info.get("version") or not any(shown.values()):
                faults.append(f"{package}: no version")
            if info.get("licenses") in {None, "", "unknown"} or not info.get("license_files"):
                faults.append(f"{package}: no licence")
            if not any(Path(path).exists() for path in info.get("hashes", [])):
                faults.append(f"{package}: no hash file")
        for package, info in known.items():
            faults += [
                f"{package} depends on {other}, which is no package"
                for other in info.get("dependencies", [])
                if other not in known
            ]
        graph = self.buildroot.dependencies(name)
        return faults + ([f"graph-depends: {graph}"] if graph else [])

    def fragments(self, path: Path) -> list[str]:
        """What the kernel fragments of a board ask for stands in the configuration that they lead to."""
        board = settings(self.buildroot.work / path.name / ".config", self.external)
        files = [Path(name) for name in board.get("BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES", "").split()]
        wanted, faults = options.read_fragments(files)
        if not files or faults:
            return faults or ["names no fragment"]
        if self.kernel_source is None:
            print("        read only: no kernel source (KERNEL_DIR)")
            return []
        base, remark = kernelsource.base_of(board, self.kernel_source, self.buildroot.folder)
        config = kernelsource.configure(self.kernel_source, base, files, self.buildroot.work / f"kernel-{path.name}")
        version = kernelsource.version(self.kernel_source)
        print(f"        {len(wanted)} options against Linux {version}{remark}")
        return options.dropped(wanted, config)

    def run(self) -> int:
        """Tell each check with its time and faults; return their number."""
        total = 0
        for title, check in self.all():
            begin = time.monotonic()
            try:
                faults = check()
            except (BuildrootError, RuntimeError) as fault:
                faults = [str(fault)]
            print(f"{time.monotonic() - begin:6.1f} s  {'ok  ' if not faults else 'RED '} {title}", flush=True)
            for fault in faults:
                print(f"               {fault}", flush=True)
            total += len(faults)
        return total


def main() -> int:
    """Run every check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buildroot", type=Path, required=True, help="a checkout of Buildroot")
    parser.add_argument("--kernel", type=Path, help="a kernel source, for its Kconfig")
    parser.add_argument("--external", type=Path, default=PROJECT / "buildroot")
    arguments = parser.parse_args()
    if not shutil.which("shellcheck"):
        print("shellcheck is missing: check-package needs it (apt install shellcheck)", file=sys.stderr)
        return 2
    external = arguments.external.resolve()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="check-buildroot-") as work:
        try:
            buildroot = Buildroot(arguments.buildroot, [external], Path(work))
            version = buildroot.version()
        except BuildrootError as fault:
            print(fault, file=sys.stderr)
            return 2
        if not version.startswith(BRANCH):
            print(f"this is Buildroot {version}; the tree is made for {BRANCH}.x", file=sys.stderr)
            return 2
        print(f"Buildroot {version}")
        faults = Check(buildroot, external, arguments.kernel and arguments.kernel.resolve()).run()
    print(f"{time.monotonic() - begin:6.1f} s  {'green' if not faults else f'{faults} faults'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
