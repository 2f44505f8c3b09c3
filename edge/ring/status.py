"""What the ring tells about itself (pure data)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of a stream waits for its acknowledgement.

    `oldest_boottime_ms` is when the oldest waiting record's segment began, in this boot's CLOCK_BOOTTIME; None when
    nothing waits or when it is from another boot. `newest_seq` is 0 in an empty stream.
    """

    records: int
    oldest_boottime_ms: int | None
    newest_seq: int


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream. Counters are since the ring was opened; the first five tell of all since it was made. Sizes in bytes.

    The low 40 bits of a sequence number count a stream's records from 1, over restarts, without a hole; so while
    storage is well, acknowledged + lost + backlog is the ordinal of `durable_seq`. The high bits are this run's.
    """

    newest_seq: int             # the newest record that has a number, 0 in an empty stream
    durable_seq: int            # all up to here are on flash, or need not be: acknowledged before they were written
    acknowledged: int           # of the durable ones
    lost: int
    backlog: int                # of the durable ones, those that nobody has acknowledged
    in_memory: int              # accepted, not durable yet
    slots: int
    slots_quarantined: int
    slots_strange: int          # another ring's, a newer format's, or too short
    size_bytes: int
    quota_bytes: int
    written_bytes: int
    syncs: int
    io_errors: int
    evictions: int
    scrubbed: int               # slots read through at rest
    damaged_pages: int          # that were found so
    acks_unwritten: int
    elided: int                 # acknowledged before they had to be written
    full: bool                  # full, and keeps what it has
    turned_away: int            # records refused for that; they have no number


@dataclass(frozen=True, slots=True)
class RingStatus:
    """The whole ring. `healthy` is False while records are only kept in memory, or refused because a stream keeps what
    it has; `problem` says why in one line.
    """

    healthy: bool
    problem: str
    epoch: int
    commits: int
    streams: dict[str, StreamStatus]     # by name: alarm, billing, instant

    @property
    def lost(self) -> int:
        """Records lost since the ring was made, over all streams."""
        return sum(stream.lost for stream in self.streams.values())

    @property
    def written_bytes(self) -> int:
        """Bytes written since the ring was opened, over all streams."""
        return sum(stream.written_bytes for stream in self.streams.values())
