"""Where the key of an encrypted ring comes from, and what happens to a ring whose key is not there (I/O edge).

    a file        64 hexadecimal digits, mode 0600, beside the ring unless the settings say otherwise; made at first use
    a command     prints the same; what stands behind it (a TPM, a secure element, a server) is the operator's

A ring whose key is missing or another one is locked: nothing of it is touched, and the gateway runs on memory.
"""

import contextlib
import errno
import logging
import os
import secrets
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Protocol

from edge.config import RingSettings
from edge.durable import write_file
from edge.errors import RingLocked
from edge.ring.layout import SEALED
from edge.ring.seal import KEY_BYTES, Keyring
from edge.ring.slots import Condition, Slot

log = logging.getLogger(__name__)

KEY_FILE = "ring.key"
COMMAND_TRIES = 3
COMMAND_PAUSE_S = 2.0      # at boot the chip, or what talks to it, may be there a moment after us
_OUTPUT_LIMIT_BYTES = 1_024


class KeyPort(Protocol):
    """Who has the ring's key. `where` names it for people."""

    @property
    def where(self) -> str: ...

    def key(self, *, fresh: bool) -> bytes:
        """Return the key; `fresh`: nothing is encrypted yet, so that a new one may be made. Raises RingLocked."""


class KeyFile:
    """A file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        """Nothing is read before it is asked for."""
        self.path, self.where = path, str(path)

    def key(self, *, fresh: bool) -> bytes:
        """See the port."""
        try:
            if fresh and not self.path.exists():
                with contextlib.suppress(FileExistsError):      # somebody was quicker: theirs counts
                    write_file(self.path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
                    log.info("ring: a new key was made: %s", self.path)
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    with contextlib.suppress(OSError):      # a medium without modes, or not to be written: it is read
                        os.fchmod(file.fileno(), 0o600)
                return parse_key(file.read(_OUTPUT_LIMIT_BYTES), self.where)
        except FileNotFoundError:
            raise RingLocked(f"{self.path}: there is no key for the ring; put the one that it was encrypted with there"
                             ) from None
        except OSError as error:
            raise RingLocked(f"{self.path}: the ring's key cannot be read: {error.strerror}") from error


class KeyCommand:
    """A command that prints the key, bounded in time and output; asked again where it fails."""

    def __init__(self, command: str, timeout_s: float) -> None:
        """Nothing is run before it is asked for."""
        self._words, self._timeout_s = shlex.split(command), timeout_s
        self.where = f"ring.key_command ({self._words[0]})"

    def key(self, *, fresh: bool) -> bytes:      # noqa: ARG002 - the command makes its own
        """See the port."""
        for _ in range(COMMAND_TRIES - 1):
            try:
                said = self._printed()
                break
            except RingLocked as error:
                log.warning("ring: %s; once more in %g s", error, COMMAND_PAUSE_S)
                time.sleep(COMMAND_PAUSE_S)
        else:
            said = self._printed()
        return parse_key(said, self.where)

    def _printed(self) -> bytes:
        until = time.monotonic() + self._timeout_s
        try:
            process = subprocess.Popen(      # noqa: S603 - the operator's own command, without a shell
                self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True)
        except OSError as error:
            raise RingLocked(f"{self.where}: cannot be run: {error.strerror}") from error
        with process:
            assert process.stdout is not None
            try:
                said = _read(process.stdout.fileno(), until)
                process.stdout.close()      # who has more to say ends by that
                status = process.wait(max(0.0, until - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired):
                late = f"{self.where}: gave no key within {self._timeout_s:g} s (ring.key_timeout_s)"
                raise RingLocked(late) from None
            finally:
                with contextlib.suppress(ProcessLookupError):      # what it started ends with it
                    os.killpg(process.pid, signal.SIGKILL)
        if status:
            raise RingLocked(f"{self.where}: ended with status {status}")
        return said


def _read(descriptor: int, until: float) -> bytes:
    """Return what comes until its end, `_OUTPUT_LIMIT_BYTES` at most. Raises TimeoutError."""
    said = b""
    while len(said) < _OUTPUT_LIMIT_BYTES:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(descriptor, _OUTPUT_LIMIT_BYTES)
        if not part:
            break
        said += part
    return said


def parse_key(said: bytes, where: str) -> bytes:
    """Return the key of 64 hexadecimal digits. Raises RingLocked, never with what was said (pure)."""
    word = said.strip()
    try:
        key = bytes.fromhex(word.decode("ascii")) if b" " not in word else b""
    except ValueError:      # from None: the cause holds the text
        key = b""
    if len(key) != KEY_BYTES:
        raise RingLocked(f"{where}: is no key for the ring; it has {2 * KEY_BYTES} hexadecimal digits on one line"
                         ) from None
    return key


def key_port(settings: RingSettings, directory: Path) -> KeyPort:
    """Return who has the key of the ring in `directory`, as the settings say."""
    if settings.key_command:
        return KeyCommand(settings.key_command, settings.key_timeout_s)
    return KeyFile(Path(settings.key_file) if settings.key_file else directory.with_name(KEY_FILE))


def unlock(slots: Iterable[Slot], ring: bytes, port: KeyPort | None, *, wanted: bool) -> Keyring | None:
    """Return the key that the slots of a ring need, or that is `wanted` for new ones; None where neither needs any.

    Raises RingLocked when there is no key, or one with which a slot was not encrypted.
    """
    sealed = [slot for slot in slots
              if slot.condition is Condition.USED and slot.segment.ring == ring and slot.segment.incompatible & SEALED]
    if not sealed and not wanted:
        return None
    if port is None:
        raise RingLocked("the ring is encrypted, and nothing says where its key is")
    keys = Keyring(port.key(fresh=not sealed))
    check = keys.check(ring)
    for slot in sealed:
        if slot.segment.key_check != check:
            raise RingLocked(f"{slot.path} is encrypted with another key than {port.where} has; put the right one "
                             "there, or move the ring away for a new one")
    return keys


class LockedFs:
    """A ring's storage while its key is not there: nothing is in it, and nothing can be written. See edge.ring.fs."""

    def __init__(self, reason: str) -> None:
        """Take what is to be told of it, on one line."""
        self._reason = reason

    def list(self, directory: Path) -> list[tuple[str, int]]:      # noqa: ARG002 - the port's
        """See the port: nothing that could be read."""
        return []

    def _refuse(self, *_: object) -> NoReturn:
        raise OSError(errno.EKEYREJECTED, self._reason)

    create = remove = pwrite = sync = pread = drop_cached = _refuse

    def close(self, path: Path) -> None:
        """See the port; nothing is open."""
