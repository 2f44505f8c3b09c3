"""One image's way into one meter: what is kept of it over restarts, and what may be done with it (pure).

    TRANSFER ─► VERIFY ─► VERIFIED ─► ACTIVATE ─► ACTIVE          FAILED, ABORTED from anywhere
        ▲          │ failed: once more from the beginning
        └──────────┘
"""

from enum import StrEnum
from typing import Any

import msgspec

from edge.errors import OrderRefused


class Phase(StrEnum):
    """How far it has come."""

    TRANSFER = "transfer"
    VERIFY = "verify"
    VERIFIED = "verified"
    ACTIVATE = "activate"
    ACTIVE = "active"
    FAILED = "failed"
    ABORTED = "aborted"


UNDER_WAY = frozenset((Phase.TRANSFER, Phase.VERIFY, Phase.ACTIVATE))


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept. `identifier` is hexadecimal; `activate_at_ms` (Unix) 0 = at once, None = it is not asked for.

    `begun`: the meter has been told of this image, so what it has are blocks of it. `rounds`: transfers that the
    meter's verification refused. `firmware`: what ran before the activation, where the meter tells.
    """

    identifier: str
    size_bytes: int
    sha256: str
    by: str
    phase: Phase = Phase.TRANSFER
    begun: bool = False
    rounds: int = 0
    activate_at_ms: int | None = None
    firmware: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        """The identifier for people: as text where it is one."""
        octets = bytes.fromhex(self.identifier)
        return octets.decode() if octets.isascii() and octets.decode("ascii").isprintable() else self.identifier

    def at(self, phase: Phase, why: str = "") -> "Job":
        """Return it as it stands in another phase."""
        return msgspec.structs.replace(self, phase=phase, why=why)


def load(text: str) -> Job | None:
    """Read what was kept; None where there is nothing, or nothing readable."""
    try:
        return msgspec.json.decode(text, type=Job) if text else None
    except msgspec.DecodeError:
        return None


def kept(job: Job) -> str:
    """Return what is to be kept."""
    return msgspec.json.encode(job).decode()


def begin(job: Job, before: Job | None) -> Job:
    """Return the job to do for an order to transfer. The same image goes on where it was. OrderRefused."""
    if before is not None and before.phase in UNDER_WAY:
        same = (before.identifier, before.sha256) == (job.identifier, job.sha256)
        raise OrderRefused(f"the image {before.name} is under way{'' if same else ' to this meter'} "
                           f"({before.phase}): halow-gateway meter image --abort ends that")
    return job


def order_activation(job: Job | None, at_ms: int, by: str) -> Job:
    """Return the job with its activation asked for. OrderRefused where the meter has not verified an image."""
    if job is None or job.phase is not Phase.VERIFIED:
        raise OrderRefused("nothing to activate: " + ("there is no image" if job is None else (
            f"the image {job.name} is in phase {job.phase}{f': {job.why}' if job.why else ''}")))
    return msgspec.structs.replace(job, activate_at_ms=at_ms, by=by)


def abort(job: Job | None, by: str) -> Job:
    """Return the job given up. OrderRefused where nothing is under way. What the meter has of it, it keeps."""
    if job is None or job.phase not in (*UNDER_WAY, Phase.VERIFIED):
        raise OrderRefused("no image is under way to this meter")
    return job.at(Phase.ABORTED, f"by {by}")


def told(job: Job | None) -> dict[str, Any]:
    """Return how it stands as plain data, without what only the errand knows."""
    if job is None:
        return {"phase": "none"}
    return {"phase": job.phase.value, "identifier": job.name, "size_bytes": job.size_bytes, "sha256": job.sha256,
            "activate_at_ms": job.activate_at_ms, "why": job.why}
