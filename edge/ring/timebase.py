"""From "so long after boot" to UTC, by durable anchors only (pure).

An anchor says: at this time since boot the wall clock showed that. A record's time is the last anchor of its boot at or
before it, else the first one after it, so a later delivery resolves to the same millisecond. Anchors are never changed
or taken back; a better one only counts for records after it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

STEP_MS = 500
HOURLY_MS = 3_600_000
MAX_BOOTS = 1024


class Quality(IntEnum):
    """How far an anchor may be believed. The numbers are on flash."""

    UNKNOWN = 0      # the wall clock as it stood, nothing vouches for it
    RESTORED = 1     # set from a saved file at boot: a lower bound
    RTC = 2          # a battery-backed clock
    NTP = 3          # disciplined by the network
    OPERATOR = 4     # GNSS, PTP, or set by hand


class Anchor(NamedTuple):
    """One pairing of the two clocks. `boot` is the boot id's 16 bytes; `error_ms` is a bound on the error, or None."""

    boot: bytes
    boottime_ms: int
    wall_ms: int
    quality: int
    source: str
    error_ms: int | None = None

    @property
    def synchronised(self) -> bool:
        """Tell whether times resolved by it may be believed."""
        return self.quality >= Quality.RTC


UNKNOWN_CLOCK = Anchor(b"", 0, 0, Quality.UNKNOWN, "lost")


class Resolved(NamedTuple):
    """A wall time in Unix milliseconds, and whether it may be believed."""

    wall_ms: int
    synchronised: bool


def encode_anchor(anchor: Anchor) -> list[Any]:
    """Return the anchor as it is packed: boot, boottime_ms, wall_ms, quality, source, error_ms."""
    return list(anchor)


def decode_anchor(row: Any) -> Anchor:
    """Rebuild an anchor; items that a newer version appended are ignored. Raises ValueError."""
    match row:
        case [bytes(boot), int(boottime_ms), int(wall_ms), int(quality), str(source), (int() | None) as error_ms, *_]:
            return Anchor(boot, boottime_ms, wall_ms, quality, source, error_ms)
    raise ValueError("not a time anchor")


def by_anchor(anchor: Anchor, boottime_ms: int) -> Resolved:
    """Return the wall time of a moment of the same boot."""
    return Resolved(anchor.wall_ms + boottime_ms - anchor.boottime_ms, anchor.synchronised)


def valid_at(anchors: Sequence[Anchor], boottime_ms: int) -> Anchor | None:
    """Return the one of a boot's ascending anchors that counts for a moment; None when there is none."""
    if not anchors:
        return None
    at = bisect_right(anchors, boottime_ms, key=lambda one: one.boottime_ms) if len(anchors) > 1 else 0
    return anchors[at - 1 if at else 0]


class Timebase:
    """The durable anchors of one stream, by boot."""

    __slots__ = ("_boots",)

    def __init__(self) -> None:
        """Start without any."""
        self._boots: dict[bytes, list[Anchor]] = {}

    def add(self, anchor: Anchor) -> None:
        """Take an anchor that is on flash. Two of the same moment: the first one seen stays."""
        anchors = self._boots.get(anchor.boot, [])
        at = bisect_right(anchors, anchor.boottime_ms, key=lambda one: one.boottime_ms)
        if at and anchors[at - 1].boottime_ms == anchor.boottime_ms:
            return
        self._boots[anchor.boot] = [*anchors[:at], anchor, *anchors[at:]]
        if len(self._boots) > MAX_BOOTS:
            del self._boots[next(iter(self._boots))]

    def knows(self, boot: bytes) -> bool:
        """Tell whether the boot has an anchor."""
        return boot in self._boots

    def resolve(self, boot: bytes, boottime_ms: int) -> Resolved | None:
        """Return the wall time of a moment, or None when its boot has no anchor."""
        anchor = self.anchor(boot, boottime_ms)
        return None if anchor is None else by_anchor(anchor, boottime_ms)

    def anchor(self, boot: bytes, boottime_ms: int) -> Anchor | None:
        """Return the anchor that counts for a moment, or None when its boot has none."""
        return valid_at(self._boots.get(boot, ()), boottime_ms)

    def of(self, boot: bytes) -> Sequence[Anchor]:
        """Return a boot's anchors, ascending. What is returned is never changed, so other threads may look at it."""
        return self._boots.get(boot, ())

    def summary(self, limit: int) -> list[Anchor]:
        """Return what a new segment must repeat: first and last anchor of the newest boot, the first of those before.

        `limit` bounds the number; the oldest boots are left out first.
        """
        rows: list[Anchor] = []
        for anchors in reversed(self._boots.values()):
            if not rows and len(anchors) > 1:
                rows.append(anchors[-1])
            rows.append(anchors[0])
        return rows[:limit][::-1]


class AnchorPolicy:
    """Decides when an anchor is due: at the first synchronised moment, at steps, hourly.

    One per run; fed about once a second with what the clock says.
    """

    __slots__ = ("_boot", "_last")

    def __init__(self, opened: Anchor) -> None:
        """Take the clocks as they stood when the run was made durable; synchronised, they are its first anchor."""
        self._boot = opened.boot
        self._last = opened if opened.synchronised else None

    def observe(self, boottime_ms: int, wall_ms: int, *, synchronised: bool) -> Anchor | None:
        """Return an anchor that ought to become durable now, or None."""
        if not synchronised:
            return None
        last = self._last
        if last is not None:
            drift_ms = abs((wall_ms - boottime_ms) - (last.wall_ms - last.boottime_ms))
            if drift_ms <= STEP_MS and boottime_ms - last.boottime_ms < HOURLY_MS:
                return None
        self._last = Anchor(self._boot, boottime_ms, wall_ms, Quality.NTP, "sync")
        return self._last
