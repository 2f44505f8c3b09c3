"""A board in QEMU: its console with time stamps, a root shell on a serial port, resets, and power cuts.

The shell is that of tools/image/rehearsal; the console is only read. Emulated without KVM where there is none.
"""

import contextlib
import os
import re
import secrets
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Gone(Exception):
    """The machine ended, or a wait for it did; the message has the last lines of its console."""


class Board:
    """One emulated board on a disk. A context manager: whatever happens, nothing is left running."""

    def __init__(
        self, qemu: Sequence[str], *, drive: str, log: Path, kernel: Sequence[str] = (), memory_mib: int = 512, extra: Sequence[str] = (),
    ) -> None:
        """Describe it; `start` switches it on. `drive`: QEMU's -drive without id and if; `kernel`: how it boots."""
        self._folder = Path(tempfile.mkdtemp(prefix="board"))      # short: names of Unix sockets end at 107 bytes
        self._shell_path = self._folder / "shell"
        self._shell: socket.socket | None = None
        self._words = [
            # Whatever ends the tests ends the machine.
            "setpriv", "--pdeathsig", "KILL", *qemu, "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(memory_mib), "-nodefaults", "-display", "none", "-serial", "stdio",
            "-chardev", f"socket,id=shell,path={self._shell_path},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=shell,name=shell",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
            "-drive", f"{drive},if=none,id=disk", "-device", "virtio-blk-pci,drive=disk",
            "-device", "i6300esb", "-action", "watchdog=reset", *kernel, *extra,
        ]
        self._log = log
        self.lines: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._started = 0.0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> Self:
        """Switch it on."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read_console, args=(self._process,))
        self._reader.start()
        return self

    def cut(self) -> None:
        """Cut its power (SIGKILL)."""
        if self._shell:
            self._shell.close()
            self._shell = None
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._reader:
            self._reader.join()

    def since_start_s(self) -> float:
        """Return the seconds since it was switched on."""
        return time.monotonic() - self._started

    def _read_console(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with self._log.open("a") as log, process.stdout:
            for raw in process.stdout:
                text = _ESCAPES.sub("", raw.decode(errors="replace")).strip("\r\n")
                with self._news:
                    self.lines.append((self.since_start_s(), text))
                    self._news.notify_all()
                log.write(f"{self.since_start_s():8.2f} {text}\n")
                log.flush()
        with self._news:
            self._news.notify_all()

    def console(self, pattern: str, *, timeout_s: float, start: int = 0) -> tuple[int, str]:
        """Wait for a console line; return the index behind it and the line. Raises Gone."""
        wanted = re.compile(pattern)
        seen = start

        def found() -> bool:
            nonlocal seen
            while seen < len(self.lines):
                seen += 1
                if wanted.search(self.lines[seen - 1][1]):
                    return True
            return self._process is None or self._process.poll() is not None

        with self._news:
            done = self._news.wait_for(found, timeout_s)
        if not done or not (seen and wanted.search(self.lines[seen - 1][1])):
            raise Gone(f"no console line like {pattern!r} in {timeout_s:.0f} s\n{self.tail()}")
        return seen, self.lines[seen - 1][1]

    def tail(self, lines: int = 15) -> str:
        """Return the end of the console."""
        return "\n".join(f"{at:8.1f} {text}" for at, text in self.lines[-lines:])

    # -- root shell ------------------------------------------------------------------------------------------------

    def run(self, command: str, *, timeout_s: float = 120.0, check: bool = True) -> str:
        """Run one line of shell as root; return its output. Raises Gone, or AssertionError with `check`."""
        assert "\n" not in command, "one line"
        mark = f"done-{secrets.token_hex(6)}"
        end = time.monotonic() + timeout_s
        shell = self._connected(end)
        shell.sendall(f"{mark} {command}\n".encode())
        finished = re.compile(rb"\r?\n" + mark.encode() + rb" (\d+)\r?\n")
        heard = b""
        while not (match := finished.search(heard)):
            heard += self._hear(shell, end, command)
        output = heard[: match.start()].decode(errors="replace").replace("\r\n", "\n").strip()
        status = int(match[1])
        assert not check or status == 0, f"{command}: status {status}\n{output}"
        return output

    def send(self, command: str) -> None:
        """Send a line of shell whose end is not waited for, because the machine may not live to tell."""
        self._connected(time.monotonic() + 60).sendall(f"nobody-waits {command}\n".encode())

    def shell_up(self, *, timeout_s: float) -> None:
        """Wait until the shell answers after a start or a reset. Raises Gone."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                self.run("true", timeout_s=min(5.0, max(0.1, end - time.monotonic())))
            except Gone:
                if time.monotonic() >= end or (self._process and self._process.poll() is not None):
                    raise
                self._hang_up()
            else:
                return

    def _connected(self, end: float) -> socket.socket:
        while self._shell is None:
            candidate = socket.socket(socket.AF_UNIX)
            try:
                candidate.connect(str(self._shell_path))
                self._shell = candidate
            except OSError:
                candidate.close()
                if time.monotonic() > end or (self._process and self._process.poll() is not None):
                    raise Gone(f"the shell's port is not there\n{self.tail()}") from None
                threading.Event().wait(0.05)      # QEMU makes the socket in its own time and tells nobody
        return self._shell

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            if self._shell:
                self._shell.close()
        self._shell = None

    def _hear(self, shell: socket.socket, end: float, command: str) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(shell, selectors.EVENT_READ)
            if not selector.select(max(0.0, end - time.monotonic())):
                raise Gone(f"no end of {command!r} in time\n{self.tail()}")
        data = shell.recv(65536)
        if not data:
            self._hang_up()
            raise Gone(f"the machine ended during {command!r}\n{self.tail()}")
        return data


def direct_kernel(folder: Path, console: str, append: str = "") -> list[str]:
    """Return QEMU's words that start slot A's kernel without a boot loader."""
    line = f"root=PARTLABEL=rootfs-A ro console={console} panic=5 rauc.slot=A fsck.repair=yes systemd.gpt_auto=no quiet loglevel=4 systemd.show_status=1 {append}"
    return ["-kernel", str(folder / "Image"), "-initrd", str(folder / "initrd"), "-append", line.strip()]


def copy_disk(source: Path, target: Path) -> Path:
    """Copy a disk with its holes."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


def environment() -> Path | None:
    """Return the folder of the images to rehearse, or None outside a rehearsal."""
    named = os.environ.get("HALOW_REHEARSAL")
    return Path(named) if named else None
