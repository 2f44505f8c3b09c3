"""Completion in a real bash, and the manual page in a real man: what a person's shell has of the commands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_site import Site
from click.testing import CliRunner

from edge.cli import root
from edge.commands.tree import EXIT_STATUS, leaves

MACROS = {".TH", ".SH", ".SS", ".TP", ".PP", ".B"}


def completed(site: Site, line: str, shell: str = "bash") -> list[str]:
    """What the shell's script is told for the last word of `line`."""
    words = line.split(" ")
    result = CliRunner().invoke(root, [], prog_name="halow-gateway", env={
        "_HALOW_GATEWAY_COMPLETE": f"{shell}_complete", "COMP_WORDS": line if shell == "bash" else " ".join(words[:-1]),
        "COMP_CWORD": str(len(words) - 1) if shell == "bash" else words[-1], "HALOW_GATEWAY_CONFIG": str(site.config)})
    return [told.partition(",")[2] for told in result.stdout.splitlines() if told]


def test_commands_options_choices_and_meters_are_completed(site: Site, tmp_path: Path) -> None:
    site.good("meter", "add", "yard-1", "10.0.0.1")
    site.good("meter", "add", "yard-2", "10.0.0.2")
    assert {"meter", "metrics"} <= set(completed(site, "halow-gateway me"))
    assert completed(site, "halow-gateway meter sh") == ["show"]
    assert completed(site, "halow-gateway meter show y") == ["yard-1", "yard-2"]
    assert completed(site, "halow-gateway meter pause yard-1 y") == ["yard-2"], "each once"
    assert completed(site, "halow-gateway read yard-2") == ["yard-2"]
    assert completed(site, "halow-gateway status --j") == ["--json"]
    assert completed(site, "halow-gateway completion f") == ["fish"]
    assert completed(site, "halow-gateway meter add y") == [], "a new name is nobody's"
    assert completed(site, f"halow-gateway -c {tmp_path}/none.toml meter show y") == [], "no lecture while a key is pressed"


def test_completing_makes_nothing(site: Site) -> None:
    assert completed(site, "halow-gateway meter show y") == []
    assert not site.state_dir.exists()


def test_completing_a_command_loads_none(site: Site) -> None:
    program = ("import sys; from edge.cli import root\ntry:\n root.main([], prog_name='halow-gateway')\n"
               "except SystemExit:\n print(*sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
        **os.environ, "_HALOW_GATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": "halow-gateway s", "COMP_CWORD": "1"})
    assert {"plain,status", "plain,simulate"} <= set(done.stdout.split())
    assert {name for name in done.stderr.split() if name.startswith("edge.commands.")} == {"edge.commands.context"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_real_bash_completes(site: Site, tmp_path: Path) -> None:
    site.good("meter", "add", "yard-1", "10.0.0.1")
    program = tmp_path / "halow-gateway"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge "$@"\n')
    program.chmod(0o755)
    script = CliRunner().invoke(root, ["completion", "bash"]).stdout
    asked = script + ('\nCOMP_WORDS=(halow-gateway meter show ya); COMP_CWORD=3; _halow_gateway_completion halow-gateway ya show'
                      '\nprintf "%s\\n" "${COMPREPLY[@]}"; complete -p halow-gateway')
    done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True, timeout=30, env={
        **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HALOW_GATEWAY_CONFIG": str(site.config),
        "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.stdout.splitlines()[0] == "yard-1"
    assert "_halow_gateway_completion" in done.stdout


def test_every_shell_has_its_script() -> None:
    for shell, word in (("bash", "complete -o nosort"), ("zsh", "#compdef halow-gateway"), ("fish", "complete --no-files --command halow-gateway")):
        result = CliRunner().invoke(root, ["completion", shell])
        assert (result.exit_code, result.stderr) == (0, "")
        assert word in result.stdout


def test_the_manual_page_has_every_command_option_and_exit_status() -> None:
    page = CliRunner().invoke(root, ["man"]).stdout
    plain = page.replace("\\-", "-").replace("\\(ga", "`").replace("\\(dq", '"').replace("\\&", "")
    for line in page.splitlines():
        assert not line.startswith((".", "'")) or line.split()[0] in MACROS, line
        assert line.isascii() or line.isprintable()
    for leaf in leaves(root):
        section = plain.partition(f".SS {leaf.name} {leaf.usage}".strip() + "\n")[2].partition("\n.SS ")[0]
        assert section, leaf.name
        for head, _ in leaf.options:
            assert f"\\fB{head}\\fR" in section, f"{leaf.name} {head}"
    for number, meaning in EXIT_STATUS:
        assert re.search(rf"^\\fB{number}\\fR\n{re.escape(meaning)}$", plain, re.MULTILINE)


@pytest.mark.skipif(shutil.which("man") is None and shutil.which("mandoc") is None, reason="neither man nor mandoc is here")
def test_a_real_man_takes_it_without_a_complaint(tmp_path: Path) -> None:
    page = tmp_path / "halow-gateway.1"
    page.write_text(CliRunner().invoke(root, ["man"]).stdout)
    show = ["man", "--warnings", "-E", "UTF-8", "-l", str(page)] if shutil.which("man") else ["mandoc", "-T", "lint", "-W", "warning", str(page)]
    done = subprocess.run(show, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "MANWIDTH": "80", "MANPAGER": "cat"})
    assert done.stderr == ""
    if shutil.which("man"):
        assert "EXIT STATUS" in done.stdout
        assert max(len(re.sub(r".\x08", "", line)) for line in done.stdout.splitlines()) <= 80
