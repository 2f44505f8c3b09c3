"""The tables of docs/simulated-meter.md: every fault and every mode they promise has its test, and every switch is there."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from edge.demo.bridge import Quirks
from edge.demo.meter_manners import Manners, Secured

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/simulated-meter.md").read_text()
TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
HEADINGS = ["## The field's faults, on request", "## What the foreign client does with it"]


def rows(heading: str) -> list[list[str]]:
    section = PAGE.split(heading)[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_row_names_tests_that_exist(heading: str) -> None:
    found = rows(heading)
    assert len(found) >= 8
    for row in found:
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert named, row[0]
        for name in named:
            assert re.search(rf"^(?:async )?def {name}\(", TESTS, re.MULTILINE), f"{row[0]}: there is no {name}"


@pytest.mark.parametrize("kind", [Quirks, Manners, Secured])
def test_every_switch_of_a_fault_is_on_the_page(kind: type) -> None:
    """Or is told by its group: `answer_*`. What is no fault but how a meter is set up need not be."""
    plain = {"passwords", "secured", "system_title", "conformance", "max_pdu", "announce_own_pdu", "list_limit", "gbt_window",
             "mechanism", "secret", "suite", "encryption_key", "authentication_key", "policy", "client_title", "challenges"}
    for each in fields(kind):
        group = f"{each.name.split('_')[0]}_*"
        assert each.name in plain or f"`{each.name}" in PAGE or f"`{group}`" in PAGE, f"{kind.__name__}.{each.name}"
