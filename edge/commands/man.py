"""`halow-gateway man`: the manual page, made from the commands themselves, in man(7)'s language."""

from collections.abc import Iterator

import click

import edge
from edge.commands.tree import EXIT_STATUS, leaves, options_of

_FILES = (
    ("/etc/halow-gateway/gateway.toml", "the settings; halow-gateway config default prints them all"),
    ("/var/lib/halow-gateway", "the state directory: registry, ring, credentials, keys"),
    ("/run/halow-gateway/control.sock", "by which commands reach the running gateway"),
)

_ENVIRONMENT = (("HALOW_GATEWAY_CONFIG", "the settings file, where --config is not given"),)
_ABOUT = """Polls meters over a HaLow link, keeps every reading in a ring on flash until the server has acknowledged \
it, and lets people at the box look and act. Commands reach the running gateway by its control socket; those that look \
at the registry or the ring work without one. Commands that show something take --json.
Options stand in front of the command:"""


@click.command(short_help="Print the manual page.")
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page: `halow-gateway man | man -l -`, or into a file halow-gateway.1."""
    root = context.find_root().command
    assert isinstance(root, click.Group)
    click.echo("\n".join(page(root)))


def page(root: click.Group) -> Iterator[str]:
    """Yield the lines of the page (pure)."""
    yield f'.TH HALOW-GATEWAY 1 "" "halow-gateway {_text(edge.__version__)}" "User Commands"'
    yield from (".SH NAME", "halow\\-gateway \\- smart\\-meter gateway: DLMS/COSEM over HaLow into ThingsBoard")
    yield from (".SH SYNOPSIS", ".B halow\\-gateway", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")
    yield from (".SH DESCRIPTION", *_paragraphs(tuple(_ABOUT.splitlines())))
    yield from _list(options_of(root))
    yield ".SH COMMANDS"
    for leaf in leaves(root):
        yield f".SS {_text(f'{leaf.name} {leaf.usage}'.strip())}"
        yield from _paragraphs(leaf.about)
        yield from _list(leaf.options)
    yield from (".SH EXIT STATUS", *_list(EXIT_STATUS))
    yield from (".SH FILES", *_list(_FILES))
    yield from (".SH ENVIRONMENT", *_list(_ENVIRONMENT))


def _list(rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for head, text in rows:
        yield from (".TP", f"\\fB{_text(head)}\\fR", _text(text) or "\\&")


def _paragraphs(texts: tuple[str, ...]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield _text(text)


def _text(text: str) -> str:
    """Write text so that roff takes nothing of it as its own: no request, no escape, dashes that can be copied."""
    safe = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace('"', "\\(dq")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe
