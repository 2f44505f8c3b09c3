"""What the documents promise is what the program has: commands, links, the contract word for word."""

import ast
import re
import shlex
import subprocess
import textwrap
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import COMMANDS, root
from edge.commands.tree import leaves
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


FOR_PEOPLE = [ROOT / "docs" / f"{name}.md" for name in ("handbook", "security", "troubleshooting", "commissioning", "local-page")]


@pytest.mark.parametrize("words", sorted(set().union(*map(commands_of, (README, HALOW, *(page.read_text() for page in FOR_PEOPLE))))))
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


def test_the_reference_of_the_commands_has_every_command_and_option() -> None:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", (ROOT / "docs/commands.md").read_text(), re.MULTILINE))
    every = list(leaves(root))
    assert list(sections) == [leaf.name for leaf in every], "docs/commands.md is not fresh: make docs"
    for leaf in every:
        for head, _ in leaf.options:
            assert f"`{head.replace('|', chr(92) + '|')}`" in sections[leaf.name], f"docs/commands.md is not fresh: make docs ({leaf.name}: {head})"


def test_the_unit_for_a_debian_of_ones_own_leaves_out_what_only_the_image_has() -> None:
    (command,) = re.findall(r"^(sed -E .*\\\n.*) > /etc/systemd", (ROOT / "docs/image.md").read_text(), re.MULTILINE)
    unit = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    settings = dict(re.findall(r"^(\w+)=(.*)", unit, re.MULTILINE))
    assert settings["ExecStart"] == "/usr/bin/halow-gateway run"
    assert (settings["StartLimitIntervalSec"], settings["RestartPreventExitStatus"]) == ("0", "78")
    assert not {"Requires", "Wants", "OnFailure", "ExecStartPost"} & set(settings)
    assert ".mount" not in settings["After"]


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


@cache
def said() -> list[str]:
    """Every text of the program, with a NUL for each part that differs."""
    found = []
    for path in sorted([*ROOT.glob("edge/**/*.py"), *ROOT.glob("halow/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[-+.\d]*[sdrgf]", "\0", node.value))
    return found + (ROOT / "edge/api/static/strings/en.json").read_text().splitlines()


def test_troubleshooting_quotes_what_the_program_says() -> None:
    """A message in the first column is one of the program's; an ellipsis stands for what differs."""
    quotes = set()
    for row in re.findall(r"^\| (.+?) \| ", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE):
        quotes |= {quote for quote in re.findall(r"[`*]([^`*]{12,})[`*]", row) if " " in quote}
    assert len(quotes) > 30
    missing = {quote for quote in quotes if not spoken(quote)}
    assert missing == set(), "nothing in the program says so"


def spoken(quote: str) -> bool:
    pieces = [piece.strip(" ;:") for piece in quote.split("…")]
    wanted = re.compile("[\\s\\S]*?".join(re.escape(piece) for piece in pieces if piece))
    return any(wanted.search(text) for text in said())


@pytest.mark.parametrize("quote", ["no gateway is running there", "the page cannot listen on …: another program has the port"])
def test_a_message_that_is_not_the_programs_is_found_out(quote: str) -> None:
    assert not spoken(quote)
