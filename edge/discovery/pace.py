"""How politely a meter is looked for: times and limits, in seconds (pure)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """The defaults suit a meter behind a bridge at 9600 baud over a weak link: answers in 0.3 s, now and then in 7 s.

    `answer_s` is waited for one answer before the next address is tried; one that comes later still counts, since an
    HDLC answer tells its address. `tail_s` is waited once more at the end, for the slowest. `gap_s` lies between two
    connections, `settle_s` is listened for before anything is sent, `quiet_s` ends a long answer that has stopped
    coming, `limit_s` everything.
    """

    connect_s: float = 10.0
    settle_s: float = 0.5
    answer_s: float = 2.0
    tail_s: float = 7.0
    gap_s: float = 0.5
    quiet_s: float = 10.0
    limit_s: float = 300.0

    def quicker(self) -> "Pace":
        """Return the pace of a scan: most addresses have no meter, and one that is missed is missed for a scan only."""
        return Pace(connect_s=min(self.connect_s, 3.0), settle_s=self.settle_s, answer_s=self.answer_s,
                    tail_s=min(self.tail_s, 2.0), gap_s=self.gap_s, quiet_s=self.quiet_s,
                    limit_s=min(self.limit_s, 60.0))
