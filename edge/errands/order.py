"""An operator's order to one meter: looked at, done once between two polls, and recorded with who gave it.

    given ─► objections? ─ yes ─► REFUSED
                │ no
                ▼
             WAITING ─► RUNNING ─► DONE | FAILED         not begun by `expires_s`: EXPIRED, and never done later

What an order is, is its `Task`; how it becomes an errand is here. Every order that changes something leaves two events:
that it was given, and what came of it.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from edge.errands.means import Means, Subject
from edge.errors import EdgeError, LocalStateError, OrderRefused
from edge.poll.errand import Ask

EXPIRES_S = 30.0
"""An order that could not be begun by then is not begun at all: whoever gave it no longer stands by."""

AGAIN_S = 2.0
"""Before the next try where the meter could not even be reached."""


class Task(Protocol):
    """What is to be done. `recorded`: it changes something, so that it leaves events. `words` name it on one line."""

    @property
    def words(self) -> str:
        """What it is, without secrets: "relay off", "set 8/0-0:1.0.0.255 attribute 2"."""

    @property
    def recorded(self) -> bool:
        """Whether it leaves events."""

    @property
    def lasts_s(self) -> float:
        """How long it is expected to take at the meter."""

    async def work(self, ask: Ask) -> dict[str, Any]:
        """Do it; return what came of it as plain data, of which `summary` goes into the event.

        Raises OrderRefused where it cannot be done, MeterError where it went wrong.
        """


class Phase(StrEnum):
    """Where an order stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order. `result` is the task's, `error` one line on why there is none."""

    phase: Phase
    result: dict[str, Any] | None = None
    error: str = ""


class Order:
    """The errand of one order. See `edge.poll.errand.Errand`; `outcome` waits for what comes of it."""

    def __init__(self, task: Task, subject: Subject, means: Means, by: str, *, expires_s: float = EXPIRES_S) -> None:
        """Give it: from now on it waits. `by` says who, and from where."""
        self.phase = Phase.WAITING
        self._task = task
        self._subject = subject
        self._means = means
        self._by = by
        self._not_before = float("-inf")
        self._expires_at = means.clock.monotonic() + expires_s
        self._came: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._tell("order_given", task.words)

    @property
    def name(self) -> str:
        """See `Errand`."""
        return self._task.words

    @property
    def lasts_s(self) -> float:
        """See `Errand`."""
        return self._task.lasts_s

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        if self.phase is Phase.WAITING and now >= self._expires_at:
            self._end(Outcome(Phase.EXPIRED, error="the meter had no time for it, or did not answer; nothing was done"))
        return max(now, self._not_before) if self.phase is Phase.WAITING else None

    async def step(self, ask: Ask) -> None:
        """See `Errand`."""
        if self.due(self._means.clock.monotonic()) is None:      # it has waited for its turn too long
            return
        self.phase = Phase.RUNNING
        try:
            self._end(Outcome(Phase.DONE, await self._task.work(ask)))
        except OrderRefused as refused:      # the association is sound, and stays
            self._end(Outcome(Phase.FAILED, error=str(refused)))

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`. Before anything was sent it waits for the next chance; after that it is over."""
        self._not_before = now + AGAIN_S
        if self.phase is Phase.RUNNING:
            lost = "it was not done in time" if isinstance(error, TimeoutError) else "a fault in the gateway"
            told = str(error) if isinstance(error, EdgeError) else lost
            self._end(Outcome(Phase.FAILED, error=f"{told}; whether it was done is not known" if self._task.recorded
                              else told))
        elif isinstance(error, LocalStateError):      # polled no longer
            self.withdraw(str(error))

    def withdraw(self, why: str) -> None:
        """End it if it has not begun."""
        if self.phase is Phase.WAITING:
            self._end(Outcome(Phase.FAILED, error=why))

    async def outcome(self, within_s: float) -> Outcome | None:
        """Return what came of it, None while nothing has within `within_s`. Cancelling withdraws nothing."""
        await asyncio.wait({self._came}, timeout=within_s)
        self.due(self._means.clock.monotonic())
        return self._came.result() if self._came.done() else None

    def _end(self, outcome: Outcome) -> None:
        self.phase = outcome.phase
        if not self._came.done():
            self._came.set_result(outcome)
            came = outcome.error if outcome.result is None else outcome.result.get("summary", "done")
            self._tell(f"order_{outcome.phase}", f"{self._task.words}: {came}")

    def _tell(self, event: str, detail: str) -> None:
        if self._task.recorded:
            self._subject.deed(self._means, event, detail, self._by)


def refuse(task: Task, subject: Subject, means: Means, by: str, why: str) -> None:
    """Record an order that is not even given to the meter."""
    if task.recorded:
        subject.deed(means, "order_refused", f"{task.words}: {why}", by)
