"""A serial line of this board: RS-485, RS-232 or an optical head, mostly on a USB adapter (I/O edge).

The tty is set to raw characters and read by the loop itself (`add_reader`); why not pyserial: docs/decisions/0017. One
program has it at a time: `flock` keeps others that ask out, TIOCEXCL those that do not (root excepted). An adapter that
is pulled out ends the connection; the recovery ladder opens the line again when it is back.
"""

import asyncio
import errno
import fcntl
import os
import stat
import struct
import termios
from collections.abc import Awaitable
from pathlib import Path
from typing import Self

from edge.endpoint import BAUDS, SerialLine
from edge.errors import BridgeBusy, ConnectionLost, MeterError, Unreachable
from edge.poll.inbox import Inbox, plain

TURN_AROUND_S = 0.03
"""Between an answer and the next request, for drivers of a half-duplex line to let go of it. Meters ask for so much."""

_READ_BYTES = 4_096
_SPEEDS = {baud: getattr(termios, f"B{baud}") for baud in BAUDS}
_SHAPES = {
    "8N1": 0, "8E1": termios.PARENB, "8O1": termios.PARENB | termios.PARODD, "8N2": termios.CSTOPB}
_OF_THE_SHAPE = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB


class SerialTransport:
    """An open serial line. Use `open`."""

    def __init__(self, line: SerialLine, descriptor: int) -> None:
        """Take over a descriptor that is set up."""
        self.line = line
        self._inbox = Inbox(line.device)
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._unsent = bytearray()
        self._loop.add_reader(descriptor, self._readable)

    @classmethod
    async def open(cls, line: SerialLine, *, timeout_s: float) -> Self:
        """Open the line. Raises Unreachable or BridgeBusy, with what to do. Cancelling leaves nothing open."""
        opening = asyncio.get_running_loop().run_in_executor(None, _open, line)      # a USB adapter may take its time
        try:
            async with asyncio.timeout(timeout_s):
                descriptor = await asyncio.shield(opening)
        except TimeoutError as error:
            opening.add_done_callback(_close_late)
            raise Unreachable(f"{line.device}: does not open within {timeout_s:g} s: plug it in anew") from error
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        except (OSError, termios.error) as error:
            raise trouble(line, error) from error
        return cls(line, descriptor)

    @property
    def top_baud(self) -> int | None:
        """See Transport."""
        return self.line.baud

    def write(self, data: bytes) -> None:
        """See Transport."""
        if self._inbox.ended:
            return
        idle = not self._unsent
        self._unsent += data
        if idle:
            self._writable()

    def read(self, deadline: float | None) -> Awaitable[bytes]:
        """See Transport."""
        return self._inbox.read(deadline)

    def waiting(self) -> bytes:
        """See Transport."""
        return self._inbox.waiting()

    def ready(self, gap_s: float) -> Awaitable[None]:
        """See Transport."""
        return self._inbox.rest(max(gap_s, TURN_AROUND_S))

    def set_line(self, baud: int, shape: str | None = None) -> None:
        """See Transport. What was written must have left the line: the caller knows how long that takes."""
        if self._inbox.ended:
            raise ConnectionLost(f"{self.line.device}: {self._inbox.ended}")
        try:
            _configure(self._descriptor, baud, shape or self.line.format)
        except (OSError, termios.error) as error:
            self._lose(error)
            raise ConnectionLost(f"{self.line.device}: {_plain(error)}") from error

    async def close(self, within_s: float) -> None:
        """See Transport. Waits until the last octet is on its way."""
        deadline = self._loop.time() + within_s
        try:
            while self._busy() and self._loop.time() < deadline:      # noqa: ASYNC110 - no driver tells when it is done
                await asyncio.sleep(TURN_AROUND_S)
        finally:
            self.abort()

    def abort(self) -> None:
        """See Transport."""
        self._release("ended from here")

    def _busy(self) -> bool:
        """Tell whether something is still to be sent, as far as the driver knows."""
        if self._inbox.ended:
            return False
        try:
            queued = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4)))[0]
        except OSError:
            queued = 0
        return bool(self._unsent or queued)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._lose(OSError(errno.EIO, "hung up"))
        elif not self._inbox.put(data):
            self.abort()

    def _writable(self) -> None:
        try:
            sent = os.write(self._descriptor, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            self._loop.remove_writer(self._descriptor)

    def _lose(self, error: BaseException) -> None:
        self._release(f"the serial line is gone: {_plain(error)}")

    def _release(self, why: str) -> None:
        """Give the line back; the first call counts."""
        if self._descriptor < 0:
            return
        self._inbox.end(why)
        descriptor, self._descriptor = self._descriptor, -1
        self._unsent.clear()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        _close(descriptor)


def look(line: SerialLine) -> MeterError | None:
    """Say what would keep a line from opening, as far as one sees from outside. It is not opened: a gateway may run."""
    try:
        found = Path(line.device).stat()
    except OSError as error:
        return trouble(line, error)
    if not stat.S_ISCHR(found.st_mode):
        return trouble(line, OSError(errno.ENOTTY, ""))
    return None if os.access(line.device, os.R_OK | os.W_OK) else trouble(line, OSError(errno.EACCES, ""))


def trouble(line: SerialLine, error: BaseException) -> MeterError:
    """Say why a line does not open, and what to do."""
    code = error.args[0] if error.args else None
    device = line.device
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return Unreachable(f"{device}: is not there: is the adapter plugged in? `ls /dev/serial/by-id` names what is")
    if code in (errno.EACCES, errno.EPERM):
        return Unreachable(f"{device}: not permitted: put this user into the device's group, mostly dialout, and see "
                           "docs/bridges.md for the unit")
    if code in (errno.EBUSY, errno.EWOULDBLOCK):
        return BridgeBusy(f"{device}: another program has it, or a meter under another name of it")
    if code in (errno.ENOTTY, errno.EISDIR, errno.EIO):      # EIO: a name of the kernel's without a UART behind it
        return Unreachable(f"{device}: is no serial line")
    if code == errno.EINVAL:
        return Unreachable(f"{device}: does not take {line.baud} baud {line.format}")
    return Unreachable(f"{device}: {_plain(error)}")


def _open(line: SerialLine) -> int:
    """Open, claim, set up and empty the tty. Raises OSError or termios.error."""
    descriptor = os.open(line.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _configure(descriptor, line.baud, line.format)
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
        termios.tcflush(descriptor, termios.TCIOFLUSH)      # what came before us is nobody's answer
    except BaseException:
        _close(descriptor)
        raise
    return descriptor


def _configure(descriptor: int, baud: int, shape: str) -> None:
    """Set raw characters, speed and format; EINVAL where the driver silently does something else."""
    controls = termios.tcgetattr(descriptor)[6]
    controls[termios.VMIN], controls[termios.VTIME] = 1, 0
    # No modem control, no flow control, and DTR stays up when it is closed: it may be what feeds an optical head.
    flags = termios.CREAD | termios.CLOCAL | termios.CS8 | _SHAPES[shape]
    speed = _SPEEDS[baud]
    termios.tcsetattr(descriptor, termios.TCSANOW, [termios.IGNBRK, 0, flags, 0, speed, speed, controls])
    now = termios.tcgetattr(descriptor)
    if now[5] != speed or now[2] & _OF_THE_SHAPE != flags & _OF_THE_SHAPE:
        raise OSError(errno.EINVAL, "the driver sets something else")


def _close(descriptor: int) -> None:
    """Close without waiting for what was not sent: the kernel would, for half a minute."""
    try:
        termios.tcflush(descriptor, termios.TCIOFLUSH)
    except (OSError, termios.error):
        pass      # a line that is gone has nothing to flush
    finally:
        os.close(descriptor)


def _close_late(opening: asyncio.Future[int]) -> None:
    """Close a line that opened after everybody had gone."""
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())


def _plain(error: BaseException) -> str:
    """Name an OS error, or one of termios, which is no OSError."""
    return plain(error if isinstance(error, OSError) else OSError(*error.args))
