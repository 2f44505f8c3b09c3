"""Kernel configuration fragments: what they ask for, and what became of it. The pure half of the check."""

import re
from pathlib import Path

_LINE = re.compile(r"^(?:CONFIG_(?P<name>\w+)=(?P<value>.+)|# CONFIG_(?P<off>\w+) is not set)$")


def read_options(text: str) -> dict[str, str]:
    """Return option -> value of a fragment or .config, "n" for what is not set. Raises ValueError on any other line."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line.strip())
        if match:
            found[match["name"] or match["off"]] = match["value"] if match["name"] else "n"
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(f"line {number}: {line.strip()!r} is no option")
    return found


def read_fragments(paths: list[Path]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return option -> (value, file), and the faults: unreadable lines, options asked for with different values."""
    wanted: dict[str, tuple[str, str]] = {}
    faults = []
    for path in paths:
        try:
            options = read_options(path.read_text())
        except ValueError as fault:
            faults.append(f"{path.name}: {fault}")
            continue
        for name, value in options.items():
            if name in wanted and wanted[name][0] != value:
                faults.append(f"CONFIG_{name} is {wanted[name][0]} in {wanted[name][1]} and {value} in {path.name}")
            wanted[name] = (value, path.name)
    return wanted, faults


def dropped(wanted: dict[str, tuple[str, str]], config: dict[str, str]) -> list[str]:
    """Return what the fragments ask for and the configuration does not have. A module may be built in instead."""
    faults = []
    for name, (value, file) in sorted(wanted.items()):
        got = config.get(name, "n")
        if got != value and not (value == "m" and got == "y"):
            faults.append(f"{file}: CONFIG_{name}={value} became {got}")
    return faults
