"""Firmware images for meters: which meter gets which, and the control request `image` by which a person says so.

    {"meter", "by", "do": "start" | "activate" | "abort" | "status", ...} ──► {"phase", "identifier", "blocks", ...}

The image itself is on flash by then, put there by the command (`edge.errands.image_store`): no request is so large.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from edge.config import Settings
from edge.daemon.enrolment import Enrolment
from edge.errands import image_job
from edge.errands.image_job import UNDER_WAY, Job, Phase
from edge.errands.image_store import ImageStore
from edge.errands.image_transfer import DUTY, ImageTransfer
from edge.errands.means import Means, Subject
from edge.errors import ConfigError, EdgeError, OrderRefused
from edge.meters.profile import Profile
from edge.model import Meter


class _Asked(msgspec.Struct, frozen=True):
    """The control request. `at_ms`: when to activate, Unix; 0 = as soon as it is verified, None = not."""

    meter: str
    by: str
    do: Literal["start", "activate", "abort", "status"]
    identifier: str = ""
    sha256: str = ""
    size_bytes: int = 0
    at_ms: int | None = None
    confirm: str = ""
    request: str = ""


class ImageDesk:
    """Knows every meter's transfer. `of` is the maker of their errands."""

    def __init__(self, settings: Settings, store: ImageStore, enrolment: Enrolment, means: Means) -> None:
        """`nudge` is to be `Fleet.nudge`; the fleet is made with this desk's errands, so it comes later."""
        self.nudge: Callable[[str], None] = lambda _name: None
        self._settings = settings
        self._store = store
        self._enrolment = enrolment
        self._means = means
        self._errands: dict[str, ImageTransfer] = {}

    def use(self, settings: Settings) -> None:
        """Work by other settings: orders at once, transfers when their errands are made anew."""
        self._settings = settings

    def of(self, meter: Meter, profile: Profile) -> Iterator[ImageTransfer]:
        """Yield the errand of a meter whose poller starts."""
        self._errands.pop(meter.name, None)
        if profile.image is not None:
            errand = ImageTransfer(Subject(meter.name, profile.name), profile.image, self._settings.image, self._store,
                                   self._means, lambda: self.nudge(meter.name))
            self._errands[meter.name] = errand
            yield errand

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what the control request `image` asks, or say in one line why not; a refusal is recorded."""
        try:
            asked = msgspec.convert(request, _Asked)
        except msgspec.ValidationError as wrong:
            raise ConfigError(f"no such request: {wrong}") from wrong
        subject = self._subject(asked.meter)
        if asked.do == "status":
            return await self._status(subject)
        try:
            errand = self._ready(asked)
            await self._order(asked, errand)
        except EdgeError as why:
            subject.deed(self._means, "order_refused", f"image {asked.do}: {why}", asked.by)
            raise
        await self._tidy()
        return errand.state()

    def _subject(self, name: str) -> Subject:
        meter = next((meter for meter in self._enrolment.meters if meter.name == name), None)
        if meter is None:
            raise ConfigError(f"no meter is named {name[:64]!r}; `halow-gateway meter list` shows the registered ones")
        return Subject(meter.name, meter.profile)

    async def _status(self, subject: Subject) -> dict[str, Any]:
        errand = self._errands.get(subject.meter)
        if errand is not None and errand.loaded:
            return errand.state()
        return image_job.told(image_job.load(await self._means.progress(subject.meter, DUTY)))

    def _ready(self, asked: _Asked) -> ImageTransfer:
        if not self._settings.image.allow:
            raise OrderRefused("this gateway sends no images (image.allow)")
        errand = self._errands.get(asked.meter)
        if errand is None:
            raise OrderRefused(f"meter {asked.meter} is not polled, or its profile names no image transfer ([image])")
        if asked.at_ms is not None and asked.confirm != asked.meter:
            raise OrderRefused("activation is not confirmed: the meter's name has to be given once more")
        return errand

    async def _order(self, asked: _Asked, errand: ImageTransfer) -> None:
        by = asked.by
        match asked.do:
            case "start":
                await asyncio.to_thread(self._store.check, asked.sha256, asked.size_bytes)
                job = _job(asked)
                await errand.order(lambda before: image_job.begin(job, before), "image_ordered",
                                   f"{job.name}: {job.size_bytes} bytes, SHA-256 {job.sha256}{_when(job)}", by)
            case "activate":
                at_ms = asked.at_ms or 0
                if asked.at_ms is None:
                    raise OrderRefused("activation is not confirmed")
                ordered = await errand.order(lambda job: image_job.order_activation(job, at_ms, by),
                                             "image_activation_ordered", f"at {at_ms}" if at_ms else "at once", by)
                assert ordered.phase is Phase.VERIFIED
            case _:
                await errand.order(lambda job: image_job.abort(job, by), "image_aborted",
                                   "the meter keeps what it has of it", by)

    async def _tidy(self) -> None:
        """Delete images that no meter waits for."""
        jobs = [image_job.load(await self._means.progress(meter.name, DUTY)) for meter in self._enrolment.meters]
        wanted = {job.sha256 for job in jobs if job is not None and job.phase in (*UNDER_WAY, Phase.VERIFIED)}
        await asyncio.to_thread(self._store.keep_only, wanted)


def _job(asked: _Asked) -> Job:
    try:
        identifier = bytes.fromhex(asked.identifier)
    except ValueError as wrong:
        raise ConfigError(f"identifier {asked.identifier[:40]!r} is not hexadecimal") from wrong
    if not 1 <= len(identifier) <= 64 or not 1 <= asked.size_bytes <= 0xFFFFFFFF:
        raise ConfigError("an image has an identifier of 1 to 64 octets, and a size")
    return Job(identifier=identifier.hex(), size_bytes=asked.size_bytes, sha256=asked.sha256, by=asked.by,
               activate_at_ms=asked.at_ms)


def _when(job: Job) -> str:
    if job.activate_at_ms is None:
        return "; it is not activated unless that is ordered"
    return f"; to be activated {'when it is verified' if not job.activate_at_ms else f'at {job.activate_at_ms}'}"
