"""Frames: the only thing written to a segment after its header (pure; the one importer of msgpack).

    offset  0  magic B1 0C
            2  type u8          what the payload is
            3  flags u8         bit 0 zlib, bit 1 a state comes first, bit 2 holds gap records, bit 3 begins a commit,
                                bit 4 numbers right before it were never written, bit 5 sealed (seal.py)
            4  epoch u16        low 16 bits of the run that wrote it
            6  records u16
            8  length u32       of the payload, in bytes
           12  first_seq u64    of the first record; on other frames the number the next record would have got
           20  crc u32          CRC-32 (zlib) of bytes 0..19 and the payload, seeded with the segment's uid
           24  payload, then zeros up to the next 4 KiB

All numbers are little-endian. A frame starts on a page of 4 KiB and fills one page, or several when one record is
larger. No page is ever written twice within a segment, so a power cut can only hurt what was being written.
"""

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple, cast

import msgpack

PAGE_BYTES = 4096
MAGIC = b"\xb1\x0c"
FRAME_HEADER = struct.Struct("<2sBBHHIQI")
FRAME_HEADER_BYTES = FRAME_HEADER.size
PAGE_PAYLOAD_BYTES = PAGE_BYTES - FRAME_HEADER_BYTES
MAX_PAYLOAD_BYTES = 1 << 20
MAX_RECORDS = 0xFFFF
_CRC_AT = 20
_BIG_INT = 1      # msgpack extension: an integer beyond 64 bit, two's complement, big-endian


class FrameType(IntEnum):
    """What a frame's payload is. The numbers are on flash; a reader skips those it does not know by their length."""

    DATA = 1
    OPEN = 2
    ACK = 3
    LOSS = 4
    ANCHOR = 5
    DICT = 6


class FrameFlag:
    """Bits of the flags byte. Plain numbers: they are looked at for every frame."""

    ZLIB: Final = 1        # the payload is compressed; readers know it, nothing writes it yet
    STATE: Final = 2       # DATA only: one state array stands before the records
    GAP: Final = 4         # DATA only: at least one record is a gap record
    FIRST: Final = 8       # the first frame of a commit: all commits before it were finished
    SKIPS: Final = 16      # DATA only: the numbers right before it were acknowledged and never written
    SEALED: Final = 32     # the payload is encrypted, seal.py says how


class Frame(NamedTuple):
    """One frame. `type` stays a plain number, since newer writers may know more of them."""

    type: int
    flags: int
    records: int
    first_seq: int
    payload: bytes


def frame_pages(payload_bytes: int) -> int:
    """Return how many pages a frame with this payload fills."""
    return -(-(FRAME_HEADER_BYTES + payload_bytes) // PAGE_BYTES)


def frame_head(kind: int, flags: int, records: int, length: int, first_seq: int) -> bytes:
    """Return the 20 bytes of a frame's head that its checksum covers."""
    epoch = (first_seq >> 40) & 0xFFFF
    return FRAME_HEADER.pack(MAGIC, kind, flags, epoch, records, length, first_seq, 0)[:_CRC_AT]


def encode_frame(frame: Frame, uid: int) -> bytes:
    """Return the frame as whole pages, sealed for the segment whose header says `uid`."""
    size = len(frame.payload)
    head = frame_head(frame.type, frame.flags, frame.records, size, frame.first_seq)
    crc = zlib.crc32(frame.payload, zlib.crc32(head, uid))
    return (head + crc.to_bytes(4, "little") + frame.payload).ljust(frame_pages(size) * PAGE_BYTES, b"\0")


class FrameHead(NamedTuple):
    """The 24 bytes of a frame's head, believed only after `open_frame` has checked them."""

    type: int
    flags: int
    records: int
    length: int
    first_seq: int
    crc: int


def peek(page: bytes) -> FrameHead | None:
    """Return what a page claims to be the head of a frame, unchecked; None when it cannot be one."""
    if len(page) < FRAME_HEADER_BYTES or page[:2] != MAGIC:
        return None
    _, kind, flags, epoch, records, length, first_seq, crc = FRAME_HEADER.unpack_from(page)
    if length > MAX_PAYLOAD_BYTES or epoch != (first_seq >> 40) & 0xFFFF:
        return None
    return FrameHead(kind, flags, records, length, first_seq, crc)


def open_frame(head: FrameHead, data: bytes, uid: int) -> Frame | None:
    """Return the frame whose head `peek` found at the start of `data`, or None when its checksum is wrong.

    `data` holds at least `24 + head.length` bytes, or the frame is taken for damaged.
    """
    end = FRAME_HEADER_BYTES + head.length
    if len(data) < end:
        return None
    payload = bytes(data[FRAME_HEADER_BYTES:end])
    if zlib.crc32(payload, zlib.crc32(data[:_CRC_AT], uid)) != head.crc:
        return None
    if head.flags & FrameFlag.ZLIB:
        inflater = zlib.decompressobj()
        try:
            payload = inflater.decompress(payload, MAX_PAYLOAD_BYTES)
        except zlib.error:
            return None
        if not inflater.eof:
            return None
    return Frame(head.type, head.flags, head.records, head.first_seq, payload)


# ---- msgpack ---------------------------------------------------------------------------------------------------------

Packer = Callable[[Any], bytes]
_MALFORMED = (ValueError, TypeError, msgpack.UnpackException)      # TypeError: a map as a map's key


class Undecodable(Exception):
    """Bytes with a right checksum that are not what this version writes: a newer version's, or a bug's."""


def _extended(value: Any) -> Any:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        size = value.bit_length() // 8 + 1
        return msgpack.ExtType(_BIG_INT, value.to_bytes(size, "big", signed=True))
    return [_extended(item) for item in value] if isinstance(value, list | tuple) else value


def _restored(code: int, data: bytes) -> Any:
    if code == _BIG_INT:
        return int.from_bytes(data, "big", signed=True)
    return msgpack.ExtType(code, data)


def new_packer() -> Packer:
    """Return a function that packs one value; it keeps a buffer, so each thread needs its own.

    Integers beyond 64 bit become extension 1. Raises UnicodeEncodeError for text with lone surrogates.
    """
    quick = cast("Packer", msgpack.Packer().pack)

    def pack(value: Any) -> bytes:
        try:
            return quick(value)
        except OverflowError:
            return cast("bytes", msgpack.Packer().pack(_extended(value)))

    return pack


def unpack_all(payload: bytes) -> list[Any]:
    """Return every value of a payload, in order. Raises Undecodable unless they fill it exactly."""
    unpacker, values = _unpacker(payload), []
    try:
        while unpacker.tell() < len(payload):
            values.append(unpacker.unpack())
    except _MALFORMED as error:
        raise Undecodable(str(error)) from error
    return values


def unpack_count(payload: bytes, count: int) -> list[Any]:
    """Return the `count` values of a payload, in order; quicker. Raises Undecodable unless they fill it exactly."""
    try:
        values = msgpack.unpackb(b"\xdd" + count.to_bytes(4, "big") + payload, strict_map_key=False, ext_hook=_restored)
    except _MALFORMED as error:
        raise Undecodable(str(error)) from error
    return cast("list[Any]", values)


def unpack_first(payload: bytes) -> Any:
    """Return the first value of a payload. Raises Undecodable."""
    return unpack_front(payload)[0]


def unpack_front(payload: bytes) -> tuple[Any, int]:
    """Return the first value of a payload, and how many bytes it takes. Raises Undecodable."""
    unpacker = _unpacker(payload)
    try:
        return unpacker.unpack(), unpacker.tell()
    except _MALFORMED as error:
        raise Undecodable(str(error)) from error


def _unpacker(payload: bytes) -> Any:
    unpacker = msgpack.Unpacker(strict_map_key=False, ext_hook=_restored, max_buffer_size=MAX_PAYLOAD_BYTES)
    unpacker.feed(payload)
    return unpacker
