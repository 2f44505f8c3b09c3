"""Buildroot itself, asked: loads a configuration, saves it, tells its packages. It downloads and builds nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path


class BuildrootError(Exception):
    """Buildroot could not be asked; the message is what it said."""


class Buildroot:
    """A checkout of Buildroot with our external tree, and one output folder per configuration."""

    def __init__(self, folder: Path, externals: list[Path], work: Path) -> None:
        """Name the folders. Raises BuildrootError when `folder` is no Buildroot."""
        if not (folder / "support/kconfig").is_dir():
            raise BuildrootError(f"{folder} is no Buildroot checkout")
        self.folder, self.externals, self.work = folder.resolve(), [path.resolve() for path in externals], work

    def version(self) -> str:
        """Return Buildroot's version, as its Makefile has it."""
        return self._make("version-only", "--no-print-directory", "print-version").strip()

    def load(self, name: str, defconfig: Path, extra: str = "") -> tuple[Path, list[str]]:
        """Load a defconfig and lines after it. Return the output folder, and what Kconfig complained of or dropped."""
        output = self.work / name
        wanted = self.work / f"{name}.wanted"
        output.mkdir(parents=True, exist_ok=True)
        wanted.write_text(defconfig.read_text() + extra)
        (output / ".config").unlink(missing_ok=True)
        # Given as a file, so that neither our defconfig nor its copy is ever written to.
        said = self._make(name, "defconfig", f"BR2_DEFCONFIG={wanted}")
        faults = [
            line.strip()
            for line in said.splitlines()
            if any(word in line.lower() for word in ("warning", "error", "recursive"))
        ]
        asked = wanted.read_text() if not extra else _last_wins(wanted.read_text())
        wanted.write_text(asked)
        done = subprocess.run(
            [sys.executable, self.folder / "support/scripts/check-dotconfig.py", output / ".config", wanted],
            check=False,
            capture_output=True,
            text=True,
        )
        faults += [line.strip() for line in (done.stdout + done.stderr).splitlines() if "Missing:" in line]
        if done.returncode and not faults:
            faults.append(f"check-dotconfig.py: {done.stderr.strip()}")
        return output, faults

    def saved(self, name: str) -> str:
        """Return the loaded configuration as `savedefconfig` writes it."""
        target = self.work / f"{name}.saved"
        self._make(name, "savedefconfig", f"BR2_DEFCONFIG={target}")
        return target.read_text()

    def packages(self, name: str) -> dict[str, dict]:
        """Return what `show-info` says of the packages of a configuration."""
        return json.loads(self._make(name, "--no-print-directory", "show-info", quiet=True))

    def dependencies(self, name: str) -> str | None:
        """Draw the graph of dependencies; return why it cannot be drawn, or None."""
        done = subprocess.run(
            [sys.executable, self.folder / "support/scripts/graph-depends", "--direct", "-o", os.devnull],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.work / name,
            env=self._environment(),
        )
        return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]

    def variables(self, name: str, pattern: str) -> dict[str, str]:
        """Return make variables, expanded, as `printvars` prints them."""
        said = self._make(name, "--no-print-directory", f"VARS={pattern}", "printvars", quiet=True)
        return dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)

    def style(self, files: list[Path]) -> list[str]:
        """Return what Buildroot's check-package says against these files."""
        external = str(self.externals[0]) + "/"
        done = subprocess.run(
            [sys.executable, self.folder / "utils/check-package", "-b", external, *files],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self._environment(),
        )
        lines = [line.replace(external, "") for line in (done.stdout + done.stderr).splitlines()]
        if done.returncode == 0:
            return []
        return [line for line in lines if "lines processed" not in line and "warnings generated" not in line] or [
            "check-package failed"
        ]

    def _environment(self) -> dict[str, str]:
        # Programs of the virtual environment (flake8) are found too, and no setting of the caller gets in.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BR2_", "HALOW_", "RAUC_", "MAKE", "MFLAGS"))
        }
        return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}", "LC_ALL": "C"}

    def _make(self, name: str, *words: str, quiet: bool = False) -> str:
        output = self.work / name
        output.mkdir(parents=True, exist_ok=True)
        command = [
            "make",
            "-C",
            str(self.folder),
            f"O={output}",
            "BR2_EXTERNAL=" + ":".join(map(str, self.externals)),
            *words,
        ]
        done = subprocess.run(
            command,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            env=self._environment(),
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
        )
        if done.returncode:
            said = (done.stderr if quiet else done.stdout).strip().splitlines()
            raise BuildrootError(f"make {' '.join(words)}: {' | '.join(said[-3:])}")
        return done.stdout


def _last_wins(text: str) -> str:
    """Drop settings that a later line sets again, and choices that a later line of the same kind takes back."""
    kept: dict[str, str] = {}
    for line in text.splitlines():
        kept[line.split("=")[0].removeprefix("# ").removesuffix(" is not set")] = line
    return "\n".join(kept.values()) + "\n"
