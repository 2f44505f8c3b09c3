"""Saving what a broken ring still holds: every ring that is among the pieces, each looked at as if it were whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from edge.errors import RingLocked
from edge.ring.key import KeyPort
from edge.ring.look import RingLook
from edge.ring.pieces import NO_RING, Piece, PieceFs, gather


@dataclass(frozen=True)
class SavedRing:
    """One ring, by its uuid. `look.records(stream)` yields what is readable."""

    uuid: str
    fs: PieceFs
    look: RingLook

    @property
    def segments(self) -> int:
        """How many segments were found of it."""
        return len(self.fs.pieces)

    def damage(self) -> list[str]:
        """Return one line for each segment that is not whole, naming the file. Reads all of them."""
        lines = []
        for check in self.look.verify():
            piece = self.fs.pieces[Path(check.stream) / check.slot]
            counts = ((check.damaged_pages, "damaged pages"), (check.unknown_frames, "unknown frames"),
                      (check.missing, "records missing"))
            parts = [check.problem, piece.note, *(f"{count} {what}" for count, what in counts if count)]
            if any(parts):
                lines.append(f"{piece.source}: {check.stream}, segment {piece.header.segment}: "
                             + ", ".join(filter(None, parts)))
        return lines


def rings_in(sources: Iterable[Path], key: KeyPort | None = None) -> tuple[list[SavedRing], list[str]]:
    """Return the rings that slots, directories and images hold, the largest first, and what cannot be read at all.

    `key` opens what is encrypted. Raises RingError for a source that is not there.
    """
    gathered = gather(sources)
    by_ring: dict[bytes, list[Piece]] = {}
    for piece in gathered.pieces:
        by_ring.setdefault(piece.header.ring, []).append(piece)
    rings = []
    for ring, pieces in sorted(by_ring.items(), key=lambda item: -len(item[1])):
        uuid, fs = str(UUID(bytes=ring)), PieceFs(pieces)
        try:
            rings.append(SavedRing(uuid, fs, RingLook(Path(), fs, key=key)))
        except RingLocked as locked:
            why = str(locked) if ring != NO_RING else (
                "encrypted, and nothing says of which ring; one of its slots with a header has to be among the sources")
            gathered.problems.append(f"ring {uuid}, {len(pieces)} segments: {why}")
    return rings, gathered.problems
