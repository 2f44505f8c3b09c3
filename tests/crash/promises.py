"""What a store has promised, and the comparison with what it gives back after a cut (pure).

A workload tells what it does in marks: `{"put": [[stream, id, n], ...]}` once the store has said that record `n` is durable,
`{"ack": [[stream, id], ...]}` before it lets go of some. `id` is the number the store gave, `n` the record's contents.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Key = tuple[str, int]                              # stream, number
OWN = -1                                           # contents of what the store itself put in: its record of a loss


@dataclass
class Promises:
    """The world at a cut: `kept` must be there, `told` may be."""

    kept: dict[Key, int] = field(default_factory=dict)
    acked: set[Key] = field(default_factory=set)
    told: dict[Key, int] = field(default_factory=dict)         # every number ever marked -> its contents, later ones too

    def at(self, marks: list[dict], cut: int) -> "Promises":
        """These promises and those of `marks[:cut]`; the rest may have come to the disk as well."""
        then = Promises(dict(self.kept), set(self.acked), dict(self.told))
        for place, mark in enumerate(marks):
            for stream, number, n in mark.get("put", ()):
                then.told[stream, number] = n
                if place < cut:
                    then.kept[stream, number] = n
            for stream, number in mark.get("ack", ()):
                if place < cut:
                    then.kept.pop((stream, number), None)
                    then.acked.add((stream, number))
        return then


@dataclass
class Finding:
    """What is wrong with a store after a cut; all empty when it kept its word. `counted`: losses it announces by itself."""

    missing: list[Key] = field(default_factory=list)
    invented: list[Key] = field(default_factory=list)
    disordered: bool = False
    reused: bool = False                           # a number was given again
    failed: str = ""                               # it did not open, or not work on
    counted: int = 0

    @property
    def good(self) -> bool:
        return not (self.missing or self.invented or self.disordered or self.reused or self.failed)

    def __str__(self) -> str:
        words = [f"{len(self.missing)} durable records missing, first {self.missing[0]}"] if self.missing else []
        words += [f"{len(self.invented)} records nobody gave, first {self.invented[0]}"] if self.invented else []
        words += ["out of order"] if self.disordered else []
        words += ["a number is given twice"] if self.reused else []
        return "; ".join([*words, self.failed] if self.failed else words) or "kept its word"


def compare(promises: Promises, found: Mapping[str, Iterable[tuple[int, int | None]]], announced: Mapping[str, int] | None = None) -> Finding:
    """Judge what a store gives back: by stream, in its order, (number, contents); contents None: not what anybody gave.

    `announced`: how many records of a stream the store itself says are lost; the oldest of a full store may be missing then.
    """
    finding = Finding(counted=sum((announced or {}).values()))
    seen: set[Key] = set()
    first: dict[str, int] = {}
    for stream, rows in found.items():
        last = 0
        for number, n in rows:
            key = (stream, number)
            finding.disordered |= number <= last
            last = number
            first.setdefault(stream, number)
            seen.add(key)
            if n is None or (n != OWN and promises.told.get(key, n) != n):
                finding.invented.append(key)
    missing = sorted(promises.kept.keys() - seen)
    for stream, room in (announced or {}).items():
        gone = [key for key in missing if key[0] == stream]
        if len(gone) <= room and all(key[1] < first.get(stream, key[1] + 1) for key in gone):
            missing = [key for key in missing if key[0] != stream]
    finding.missing = missing
    return finding
