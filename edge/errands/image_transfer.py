"""A firmware image into a meter, a few blocks at a time: whatever is cut or restarted, it goes on where the meter is.

    look ─► initiate, or take the meter's word for what it has ─► blocks … ─► look ─► none missing ─► verify ─► VERIFIED
      ▲                                                                       │ some are: they are sent again
      └── after any fault ────────────────────────────────────────────────────┘         an order, its time ─► activate

What stands in `Job` is on flash; which blocks are missing is not, the meter knows it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from edge.config import ImageSettings
from edge.errands import image_checking, image_job
from edge.errands.image_job import UNDER_WAY, Job, Phase
from edge.errands.image_sending import Next, Sending
from edge.errands.image_store import ImageStore
from edge.errands.means import Means, Subject
from edge.errors import LocalStateError, OrderRefused
from edge.meters.dutyspec import ImageSpec
from edge.poll.errand import Ask

DUTY = "image"
BACKOFF_FIRST_S, BACKOFF_MAX_S = 15.0, 600.0
CLOCK_S = 60.0
"""How often it is looked at whether our clock is right, where an activation has its time."""


class ImageTransfer:
    """The standing errand of one meter; without a job it wants nothing. See `edge.poll.errand.Errand`."""

    name = DUTY

    def __init__(self, subject: Subject, spec: ImageSpec, settings: ImageSettings, store: ImageStore, means: Means,
                 changed: Callable[[], object]) -> None:
        """`changed` is told after each change of the job: then a step may be wanted at once."""
        self.job: Job | None = None
        self.loaded = False
        self._subject = subject
        self._spec = spec
        self._settings = settings
        self._means = means
        self._changed = changed
        self._sending = Sending(spec, settings, store)
        self._next_at = float("-inf")
        self._failures = 0
        self._trouble = ""
        self._changing = asyncio.Lock()

    # -- edge.poll.errand.Errand -----------------------------------------------------------------------------------

    @property
    def lasts_s(self) -> float:
        """See `Errand`."""
        return self._sending.lasts_s if self.job is not None and self.job.phase is Phase.TRANSFER else 1.0

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        if not self._settings.allow:
            return None
        if not self.loaded or (self.job is not None and self.job.phase in UNDER_WAY):
            return max(now, self._next_at)
        wait_s = self._until_activation_s()
        return None if wait_s is None else max(now + wait_s, self._next_at)

    async def step(self, ask: Ask) -> None:
        """See `Errand`."""
        if not self.loaded:
            await self.load()
        job = self.job
        if job is None or (job.phase not in UNDER_WAY and self._until_activation_s() != 0):
            return
        try:
            following = await self._follow(ask, job)
        except (OrderRefused, LocalStateError) as why:      # no image to send; no such service with this meter
            following = Next(job.at(Phase.FAILED, str(why)))
        self._failures, self._trouble = 0, ""
        self._next_at = self._means.clock.monotonic() + following.rest_s
        await self._go_on(job, following)

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`: longer rests after failures in a row, and the meter is asked what it has."""
        self._sending.doubt()
        self._failures += 1
        self._trouble = str(error) or "not done in time"
        self._next_at = now + min(BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 10), BACKOFF_MAX_S)

    # -- orders, from other tasks of the loop ------------------------------------------------------------------------

    async def load(self) -> None:
        """Learn what was kept of this meter's transfer. RegistryError."""
        self.job = image_job.load(await self._means.progress(self._subject.meter, DUTY))
        self.loaded = True

    async def order(self, change: Callable[[Job | None], Job], event: str, detail: str, by: str) -> Job:
        """Change the job as an order says, durably, and tell it. OrderRefused, RegistryError."""
        async with self._changing:
            if not self.loaded:
                await self.load()
            job = change(self.job)
            await self._keep(job)
        self._sending.doubt()
        self._next_at, self._failures, self._trouble = float("-inf"), 0, ""
        self._subject.deed(self._means, event, detail, by)
        self._changed()
        return job

    def state(self) -> dict[str, Any]:
        """Return how it stands: plain data."""
        missing = self._sending.missing
        told = image_job.told(self.job)
        if missing is not None and self.job is not None and self.job.phase is Phase.TRANSFER:
            told |= {"blocks": missing.count, "blocks_missing": len(missing)}
        return told | ({"trouble": self._trouble} if self._trouble else {})

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _follow(self, ask: Ask, job: Job) -> Next:
        match job.phase:
            case Phase.TRANSFER:
                return await self._sending.step(ask, job)
            case Phase.VERIFY:
                return await image_checking.verify(ask, self._spec, job)
            case Phase.VERIFIED:
                return Next(job.at(Phase.ACTIVATE), 0.0, "image_activating", f"{job.name}, by {job.by}")
        return await image_checking.activate(ask, self._spec, job)

    async def _go_on(self, job: Job, following: Next) -> None:
        """Keep what a step came to, unless an order has changed the job meanwhile."""
        if following.job != job:
            async with self._changing:
                if self.job is not job:
                    return
                await self._keep(following.job)
        if following.event:
            self._subject.deed(self._means, following.event, following.detail)
        if following.job.phase is Phase.FAILED:
            self._subject.deed(self._means, "image_failed", f"{job.name}: {following.job.why}")
        if following.job != job:
            self._changed()

    async def _keep(self, job: Job) -> None:
        await self._means.keep_progress(self._subject.meter, DUTY, image_job.kept(job))
        self.job = job

    def _until_activation_s(self) -> float | None:
        """Return how long a verified image still has to wait, None where nobody wants it activated."""
        job = self.job
        if job is None or job.phase is not Phase.VERIFIED or job.activate_at_ms is None:
            return None
        if not job.activate_at_ms:
            return 0.0
        if not self._means.clock.synchronised():
            return CLOCK_S
        return max((job.activate_at_ms - self._means.clock.stamp().wall_ms) / 1000, 0.0)
