"""Which slot is written next: a free one, a new one, the oldest, at last a strange one (I/O through the port)."""

import errno
import logging
from pathlib import Path

from edge.ring.fs import FileSystem
from edge.ring.layout import slot_name
from edge.ring.slots import Condition, Slot
from edge.ring.view import StreamView

log = logging.getLogger(__name__)

OWN_SLOTS_AT_LEAST = 2
FULL = (errno.ENOSPC, errno.EDQUOT)
STEP_BYTES = 256 * 1024       # of a slot made ahead: what a commit may have to wait for, some 25 ms on a slow card


class StreamFull(OSError):
    """There is no slot but with records that somebody waits for, and the stream keeps what it has."""


class SlotPool:
    """The slots of one stream. `quota_bytes` bounds what all of them may fill together.

    A pool that `keeps` what it has gives no slot away that holds records un-acknowledged.
    """

    def __init__(self, fs: FileSystem, directory: Path, slots: list[Slot], *, slot_bytes: int,
                 quota_bytes: int, keeps: bool = False) -> None:
        """Take the slots that are there."""
        self.fs, self.directory, self.slots = fs, directory, slots
        self.slot_bytes, self.quota_bytes = slot_bytes, quota_bytes
        # above what strange headers say, so that ours are the newest should they ever stand beside them
        self.last_segment = max((slot.header.segment for slot in slots if slot.header is not None), default=0)
        self.full_disk = False
        self._prepared_for: object = None      # the active segment that the next slot was made for
        self.keeps = keeps

    def next(self, view: StreamView) -> Slot:
        """Return the slot to write next; it may hold the stream's oldest segment. Raises OSError when there is none."""
        free = self._free(view)
        if free is not None:
            return free
        full = OSError(errno.ENOSPC, "no slot to write to", str(self.directory))
        if self.may_grow():
            try:
                self.grow()
                return self.slots[-1]
            except OSError as error:
                if error.errno not in FULL:
                    raise
                full = error
        own = self._own(view)
        if len(own) < OWN_SLOTS_AT_LEAST:
            last = self._strange() or self._only(view)
            if last is not None:
                return last
            raise full
        if self.keeps:
            raise StreamFull(errno.ENOSPC, "the stream is full and keeps what it has", str(self.directory))
        return own[0]

    def has_free(self, view: StreamView) -> bool:
        """Tell whether there is a slot that nobody needs, or room for one more. From any thread."""
        return (self._free(view) is not None or (self.may_grow() and not self.full_disk)
                or self._only(view) is not None)

    def _free(self, view: StreamView) -> Slot | None:
        for slot in self.slots:
            if slot.condition is Condition.FREE:
                return slot
        # an acknowledged segment: the one that was written longest ago, so that writes go round; never the newest: it
        # alone says what was acknowledged and lost: a power cut in its header leaves neither that nor what replaces it
        for slot in list(view.segments[:-1]):
            if slot.condition is Condition.USED and view.acknowledged(slot):
                return slot
        return None

    def _only(self, view: StreamView) -> Slot | None:
        """Return the only segment that can be written, where nobody needs it: better over it than nothing kept."""
        own = self._own(view)
        return own[0] if len(own) == 1 and view.acknowledged(own[0]) else None

    def _own(self, view: StreamView) -> list[Slot]:
        return [slot for slot in list(view.segments) if slot.condition is Condition.USED]

    def _strange(self) -> Slot | None:
        return next((slot for slot in self.slots if slot.condition is Condition.FOREIGN), None)

    def surplus(self, view: StreamView) -> list[Slot]:
        """Return the slots that must go for the others to stay within the quota; never the newest segment.

        First what nobody needs, then the oldest of ours down to two, then strange ones, at last the oldest again.
        """
        own = [slot for slot in view.segments[:-1] if not view.acknowledged(slot)]
        spare = OWN_SLOTS_AT_LEAST - 1
        ours = {id(slot) for slot in view.segments}
        order = [slot for slot in reversed(self.slots) if slot.condition is Condition.FREE]
        order += [slot for slot in view.segments[:-1] if view.acknowledged(slot)]
        order += own[: max(0, len(own) - spare)]
        order += [slot for slot in self.slots if slot.condition is not Condition.FREE and id(slot) not in ours]
        order += own[max(0, len(own) - spare) :]
        left = sum(slot.size for slot in self.slots)
        chosen = []
        for slot in order:
            if left <= self.quota_bytes:
                break
            chosen.append(slot)
            left -= slot.size
        return chosen

    def remove(self, slot: Slot) -> None:
        """Delete a slot. Raises OSError."""
        self.fs.remove(slot.path)
        self.slots.remove(slot)
        self.full_disk = False

    def may_grow(self) -> bool:
        """Tell whether another slot stays within the quota."""
        return sum(slot.size for slot in self.slots) + self.slot_bytes <= self.quota_bytes

    def grow(self, step_bytes: int | None = None) -> bool:
        """Create a slot, or write the next `step_bytes` of one; True when it is there, as the last of `slots`.

        Raises OSError; a full disk is remembered and told once.
        """
        number = 1 + max((slot.number for slot in self.slots), default=-1)
        path = self.directory / slot_name(number)
        try:
            whole = self.fs.create(path, self.slot_bytes, step_bytes)
        except OSError as error:
            if error.errno in FULL and not self.full_disk:
                self.full_disk = True
                log.warning("ring: %s cannot be created (%s): the ring stays at %d slots", path, error.strerror,
                            len(self.slots))
            raise
        self.full_disk = False
        if whole:
            self.slots.append(Slot(path, number, self.slot_bytes, Condition.FREE))
        return whole

    def wants_slot(self, view: StreamView) -> bool:
        """Tell whether `prepare` has not been asked to the end for the segment that is being written."""
        return self._prepared_for is not view.active

    def prepare(self, view: StreamView) -> bool:
        """Take one step towards a slot ahead of need, where there is none left to go to; True when more are needed.

        Done once for each segment: a slot that is free stays so until the next one begins. Raises OSError.
        """
        if not self.wants_slot(view):
            return False
        self._prepared_for = view.active
        if self.full_disk or not self.may_grow() or self._free(view) is not None or self.grow(STEP_BYTES):
            return False
        self._prepared_for = None
        return True
