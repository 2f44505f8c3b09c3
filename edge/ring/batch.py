"""A commit, and the frames it becomes (pure).

Every page of records says what has been acknowledged as well, where that is short, which it is but for a stream with
much acknowledged out of order. So the page that damage or a power cut leaves over tells what the others would have;
and records that were never written, because they had been acknowledged before, are not taken for lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.model import SEQ_BITS
from edge.ring.frame import (
    MAX_PAYLOAD_BYTES,
    MAX_RECORDS,
    PAGE_BYTES,
    PAGE_PAYLOAD_BYTES,
    Frame,
    FrameFlag,
    FrameType,
)

STATE_BYTES = 64                                  # of each page, kept free for a short state
MAX_ROW_BYTES = MAX_PAYLOAD_BYTES - PAGE_BYTES    # a longest state and a seal fit beside it


class Commit(NamedTuple):
    """What one commit makes durable. `records[i]` has ordinal `first + i`; b"" needs no writing any more."""

    first: int
    records: Sequence[bytes]
    entries: Sequence[bytes]                  # the stream's whole dictionary, as far as these records need it
    gaps: tuple[tuple[int, int, int], ...] = ()   # (ordinal, stream, loss number) of the gap records among them
    state_due: bool = False
    features: int = 0                         # of the format, that a reader of these records must know

    @property
    def end(self) -> int:
        """The ordinal after the last one."""
        return self.first + len(self.records)


def data_frames(commit: Commit, epoch: int, state: bytes, written: int, page_bytes: int = PAGE_PAYLOAD_BYTES
                ) -> list[Frame]:
    """Return a commit's records as frames, the packed `state` in front of the rows where it fits.

    `page_bytes` is what a payload may have for its frame to stay within a page.

    `written` is the ordinal after the last one that flash knows of. Where numbers below or among these are nowhere on
    flash, no frame stands without the state.
    """
    short = len(state) <= STATE_BYTES
    front = state if short or commit.first > written or not all(commit.records) else b""
    flags = (FrameFlag.GAP if commit.gaps else 0) | (FrameFlag.STATE if front else 0)
    room = page_bytes - (STATE_BYTES if short else len(front))
    if commit.records and sum(map(len, commit.records)) <= room and all(commit.records):
        frames = [_whole(commit, epoch, flags, front, written)]
    else:
        frames = _parted(commit, epoch, flags, front, written, room)
    return frames if front else _with_state(frames, state, page_bytes)


def _whole(commit: Commit, epoch: int, flags: int, front: bytes, written: int) -> Frame:
    """Return a commit that fits a page: most do, and there is nothing to look at row by row."""
    skips = FrameFlag.SKIPS if commit.first > written else 0
    rows = commit.records
    return Frame(FrameType.DATA, flags | skips, len(rows), epoch << SEQ_BITS | commit.first, front + b"".join(rows))


def _parted(commit: Commit, epoch: int, flags: int, front: bytes, written: int, room: int) -> list[Frame]:
    frames: list[Frame] = []
    part: list[bytes] = []
    size, first, end = 0, commit.first, written

    def close() -> None:
        nonlocal end
        if part:
            skips = FrameFlag.SKIPS if first > end else 0
            seq = epoch << SEQ_BITS | first
            frames.append(Frame(FrameType.DATA, flags | skips, len(part), seq, front + b"".join(part)))
            end = first + len(part)
            part.clear()

    for ordinal, row in enumerate(commit.records, commit.first):
        if part and (not row or size + len(row) > room or len(part) == MAX_RECORDS):
            close()
        if not part:
            first, size = ordinal, 0
        if row:
            part.append(row)
            size += len(row)
    close()
    return frames


def _with_state(frames: list[Frame], state: bytes, page_bytes: int) -> list[Frame]:
    """Put a long state into the last page if it has room."""
    if frames and len(frames[-1].payload) + len(state) <= page_bytes:
        last = frames[-1]
        frames[-1] = last._replace(flags=last.flags | FrameFlag.STATE, payload=state + last.payload)
    return frames


def carries_state(frames: Sequence[Frame]) -> bool:
    """Tell whether the last of these frames brings the state."""
    if not frames:
        return False
    last = frames[-1]
    return bool(last.flags & FrameFlag.STATE) or last.type in (FrameType.ACK, FrameType.LOSS)
