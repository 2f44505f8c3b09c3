"""What a stream has lost, and the small state that rides in its log (pure).

A loss is numbered, made durable in the stream that has it, then told as a gap record in the alarm stream. The gap
record itself carries the number, and that is how a restart knows what has been told already.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from edge.model import Field, Kind, Schema, Stream
from edge.ring.ackset import AckSet

MAX_UNTOLD = 8
MAX_DEPOSITED = 2       # of one stream, in a state that has to stay short
DEPOSITED_ACKS_BYTES = 300

GAP_SCHEMA = Schema(
    kind=Kind.GAP,
    fields=(
        Field("stream"), Field("first_seq"), Field("last_seq"), Field("count"), Field("reason"),
        Field("from_ms", unit="ms"), Field("to_ms", unit="ms"), Field("loss_no"),
    ),
)
"""A gap record's columns: stream name, the numbers between which records are missing, how many, why, when (UTC)."""


class LossReason(StrEnum):
    """Why records are gone. On flash and sent upstream: never change or reuse a name."""

    EVICTED = "evicted"        # the stream was full, the oldest segment had to go
    DAMAGED = "damaged"        # written, but not readable any more
    UNFINISHED = "unfinished"  # of the commit that a power cut interrupted: most likely never promised to anybody
    UNCOVERED = "uncovered"    # no segment holds the range any more: its header was destroyed
    FULL = "full"              # the stream was full and keeps what it has: the newest were turned away
    MEMORY = "memory"          # storage failed, and the records that waited in memory became too many
    SEVERAL = "several"        # more losses than could be listed one by one, joined


class Loss(NamedTuple):
    """One loss: so many records between two sequence numbers, both included; times are UTC milliseconds or None."""

    no: int
    first_seq: int
    last_seq: int
    records: int
    reason: str
    from_ms: int | None
    to_ms: int | None

    def values(self, stream: Stream) -> tuple[int | str | None, ...]:
        """Return the values of the gap record, in the order of GAP_SCHEMA."""
        return (stream.name.lower(), self.first_seq, self.last_seq, self.records, self.reason, self.from_ms, self.to_ms,
                self.no)


def _joined(one: Loss, other: Loss) -> Loss:
    starts = [ms for ms in (one.from_ms, other.from_ms) if ms is not None]
    ends = [ms for ms in (one.to_ms, other.to_ms) if ms is not None]
    return Loss(
        no=max(one.no, other.no),
        first_seq=min(one.first_seq, other.first_seq),
        last_seq=max(one.last_seq, other.last_seq),
        records=one.records + other.records,
        reason=one.reason if one.reason == other.reason else LossReason.SEVERAL,
        from_ms=min(starts, default=None),
        to_ms=max(ends, default=None),
    )


class Losses:
    """All losses of a stream as a count, and those not yet told one by one."""

    __slots__ = ("durable_no", "last_no", "own_no", "total", "untold")

    def __init__(self) -> None:
        """Start without any."""
        self.total = 0
        self.last_no = 0
        self.durable_no = 0          # what is on flash; nothing above it may be told
        self.own_no = 0              # of that, in the stream's own log; the rest is deposited in the alarm stream's
        self.untold: list[Loss] = []

    def add(self, first_seq: int, last_seq: int, count: int, reason: str, times: tuple[int | None, int | None]) -> None:
        """Count a loss. Joins the latest one while that is not durable and of the same kind, so floods stay short."""
        if count <= 0:
            return
        self.total += count
        latest = self.untold[-1] if self.untold else None
        if latest is not None and latest.no > self.durable_no and latest.reason == reason:
            self.untold[-1] = _joined(latest, Loss(latest.no, first_seq, last_seq, count, reason, *times))
            return
        self.last_no += 1
        self.untold.append(Loss(self.last_no, first_seq, last_seq, count, reason, *times))
        self.shorten(MAX_UNTOLD)

    def shorten(self, most: int) -> None:
        """Join the oldest until no more than so many are listed one by one."""
        while len(self.untold) > most:
            self.untold[:2] = [_joined(self.untold[0], self.untold[1])]

    def stated(self) -> None:
        """All of it is in the stream's own log now."""
        self.durable_no = self.own_no = self.last_no

    def unstated(self) -> "Losses":
        """Return a copy for another stream's care: what the own log does not say."""
        twin = self.copy()
        twin.untold = [loss for loss in self.untold if loss.no > self.own_no]
        twin.shorten(MAX_DEPOSITED)
        return twin

    def take_back(self, deposit: "Losses") -> None:
        """Go on from those of a deposit, where the own log has not got as far."""
        if (deposit.last_no, deposit.total) <= (self.last_no, self.total):
            return
        self.untold += [loss for loss in deposit.untold if loss.no > self.last_no]
        self.total, self.last_no, self.durable_no = deposit.total, deposit.last_no, deposit.last_no
        self.shorten(MAX_UNTOLD)

    def copy(self) -> "Losses":
        """Return an independent copy."""
        twin = Losses()
        twin.total, twin.last_no, twin.durable_no, twin.own_no = self.total, self.last_no, self.durable_no, self.own_no
        twin.untold = self.untold.copy()
        return twin

    def forget(self, no: int) -> None:
        """Drop those up to `no`: their gap records are durable, so such a number is never given again."""
        self.untold = [loss for loss in self.untold if loss.no > no]
        self.last_no = max(self.last_no, no)

    def encode(self) -> list[Any]:
        """Return [total, last_no, untold]."""
        return [self.total, self.last_no, [list(loss) for loss in self.untold]]

    @classmethod
    def decode(cls, row: Any) -> "Losses":
        """Rebuild from `encode`'s list; all of it is durable. Raises ValueError."""
        match row:
            case [int(total), int(last_no), list(untold), *_]:
                losses = cls()
                losses.total, losses.last_no = total, last_no
                losses.stated()
                losses.untold = [_loss(item) for item in untold]
                return losses
        raise ValueError("not a loss list")


def _loss(row: Any) -> Loss:
    match row:
        case [int(no), int(first), int(last), int(records), str(reason), (int() | None) as start, (int() | None) as end,
              *_]:
            return Loss(no, first, last, records, reason, start, end)
    raise ValueError("not a loss")


class Deposit(NamedTuple):
    """What a stream without a page would say, in the alarm stream's care: losses, and what need not be looked for.

    `epoch` is that of the run which said it.
    """

    epoch: int
    acks: AckSet
    losses: Losses

    def encode(self) -> list[Any]:
        """Return [epoch, acks, losses]."""
        return [self.epoch, self.acks.encode(DEPOSITED_ACKS_BYTES), self.losses.encode()]


@dataclass
class State:
    """What rides in the log: acknowledgements, losses, and (alarm stream only) which losses have been told.

    `deposits` (alarm stream only): of streams whose own logs have no page to say what they lost, by their numbers.
    Packed as an array that only ever grows at its end.
    """

    acks: AckSet = field(default_factory=AckSet)
    losses: Losses = field(default_factory=Losses)
    told: dict[int, int] = field(default_factory=dict)      # stream number -> last loss number that has a gap record
    deposits: dict[int, Deposit] = field(default_factory=dict)
    deposited: dict[int, int] = field(default_factory=dict)      # of `deposits`, the last loss number that is on flash

    @property
    def deposit_due(self) -> bool:
        """Whether there are deposits that are not on flash."""
        return any(kept.losses.last_no > self.deposited.get(stream, 0) for stream, kept in self.deposits.items())

    def stated(self) -> None:
        """All of it is on flash now."""
        self.losses.stated()
        self.deposited = {stream: kept.losses.last_no for stream, kept in self.deposits.items()}

    def copy(self) -> "State":
        """Return a copy that may be changed."""
        return State(self.acks.copy(), self.losses.copy(), dict(self.told), dict(self.deposits))

    def mark(self) -> tuple[Any, ...]:
        """Return what is equal as long as `encode` says the same."""
        losses = self.losses
        return (self.acks, self.acks.changes, losses.total, losses.last_no, len(losses.untold), *self.told.items(),
                *((stream, kept.acks.floor, kept.losses.total, kept.losses.last_no, len(kept.losses.untold))
                  for stream, kept in self.deposits.items()))

    def encode(self, acks_limit_bytes: int) -> list[Any]:
        """Return [acks, losses, told], and where there are any [[stream, *deposit] ..]."""
        row = [self.acks.encode(acks_limit_bytes), self.losses.encode(), [[s, no] for s, no in self.told.items()]]
        return [*row, [[s, *kept.encode()] for s, kept in self.deposits.items()]] if self.deposits else row

    @classmethod
    def decode(cls, row: Any) -> "State":
        """Rebuild from `encode`'s list. Raises ValueError."""
        match row:
            case [acks, losses, list(told), *rest]:
                deposits = rest[0] if rest and isinstance(rest[0], list) else []
                return cls(AckSet.decode(acks), Losses.decode(losses), dict(map(_told, told)),
                           dict(map(_kept, deposits)))
        raise ValueError("not a state")

    def merge(self, other: "State") -> None:
        """Take what `other` knows besides: acknowledgements are only ever added, the later loss list stands."""
        self.acks.merge(other.acks)
        if (other.losses.last_no, other.losses.total) >= (self.losses.last_no, self.losses.total):
            self.losses = other.losses
        for stream, no in other.told.items():
            self.told[stream] = max(no, self.told.get(stream, 0))
        for stream, kept in other.deposits.items():
            known = self.deposits.get(stream)
            if known is None or (kept.epoch, kept.losses.last_no) >= (known.epoch, known.losses.last_no):
                self.deposits[stream] = kept


def _kept(row: Any) -> tuple[int, Deposit]:
    match row:
        case [int(stream), int(epoch), acks, losses, *_]:
            return stream, Deposit(epoch, AckSet.decode(acks), Losses.decode(losses))
    raise ValueError("not a deposit")


def _told(row: Any) -> tuple[int, int]:
    match row:
        case [int(stream), int(no), *_]:
            return stream, no
    raise ValueError("not a told number")
