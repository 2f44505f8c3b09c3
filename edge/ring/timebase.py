"""From "so long after boot" to UTC, by durable anchors only (pure).

An anchor says: at this time since boot the wall clock showed that. A record's time is the last anchor of its boot at or
before it, else the first one after it, so a later delivery resolves to the same millisecond. Anchors are never changed
or taken back; a better one only counts for records after it.

What a meter's clock said is kept beside them and dates nothing by itself: it is looked at when a boot that never got a
right time needs one (dating.py).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from edge.model import Stamp, TimeSource

STEP_MS = 500
HOURLY_MS = 3_600_000
MAX_BOOTS = 1024
MAX_METERS = 9             # clocks asked per boot: enough for a median that one mad clock does not move
METER = "meter:"           # source of what a meter's clock said, its name behind it
BY_METER = "by meter:"     # source of the anchor that was made of it
BRACKET = "bracket"        # source of an anchor that is only the earliest possible time; `error_ms` is the width


class Quality(IntEnum):
    """How far an anchor may be believed. The numbers are on flash."""

    UNKNOWN = 0      # the wall clock as it stood, nothing vouches for it; a meter's that calls itself doubtful
    RESTORED = 1     # set from a saved file at boot: a lower bound; a meter's clock that calls itself right
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

    @property
    def zero_ms(self) -> int:
        """When this boot began, by this anchor: the wall time of boot time 0."""
        return self.wall_ms - self.boottime_ms

    @property
    def time_source(self) -> TimeSource:
        """Whose time a record has that is dated by it."""
        if self.source == BRACKET:
            return "bracket"
        return "meter_clock" if self.source.startswith(BY_METER) else "clock"


UNKNOWN_CLOCK = Anchor(b"", 0, 0, Quality.UNKNOWN, "lost")


def encode_anchor(anchor: Anchor) -> list[Any]:
    """Return the anchor as it is packed: boot, boottime_ms, wall_ms, quality, source, error_ms."""
    return list(anchor)


def decode_anchor(row: Any) -> Anchor:
    """Rebuild an anchor; items that a newer version appended are ignored. Raises ValueError."""
    match row:
        case [bytes(boot), int(boottime_ms), int(wall_ms), int(quality), str(source), (int() | None) as error_ms, *_]:
            return Anchor(boot, boottime_ms, wall_ms, quality, source, error_ms)
    raise ValueError("not a time anchor")


def stamps_by(anchor: Anchor, boot_id: str) -> Callable[[int], Stamp]:
    """Return what makes stamps of moments of the anchor's boot."""
    zero_ms, synchronised, source = anchor.zero_ms, anchor.synchronised, anchor.time_source
    end_ms = zero_ms + anchor.error_ms if source == "bracket" and anchor.error_ms is not None else None

    def stamp(boottime_ms: int) -> Stamp:
        latest_ms = None if end_ms is None else end_ms + boottime_ms
        return Stamp(boottime_ms, zero_ms + boottime_ms, boot_id, synchronised, source, latest_ms)

    return stamp


def valid_at(anchors: Sequence[Anchor], boottime_ms: int) -> Anchor | None:
    """Return the one of a boot's ascending anchors that counts for a moment; None when there is none."""
    if not anchors:
        return None
    at = bisect_right(anchors, boottime_ms, key=lambda one: one.boottime_ms) if len(anchors) > 1 else 0
    return anchors[at - 1 if at else 0]


class Timebase:
    """The durable anchors of one stream, by boot, and what meters' clocks said."""

    __slots__ = ("_boots", "_meters")

    def __init__(self) -> None:
        """Start without any."""
        self._boots: dict[bytes, list[Anchor]] = {}
        self._meters: dict[bytes, dict[str, Anchor]] = {}

    def add(self, anchor: Anchor) -> None:
        """Take an anchor that is on flash. Two of the same moment: the first one seen stays."""
        if anchor.source.startswith(METER):
            self._add_meter(anchor)
            return
        anchors = self._boots.get(anchor.boot, [])
        at = bisect_right(anchors, anchor.boottime_ms, key=lambda one: one.boottime_ms)
        if at and anchors[at - 1].boottime_ms == anchor.boottime_ms:
            return
        self._boots[anchor.boot] = [*anchors[:at], anchor, *anchors[at:]]
        if len(self._boots) > MAX_BOOTS:
            del self._boots[next(iter(self._boots))]

    def _add_meter(self, anchor: Anchor) -> None:
        said = self._meters.setdefault(anchor.boot, {})
        if len(said) < MAX_METERS:
            said.setdefault(anchor.source, anchor)
        if len(self._meters) > MAX_BOOTS:
            del self._meters[next(iter(self._meters))]

    def knows(self, boot: bytes) -> bool:
        """Tell whether the boot has an anchor."""
        return boot in self._boots

    def anchor(self, boot: bytes, boottime_ms: int) -> Anchor | None:
        """Return the anchor that counts for a moment, or None when its boot has none."""
        return valid_at(self._boots.get(boot, ()), boottime_ms)

    def of(self, boot: bytes) -> Sequence[Anchor]:
        """Return a boot's anchors, ascending. What is returned is never changed, so other threads may look at it."""
        return self._boots.get(boot, ())

    def meters(self, boot: bytes) -> list[Anchor]:
        """Return what meters' clocks said in a boot."""
        return list(self._meters.get(boot, {}).values())

    def summary(self, limit: int, newest: bytes, since_ms: int | None = None) -> list[Anchor]:
        """Return what a new segment must repeat, `limit` anchors at most; the oldest boots are left out first.

        Of the boot `newest` the first anchor and all that count from `since_ms` on, the boot time of the earliest
        record that is to be in the segment; without one the last. Of the boots before the first; of a boot without
        any, what its meters' clocks said, as one.
        """
        anchors = self._boots.get(newest, [])
        counts = len(anchors) - 1
        if since_ms is not None:
            counts = min(counts, bisect_right(anchors, since_ms, key=lambda one: one.boottime_ms) - 1)
        rows = anchors[max(0, counts) :][::-1]
        boots = dict.fromkeys((newest, *reversed(self._boots), *reversed(self._meters)))
        for boot in boots:
            one = self._boots.get(boot, ())[:1] or median_clock(self.meters(boot))
            rows += [anchor for anchor in one if anchor not in rows]
        return rows[:limit][::-1]


def median_clock(said: Sequence[Anchor]) -> list[Anchor]:
    """Return the clock in the middle of the best that meters' clocks said; none where none was asked."""
    best = max((anchor.quality for anchor in said), default=0)
    row = sorted((anchor for anchor in said if anchor.quality == best), key=lambda anchor: anchor.zero_ms)
    return row[(len(row) - 1) // 2 :][:1]


class AnchorPolicy:
    """Decides when an anchor is due: at the first synchronised moment, at steps, hourly.

    One per run; fed about once a second with what the clock says.
    """

    __slots__ = ("_boot", "_last")

    def __init__(self, opened: Anchor) -> None:
        """Take the clocks as they stood when the run was made durable; synchronised, they are its first anchor."""
        self._boot = opened.boot
        self._last = opened if opened.synchronised else None

    def observe(self, boottime_ms: int, wall_ms: int, *, synchronised: bool, glimpsed: Sequence[Anchor] = ()
                ) -> Anchor | None:
        """Return an anchor that ought to become durable now, or None.

        `glimpsed` are anchors that count now and were not made here: a step they saw may be over by now.
        """
        if not synchronised:
            return None
        last = self._last
        if last is not None:
            zero_ms = wall_ms - boottime_ms
            stepped = any(abs(zero_ms - one.zero_ms) > STEP_MS for one in (last, *glimpsed))
            if not stepped and boottime_ms - last.boottime_ms < HOURLY_MS:
                return None
        self._last = Anchor(self._boot, boottime_ms, wall_ms, Quality.NTP, "sync")
        return self._last
