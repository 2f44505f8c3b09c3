"""Log lines to systemd's journal with their fields, by its native protocol (I/O edge).

    one datagram:   KEY=value\\n for each field, KEY\\n <u64 le> value \\n where there is a newline in the value
    too long:       the same bytes in a sealed memfd, its descriptor in an empty datagram

Source: systemd.io "Native Journal Protocol", systemd.journal-fields(7). Nothing here waits: the event loop logs. What
the journal does not take is counted and told with the next line that it takes.
"""

import errno
import fcntl
import logging
import os
import socket
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.logs.fields import fields_of
from edge.logs.repeats import RepeatFilter

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "halow-gateway"
SEND_BUFFER_BYTES = 1 << 20      # of what the journal has not read yet; the kernel caps it at net.core.wmem_max
MESSAGE_LIMIT_BYTES = 1 << 20
_TOO_LONG = (errno.EMSGSIZE, errno.ENOBUFS)


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return fields in the form of the protocol (pure). Names are upper case letters, digits, underscores."""
    parts = []
    for name, value in fields:
        raw = value.encode("utf-8", "backslashreplace")
        if b"\n" in raw:
            parts.append(b"%b\n%b%b\n" % (name.encode(), len(raw).to_bytes(8, "little"), raw))
        else:
            parts.append(b"%b=%b\n" % (name.encode(), raw))
    return b"".join(parts)


class JournalHandler(logging.Handler):
    """Sends each line to the journal; to `otherwise` while that is not there."""

    def __init__(self, otherwise: logging.Handler, priority: Callable[[int], int], path: Path = SOCKET) -> None:
        """Connect when the first line comes. `priority` gives syslog's number of a level."""
        super().__init__()
        self.untaken = 0
        self._otherwise = otherwise
        self._priority = priority
        self._path = path
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; never raises, never waits."""
        try:
            self._send(encode(self._fields(record)))
        except BlockingIOError:
            self.untaken += 1
        except OSError:      # journald starts anew, or was never there: stderr leads to it, too
            self._drop_socket()
            self._otherwise.handle(record)
        except Exception:      # noqa: BLE001 - logging's own contract: report through handleError, never raise
            self.handleError(record)
        else:
            self._tell_untaken()

    def close(self) -> None:
        """At the program's end: write what is counted and not told yet, and let go of the socket."""
        RepeatFilter.tell_all(self)
        self._drop_socket()
        super().close()

    def _fields(self, record: logging.LogRecord) -> list[tuple[str, str]]:
        text = self.format(record)
        if len(text) > MESSAGE_LIMIT_BYTES:
            text = text[:MESSAGE_LIMIT_BYTES] + " ... (cut)"
        fields = [
            ("MESSAGE", text), ("PRIORITY", str(self._priority(record.levelno))), ("SYSLOG_IDENTIFIER", IDENTIFIER),
            ("LOGGER", record.name), ("CODE_FILE", record.pathname), ("CODE_LINE", str(record.lineno)),
            ("CODE_FUNC", record.funcName or ""), ("THREAD_NAME", record.threadName or ""),
        ]
        if record.exc_info and record.exc_info[0] is not None:
            fields.append(("EXCEPTION", record.exc_info[0].__name__))
        return fields + [(f"HALOW_{name.upper()}", value) for name, value in fields_of(record).items()]

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = self._connect()
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in _TOO_LONG:
                raise
            self._send_file(data)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _send_file(self, data: bytes) -> None:
        assert self._socket is not None
        file = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(file), "wb") as out:
                out.write(data)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS,
                        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file]))])
        finally:
            os.close(file)

    def _tell_untaken(self) -> None:
        if not self.untaken:
            return
        lost, self.untaken = self.untaken, 0
        try:
            self._send(encode([("MESSAGE", f"{lost} log lines are lost: the journal did not take them"),
                               ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", IDENTIFIER)]))
        except OSError:
            self.untaken += lost

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
