"""The slots of one stream: what each holds, and which one is written next (no I/O but through the port)."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from edge.model import Stream
from edge.ring.frame import PAGE_BYTES
from edge.ring.fs import FileSystem
from edge.ring.layout import MIN_SLOT_PAGES, Incompatible, SlotHeader, decode_header
from edge.ring.losses import State

_NAME = re.compile(r"(\d{5})\.slot")


class Condition(Enum):
    """What may be done with a slot."""

    FREE = "free"                    # holds nothing that anybody needs
    USED = "used"                    # holds a segment of this ring
    FOREIGN = "foreign"              # holds another ring's segment, or one of a newer format: taken last
    UNUSABLE = "unusable"            # too short to hold a segment
    RETIRED = "retired"              # beyond the quota: on its way out
    QUARANTINED = "quarantined"      # writing or syncing it failed: read, never written again by this run


@dataclass
class Slot:
    """One slot file. `end` is the ordinal after the last one its segment may hold."""

    path: Path
    number: int
    size: int
    condition: Condition
    header: SlotHeader | None = None
    end: int = 0

    @property
    def segment(self) -> SlotHeader:
        """The header of a slot that holds a segment."""
        assert self.header is not None
        return self.header


def survey(fs: FileSystem, directory: Path, stream: Stream) -> list[Slot]:
    """Look at every slot's header. Raises OSError only when the directory itself cannot be listed."""
    slots = []
    for name, size in fs.list(directory):
        match = _NAME.fullmatch(name)
        if match:
            slot = Slot(directory / name, int(match[1]), size, Condition.FREE)
            if size < MIN_SLOT_PAGES * PAGE_BYTES:
                slot.condition = Condition.UNUSABLE
            else:
                _look(fs, slot, stream)
            fs.close(slot.path)
            slots.append(slot)
    return slots


def _look(fs: FileSystem, slot: Slot, stream: Stream) -> None:
    best: SlotHeader | None = None
    unreadable = newer = 0
    seen = b""
    for page in (0, 1):
        try:
            data = fs.pread(slot.path, page * PAGE_BYTES, PAGE_BYTES)
            if data == seen:
                continue      # a copy, as it ought to be
            seen = data
            header = decode_header(data)
        except OSError:
            unreadable += 1
        except Incompatible:
            newer += 1
        else:
            if header is not None and (best is None or header.segment > best.segment):
                best = header
    slot.header = best
    if newer:
        slot.condition = Condition.FOREIGN
    elif best is not None:
        slot.condition = Condition.USED if best.stream == stream else Condition.FOREIGN
    elif unreadable:
        slot.condition = Condition.QUARANTINED


def ring_of(slots: Iterable[Slot]) -> bytes | None:
    """Return the uuid that most slots belong to (at a tie: the one that ran last), None without any."""
    headers = [slot.segment for slot in slots if slot.condition is Condition.USED]
    votes = Counter(header.ring for header in headers)
    latest: dict[bytes, int] = {}
    for header in headers:
        latest[header.ring] = max(header.epoch, latest.get(header.ring, 0))
    return max(votes, key=lambda ring: (votes[ring], latest[ring]), default=None)


def arrange(slots: list[Slot], ring: bytes) -> list[Slot]:
    """Sort out what is not ours, and return ours in order, each with its end; the newest one's end stays open.

    A slot whose segment does not fit the order of the newer ones is an old header come back: nobody needs it.
    """
    for slot in slots:
        if slot.condition is Condition.USED and slot.segment.ring != ring:
            slot.condition = Condition.FOREIGN
    used = sorted((slot for slot in slots if slot.condition is Condition.USED),
                  key=lambda slot: (slot.segment.segment, slot.segment.epoch), reverse=True)
    kept: list[Slot] = []
    for slot in used:
        if kept:
            newer = kept[-1].segment
            if slot.segment.segment >= newer.segment or slot.segment.base_seq > newer.base_seq:
                slot.condition = Condition.FREE
                continue
            slot.end = newer.base
        kept.append(slot)
    return kept[::-1]


def slim(slot: Slot) -> None:
    """Let go of what only the newest header is needed for; a large ring has thousands of slots."""
    if slot.header is not None:
        slot.header = replace(slot.header, state=State(), anchors=())
