"""One segment as it is found: which frames are whole, and what they say (pure: bytes come from a callable).

Scanning never stops at damage: a page that is not a frame is skipped, and the hole shows in the ordinals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge.model import SEQ_BITS, Kind, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.dictionary import NO_TABLES, Tables, defined
from edge.ring.frame import (
    PAGE_BYTES,
    Frame,
    FrameFlag,
    FrameHead,
    FrameType,
    Undecodable,
    frame_pages,
    open_frame,
    peek,
    unpack_all,
    unpack_count,
    unpack_first,
    unpack_front,
)
from edge.ring.layout import HEADER_PAGES, SlotHeader, milliseconds
from edge.ring.losses import State
from edge.ring.seal import Seal
from edge.ring.timebase import Anchor, decode_anchor

READ_PAGES = 32
WITHOUT_RECORDS = (FrameType.ACK, FrameType.LOSS, FrameType.ANCHOR, FrameType.DICT)
MAX_CLAIMED_RUNS = 1000
MAX_CLAIMED_RECORDS = 1_000_000
ReadBytes = Callable[[int, int], bytes]
"""(offset, length) -> bytes of the slot, fewer where it ends or cannot be read."""


class Run(NamedTuple):
    """One run of the program in a segment: its epoch, and the two clocks when it began.

    `after_ms` is UTC before which its boot cannot have begun, None where that is not known.
    """

    epoch: int
    boot: bytes
    base_ms: int
    clock: Anchor
    after_ms: int | None = None


class Entry(NamedTuple):
    """A DATA frame in a segment. Ordinals below `first` that it also holds are copies and not counted."""

    page: int
    pages: int
    first: int
    end: int
    first_seq: int
    run: Run | None
    tables: Tables


class Claim(NamedTuple):
    """What the head of a damaged page says, for which no checksum vouches: its records are `first..end-1`.

    Those before it from `after` on were acknowledged and never written.
    """

    after: int
    first: int
    end: int


@dataclass
class Segment:
    """What a scan of one slot found."""

    header: SlotHeader
    pages: int
    seal: Seal | None = None     # what the frames are sealed with, None where they are in the clear
    entries: list[Entry] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    state: State = field(default_factory=State)
    tables: Tables = NO_TABLES
    run: Run | None = None
    epoch: int = 0
    next_ordinal: int = 0        # what the next record gets
    next_page: int = HEADER_PAGES
    told: dict[int, int] = field(default_factory=dict)
    frames: int = 0
    damaged: int = 0             # pages that claim to be a frame of this segment and are not whole, or are unreadable
    unknown: int = 0             # whole frames of a type or content that this version does not know
    claimed: int = 0             # end of the records that later frames, or a damaged last one, say there are
    finished: int = 0            # what is missing from here on is of a commit that may never have been finished
    _heard: bytes = b""          # the state that was taken last, packed
    _claims: list[Claim] = field(default_factory=list)      # nothing behind them contradicts them so far

    def __post_init__(self) -> None:
        """Begin where the header does."""
        header = self.header
        clock = Anchor(header.boot, header.boottime_ms, header.wall_ms, header.quality, "segment")
        self.run = Run(header.epoch, header.boot, header.base_ms, clock, header.after_ms)
        self.epoch = header.epoch
        self.next_ordinal = self.claimed = self.finished = header.base
        self.anchors.extend(header.anchors)
        if clock.synchronised:
            self.anchors.append(clock)
        self.state.merge(header.state)

    def holes(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the ordinals of `first..end-1` that no frame holds, as (first, last)."""
        gaps: list[tuple[int, int]] = []
        for entry in self.entries:
            if entry.first > first:
                gaps.append((first, min(entry.first, end) - 1))
            first = max(first, entry.end)
        if first < end:
            gaps.append((first, end - 1))
        return [gap for gap in gaps if gap[0] <= gap[1]]

    def take(self, frame: Frame, page: int, pages: int, *, ours: bool = False) -> None:
        """Apply one whole frame. Frames of an earlier run than the one before it are ghosts and left out.

        What is `ours` has just been written: the state in it came from here, and has gone on since.
        """
        epoch = frame.first_seq >> SEQ_BITS
        self.next_page = max(self.next_page, page + pages)
        if epoch < self.epoch:
            return
        self.frames += 1
        # numbers only grow: a head that is ahead of a whole frame behind it is itself what was damaged
        if self._claims:
            self._claims = [claim for claim in self._claims if claim.first <= frame.first_seq & ORDINAL_MASK]
        if epoch > self.epoch and frame.type != FrameType.OPEN:
            # the opening of this run is gone: nothing said before it holds for its frames
            self.epoch, self.run, self.tables = epoch, None, NO_TABLES
        if frame.flags & FrameFlag.FIRST:
            self.finished = max(self.finished, frame.first_seq & ORDINAL_MASK)
        if frame.type in WITHOUT_RECORDS:
            self.claimed = max(self.claimed, frame.first_seq & ORDINAL_MASK)
        try:
            self._apply(frame, page, pages, epoch, ours=ours)
        except (Undecodable, ValueError):
            self.unknown += 1

    def _apply(self, frame: Frame, page: int, pages: int, epoch: int, *, ours: bool) -> None:
        if frame.type == FrameType.DATA:
            if frame.flags & FrameFlag.STATE and not ours:
                self._hear(frame.payload)
            self._data(frame, page, pages)
        elif frame.type in (FrameType.ACK, FrameType.LOSS):
            if not ours:
                self._hear(frame.payload)
        elif frame.type == FrameType.OPEN:
            self._open(epoch, frame.first_seq & ORDINAL_MASK, unpack_first(frame.payload))
        elif frame.type == FrameType.ANCHOR:
            self.anchors.extend(decode_anchor(row) for row in unpack_all(frame.payload))
        elif frame.type == FrameType.DICT:
            self.tables = defined(self.tables, frame.payload)
        else:
            self.unknown += 1

    def _open(self, epoch: int, ordinal: int, row: Any) -> None:
        match row:
            case [bytes(boot), int(base_ms), int(wall_ms), int(quality), *rest]:
                clock = Anchor(boot, base_ms, wall_ms, quality, "open")
            case _:
                raise Undecodable("not an opening")
        if epoch > self.epoch:
            self.believe()
            # what the run before could not read when it started must not come back under a number used again
            self.entries = [entry for entry in self.entries if entry.first < ordinal]
            self.next_ordinal = self.claimed = ordinal
            self.tables = NO_TABLES
        self.epoch = epoch
        self.run = Run(epoch, boot, base_ms, clock, milliseconds(rest))
        if clock.synchronised:
            self.anchors.append(clock)

    def _hear(self, payload: bytes) -> None:
        """Take the state at the front of a payload. Page after page says the same while nothing is acknowledged."""
        if self._heard and payload.startswith(self._heard):
            return
        state, size = unpack_front(payload)
        self.state.merge(State.decode(state))
        self._heard = payload[:size]

    def _data(self, frame: Frame, page: int, pages: int) -> None:
        head_first = frame.first_seq & ORDINAL_MASK
        first, end = max(head_first, self.next_ordinal), head_first + frame.records
        if first >= end:
            return
        self.entries.append(Entry(page, pages, first, end, frame.first_seq, self.run, self.tables))
        self.next_ordinal = end
        if frame.flags & FrameFlag.GAP and self.header.stream == Stream.ALARM:
            self._gaps(frame)

    def _gaps(self, frame: Frame) -> None:
        streams = {stream.name.lower(): int(stream) for stream in Stream}
        for row in rows(frame):
            schema = self.tables.schemas.get(row[0])
            if schema is not None and schema.kind is Kind.GAP and row[3] in streams:
                stream = streams[row[3]]
                self.told[stream] = max(self.told.get(stream, 0), row[10])

    def miss(self, head: FrameHead, page: int) -> None:
        """Note a page whose head fits exactly here while its checksum does not: cut in writing, or damaged."""
        self.damaged += 1
        if head.type != FrameType.DATA or head.first_seq >> SEQ_BITS != self.epoch:
            return
        expected, first = max(self.claimed, self.next_ordinal), head.first_seq & ORDINAL_MASK
        if self._claims:
            expected = max(expected, self._claims[-1].end)
        if first == expected or (head.flags & FrameFlag.SKIPS and expected < first <= expected + MAX_CLAIMED_RECORDS):
            self._claims.append(Claim(expected, first, first + head.records))
            self.next_page = max(self.next_page, min(self.pages, page + frame_pages(head.length)))

    def believe(self) -> None:
        """Take what damaged heads claim, now that all that could contradict them has been seen."""
        for after, first, end in self._claims:
            if after < first:
                self.state.acks.add(after, first - 1)
            self.claimed = max(self.claimed, end)
        self._claims.clear()


def rows(frame: Frame) -> list[Any]:
    """Return the records of a DATA frame, each [schema, device, t_ms, values...]. Raises Undecodable."""
    states = 1 if frame.flags & FrameFlag.STATE else 0
    values = unpack_count(frame.payload, frame.records + states)[states:]
    if {*map(type, values)} - {list} or min(map(len, values), default=3) < 3:
        raise Undecodable("not a record")
    return values


def opened(head: FrameHead, data: bytes, uid: int, seal: Seal | None) -> Frame | None:
    """Return the frame of a segment as it was before it went to flash, None where it is damaged or altered."""
    frame = open_frame(head, data, uid)
    return frame if frame is None or seal is None else seal.unseal(frame)


def scan(read: ReadBytes, size: int, header: SlotHeader, seal: Seal | None = None) -> Segment:
    """Read a whole slot and return what is in it. Never raises for what the bytes are."""
    segment = Segment(header, size // PAGE_BYTES, seal)
    for _ in scanning(segment, read):
        pass
    return segment


def scanning(segment: Segment, read: ReadBytes) -> Iterator[int]:
    """Take what a slot holds into a fresh `segment`, frame by frame; yields the page of each. See `scan`."""
    for page, pages, frame in _frames(read, segment):
        if isinstance(frame, Frame):
            segment.take(frame, page, pages)
        else:
            segment.miss(frame, page)
        yield page
    segment.believe()
    segment.next_ordinal = max(segment.next_ordinal, segment.claimed)


def _frames(read: ReadBytes, segment: Segment) -> Iterator[tuple[int, int, Frame | FrameHead]]:
    uid, page, ahead, ahead_at = segment.header.uid, HEADER_PAGES, b"", HEADER_PAGES
    while page < segment.pages:
        at = (page - ahead_at) * PAGE_BYTES
        if at >= len(ahead):
            ahead, ahead_at, at = read(page * PAGE_BYTES, READ_PAGES * PAGE_BYTES), page, 0
            if not ahead:
                # unreadable or cut off: try the next page, its neighbours may be well
                segment.damaged += 1
                page, ahead_at = page + 1, page + 1
                continue
        head = peek(ahead[at : at + 24])
        pages = frame_pages(head.length) if head is not None else 1
        if head is None or page + pages > segment.pages:
            page += 1
            continue
        data = ahead[at : at + pages * PAGE_BYTES]
        if len(data) < pages * PAGE_BYTES:
            data = read(page * PAGE_BYTES, pages * PAGE_BYTES)
        frame = opened(head, data, uid, segment.seal)
        if frame is None:
            # stale frames of the slot's former tenant end here too; only one that fits exactly is a loss
            if head.first_seq >> SEQ_BITS == segment.epoch and head.first_seq & ORDINAL_MASK >= segment.next_ordinal:
                yield page, pages, head
            page += 1
            continue
        yield page, pages, frame
        page += pages


def claimed_end(read: ReadBytes, size: int, ordinal: int, epoch: int) -> int:
    """Return how far the frames of a slot without a header claim to go beyond `ordinal`, or `ordinal`.

    With its header destroyed nothing in the slot can be checked. But where its frames say that they went on from here,
    the numbers are not given again and count as lost, instead of nobody ever knowing.
    """
    end = ordinal
    for at in range(HEADER_PAGES, size // PAGE_BYTES, READ_PAGES):
        data = read(at * PAGE_BYTES, READ_PAGES * PAGE_BYTES)
        for page in range(0, len(data), PAGE_BYTES):
            head = peek(data[page : page + 24])
            if head is None or head.type != FrameType.DATA:
                continue
            first, run = head.first_seq & ORDINAL_MASK, head.first_seq >> SEQ_BITS
            if epoch <= run <= epoch + MAX_CLAIMED_RUNS and ordinal <= first <= ordinal + MAX_CLAIMED_RECORDS:
                end = max(end, first + head.records)
    return end
