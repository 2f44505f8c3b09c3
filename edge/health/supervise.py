"""Supervision of named workers: what leaves a worker is a bug, and is answered by policy.

Expected trouble (a silent meter, a broker that is away) stays inside a worker, as data and back-off. An exception that
leaves it is logged with the worker's name and the worker starts again after a growing, jittered delay. More faults than
the policy allows within its window: a *vital* worker ends the program (systemd starts it again), an *expendable* one is
parked, shown in the status, and tried once more after a long rest, because nobody comes by to press a button.

    running ──fault──► waiting ──delay──► running        running ──returns──► finished (only where `may_return`)
       │ too many faults in the window
       ├── vital ──► failed (WorkerFailed leaves supervise)
       └── expendable ──► parked ──park_s──► running
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.errors import WorkerFailed
from edge.health.promise import Promises, Pulse

log = logging.getLogger(__name__)

Worker = Callable[[Pulse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What follows when a worker's bug got out. All times in seconds.

    `faults` within `window_s` are answered by a restart; the next one parks the worker or ends the program.
    `enabled=False` (tests) lets the first exception out as it is.
    """

    vital: bool
    faults: int = 5
    window_s: float = 600.0
    delay_first_s: float = 1.0
    delay_max_s: float = 60.0
    park_s: float = 3600.0
    start_within_s: float = 60.0       # promised for a worker that has not given its own promise yet
    may_return: bool = False
    enabled: bool = True

    def answer(self, faults_at: Sequence[float], now: float, jitter: float) -> "Answer":
        """Decide about the newest of `faults_at` (monotonic seconds, ascending). `jitter` is in 0..1. Pure.

        The delay doubles with every fault in the window; jitter takes off up to half of it.
        """
        recent = sum(1 for at in faults_at if at > now - self.window_s)
        if recent > self.faults:
            return Answer(Phase.FAILED, 0.0) if self.vital else Answer(Phase.PARKED, self.park_s)
        delay_s = min(self.delay_max_s, self.delay_first_s * 2.0 ** min(max(recent - 1, 0), 30))
        return Answer(Phase.WAITING, delay_s * (1.0 - jitter / 2.0))


VITAL = RestartPolicy(vital=True)
EXPENDABLE = RestartPolicy(vital=False)


class Phase(StrEnum):
    """Where a supervised worker stands."""

    RUNNING = "running"
    WAITING = "waiting"
    PARKED = "parked"
    FAILED = "failed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy decided: WAITING or PARKED with the delay before the next start, or FAILED."""

    phase: Phase
    delay_s: float


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as status shows it. `since` is monotonic seconds; `last_error` one line, "" when there was none."""

    phase: Phase
    since: float
    starts: int
    faults: int
    last_error: str


async def supervise(
    name: str,
    worker: Worker,
    policy: RestartPolicy,
    *,
    promises: Promises,
    monotonic: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    states: MutableMapping[str, WorkerState] | None = None,
) -> None:
    """Run `worker` under `policy` until it is cancelled, finishes or has failed for good.

    `worker` is called anew for every start with its Pulse. `states[name]` follows along. Raises WorkerFailed when a
    vital worker has used up its restarts, and with `enabled=False` whatever the worker raised.

    Cancelling cancels the worker (or ends the wait between two starts), releases its promise and takes it off
    `states`; the CancelledError goes on to the caller. A CancelledError that nobody asked this task for is a bug of
    the worker like any other.
    """
    watch = _Watched(name, policy, promises, monotonic, rng or random.Random(), states if states is not None else {})  # noqa: S311 - spreads restarts, guards nothing
    try:
        while True:
            try:
                await watch.start(worker)
            except asyncio.CancelledError as error:
                if _cancel_was_asked_for():
                    raise
                await watch.fault(error)
            except Exception as error:  # noqa: BLE001 - the one place where a worker's bug stops; logged with traceback
                await watch.fault(error)
            else:
                if policy.may_return:
                    watch.note(Phase.FINISHED)
                    return
                await watch.fault(RuntimeError("returned, although its work never ends"))
    except asyncio.CancelledError:
        watch.states.pop(name, None)
        raise
    finally:
        promises.release(name)


def _cancel_was_asked_for() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class _Watched:
    """One supervised worker's bookkeeping."""

    def __init__(
        self,
        name: str,
        policy: RestartPolicy,
        promises: Promises,
        monotonic: Callable[[], float],
        rng: random.Random,
        states: MutableMapping[str, WorkerState],
    ) -> None:
        self.name = name
        self.policy = policy
        self.promises = promises
        self.monotonic = monotonic
        self.rng = rng
        self.states = states
        self.faults_at: list[float] = []
        self.starts = 0
        self.faults = 0
        self.last_error = ""

    def pulse(self, within_s: float) -> None:
        self.promises.expect(self.name, within_s, self.monotonic())

    def note(self, phase: Phase) -> None:
        self.states[self.name] = WorkerState(phase, self.monotonic(), self.starts, self.faults, self.last_error)

    async def start(self, worker: Worker) -> None:
        self.starts += 1
        self.pulse(self.policy.start_within_s)
        self.note(Phase.RUNNING)
        await worker(self.pulse)

    async def fault(self, error: BaseException) -> None:
        """Log the bug, then wait until the next start; raises when there is none."""
        if not self.policy.enabled:
            raise error
        now = self.monotonic()
        self.faults += 1
        self.last_error = f"{type(error).__name__}: {error}".splitlines()[0]
        self.faults_at = [at for at in self.faults_at if at > now - self.policy.window_s] + [now]
        answer = self.policy.answer(self.faults_at, now, self.rng.random())
        self.note(answer.phase)
        if answer.phase is Phase.FAILED:
            log.critical("worker %s failed %d times within %g s and is vital: giving up", self.name,
                         len(self.faults_at), self.policy.window_s, exc_info=error)
            raise WorkerFailed(f"worker {self.name} kept failing: {self.last_error}") from error
        log.error("worker %s failed (fault %d, now %s): next start in %.1f s", self.name, self.faults, answer.phase,
                  answer.delay_s, exc_info=error)
        if answer.phase is Phase.PARKED:
            self.promises.release(self.name)
        else:
            self.pulse(answer.delay_s + self.policy.start_within_s)
        await asyncio.sleep(answer.delay_s)
