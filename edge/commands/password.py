"""How a password or a key reaches a command: from a prompt, a file or standard input; never from the command line,
where every user of the machine and the shell's history could read it.
"""

import codecs
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from edge.commands.context import read_input
from edge.errors import EdgeError

FILE_LIMIT_BYTES = 4_096
KEY_BYTES = (16, 32)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def password_options(function: _Function) -> _Function:
    """Add `--password-file` and `--hex` to a command."""
    hexadecimal = click.option("--hex", "as_hex", is_flag=True, help="The password is given in hexadecimal digits.")
    file = click.option("--password-file", metavar="FILE", help="Take the password from FILE; - is standard input.")
    return file(hexadecimal(function))


def from_file(name: str, *, as_hex: bool) -> bytes:
    """Read a password from a file or "-"; one line end after it is not part of it, nor is a byte order mark before it.

    Raises EdgeError. Where "-" is a terminal it is asked for: a person who types it there would see it on the screen.
    """
    if name == "-" and sys.stdin.isatty():
        return from_prompt("Password", as_hex=as_hex)
    raw = read_input(name, FILE_LIMIT_BYTES).removeprefix(codecs.BOM_UTF8)
    return _decoded(raw.removesuffix(b"\n").removesuffix(b"\r"), as_hex=as_hex)


def from_prompt(what: str, *, as_hex: bool, twice: bool = True) -> bytes:
    """Ask for a password without showing it. Raises UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --password-file FILE, or - for standard input")
    text: str = click.prompt(what, hide_input=True, confirmation_prompt=twice)
    return _decoded(text.encode(), as_hex=as_hex)


def key_from_file(name: str) -> bytes:
    """Read a key from a file or "-": 32 or 64 hexadecimal digits, or its 16 or 32 bytes. Raises EdgeError."""
    if name == "-" and sys.stdin.isatty():
        return key_from_prompt("Key")
    return _key(read_input(name, FILE_LIMIT_BYTES))


def key_from_prompt(what: str) -> bytes:
    """Ask for a key in hexadecimal digits without showing it. Raises UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --file FILE, or - for standard input")
    text: str = click.prompt(f"{what}, in hexadecimal digits", hide_input=True, confirmation_prompt=True)
    return _key(text.encode())


def _key(raw: bytes) -> bytes:
    text = bytes(octet for octet in raw if octet not in b" \t\r\n:-")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        # The bytes themselves, then; but 32 characters that a person typed are hexadecimal digits gone wrong.
        key = b"" if all(32 <= octet < 127 for octet in raw.strip()) else raw
    if len(key) not in KEY_BYTES:
        raise EdgeError("this is no key: it must be 32 hexadecimal digits, or 64 for security suite 2")
    return key


def _decoded(raw: bytes, *, as_hex: bool) -> bytes:
    if not raw:
        raise EdgeError("the password is empty; `meter set-password --clear` removes one")
    if not as_hex:
        return raw
    try:
        return bytes.fromhex(raw.decode("ascii"))
    except ValueError:      # from None: the text of the cause would hold part of it
        raise EdgeError("the password is not in hexadecimal digits") from None
