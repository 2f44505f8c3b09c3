"""Starts commands as `python -m edge` would, forked from one process that has loaded them all: milliseconds each.

    standard input    {"start": [args], "stdin": PATH, "stdout": PATH, "stderr": PATH, "env": {}}  |  {"wait": pid}
    standard output   {"pid": pid}                                                                 |  {"status": status}

Where `stdin` is a terminal, it becomes the controlling one of a session of its own, as in a shell of a person.
"""

import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import select
import signal
import sys
import termios
from typing import Any, NoReturn

from edge.cli import COMMANDS, root

LONGEST_S = 60.0
STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
           ("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))


def start(request: dict[str, Any]) -> int:
    """Fork a command; return its process id."""
    opened = []
    for name, flags in STREAMS:
        terminal = request[name].startswith("/dev/pts/")
        opened.append(os.open(request[name], os.O_RDWR | os.O_NOCTTY if terminal else flags, 0o600))
    pid = os.fork()
    if pid == 0:
        be(request, opened)
    for descriptor in opened:
        os.close(descriptor)
    return pid


def be(request: dict[str, Any], opened: list[int]) -> NoReturn:
    """Become the command."""
    status = 99
    try:
        os.setsid()
        if os.isatty(opened[0]):
            fcntl.ioctl(opened[0], termios.TIOCSCTTY, 0)
        for number, descriptor in enumerate(opened):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)      # noqa: SIM115 - for the process's life
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(open(number, "wb", buffering=0 if number == 2 else -1, closefd=False), encoding="utf-8",      # noqa: SIM115 - same
                             line_buffering=os.isatty(number), write_through=number == 2)
            for number in (1, 2))
        for name in [name for name in os.environ if name.startswith(("HALOW_GATEWAY_", "PYTEST_")) or name in ("COLUMNS", "LINES")]:
            del os.environ[name]
        os.environ.update(request["env"])
        signal.signal(signal.SIGINT, signal.default_int_handler)      # a shell in the background switches it off
        try:
            root.main(request["start"])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """Return how a command ended, -9 for one that had to be ended."""
    handle = os.pidfd_open(pid)
    if not select.select([handle], [], [], LONGEST_S)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    for place, _ in COMMANDS.values():
        importlib.import_module(place.partition(":")[0])
    for module in ("edge.configfile", "edge.store.registry", "edge.control", "edge.meters.library", "edge.app",
                   "edge.demo.population", "edge.daemon.page", "halow.look", "edge.ring.look"):
        importlib.import_module(module)
    gc.freeze()
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")      # children get others as 0 and 1
    started = set()
    try:
        for line in requests:
            request = json.loads(line)
            if "start" in request:
                started.add(pid := start(request))
                told = {"pid": pid}
            else:
                told = {"status": wait(request["wait"])}
                started.discard(request["wait"])
            answers.write(json.dumps(told) + "\n")
            answers.flush()
    finally:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
