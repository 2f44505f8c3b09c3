"""A first-use code that came with the card: it sets the page's password once, on a board that has no shell (I/O edge).

    provision/page.code ── `halow-gateway init` ──► page.code, a scrypt hash ── claim ──► page.access, `spent`

The card holds the code in clear until the board's first start, as it holds the uplink's token: a code and no password,
because it is worth nothing any more once the password is set, wherever the card's flash still has it. It does not end
by itself: a board may lie in a van for weeks. Like a password it is guarded by its length and by the limits on tries.
"""

import contextlib
from pathlib import Path

import msgspec

from edge.api import passwords
from edge.durable import write_file
from edge.errors import ConfigError

FILE_NAME = "page.code"
FILE_LIMIT_BYTES = 4_096
LEAST_DIFFERENT = 4
_BETWEEN = " -"      # what people write between groups
_BOM = "\ufeff"      # an editor on Windows puts it in front


def parse(raw: bytes, where: str) -> str:
    """Return the code that somebody wrote into a file, as it is compared. ConfigError in one line, never with it."""
    text = raw.decode("utf-8", "replace").removeprefix(_BOM).strip()
    code = passwords.plain_code(text)
    strange = {char for char in text.upper() if char not in passwords.CODE_ALPHABET + _BETWEEN}
    if strange or not passwords.CODE_CHARS <= len(code) <= passwords.MOST_CHARS or len(set(code)) < LEAST_DIFFERENT:
        raise ConfigError(f"{where}: holds no code: one line of {passwords.CODE_CHARS} or more out of "
                          f"{passwords.CODE_ALPHABET}, not always the same; `halow-gateway page card-code` draws one")
    return code


def keep(state_dir: Path, code: str) -> Path:
    """Keep a code's hash, in place of the one before; return the file. Takes the time of scrypt. OSError: not kept."""
    path = state_dir / FILE_NAME
    write_file(path, msgspec.json.encode(passwords.hashed(code)), replace=True)
    return path


def load(state_dir: Path) -> passwords.Hashed | None:
    """Return what is kept; None where nothing is, or nothing that can be read."""
    try:
        with (state_dir / FILE_NAME).open("rb") as file:
            return msgspec.json.decode(file.read(FILE_LIMIT_BYTES), type=passwords.Hashed)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def forget(state_dir: Path) -> None:
    """Remove it. Where that fails it is `spent` all the same."""
    with contextlib.suppress(OSError):
        (state_dir / FILE_NAME).unlink()
