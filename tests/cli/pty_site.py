"""A person at a terminal of 80 columns: commands in a real pty, and the same commands in a pipe."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

COLUMNS = 80
PATIENCE_S = 60.0
ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Case:
    """One use of a command. Texts may have places: {tmp}, and what else the site knows."""

    words: str                                    # the command line behind `halow-gateway -c FILE`
    shows: tuple[str, ...]                        # regular expressions that its output must match
    status: int = 0
    typed: tuple[tuple[str, str], ...] = ()       # (prompt, what is typed then)
    first: tuple[str, ...] = ()                   # command lines before it, that must work
    reads: bool = False                           # changes nothing: in a pipe it does the same
    by_output: bool = False                       # the status 1 is told by what it shows, not by an error
    files: dict[str, str] = field(default_factory=dict)      # made in {tmp} before it

    @property
    def id(self) -> str:
        return f"{self.words or '(nothing)'} -> {self.status}"


class Zygote:
    """Starts commands; see pty_zygote.py."""

    def __init__(self, home: Path) -> None:
        self._env = ENVIRONMENT | {"HOME": str(home)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pty_zygote.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True, cwd=home, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE_S)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def terminal(self, args: list[str]) -> "Terminal":
        return Terminal(self, args, self._env)

    def piped(self, args: list[str], tmp: Path, stdin: str = "/dev/null") -> tuple[int, str, str]:
        """Run a command without a terminal; return (status, standard output, standard error)."""
        out, err = tmp / "stdout", tmp / "stderr"
        pid = self.ask({"start": args, "stdin": stdin, "stdout": str(out), "stderr": str(err), "env": self._env})["pid"]
        return self.ask({"wait": pid})["status"], out.read_text(), err.read_text()


class Terminal:
    """A command in a terminal. What is typed is in `text` where the command lets it be seen."""

    def __init__(self, zygote: Zygote, args: list[str], env: dict[str, str]) -> None:
        self._zygote = zygote
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        name = os.ttyname(slave)
        self._pid = zygote.ask({"start": args, "stdin": name, "stdout": name, "stderr": name, "env": env})["pid"]
        os.close(slave)
        self._seen = b""

    @property
    def text(self) -> str:
        return self._seen.decode().replace("\r\n", "\n")

    def _read(self, until: float) -> bool:
        assert select.select([self._master], [], [], max(0.0, until - time.monotonic()))[0], f"nothing more came: {self.text}"
        try:
            more = os.read(self._master, 65_536)
        except OSError:      # EIO: the command has ended
            return False
        self._seen += more
        return True

    def until(self, text: str, *, after: int = 0) -> None:
        """Wait until it has said `text`, behind the first `after` characters."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.text[after:]:
            assert self._read(until), f"it ended without {text!r}: {self.text}"

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        until = time.monotonic() + PATIENCE_S
        while self._read(until):
            pass
        os.close(self._master)
        return self._zygote.ask({"wait": self._pid})["status"]


def lines_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("halow-gateway: ")]


def judge(case: Case, status: int, output: str, shows: tuple[str, ...], words: list[str]) -> None:
    """Fail where a person would complain."""
    assert status == case.status, output
    assert "Traceback" not in output
    assert "\x1b" not in output, "escape sequences"
    for pattern in shows:
        assert re.search(pattern, output, re.MULTILINE), f"{pattern!r} is not in:\n{output}"
    if status == 2:
        assert re.search(r"^Usage: halow-gateway", output, re.MULTILINE), output
        assert len(re.findall(r"^Error: ", output, re.MULTILINE)) == 1, output
    elif status in (1, 78) and not case.by_output:
        assert len(lines_of(output)) == 1, f"not one line:\n{output}"
        assert "internal error" not in output


def is_json(text: str) -> bool:
    """One value, or one on each line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return all(json.loads(line) is not None for line in text.splitlines())
    return True


@contextmanager
def memory() -> Iterator[Path]:
    """Yield a directory in memory, where there is room: that syncs hold is for other tests to prove."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as name:
        yield Path(name)


def play(case: Case, zygote: Zygote, config: Path, tmp: Path, places: dict[str, str]) -> None:
    """Use a command in a terminal as the case says, and then in a pipe where that is to come out the same."""
    def line(words: str) -> list[str]:
        return ["-c", str(config), *(word.format(**places) for word in words.split())]

    places = places | {"tmp": str(tmp)}
    for name, content in case.files.items():
        (tmp / name).write_text(content.format(**places))
    for words in case.first:
        status, out, err = zygote.piped(line(words), tmp)
        assert status == 0, out + err
    shows = tuple(pattern.format(**places) for pattern in case.shows)
    terminal = zygote.terminal(line(case.words))
    for prompt, answer in case.typed:
        terminal.until(prompt.format(**places))
        terminal.type(answer.format(**places))
    judge(case, terminal.end(), terminal.text, shows, line(case.words))
    if case.typed or not case.reads:
        return
    status, out, err = zygote.piped(line(case.words), tmp)
    judge(case, status, out + err, shows, line(case.words))
    if "--json" in case.words and status == 0:
        assert is_json(out), out
    assert (case.status == 0) or err or case.by_output, "what is wrong is told on standard error"
