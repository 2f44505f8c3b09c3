"""docs/predecessor.md: every row is proven by tests that exist, or says that it is not here."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/predecessor.md").read_text()


def rows() -> list[list[str]]:
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in table if row[0] not in ("feature", "symptom there")]


def test_each_row_names_tests_that_exist_or_says_that_it_is_not_here() -> None:
    assert len(rows()) == 68, "the predecessor's features are a closed list: a row is rewritten, not taken out"
    for feature, *told, proof in rows():
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", proof)
        assert named or (proof == "none" and told[-1].startswith("not here: ")), f"{feature}: no proof, and no word on why"
        for file, test in named:
            source = (ROOT / file).read_text()
            assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), f"{feature}: {file} has no {test}"
