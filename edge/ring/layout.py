"""Slots and their header page (pure).

A slot is a file of fixed size. Pages 0 and 1 hold the same header, page 2 and on hold frames. Which segment a slot
holds is said by its header alone; the file's name never changes.

    offset  0  "EGR1"
            4  format u16               1
            6  used u16                 bytes of the header in use, msgpack part included
            8  compatible u32           features that an older reader may ignore
           12  incompatible u32         features that it must not: it leaves the slot alone
           16  ring 16                  the ring's uuid
           32  stream u8
           33  clock u8                 Quality of the wall clock below
           34  epoch u32                run that began the segment; at most 2**24 - 1
           38  segment u64              number of the segment within the stream, rising
           46  base_seq u64             first sequence number the segment may hold
           54  uid u32                  random; seeds every checksum of the segment
           58  boot 16                  boot id
           74  boottime_ns u64          both clocks when the segment began
           82  realtime_ns i64
           90  msgpack [state, anchors, base_ms, after_ms or nil, key check value where the frames are sealed]
         4092  crc u32                  CRC-32 of bytes 0..4091

All numbers are little-endian; the rest of the page is zeros.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

from edge.model import SEQ_BITS, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.frame import PAGE_BYTES, Packer, Undecodable, unpack_first
from edge.ring.losses import State
from edge.ring.timebase import Anchor, decode_anchor, encode_anchor

FORMAT = 1
MAX_EPOCH = (1 << (64 - SEQ_BITS)) - 1
HEADER_PAGES = 2
MIN_SLOT_PAGES = 8
DATED_ROWS: Final = 1           # incompatible: rows may bring their own time
SEALED: Final = 2               # incompatible: the frames are encrypted, all of them (seal.py)
KNOWN_INCOMPATIBLE: Final = DATED_ROWS | SEALED
ACKS_LIMIT_BYTES = 1_200
MAX_ANCHORS = 32
_FIXED = struct.Struct("<4sHHII16sBBIQQI16sQq")
_MAGIC = b"EGR1"
_CRC_AT = PAGE_BYTES - 4


@dataclass(frozen=True)
class SlotHeader:
    """What a slot says about itself.

    `base_ms` is the boot time that the records' times of its epoch count from, `after_ms` UTC before which the boot
    cannot have begun; `incompatible` are the features that a reader must know. `key_check` tells the key of sealed
    frames from others, without giving it away.
    """

    ring: bytes
    stream: int
    epoch: int
    segment: int
    base_seq: int
    uid: int
    boot: bytes
    boottime_ms: int
    wall_ms: int
    quality: int
    base_ms: int
    state: State = field(default_factory=State)
    anchors: tuple[Anchor, ...] = ()
    incompatible: int = 0
    after_ms: int | None = None
    key_check: bytes = b""

    @property
    def base(self) -> int:
        """Ordinal of the first record the segment may hold."""
        return self.base_seq & ORDINAL_MASK


def encode_header(header: SlotHeader, pack: Packer) -> bytes:
    """Return one header page."""
    anchors = list(header.anchors)
    while True:
        tail = pack([
            header.state.encode(ACKS_LIMIT_BYTES),
            [encode_anchor(anchor) for anchor in anchors],
            header.base_ms,
            header.after_ms,
            *([header.key_check] if header.key_check else []),
        ])
        if _FIXED.size + len(tail) <= _CRC_AT:
            break
        del anchors[0]
    fixed = _FIXED.pack(
        _MAGIC, FORMAT, _FIXED.size + len(tail), 0, header.incompatible, header.ring, header.stream, header.quality,
        header.epoch, header.segment, header.base_seq, header.uid, header.boot, header.boottime_ms * 1_000_000,
        header.wall_ms * 1_000_000,
    )
    page = (fixed + tail).ljust(_CRC_AT, b"\0")
    return page + zlib.crc32(page).to_bytes(4, "little")


class Incompatible(Exception):
    """The header is whole, but of a newer format: leave the slot alone."""


def decode_header(page: bytes) -> SlotHeader | None:
    """Return the header on a page, or None when there is none. Raises Incompatible."""
    if len(page) != PAGE_BYTES or not page.startswith(_MAGIC):
        return None
    if zlib.crc32(page[:_CRC_AT]).to_bytes(4, "little") != page[_CRC_AT:]:
        return None
    (_, fmt, used, _, incompatible, ring, stream, quality, epoch, segment, base_seq, uid, boot, boottime_ns,
     realtime_ns) = _FIXED.unpack_from(page)
    if fmt > FORMAT or incompatible & ~KNOWN_INCOMPATIBLE:
        raise Incompatible
    if epoch > MAX_EPOCH or segment >> 62 or base_seq >> SEQ_BITS > epoch or not _FIXED.size < used <= _CRC_AT:
        return None
    try:
        state, anchors, base_ms, after_ms, key_check = _tail(unpack_first(page[_FIXED.size : used]))
    except (Undecodable, ValueError):
        return None
    return SlotHeader(ring, stream, epoch, segment, base_seq, uid, boot, boottime_ns // 1_000_000,
                      realtime_ns // 1_000_000, quality, base_ms, state, anchors, incompatible, after_ms, key_check)


def _tail(row: Any) -> tuple[State, tuple[Anchor, ...], int, int | None, bytes]:
    match row:
        case [state, list(anchors), int(base_ms), *rest]:
            key_check = rest[1] if len(rest) > 1 and isinstance(rest[1], bytes) else b""
            return State.decode(state), tuple(map(decode_anchor, anchors)), base_ms, milliseconds(rest), key_check
    raise ValueError("not a header's end")


def milliseconds(rest: list[Any]) -> int | None:
    """Return the first of the items that a newer version appended to an array, where it is a time."""
    match rest:
        case [int(wall_ms), *_]:
            return wall_ms
    return None


def slot_name(number: int) -> str:
    """Return the file name of a slot."""
    return f"{number:05d}.slot"


def slot_size(wanted_bytes: int, size_bytes: int) -> int:
    """Return the size of new slots: whole pages, and small enough that each stream has two within the bound."""
    return max(min(wanted_bytes, size_bytes // (2 * len(Stream))) // PAGE_BYTES, MIN_SLOT_PAGES) * PAGE_BYTES


def quotas(size_bytes: int, slot_bytes: int, alarm_share: float, billing_share: float) -> dict[Stream, int]:
    """Return the bytes each stream may fill: whole slots, two at least."""

    def whole(share: float) -> int:
        return max(2, int(size_bytes * share) // slot_bytes) * slot_bytes

    alarm, billing = whole(alarm_share), whole(billing_share)
    instant = max(2 * slot_bytes, (size_bytes - alarm - billing) // slot_bytes * slot_bytes)
    return {Stream.ALARM: alarm, Stream.BILLING: billing, Stream.INSTANT: instant}
