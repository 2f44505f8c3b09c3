"""Looking at a ring without writing to it: while the daemon runs, or on the flash of a dead board (I/O edge)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RingError
from edge.model import Stored, Stream
from edge.ring.frame import PAGE_BYTES
from edge.ring.fs import FileSystem, OsFileSystem
from edge.ring.key import KeyPort, unlock
from edge.ring.layout import HEADER_PAGES
from edge.ring.slots import Condition, Slot, ring_of, survey
from edge.ring.timebase import Anchor, Timebase
from edge.ring.view import StreamView, load_streams


@dataclass(frozen=True, slots=True)
class SlotLook:
    """One slot. Ordinals and times are None where it holds no segment of this ring; `began_ms` is UTC."""

    stream: str
    slot: str
    size_bytes: int
    condition: str
    segment: int | None = None
    epoch: int | None = None
    records: int | None = None
    waiting: int | None = None
    began_ms: int | None = None
    synchronised: bool = False


@dataclass(frozen=True, slots=True)
class SlotCheck:
    """What a full scan of one slot found. `missing` counts records that ought to be there, waited, and are not.

    `problem` says why a slot could not be scanned at all, "" where it could.
    """

    stream: str
    slot: str
    frames: int
    damaged_pages: int
    unknown_frames: int
    missing: int
    problem: str = ""

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong with it."""
        return not (self.damaged_pages or self.unknown_frames or self.missing or self.problem)


class RingLook:
    """A ring directory, read only."""

    def __init__(self, directory: Path, fs: FileSystem | None = None, *, key: KeyPort | None = None) -> None:
        """Read all headers and the newest segment of each stream. Raises RingError when there is no ring to read.

        `fs` stands in for the machine's; `key` has the key, should the ring be encrypted: RingLocked where it does not
        open it.
        """
        self.directory = directory
        places = {stream: directory / stream.name.lower() for stream in Stream}
        try:
            if fs is None:
                fs = OsFileSystem(read_only=True)
                if not directory.is_dir():
                    raise RingError(f"{directory}: there is no ring here; --state-dir says where to look")
            self.slots = {stream: survey(fs, place, stream) for stream, place in places.items()}
        except OSError as error:
            raise RingError(f"{directory}: cannot be read: {error.strerror}") from error
        everything = [slot for slots in self.slots.values() for slot in slots]
        ring = ring_of(everything) or bytes(16)
        keys = unlock(everything, ring, key, wanted=False)
        self.views = load_streams(lambda stream, deposit: StreamView(
            fs, stream, self.slots[stream], ring, keys=keys, deposit=deposit))
        self._lost_at_load = {stream: view.lost_at_load for stream, view in self.views.items()}

    def ls(self) -> Iterator[SlotLook]:
        """Yield every slot, stream by stream, segments in their order first."""
        for stream, view in self.views.items():
            ordered = [*view.segments, *(slot for slot in self.slots[stream] if slot not in view.segments)]
            for slot in ordered:
                yield self._slot(stream, view, slot)

    def _slot(self, stream: Stream, view: StreamView, slot: Slot) -> SlotLook:
        name = stream.name.lower()
        if slot not in view.segments:
            return SlotLook(name, slot.path.name, slot.size, slot.condition.value)
        header = slot.segment
        clock = Anchor(header.boot, header.boottime_ms, header.wall_ms, header.quality, "segment")
        began = _time(view.timebase, clock)
        waiting = sum(last - first + 1 for first, last in view.state.acks.missing(header.base, slot.end - 1))
        return SlotLook(name, slot.path.name, slot.size, Condition.USED.value, header.segment, header.epoch,
                        slot.end - header.base, waiting, *began)

    def verify(self) -> Iterator[SlotCheck]:
        """Read every page of every segment and yield what was found; then the slots that cannot be read as one."""
        for stream, view in self.views.items():
            for slot in list(view.segments):
                before = view.state.losses.total
                if slot is view.segments[-1]:
                    before -= self._lost_at_load[stream]
                segment = view.index(slot)
                yield SlotCheck(stream.name.lower(), slot.path.name, segment.frames, segment.damaged, segment.unknown,
                                view.state.losses.total - before)
            for slot in self.slots[stream]:
                if problem := _problem(slot):
                    yield SlotCheck(stream.name.lower(), slot.path.name, 0, 0, 0, 0, problem)

    def records(self, stream: Stream) -> Iterator[tuple[Stored, bool]]:
        """Yield (record, acknowledged) of everything readable in a stream, oldest first."""
        return self.views[stream].walk()


def _problem(slot: Slot) -> str:
    """Say what is wrong with a slot that holds no segment; a new one, all zeros, is well."""
    if slot.condition is Condition.UNUSABLE:
        return f"too short to be a slot: {slot.size} bytes"
    if slot.condition is Condition.QUARANTINED:
        return "its header cannot be read from the storage"
    if slot.condition is Condition.FREE and slot.header is None and _begun(slot.path):
        return "both copies of its header are damaged; what it held is lost"
    return ""


def _begun(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return any(file.read(HEADER_PAGES * PAGE_BYTES))
    except OSError:
        return True


def _time(timebase: Timebase, clock: Anchor) -> tuple[int, bool]:
    anchor = timebase.anchor(clock.boot, clock.boottime_ms) or clock
    return anchor.zero_ms + clock.boottime_ms, anchor.synchronised
