"""The last phases of an image transfer: the meter verifies what it has, and activates it when that is ordered.

Both may take minutes: the meter says "temporary failure", and then its status is asked until it has made up its mind.
The status alone decides what is done next, so that nothing is lost by a restart, here or there.
"""

import msgspec

from edge.dlms.cosem import Attribute, Obis
from edge.errands.image_job import Job, Phase
from edge.errands.image_sending import Next
from edge.meters import image
from edge.meters.dutyspec import ImageSpec
from edge.meters.exact import Exact, exact
from edge.meters.image import TransferStatus
from edge.poll.errand import Ask

POLL_S = 15.0
AGAIN_S = 60.0
SECOND_TRIES = 1
"""Transfers from the beginning after a refused verification: somebody else may have written in between."""


async def verify(ask: Ask, spec: ImageSpec, job: Job) -> Next:
    """Do one step of the verification."""
    status = await _status(ask, spec)
    match status:
        case TransferStatus.VERIFICATION_SUCCESSFUL:
            following = await _verified(ask, spec, job)
        case TransferStatus.VERIFICATION_INITIATED:
            following = Next(job, POLL_S)
        case TransferStatus.INITIATED:
            following = await _ask_to_verify(ask, spec, job)
        case TransferStatus.VERIFICATION_FAILED:
            following = _not_verified(job, status.text)
        case str():
            following = Next(job, AGAIN_S)
        case _:
            following = _not_verified(job, f"the meter has forgotten it: {status.text}")
    return following


async def activate(ask: Ask, spec: ImageSpec, job: Job) -> Next:
    """Do one step of the activation. A meter may restart in the middle of it, and tell nothing any more."""
    status = await _status(ask, spec)
    match status:
        case TransferStatus.VERIFICATION_SUCCESSFUL:
            following = await _ask_to_activate(ask, spec, job)
        case TransferStatus.ACTIVATION_INITIATED | str():
            following = Next(job, POLL_S)
        case TransferStatus.ACTIVATION_SUCCESSFUL:
            following = _activated(job, await _firmware(ask, spec))
        case TransferStatus.NOT_INITIATED:
            firmware = await _firmware(ask, spec)
            following = _activated(job, firmware) if firmware not in ("", job.firmware) else Next(
                job.at(Phase.FAILED, f"the meter has forgotten the image; firmware {firmware or 'unknown'}"))
        case _:
            following = Next(job.at(Phase.FAILED, f"activation: {status.text}"))
    return following


async def _ask_to_verify(ask: Ask, spec: ImageSpec, job: Job) -> Next:
    [result] = await ask.action((image.verify(spec),))
    if result.error is None:
        return Next(job)
    if result.error.temporary:
        return Next(job, POLL_S)
    after = await _status(ask, spec)
    return _not_verified(job, f"verification: {result.error.text}, {after if isinstance(after, str) else after.text}")


async def _ask_to_activate(ask: Ask, spec: ImageSpec, job: Job) -> Next:
    firmware = await _firmware(ask, spec)
    if firmware != job.firmware:      # noted before the order goes out: afterwards it may be too late to ask
        return Next(msgspec.structs.replace(job, firmware=firmware))
    [result] = await ask.action((image.activate(spec),))
    if result.error is None:
        return Next(job)
    return Next(job, POLL_S) if result.error.temporary else Next(
        job.at(Phase.FAILED, f"activation: {result.error.text}"))


async def _status(ask: Ask, spec: ImageSpec) -> TransferStatus | str:
    [result] = await ask.get((image.attribute(spec, image.STATUS),))
    return result.error.text if result.error is not None else image.status_of(result.data)


async def _verified(ask: Ask, spec: ImageSpec, job: Job) -> Next:
    """See whether what would be activated is what was sent, where the meter says so."""
    [result] = await ask.get((image.attribute(spec, image.TO_ACTIVATE),))
    entries = image.activations(result.data)
    ours = [entry for entry in entries if entry.size_bytes == job.size_bytes]
    if entries and not ours:
        sizes = ", ".join(str(entry.size_bytes) for entry in entries)
        return Next(job.at(Phase.FAILED, f"the meter would activate {sizes} bytes, {job.size_bytes} were sent"))
    signature = f"; its signature {ours[0].signature.hex()[:32]}" if ours and ours[0].signature else ""
    return Next(job.at(Phase.VERIFIED), 0.0, "image_verified", f"{job.name}: the meter has verified it{signature}")


def _not_verified(job: Job, why: str) -> Next:
    if job.rounds >= SECOND_TRIES:
        return Next(job.at(Phase.FAILED, why))
    again = msgspec.structs.replace(job, phase=Phase.TRANSFER, begun=False, rounds=job.rounds + 1)
    return Next(again, 0.0, "image_not_verified", f"{job.name}: {why}; it is sent once more from the beginning")


async def _firmware(ask: Ask, spec: ImageSpec) -> str:
    """Return what the meter says that it runs, "" where it does not."""
    if not spec.firmware_obis:
        return ""
    [result] = await ask.get((Attribute(1, Obis.parse(spec.firmware_obis), 2),))
    told = exact(result.data) if result.error is None else ""
    return str(told.raw) if isinstance(told, Exact) else ""


def _activated(job: Job, firmware: str) -> Next:
    change = f": firmware {job.firmware or 'unknown'} -> {firmware}" if firmware else ""
    return Next(job.at(Phase.ACTIVE), 0.0, "image_activated", f"{job.name}{change}")
