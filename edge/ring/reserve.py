"""Making the ring's slots before they are needed: the flash is theirs, and polling never waits for one (I/O edge).

Nothing of what the ring holds is touched, and no run begins. The running gateway holds the ring's lock; then it is left
alone: it makes what it needs itself.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from edge.config import MIB, RingSettings
from edge.errors import RingError
from edge.model import Stream
from edge.ring.fs import OsFileSystem, remove_unfinished
from edge.ring.layout import quotas, slot_size
from edge.ring.pool import FULL, OWN_SLOTS_AT_LEAST, SlotPool
from edge.ring.slots import Condition, ring_of, survey

SPARE_BYTES = 4 * MIB      # what the registry, the clock and the log of an update need beside the ring


@dataclass(frozen=True)
class Reserved:
    """What there is now. `missing`: slots that the quota allows and the file system has no room for.

    `strange`: slots of another ring, of a newer format, or too short: left alone, taken last. `surplus_bytes`: beyond
    a quota that has become smaller; the gateway gives it back at its next start.
    """

    slots: int
    made: int
    missing: int
    strange: int
    size_bytes: int
    surplus_bytes: int


def reserve(directory: Path, settings: RingSettings) -> Reserved:
    """Create every slot that the quotas allow; the caller holds the ring's lock. Each is whole, or not there.

    First two for each stream, then the rest: a disk that is too small carries a small ring. Raises RingError when the
    storage cannot be read or written, with what there was before still there.
    """
    slot_bytes = slot_size(int(settings.slot_mib * MIB), settings.size_mib * MIB)
    bounds = quotas(settings.size_mib * MIB, slot_bytes, settings.alarm_share, settings.billing_share)
    fs, made, missing = OsFileSystem(), 0, 0
    try:
        pools = {}
        for stream in Stream:
            place = directory / stream.name.lower()
            remove_unfinished(place)
            pools[stream] = SlotPool(fs, place, survey(fs, place, stream), slot_bytes=slot_bytes,
                                     quota_bytes=bounds[stream])
        for least in (OWN_SLOTS_AT_LEAST, None):
            for pool in pools.values():
                made += _fill(pool, least)
        missing = sum((pool.quota_bytes - _size(pool)) // slot_bytes for pool in pools.values() if pool.may_grow())
    except OSError as error:
        raise RingError(f"ring {directory}: {error.strerror or error} ({error.filename or 'slots'}); "
                        f"{made} slots were made before that") from error
    slots = [slot for pool in pools.values() for slot in pool.slots]
    ring = ring_of(slots)
    strange = sum(1 for slot in slots if slot.condition in (Condition.FOREIGN, Condition.UNUSABLE)
                  or (slot.condition is Condition.USED and slot.segment.ring != ring))
    surplus = sum(max(0, _size(pool) - pool.quota_bytes) for pool in pools.values())
    return Reserved(len(slots), made, missing, strange, sum(slot.size for slot in slots), surplus)


def _fill(pool: SlotPool, least: int | None) -> int:
    """Make slots up to `least`, or to the quota, as long as there is room; return how many."""
    made = 0
    while pool.may_grow() and (least is None or len(pool.slots) < least) and _has_room(pool):
        try:
            pool.grow()
        except OSError as error:
            if error.errno not in FULL:
                raise
            break
        made += 1
    return made


def _has_room(pool: SlotPool) -> bool:
    """Tell whether the file system takes another slot and keeps a little for the others. Raises OSError."""
    nearest = next(path for path in (pool.directory, *pool.directory.parents) if path.exists())
    space = os.statvfs(nearest)
    return space.f_bavail * space.f_frsize >= pool.slot_bytes + SPARE_BYTES


def _size(pool: SlotPool) -> int:
    return sum(slot.size for slot in pool.slots)
