"""The first phase of an image transfer: the meter is told of the image, and gets the blocks that it lacks."""

import asyncio
import time
from typing import NamedTuple

import msgspec

from edge.config import ImageSettings
from edge.dlms.axdr import Integer
from edge.dlms.get import GetResult
from edge.errands.image_job import Job, Phase
from edge.errands.image_store import ImageStore
from edge.meters import image
from edge.meters.dutyspec import ImageSpec
from edge.meters.image import Missing, TransferStatus
from edge.poll.errand import Ask

TEMPORARY_S = 5.0
"""After the meter said that it cannot just now."""

FRUITLESS_PASSES = 3
"""So many passes in a row after which the meter lacks no fewer blocks: it does not keep them."""

REFUSALS = 3
"""Refused blocks in a row after which it is not tried again."""

FIRST_BLOCK_S = 0.3
WEIGHT = 0.3
LARGEST_BLOCK_BYTES = 0xFFFF


class Next(NamedTuple):
    """What follows a step: the job as it stands now, when to go on, and what is to be told."""

    job: Job
    rest_s: float = 0.0
    event: str = ""
    detail: str = ""


class Sending:
    """One meter's transfer in this process: which blocks are missing, and how long one takes."""

    def __init__(self, spec: ImageSpec, settings: ImageSettings, store: ImageStore) -> None:
        """Nothing is known of what the meter has."""
        self.missing: Missing | None = None
        self._spec = spec
        self._settings = settings
        self._store = store
        self._block_s = FIRST_BLOCK_S
        self._passed = False                 # each missing block has been sent since the last look
        self._fewest: int | None = None      # missing after the last such pass
        self._fruitless = self._refused = 0
        self._resumed = False

    @property
    def lasts_s(self) -> float:
        """How long the next step is expected to take."""
        return 1.0 if self.missing is None else 1.5 * self._block_s * self._settings.blocks_per_step

    def doubt(self) -> None:
        """Something went wrong: what the meter has, it shall say itself."""
        self.missing = None

    async def step(self, ask: Ask, job: Job) -> Next:
        """Look, or send some blocks. OrderRefused: the image on flash is gone or damaged."""
        if self.missing is None:
            return await self._look(ask, job)
        return await self._send(ask, job, self.missing)

    # -- what the meter has ----------------------------------------------------------------------------------------

    async def _look(self, ask: Ask, job: Job) -> Next:
        numbers = (image.BLOCK_SIZE, image.ENABLED, image.STATUS, image.FIRST_MISSING, image.BITMAP)
        results = await ask.get(tuple(image.attribute(self._spec, number) for number in numbers))
        size, _, status, first, bitmap = results
        if why := _unfit(*results[:3]):
            return self._refusal(job, why, temporary=size.error is not None and size.error.temporary)
        where, missing = image.status_of(status.data), Missing(job.size_bytes, int(size.data))
        if not job.begun or where in (TransferStatus.NOT_INITIATED, TransferStatus.ACTIVATION_SUCCESSFUL):
            return await self._initiate(ask, job, missing)
        if where in (TransferStatus.VERIFICATION_INITIATED, TransferStatus.VERIFICATION_SUCCESSFUL):
            return Next(job.at(Phase.VERIFY))
        missing.told(bitmap.data, first.data)
        return self._judged(job, missing)

    async def _initiate(self, ask: Ask, job: Job, missing: Missing) -> Next:
        await asyncio.to_thread(self._store.check, job.sha256, job.size_bytes)
        request = image.initiate(self._spec, bytes.fromhex(job.identifier), job.size_bytes)
        [result] = await ask.action((request,))
        if result.error is not None:
            return self._refusal(job, f"initiate: {result.error.text}", temporary=result.error.temporary)
        self.missing, self._passed, self._fewest, self._fruitless = missing, False, None, 0
        self._resumed = True
        return Next(msgspec.structs.replace(job, begun=True), 0.0, "image_started",
                    f"{job.name}: {job.size_bytes} bytes in {missing.count} blocks, by {job.by}")

    def _judged(self, job: Job, missing: Missing) -> Next:
        """Go on with what is missing; give up where passes bring nothing."""
        if not len(missing):
            return Next(job.at(Phase.VERIFY), 0.0, "image_transferred", f"{job.name}: all {missing.count} blocks")
        if self._passed and self._fewest is not None and len(missing) >= self._fewest:
            self._fruitless += 1
            if self._fruitless >= FRUITLESS_PASSES:
                return Next(job.at(Phase.FAILED, f"the meter keeps lacking {len(missing)} of {missing.count} blocks"))
        elif self._passed:
            self._fruitless = 0
        if self._passed:
            self._fewest = len(missing)
        self._passed, self.missing = False, missing
        if self._resumed:
            return Next(job)
        self._resumed = True
        return Next(job, 0.0, "image_resumed", f"{job.name}: {missing.count - len(missing)} of {missing.count} blocks "
                                               "are there already")

    # -- blocks ----------------------------------------------------------------------------------------------------

    async def _send(self, ask: Ask, job: Job, missing: Missing) -> Next:
        numbers = missing.following(self._settings.blocks_per_step)
        if not numbers:
            self.missing, self._passed = None, True      # the meter has the last word on that
            return Next(job)
        pieces = await asyncio.to_thread(self._store.read, job.sha256, [missing.span(number) for number in numbers])
        began = time.monotonic()
        for number, piece in zip(numbers, pieces, strict=True):
            [result] = await ask.action((image.transfer(self._spec, number, piece),))
            if result.error is not None:
                self.missing = self.missing if result.error.temporary else None
                return self._refusal(job, f"block {number}: {result.error.text}", temporary=result.error.temporary)
            missing.sent((number,))
            self._refused = 0
        took_s = time.monotonic() - began
        self._block_s += WEIGHT * (took_s / len(numbers) - self._block_s)
        return Next(job, took_s * (1 / self._settings.line_share - 1))

    def _refusal(self, job: Job, why: str, *, temporary: bool = False) -> Next:
        """Try again after a rest; give up where the meter refuses again and again, and does not call it temporary."""
        if temporary:
            return Next(job, TEMPORARY_S)
        self._refused += 1
        if self._refused >= REFUSALS:
            return Next(job.at(Phase.FAILED, why))
        return Next(job, TEMPORARY_S)


def _unfit(size: GetResult, enabled: GetResult, status: GetResult) -> str:
    """Return why nothing can be sent to this meter now, "" = it can."""
    if size.error is not None:
        return f"image_block_size: {size.error.text}"
    if not isinstance(size.data, Integer) or not 1 <= int(size.data) <= LARGEST_BLOCK_BYTES:
        return f"image_block_size is {size.data!r}"
    if enabled.data is False:
        return "image transfer is not enabled at the meter (attribute 5)"
    where = image.status_of(status.data)
    return where if isinstance(where, str) else ""
