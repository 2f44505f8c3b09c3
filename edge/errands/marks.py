"""When something was last done to a meter: kept on flash before it is done, so that a restart cannot repeat it."""

import msgspec

from edge.errands.means import Means, Subject


class _Mark(msgspec.Struct, frozen=True):
    """What is kept: Unix milliseconds of our clock."""

    at_ms: int


async def mark(subject: Subject, duty: str, means: Means) -> None:
    """Keep that it is done now. RegistryError: then it had better not be."""
    text = msgspec.json.encode(_Mark(means.clock.stamp().wall_ms)).decode()
    await means.keep_progress(subject.meter, duty, text)


async def since_s(subject: Subject, duty: str, means: Means) -> float | None:
    """Return how long ago it was done; None = never, as far as is kept. Negative: our clock was ahead then.

    Raises RegistryError.
    """
    text = await means.progress(subject.meter, duty)
    try:
        kept = msgspec.json.decode(text, type=_Mark) if text else None
    except msgspec.DecodeError:      # damaged: as good as none
        return None
    return None if kept is None else (means.clock.stamp().wall_ms - kept.at_ms) / 1000
