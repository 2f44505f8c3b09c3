"""What the documents promise is what the program has: commands, links, the contract word for word."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import COMMANDS, root
from edge.configfile import load

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "cloud/README.md", *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()
HALOW = (ROOT / "docs/halow.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_contract_stands_word_for_word_in_the_readme() -> None:
    contract = re.search(r"## Contract\n((?:> .*\n)+)", (ROOT / "docs/ring-format.md").read_text())
    assert contract is not None
    assert contract.group(1) in README


def commands_of(text: str) -> set[str]:
    """The commands that stand at the start of a line, or in code within a sentence; their words up to the first value."""
    found = re.findall(r"(?:^|`)halow-gateway ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
    return {" ".join(word for word in words.split() if not re.match(r"meter-|-", word)) for words in found}


@pytest.mark.parametrize("words", sorted(commands_of(README) | commands_of(HALOW)))
def test_commands_of_the_readme_exist(words: str) -> None:
    done = CliRunner().invoke(root, [*words.split(), "--help"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/figures.md"])
def test_every_file_the_map_names_is_there(page: str) -> None:
    for name in re.findall(r"`((?:edge|halow|cloud|docs|tests|benchmarks)/[\w./-]*)`", (ROOT / page).read_text()):
        assert (ROOT / name).exists(), f"{page} names {name}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_the_table_of_commands_is_not_empty() -> None:
    assert {"run", "meter", "read", "ring", "link", "demo"} <= set(COMMANDS)


def test_the_example_of_the_radio_package_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", HALOW, re.DOTALL)
    exec(compile(example, "docs/halow.md", "exec"), {})
    assert capsys.readouterr().out.strip(), "a machine without a radio gets the reason"


def test_the_settings_that_the_radio_page_shows_are_taken(tmp_path: Path) -> None:
    (shown,) = re.findall(r"\n((?:    [^\n]*\n)+)", HALOW[HALOW.index("## A radio in another box"):])
    (tmp_path / "gateway.toml").write_text(textwrap.dedent(shown))
    words = shlex.split(load(tmp_path / "gateway.toml").radio.external_command)
    assert words[-4:] == ["call", "iwinfo", "assoclist", '{"device": "wlan0"}']
