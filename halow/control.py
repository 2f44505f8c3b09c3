"""The control socket of hostapd and wpa_supplicant (I/O edge): one datagram socket, questions and events.

Source: hostap, src/common/wpa_ctrl.c and hostapd/ctrl_iface.c. A question is a word or more; its answer is one
datagram, answers come in order. After ATTACH the daemon also sends events, each beginning with "<level>". Who may ask
is decided by the socket file's group: `ctrl_interface_group` in the daemon's configuration.
"""

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

DIRECTORIES = (
    "/run/hostapd_s1g", "/run/hostapd", "/run/wpa_supplicant_s1g", "/run/wpa_supplicant",
    "/run/halow-gateway-radio/control")
"""Where the daemons make their sockets, one file per interface: Morse's own builds, the distribution's, the image's."""

ANSWER_BYTES = 65_536
EVENTS_KEPT = 256


class ControlError(Exception):
    """The daemon is not there, does not answer, or says no. The text is one line."""


class Refused(ControlError):
    """The daemon says no; the connection goes on."""


def socket_of(interface: str, directories: Sequence[str] = DIRECTORIES) -> Path | None:
    """Return the control socket of the daemon that serves this interface, None where there is none."""
    for directory in directories:
        path = Path(directory) / interface
        with contextlib.suppress(OSError):      # a directory that may not be entered has nothing for us
            if path.is_socket():
                return path
    return None


class ControlSocket:
    """A connection to one daemon. One task asks; `event` may be awaited beside it."""

    def __init__(self, path: Path, *, timeout_s: float = 3.0) -> None:
        """`timeout_s` bounds each answer."""
        self.path = path
        self._timeout_s = timeout_s
        self._sock: socket.socket | None = None
        self._events: deque[str] = deque(maxlen=EVENTS_KEPT)
        self._news = asyncio.Event()
        self._answer: asyncio.Future[str] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._ended: ControlError | None = None

    async def open(self) -> None:
        """Connect. Raises ControlError with what to do about it."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.bind("")      # an address of our own in the abstract namespace, so that nothing is left behind
            sock.connect(str(self.path))
        except OSError as error:
            sock.close()
            raise ControlError(_why(self.path, error)) from error
        self._sock, self._ended = sock, None
        self._reader = asyncio.create_task(self._read(sock), name=f"control {self.path.name}")

    async def close(self) -> None:
        """Let go of it. Safe when it is not open."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    async def ask(self, command: str) -> str:
        """Return the daemon's answer, without its last line feed. Raises ControlError; FAIL and UNKNOWN are answers no.

        After one that did not come in time, or a cancelling, an answer may be under way that belongs to nobody, and
        answers bear no name: close then, and open again.
        """
        word = command.partition(" ")[0]
        async with self._asking:
            if self._sock is None or self._ended is not None:
                raise self._ended or ControlError(f"{self.path}: not open")
            self._answer = asyncio.get_running_loop().create_future()
            try:
                await asyncio.get_running_loop().sock_sendall(self._sock, command.encode())
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._answer
            except TimeoutError:
                # A late answer would be taken for the next question's, and so on for ever: this connection is over.
                self._ended = ControlError(f"{self.path}: no answer to {word} in {self._timeout_s:g} s")
                self._news.set()
                raise self._ended from None
            except OSError as error:
                raise ControlError(_why(self.path, error)) from error
            finally:
                self._answer = None
        if answer.startswith(("FAIL", "UNKNOWN COMMAND")):
            raise Refused(f"{self.path}: {word} is refused: {answer}")
        return answer

    async def attach(self) -> None:
        """Have events sent from now on."""
        if (answer := await self.ask("ATTACH")) != "OK":
            raise ControlError(f"{self.path}: ATTACH is answered {answer[:40]!r}")

    async def event(self) -> str:
        """Wait for the next event, without its level. Raises ControlError when the daemon is gone."""
        while not self._events:
            if self._ended is not None:
                raise self._ended
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    async def _read(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                text = (await loop.sock_recv(sock, ANSWER_BYTES)).decode(errors="replace").rstrip("\n")
                if text.startswith("<"):
                    self._events.append(text.partition(">")[2])
                    self._news.set()
                elif self._answer is not None and not self._answer.done():
                    self._answer.set_result(text)
        except OSError as error:
            self._ended = ControlError(_why(self.path, error))
            self._news.set()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(self._ended)


def pairs(text: str) -> dict[str, str]:
    """Return the key=value lines of an answer; other lines are left out."""
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if mark:
            yield key.strip(), value.strip()


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: not permitted; set ctrl_interface_group in the daemon's configuration to the gateway's group"
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET):
        return f"{path}: no daemon listens there"
    return f"{path}: {error.strerror or error}"
