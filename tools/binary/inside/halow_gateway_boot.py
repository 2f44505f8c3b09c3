"""What the executable runs first: makes the extension modules behind it importable, then starts the program.

Runs inside the binary only; `_halow_memory` is built into it (main.c). Nothing is unpacked: a library goes from this
file into an anonymous memory file, sealed against writing, and the dynamic loader maps it from there.
"""

import fcntl
import importlib
import os
import sys
import zlib
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType

import _halow_memory  # in main.c
import halow_gateway_manifest  # written by build.py

MFD_EXEC = 0x10                     # Linux 6.3; without it vm.memfd_noexec decides, and warns
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
CHUNK_BYTES = 65536                 # never a library whole in the heap: the heap would keep its size


def memory_file(name: str) -> int:
    """Return the descriptor of a new anonymous file in memory. Raises OSError."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | MFD_EXEC)
    except OSError:                 # a kernel that does not know the flag
        return os.memfd_create(name, flags)


class MemoryFinder:
    """Finds the extension modules of the binary; a shared library that one needs is loaded before it, once."""

    def __init__(self, extensions: dict[str, tuple[str, ...]], libraries: dict[str, tuple[int, int]]) -> None:
        self.extensions = extensions
        self.libraries = libraries
        self.paths: dict[str, str] = {}

    def place(self, library: str) -> str:
        """Put one library into memory; return its path. Raises OSError.

        The descriptor stays open: the dynamic loader knows a library by its path, and the number of a closed descriptor
        would come again for another one.
        """
        if library not in self.paths:
            offset, left = self.libraries[library]
            descriptor = memory_file(library)
            inflate = zlib.decompressobj()
            with (open(sys.executable, "rb") as binary,      # noqa: PTH123 - pathlib would be loaded at each start for it
                  open(descriptor, "wb", closefd=False) as memory):
                binary.seek(offset)
                while left:
                    chunk = binary.read(min(CHUNK_BYTES, left))
                    left -= len(chunk)
                    memory.write(inflate.decompress(chunk))
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
            self.paths[library] = f"/proc/self/fd/{descriptor}"
        return self.paths[library]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None,      # noqa: ARG002 - importlib's signature
    ) -> ModuleSpec | None:
        """Return the spec of an extension module that the archive holds, None for every other name."""
        if fullname not in self.extensions:
            return None
        library, *needed = self.extensions[fullname]
        for other in needed:
            if other not in self.paths:
                _halow_memory.open_library(self.place(other))
        path_in_memory = self.place(library)
        return ModuleSpec(fullname, ExtensionFileLoader(fullname, path_in_memory), origin=path_in_memory)


def main() -> None:
    """Install the finder and call the program's entry point, which ends the process."""
    finder = MemoryFinder(halow_gateway_manifest.EXTENSIONS, halow_gateway_manifest.LIBRARIES)
    sys.meta_path.append(finder)
    module, _, function = halow_gateway_manifest.ENTRY.partition(":")
    getattr(importlib.import_module(module), function)()
