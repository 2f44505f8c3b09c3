"""What goes into the binary: the import closure of the commands, minus what no target needs.

The closure is static (every import statement, also those inside functions), so that what is imported late is there too.
`ABSENT` cuts it where the standard library or a package offers something optional that a gateway never uses.
"""

import itertools
import modulefinder
from dataclasses import dataclass
from pathlib import Path

ABSENT = (
    "edge.demo", "edge.commands.demo", "edge.commands.simulate",      # the laptop's side: meters, a broker, a screen
    "test", "doctest", "pdb", "bdb", "cmd", "code", "codeop", "pydoc", "pydoc_data", "_testcapi",
    "_testinternalcapi", "distutils", "setuptools", "pkg_resources", "pip", "ensurepip", "lib2to3", "idlelib",
    "tkinter", "curses", "readline", "rlcompleter", "turtle", "webbrowser", "xmlrpc", "ftplib", "smtplib", "netrc",
    "_pydecimal", "_py_abc", "_aix_support", "_osx_support", "_bootsubprocess", "plistlib", "xml",
    "_bz2", "_lzma", "bz2", "lzma",                                   # zipfile and shutil do without
    "uvloop._testbase", "serial", "pycparser", "rich", "pygments", "psutil", "IPython", "numpy",
)

OPAQUE = ("uvloop", "msgspec", "cryptography")
"""Packages whose machine code imports Python modules, which no reading of source shows: taken whole."""

ENCODINGS = ("aliases", "ascii", "cp437", "idna", "latin_1", "punycode", "utf_8", "utf_8_sig", "utf_16_be", "utf_16_le")
"""Codecs are looked up by name, which no import statement shows. cp437 is zipfile's."""

BY_NAME = ("uvicorn.lifespan.off", "uvicorn.protocols.http.h11_impl", "anyio._backends._asyncio")
"""What the local page's server looks up by name as well."""

ROOTS = ("halow_gateway_boot", "edge.cli", "edge.daemon.page", "_cffi_backend", *BY_NAME,
         "encodings", *(f"encodings.{name}" for name in ENCODINGS))


@dataclass(frozen=True)
class Part:
    """One module: its dotted name, the file it comes from, whether it is a package, whether it is machine code."""

    name: str
    file: Path
    package: bool
    extension: bool


def opaque(path: list[Path]) -> list[str]:
    """Return every module of the packages in OPAQUE, as they lie in the folders of `path`."""
    names = []
    for folder, package in itertools.product(path, OPAQUE):
        for file in sorted((folder / package).rglob("*.py")):
            name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            if not any(name == absent or name.startswith(absent + ".") for absent in ABSENT):
                names.append(name)
    return names


def closure(roots: tuple[str, ...], path: list[Path]) -> tuple[list[Part], list[str]]:
    """Return the modules that `roots` can import, sorted by name, and the names that no file was found for."""
    finder = modulefinder.ModuleFinder([str(part) for part in path], excludes=list(ABSENT))
    for root in (*roots, *opaque(path)):
        finder.import_hook(root)
    parts = []
    for name, module in sorted(finder.modules.items()):
        file, is_package = getattr(module, "__file__", None), getattr(module, "__path__", None) is not None
        if file:
            parts.append(Part(name, Path(file), is_package, file.endswith(".so")))
    missing, _maybe = finder.any_missing_maybe()
    return parts, sorted(missing)
