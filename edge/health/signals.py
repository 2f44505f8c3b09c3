"""Signals: SIGTERM and SIGINT ask for a graceful end, a second one ends at once; SIGHUP for a reload.

Every close has a deadline.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edge.health.hangup import HeldHangup

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_AT_ONCE = 130


@contextmanager
def stop_signals(
    exit_now: Callable[[int], object] = os._exit, *, at_first: Callable[[], object] = lambda: None,
) -> Iterator[asyncio.Event]:
    """Give an event that the first SIGTERM or SIGINT sets; the second one calls `exit_now(130)`.

    `at_first` is called in the loop with the first one.

    Use inside a running loop in the main thread. The handler is Python's own and not the loop's, so that the second
    signal works even while the loop is stuck in a callback. The earlier handlers come back on leaving.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    asked = 0

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            exit_now(EXIT_AT_ONCE)
        else:
            loop.call_soon_threadsafe(first, signum)

    def first(signum: int) -> None:
        log.info("stopping on %s; once more ends at once", signal.Signals(signum).name)
        at_first()
        stop.set()

    before = {signum: signal.signal(signum, on_signal) for signum in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def on_hangup(called: Callable[[], object]) -> Iterator[None]:
    """Have `called` in the loop at each SIGHUP, which ends nothing then. For the main thread's loop.

    One that came before, while the signal was held, counts. The earlier handler comes back on leaving.
    """
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, called)
    if isinstance(before, HeldHangup) and before.came:      # asked only now: none falls in between
        loop.call_soon(called)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        if before is not None:
            signal.signal(signal.SIGHUP, before)


async def close_within(name: str, closing: Awaitable[object], deadline_s: float) -> bool:
    """Await `closing` for at most `deadline_s` seconds; return whether it went well.

    A close that hangs is cancelled and left behind, one that fails is logged with its traceback: neither may keep the
    next thing (the ring's last sync, say) from being closed. Cancelling this cancels `closing` and goes on.
    """
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=deadline_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        # One turn, so that an orderly task sees its cancellation; a stubborn one is not waited for.
        await asyncio.wait({task}, timeout=0.1)
        log.error("closing %s took longer than %g s: left as it is", name, deadline_s)
        return False
    if task.cancelled():
        log.error("closing %s was cancelled from inside", name)
        return False
    error = task.exception()
    if error is not None:
        log.error("closing %s failed", name, exc_info=error)
        return False
    return True
