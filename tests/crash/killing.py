"""A ring in a process of its own that dies at the N-th call of some kind, and what is left for the next one.

`Lives` is one ring directory over many such lives; what each promised before it died is carried on to the next.
"""

import ctypes
import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from promises import Finding, Promises
from stores import RingStore

_PR_SET_PTRACER = 0x59616D61                        # prctl(2): who may look on, where only a parent may
_ANY = ctypes.c_ulong(-1)


class KillAt:
    """Makes `os.<call>` kill this process at its N-th use on a file below `place`: before it, behind it, or half way."""

    CALLS = ("open", "write", "pwrite", "fsync", "fdatasync", "rename", "unlink", "close")

    def __init__(self, call: str, number: int, how: str, place: Path) -> None:
        self._left, self._how, self._place = number, how, place
        self._real = getattr(os, call)
        setattr(os, call, self)

    def __call__(self, what, *arguments, **named):
        self._left -= self._below(what)
        if self._left == 0:
            if self._how == "half" and arguments:
                self._real(what, bytes(arguments[0])[: len(arguments[0]) // 2], *arguments[1:])
            elif self._how == "behind":
                self._real(what, *arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        return self._real(what, *arguments, **named)

    def _below(self, what) -> bool:
        path = Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else Path(what)
        return path.is_relative_to(self._place)


def strace(*inject: str) -> Callable[[int], subprocess.Popen]:
    """Return what lets strace look on a process and tamper with its system calls, as in `fdatasync:signal=SIGKILL:when=3`."""
    calls = ",".join(sorted({word.split(":")[0] for word in inject}))

    def attach(pid: int) -> subprocess.Popen:
        tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", f"trace={calls}",
                                   *(part for word in inject for part in ("-e", f"inject={word}"))], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        assert "attached" in line, line + tracer.stderr.read()
        return tracer

    return attach


class Lives:
    """One directory, and a process after the other that writes to it and dies."""

    def __init__(self, place: Path, store: RingStore, seed: int) -> None:
        self.place, self.store, self.rng = place, store, random.Random(seed)
        self.promises, self._next, self.commits = Promises(), 1, 0
        place.mkdir(exist_ok=True)

    def live(self, commits: int, prepare: Callable[[], object] | None = None, trace: Callable[[int], subprocess.Popen] | None = None) -> int:
        """Let a process commit so often; `prepare` runs in it first, `trace` looks on. Returns its wait status, 0 for a natural end."""
        told, tell = os.pipe()
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._write(commits, prepare, tell, begun)
        os.close(tell)
        os.close(begun)
        tracer = trace(pid) if trace is not None else None
        os.write(begin, b"!")
        os.close(begin)
        with os.fdopen(told, "rb") as lines:
            marks = [json.loads(line) for line in lines if line.endswith(b"\n")]
        status = os.waitpid(pid, 0)[1]
        if tracer is not None:
            tracer.communicate()
        self.commits += len(marks)
        self._next += 100 * commits                 # more than a life can use, so that contents tell lives apart
        self.promises = self.promises.at(marks, len(marks))
        return status

    def _write(self, commits: int, prepare: Callable[[], object] | None, tell: int, begun: int) -> None:
        status = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
            os.read(begun, 1)
            write = os.write
            if prepare is not None:
                prepare()
            self.store.work(self.place, lambda mark: write(tell, json.dumps(mark).encode() + b"\n"), commits, self.rng, self._next)
            status = 0
        finally:
            os._exit(status)                        # nothing of the test's own process may run in this one

    def find(self) -> Finding:
        """Open the directory and compare; what is wrong must not be carried on."""
        return self.store.check(self.place, self.promises)
