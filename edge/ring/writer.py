"""The ring's one thread for storage, and the way there and back (I/O edge).

Every byte is written, synced and read in it, in the order of asking, because an SD card may stall for seconds. An
executor of the standard library does the same at four times the cost: two futures, a condition, and two turns of the
event loop for each commit.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from edge.errors import RingError

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Done = Callable[[Any, BaseException | None], None]
_Job = tuple[Done | None, Callable[..., Any], tuple[Any, ...]]


class Writer:
    """Runs functions one after the other, and tells the event loop that made it. Its thread is there from the start."""

    def __init__(self) -> None:
        """Start the thread; `stop` ends it."""
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = False
        threading.Thread(target=self._work, name="ring_0").start()

    def run(self, done: Done, function: Callable[..., object], *args: object) -> None:
        """Call `function` behind all that was asked for before, then `done(result, error)` in the loop.

        Raises RingError after `stop`.
        """
        self._ask((done, function, args))

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Call `function` behind all that was asked for before; nobody waits for it. Raises RingError after `stop`."""
        self._ask((None, function, args))

    def call(self, function: Callable[..., _T], *args: object) -> "asyncio.Future[_T]":
        """Call `function` behind all that was asked for before. Cancelling the future ends the waiting, nothing else.

        Raises RingError after `stop`.
        """
        future: asyncio.Future[_T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.run(done, function, *args)
        return future

    def stop(self) -> None:
        """End the thread once all that was asked for is done. Does not wait: storage may never answer."""
        self._stopped = True
        self._jobs.put(None)

    def _ask(self, job: _Job) -> None:
        if self._stopped:
            raise RingError("the ring is closed")
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, function, args = job
            result: object = None
            error: BaseException | None = None
            try:
                result = function(*args)
            except BaseException as caught:  # noqa: BLE001  whoever asked is told; this thread goes on
                error = caught
            if done is not None:
                self._tell(done, result, error)
            elif error is not None:
                log.critical("ring: the writer failed", exc_info=error)
            del job, done, function, args, result, error      # hundreds of records must not wait here for the next one

    def _tell(self, done: Done, result: object, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(done, result, error)
        except RuntimeError:
            # storage answered after the loop had ended: nobody is left to hear of it
            log.debug("ring: storage answered too late")
