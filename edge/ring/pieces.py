"""Slots put together from what is left of them: copied files, files without a header, a card's image (I/O edge).

    NNNNN.slot      as it stands; with both copies of its header gone, one is made of what its frames say
    other files     an image: headers and frames are found on whatever pages they lie, frames by their segment's uid

A frame's checksum is seeded with the uid of its segment. So a frame belongs to the header with whose uid it passes; and
where no header is left, the uid is what two frames of a slot agree on: a CRC can be run backwards to its seed.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NoReturn

from edge.errors import RingError
from edge.model import SEQ_BITS, Stream
from edge.rights import as_owner
from edge.ring.frame import (
    FRAME_HEADER_BYTES,
    PAGE_BYTES,
    FrameFlag,
    FrameHead,
    FrameType,
    frame_pages,
    new_packer,
    open_frame,
    peek,
)
from edge.ring.fs import SLOT_SUFFIX
from edge.ring.layout import (
    HEADER_PAGES,
    MIN_SLOT_PAGES,
    SEALED,
    Incompatible,
    SlotHeader,
    decode_header,
    encode_header,
    slot_name,
)

READ_BYTES = 1 << 20
HEADER_MAGIC = b"EGR1"
UNKNOWN_BOOT = bytes(16)
NO_RING = bytes(16)      # the uuid where no header is left that says one
_CRC_BYTES = 20          # of a frame's head, under the checksum
_STEP = [zlib.crc32(bytes([i]), 0xFFFFFFFF) ^ 0xFFFFFFFF for i in range(256)]      # of CRC-32, byte by byte
_BACK = {word >> 24: index for index, word in enumerate(_STEP)}


@dataclass(frozen=True)
class Piece:
    """One segment: its header, and where its other pages are in a file. `note` says what is odd about it."""

    header: SlotHeader
    source: Path
    pages: Sequence[int]
    note: str = ""


@dataclass(frozen=True)
class Gathered:
    """All that was found: the segments, each once, and one line for each file or page run that told nothing."""

    pieces: list[Piece]
    problems: list[str]


def gather(sources: Iterable[Path]) -> Gathered:
    """Look through files, and directories with all that is below them. Raises RingError for one that is not there."""
    pieces: list[Piece] = []
    bare: list[Path] = []
    problems: list[str] = []
    for path in _files(sources):
        try:
            if path.suffix != SLOT_SUFFIX:
                pieces += _of_image(path, problems)
            elif (piece := _of_slot(path)) is not None:
                pieces.append(piece)
            else:
                bare.append(path)
        except Incompatible:
            problems.append(f"{path}: of a newer format; this version cannot read it")
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
    unique = list({(one.header.ring, one.header.uid): one for one in pieces}.values())
    for path in bare:
        try:
            rebuilt = _without_header(path, unique)
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
            continue
        if rebuilt is not None:
            unique.append(rebuilt)
        elif _begun(path):
            problems.append(f"{path}: no header, and not two frames that agree; what it held is lost")
    return Gathered(unique, problems)


def _files(sources: Iterable[Path]) -> Iterator[Path]:
    for source in sources:
        if source.is_dir():
            yield from sorted(source.rglob(f"*{SLOT_SUFFIX}"))
        elif source.exists():
            yield source
        else:
            raise RingError(f"{source}: no such file or directory")


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading; root as the owner of its directory, where what looks like a slot may be a link."""
    with as_owner(path):
        return path.open("rb")


def _of_slot(path: Path) -> Piece | None:
    """Return what a slot file holds by its header, None without one. Raises OSError, Incompatible."""
    with _opened(path) as file:
        headers = [decode_header(file.read(PAGE_BYTES)) for _ in range(HEADER_PAGES)]
    whole = [header for header in headers if header is not None]
    if not whole:
        return None
    note = "" if len(whole) == HEADER_PAGES else "one copy of the header is damaged"
    return Piece(max(whole, key=attrgetter("segment")), path, _rest(path), note)


def _rest(path: Path) -> range:
    return range(HEADER_PAGES, path.stat().st_size // PAGE_BYTES)


# ---- without a header ------------------------------------------------------------------------------------------------


def seed_of(head: FrameHead, data: bytes) -> int:
    """Return the seed with which a frame's checksum is right (pure); the segment's uid, if the frame is whole."""
    plain = zlib.crc32(data[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + head.length], zlib.crc32(data[:_CRC_BYTES]))
    seed = plain ^ head.crc
    for _ in range(_CRC_BYTES + head.length):
        index = _BACK[seed >> 24]
        seed = ((seed ^ _STEP[index]) << 8 & 0xFFFFFFFF) | index
    return seed


def _without_header(path: Path, known: Sequence[Piece]) -> Piece | None:
    seeds: dict[int, FrameHead] = {}
    pages = _rest(path)
    with _opened(path) as file:
        for page in pages:
            file.seek(page * PAGE_BYTES)
            data = file.read(PAGE_BYTES)
            head = peek(data)
            if head is None:
                continue
            data += file.read((frame_pages(head.length) - 1) * PAGE_BYTES)
            if len(data) < FRAME_HEADER_BYTES + head.length:
                continue
            uid = seed_of(head, data)
            if uid in seeds:
                return Piece(_rebuilt(path, uid, seeds[uid], known), path, pages,
                             "both copies of the header are damaged; made anew from its frames")
            seeds[uid] = head
    return None


def _rebuilt(path: Path, uid: int, first: FrameHead, known: Sequence[Piece]) -> SlotHeader:
    """Return a header that fits: between its neighbours in the stream, with the clocks of a segment of the same run."""
    names = {stream.name.lower(): stream for stream in Stream}
    stream = names.get(path.parent.name, Stream.INSTANT)
    epoch = first.first_seq >> SEQ_BITS
    near = sorted(known, key=lambda piece: piece.source.parent.parent != path.parent.parent)
    headers = [piece.header for piece in near]
    before = [one for one in headers if one.stream == stream and one.base_seq <= first.first_seq]
    segment = max((one.segment for one in before), default=-1) + 1
    ring = headers[0].ring if headers else NO_RING
    header = SlotHeader(ring, stream, epoch, segment, first.first_seq, uid, UNKNOWN_BOOT, 0, 0, 0, 0)
    if first.flags & FrameFlag.SEALED:
        check = next((one.key_check for one in headers if one.ring == ring and one.key_check), b"")
        header = replace(header, incompatible=SEALED, key_check=check)
    same = next((one for one in headers if one.ring == ring and one.epoch == epoch), None)
    if same is None:
        return header
    return replace(header, boot=same.boot, boottime_ms=same.boottime_ms, wall_ms=same.wall_ms, quality=same.quality,
                   base_ms=same.base_ms, after_ms=same.after_ms)


def _begun(path: Path) -> bool:
    with _opened(path) as file:
        return any(any(block) for block in iter(lambda: file.read(READ_BYTES), b""))


# ---- images ----------------------------------------------------------------------------------------------------------


def _of_image(path: Path, problems: list[str]) -> list[Piece]:
    """Return the segments whose header is anywhere in a file, with the frames that are theirs. Raises OSError."""
    headers: dict[int, SlotHeader] = {}
    frames: list[tuple[int, FrameHead]] = []
    with _opened(path) as file:
        for page, data in _pages(file):
            if data.startswith(HEADER_MAGIC):
                try:
                    header = decode_header(data)
                except Incompatible:
                    problems.append(f"{path}: page {page} is of a newer format; this version cannot read it")
                    continue
                if header is not None:
                    headers[header.uid] = header
            elif (head := peek(data)) is not None:
                frames.append((page, head))
        return _sorted_out(path, file, headers, frames, problems)


def _pages(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    page = 0
    while block := file.read(READ_BYTES):
        for at in range(0, len(block), PAGE_BYTES):
            yield page, block[at : at + PAGE_BYTES]
            page += 1


def _sorted_out(path: Path, file: BinaryIO, headers: dict[int, SlotHeader], frames: list[tuple[int, FrameHead]],
                problems: list[str]) -> list[Piece]:
    found: dict[int, list[tuple[int, bool, int, int]]] = {uid: [] for uid in headers}
    nearest = sorted(headers.values(), key=attrgetter("base_seq"), reverse=True)
    strange = 0
    for page, head in frames:
        file.seek(page * PAGE_BYTES)
        data = file.read(frame_pages(head.length) * PAGE_BYTES)
        for header in nearest:
            if header.base_seq <= head.first_seq and open_frame(head, data, header.uid) is not None:
                # in the order of writing: a frame without records has the number of the record after it
                found[header.uid].append((head.first_seq, head.type == FrameType.DATA, page, frame_pages(head.length)))
                break
        else:
            strange += 1
    if strange:
        problems.append(f"{path}: {strange} pages look like frames and belong to no header: damaged, or of former use")
    return [Piece(headers[uid], path, [page + i for _, _, page, count in sorted(rows) for i in range(count)])
            for uid, rows in found.items()]


# ---- as a file system ------------------------------------------------------------------------------------------------


class PieceFs:
    """The segments of one ring as slots, for reading; the directory is the stream's name. See edge.ring.fs."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        """Name the slots; nothing is read."""
        self.pieces: dict[Path, Piece] = {}
        for number, piece in enumerate(sorted(pieces, key=lambda one: (one.header.stream, one.header.segment))):
            self.pieces[Path(Stream(piece.header.stream).name.lower()) / slot_name(number)] = piece
        self._pack = new_packer()

    def list(self, directory: Path) -> list[tuple[str, int]]:
        """See the port."""
        return [(path.name, max(MIN_SLOT_PAGES, HEADER_PAGES + len(piece.pages)) * PAGE_BYTES)
                for path, piece in self.pieces.items() if path.parent == directory]

    def pread(self, path: Path, offset: int, length: int) -> bytes:
        """See the port; whole pages."""
        piece, data = self.pieces[path], b""
        with _opened(piece.source) as file:
            for page in range(offset // PAGE_BYTES, (offset + length) // PAGE_BYTES):
                if page < HEADER_PAGES:
                    data += encode_header(piece.header, self._pack)
                elif page - HEADER_PAGES < len(piece.pages):
                    file.seek(piece.pages[page - HEADER_PAGES] * PAGE_BYTES)
                    data += file.read(PAGE_BYTES)
                elif page < MIN_SLOT_PAGES:
                    data += bytes(PAGE_BYTES)
        return data

    def drop_cached(self, path: Path) -> None:
        """See the port; a copy is read once."""

    def close(self, path: Path) -> None:
        """See the port; nothing stays open."""

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> NoReturn:
        """Nothing is written here."""
        raise NotImplementedError

    def remove(self, path: Path) -> NoReturn:
        """Nothing is written here."""
        raise NotImplementedError

    def pwrite(self, path: Path, offset: int, data: bytes) -> NoReturn:
        """Nothing is written here."""
        raise NotImplementedError

    def sync(self, path: Path) -> NoReturn:
        """Nothing is written here."""
        raise NotImplementedError
