"""For which machine the binary is built, and where its parts lie: this machine's root, or a root of Debian packages."""

import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

VERSION = "3.11"


@dataclass(frozen=True)
class Target:
    """A machine (`x86_64`, `aarch64`) and the root under which Debian's files for it lie."""

    machine: str
    root: Path

    @property
    def multiarch(self) -> str:
        """Debian's name of the architecture in paths and tools."""
        return f"{self.machine}-linux-gnu"

    @property
    def standard_library(self) -> Path:
        """The folder of Python's own modules."""
        return self.root / "usr/lib" / f"python{VERSION}"

    @property
    def static_library(self) -> Path:
        """CPython, whole, position-independent: the kernel places the executable at random as it does its libraries."""
        return self.standard_library / f"config-{VERSION}-{self.multiarch}" / f"libpython{VERSION}-pic.a"

    @property
    def libraries(self) -> list[Path]:
        """The folders of shared libraries."""
        return [self.root / "lib" / self.multiarch, self.root / "usr/lib" / self.multiarch]

    @cached_property
    def link_flags(self) -> list[str]:
        """Where the compiler finds headers and static libraries; the packages' own, never those of this machine."""
        flags = [f"-I{self.root / 'usr/include' / f'python{VERSION}'}"]
        if self.root != Path("/"):
            flags += [f"-I{self.root / 'usr/include'}", f"-L{self.root / 'usr/lib' / self.multiarch}"]
        return flags

    def tool(self, name: str) -> str:
        """Return the name of a compiler tool for this machine."""
        return name if self.machine == platform.machine() else f"{self.multiarch}-{name}"
