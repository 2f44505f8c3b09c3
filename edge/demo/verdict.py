"""The demo's account: what the gateway promised to keep, against what the server received (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.model import SEQ_BITS

POLL = "poll_ok"
"""The key that every poll, good or failed, sends exactly once."""

ORDINALS = (1 << SEQ_BITS) - 1
"""The part of a sequence number that counts on from 1 over restarts, without a hole."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of poll records. `forgotten`: reported as durable before the kill, and not found on flash afterwards."""

    taken: int
    failed_polls: int
    acknowledged: int
    received: int
    lost: int
    forgotten: int
    invented: int
    duplicated: int
    conflicts: int

    @property
    def good(self) -> bool:
        """Tell whether nothing was lost, and nothing came that the gateway never had."""
        return bool(self.taken) and not (self.lost or self.forgotten or self.invented or self.conflicts)

    def lines(self) -> list[str]:
        """Return the statement for people."""
        return [
            f"readings taken   {self.taken:6}   on flash, one per poll"
            + (f"; {self.failed_polls} say why there is none" if self.failed_polls else ""),
            f"acknowledged     {self.acknowledged:6}   by a PUBACK, so the ring let go of them",
            f"received         {self.received:6}   stored by the server, by device and time stamp",
            f"lost             {self.lost + self.forgotten:6}   taken and not received, or called durable and gone"
            + (f"; {self.forgotten} of them gone from flash" if self.forgotten else ""),
            f"duplicated       {self.duplicated:6}   received twice, identical: the server stores one"
            + (f"; {self.conflicts} NOT identical" if self.conflicts else ""),
            *([f"invented         {self.invented:6}   received and never taken"] if self.invented else []),
        ]


def judge(dump: Iterable[Mapping[str, Any]], arrivals: Mapping[tuple[str, int], int], *, durable_seq: int,
          conflicts: int) -> Verdict:
    """Compare `ring dump --all` with the server's arrivals of polls: (device, ts in ms) -> times received.

    `durable_seq` is the newest number of the instant stream that the gateway had called durable before it was killed.
    """
    rows = [row for row in dump if row["stream"] == "instant"]
    polls = [row for row in rows if row["kind"] in ("reading", "failure")]
    taken = {(row["device"], row["ts_ms"]) for row in polls}
    ordinals = {row["seq"] & ORDINALS for row in rows}
    return Verdict(
        taken=len(taken), failed_polls=sum(1 for row in polls if row["kind"] == "failure"),
        acknowledged=sum(1 for row in polls if row["acked"]), received=len(arrivals),
        lost=len(taken - arrivals.keys()),
        forgotten=len(set(range(1, (durable_seq & ORDINALS) + 1)) - ordinals),
        invented=len(arrivals.keys() - taken), duplicated=sum(times - 1 for times in arrivals.values()),
        conflicts=conflicts)
