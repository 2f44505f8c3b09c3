"""Programs of the vendor or the operator, run as children (I/O edge).

A child has a session of its own, no input, and a time limit: at its end, and when whoever waits is cancelled, the
whole process group is killed, so that what a script had started does not live on.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

BURY_S = 5.0
"""So long a killed child is waited for: one that hangs in the kernel must not hold us."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended. `output` is the end of what it wrote, `cut` says that there was more; `complaint` its errors.

    `status` below zero is the signal that ended it.
    """

    status: int
    output: bytes
    complaint: str
    cut: bool


class NotRun(Exception):
    """The program cannot be started, or took too long. The text is one line without the program's arguments."""


async def run(words: Sequence[str], timeout_s: float, *, output_bytes: int = 65_536) -> Outcome:
    """Run a program without a shell and wait for its end. Raises NotRun.

    A child that left a background process holding its output counts as running still. Cancelling kills the group.
    """
    try:
        process = await _started(words)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise NotRun(f"{words[0]} cannot be run: {why}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            (output, cut), (errors, _) = await asyncio.gather(
                _end_of(process.stdout, output_bytes), _end_of(process.stderr, 400))
            status = await process.wait()
    except TimeoutError as error:
        raise NotRun(f"{words[0]}: not done within {timeout_s:g} s, ended") from error
    finally:
        await _ended(process)
    return Outcome(status, output, last_line(errors), cut)


async def _started(words: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a child. Cancelled meanwhile, end its whole group: asyncio itself kills the one process that it made."""
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            await _ended(await starting)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs of a child's group, and wait a while for it to be gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):      # a child under sudo is not ours to kill
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BURY_S):
                await process.wait()


def last_line(data: bytes) -> str:
    """Return the last line of what a program wrote, fit for one line of log."""
    lines = data.decode(errors="replace").strip().splitlines()
    return "".join(char if char.isprintable() else " " for char in lines[-1]).strip() if lines else ""


async def _end_of(stream: asyncio.StreamReader, limit: int) -> tuple[bytes, bool]:
    """Read to the end, keep the last `limit` bytes, and say whether that is not all."""
    kept, cut = b"", False
    while chunk := await stream.read(65_536):
        kept += chunk
        if len(kept) > limit:
            kept, cut = kept[-limit:], True
    return kept, cut
