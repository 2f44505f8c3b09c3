"""What a power cut may leave of a recorded disk: everything flushed, and any part of what was not (pure).

A disk with a volatile cache may have written none, all, the first, the last or any of the blocks that wait for a flush, in any
order. A 4 KiB block of the file system itself (inodes, journal) comes whole or not at all here; a block of a file's data may
also come in sectors of 512 bytes, or half as garbage. `TORN_METADATA` tears those of the file system, too: beyond what ext4 itself
survives on every try, so it is reported apart.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuse_disk import ENTRY, FLUSH, MARK, WRITE

BLOCK, SECTOR = 4096, 512
MODES = ("none", "all", "prefix", "last", "blocks", "sectors", "garbage")
TORN_METADATA = "torn-metadata"
Piece = tuple[int, bytes]                          # offset on the disk, bytes


@dataclass
class Recording:
    """A disk as it was at first, and what happened to it: ("W", offset, bytes), ("F",), ("M", mark)."""

    image: bytes
    events: list[tuple]
    data_blocks: set[int] = field(default_factory=set)       # numbers of the blocks that hold files' data

    @classmethod
    def load(cls, image: bytes, log: Path) -> "Recording":
        raw, at, events = log.read_bytes(), 0, []
        while at < len(raw):
            kind, offset, length = ENTRY.unpack_from(raw, at)
            at += ENTRY.size
            body = raw[at : at + length]
            at += length
            if kind == WRITE:
                events.append(("W", offset, body))
            elif kind == FLUSH:
                events.append(("F",))
            elif kind == MARK:
                events += [("M", json.loads(line)) for line in body.splitlines()]
        return cls(image, events)

    def marks(self) -> list:
        return [event[1] for event in self.events if event[0] == "M"]

    def counts(self) -> tuple[int, int]:
        """How many writes and flushes."""
        return sum(event[0] == "W" for event in self.events), sum(event[0] == "F" for event in self.events)


@dataclass(frozen=True)
class CrashState:
    """One image that a cut may leave, and what had been promised by then."""

    image: bytearray
    marks: int                                     # so many of the recording's marks stood before the cut
    cut: int                                       # events before it
    mode: str


def crash_states(recording: Recording, count: int, rng: random.Random, modes: tuple[str, ...] = MODES) -> Iterator[CrashState]:
    """Yield up to `count` different crash states, in the order of their cuts."""
    made = 0
    disk, waiting, marks, at = bytearray(recording.image), [], 0, 0
    seen: set = set()
    for cut, mode in _cuts(recording, count, rng, modes):
        if made == count:
            return
        for event in recording.events[at:cut]:
            if event[0] == "W":
                waiting.append((event[1], event[2]))
            elif event[0] == "F":
                _apply(disk, waiting)
                waiting.clear()
            else:
                marks += 1
        at = cut
        kept = chosen(waiting, mode, rng, recording.data_blocks)
        key = (marks, cut if waiting else 0, hash(tuple(kept)))
        if key in seen:
            continue
        seen.add(key)
        image = bytearray(disk)
        _apply(image, kept)
        made += 1
        yield CrashState(image, marks, cut, mode)


def _cuts(recording: Recording, count: int, rng: random.Random, modes: tuple[str, ...]) -> list[tuple[int, str]]:
    """Where to cut: behind every kind of event, most of all where something waits for its flush."""
    waits, waiting = [], False
    for place, event in enumerate(recording.events, 1):
        waiting = event[0] == "W" or (waiting and event[0] == "M")
        if waiting:
            waits.append(place)
    anywhere = range(len(recording.events) + 1)
    # a third more than asked for: some turn out to be the same
    cuts = [(rng.choice(waits if waits and rng.random() < 0.9 else anywhere), rng.choice(modes)) for _ in range(count + count // 3)]
    return sorted(cuts)


def chosen(waiting: list[Piece], mode: str, rng: random.Random, data_blocks: set[int]) -> list[Piece]:
    """Return what of the waiting writes is on the disk, by `mode`, in the order they were made."""
    if mode == "none":
        return []
    if mode == "all":
        return list(waiting)
    pieces = [piece for write in waiting for piece in _cut_up(write, mode, data_blocks)]
    if mode == "prefix":
        return pieces[: rng.randrange(len(pieces) + 1)]
    if mode == "last":
        return pieces[-1:]
    share = rng.choice((0.1, 0.5, 0.9))
    kept = [piece for piece in pieces if rng.random() < share]
    if mode == "garbage":
        return [(at, rng.randbytes(len(data)) if at // BLOCK in data_blocks and rng.random() < 0.3 else data) for at, data in kept]
    return kept


def _cut_up(write: Piece, mode: str, data_blocks: set[int]) -> Iterator[Piece]:
    start, data = write
    for at in range(start, start + len(data), BLOCK):
        block = data[at - start : at - start + BLOCK]
        if mode == TORN_METADATA or (mode in ("sectors", "garbage") and at // BLOCK in data_blocks):
            yield from ((at + part, block[part : part + SECTOR]) for part in range(0, len(block), SECTOR))
        else:
            yield at, block


def _apply(disk: bytearray, writes: list[Piece]) -> None:
    for at, data in writes:
        disk[at : at + len(data)] = data
