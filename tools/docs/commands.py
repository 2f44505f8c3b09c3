"""Writes docs/commands.md, the reference of the commands, from the commands themselves.

    commands.py            writes the page
    commands.py --check    exit status 1 where the page is not what would be written
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from edge.cli import root
from edge.commands.tree import EXIT_STATUS, leaves, options_of

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/commands.md"
HEAD = """# Commands

Written by `make docs` from the commands themselves; a test holds it fresh. The same as a manual page:
`halow-gateway man | man -l -`. Completion for bash, zsh and fish, also of names of meters:
`halow-gateway completion bash > /etc/bash_completion.d/halow-gateway`.

Exit status of every command:

| status | |
|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD + "\n".join(f"| {number} | {meaning} |" for number, meaning in EXIT_STATUS)]
    lines.append("\nIn front of the command:\n" + _options(options_of(root)))
    for leaf in leaves(root):
        lines.append(f"\n## {leaf.name}\n```\nhalow-gateway {leaf.name} {leaf.usage}".rstrip() + "\n```")
        lines.append("\n\n".join(leaf.about))
        if leaf.options:
            lines.append(_options(leaf.options))
    return "\n".join(lines) + "\n"


def _options(options: tuple[tuple[str, str], ...]) -> str:
    rows = "\n".join(f"| `{_cell(head)}` | {_cell(text)} |" for head, text in options)
    return f"\n| option | |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
