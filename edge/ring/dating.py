"""A time for boots that never had a right one: by what the ring knows of the boots around them, or by a meter's clock.

    the boot before   its last record's time    -> this boot began after that       (kept in OPEN and header: after_ms)
    the boot itself   its last record           -> it lasted so long at least
    a boot after it   when that one began       -> this one's last record came before that

Whatever is chosen becomes a durable anchor before anything dated by it is handed out, and is never chosen again.
"""

from collections.abc import Iterable

from edge.ring.segment import Run
from edge.ring.timebase import BRACKET, BY_METER, METER, Anchor, Quality, median_clock
from edge.ring.view import StreamView


def dated(boot: bytes, clock_zero_ms: int, said: list[Anchor], low_ms: int | None, high_ms: int | None) -> Anchor:
    """Return the anchor of a boot that is over (pure).

    `said` are what meters' clocks said in it; `clock_zero_ms`, `low_ms` and `high_ms` are UTC of its beginning: by its
    own clock, and the earliest and the latest possible.
    """
    contradict = low_ms is not None and high_ms is not None and low_ms > high_ms
    if contradict:
        low_ms = None      # some clock was wrong: the later knowledge stands
    for meter in median_clock(said):
        zero_ms = max(meter.zero_ms, meter.zero_ms if low_ms is None else low_ms)
        zero_ms = min(zero_ms, zero_ms if high_ms is None else high_ms)
        return Anchor(boot, 0, zero_ms, meter.quality, BY_METER + meter.source.removeprefix(METER), meter.error_ms)
    if low_ms is None and high_ms is not None and not contradict and clock_zero_ms <= high_ms:
        low_ms = clock_zero_ms      # a clock that is not right was set from a saved file or not at all: it is behind
    if low_ms is None:
        zero_ms = clock_zero_ms if high_ms is None else min(clock_zero_ms, high_ms)
        return Anchor(boot, 0, zero_ms, Quality.UNKNOWN, "held")
    return Anchor(boot, 0, low_ms, Quality.UNKNOWN, BRACKET, None if high_ms is None else high_ms - low_ms)


def dated_now(clock: Anchor, said: list[Anchor], low_ms: int | None) -> Anchor:
    """Return the anchor of the boot that is running, whose clock is not right (pure).

    `clock` is how it stands: better than a bound, unless it is behind what has certainly passed.
    """
    if median_clock(said) or (low_ms is not None and clock.zero_ms < low_ms):
        return dated(clock.boot, clock.zero_ms, said, low_ms, None)
    return clock


def began_after(views: Iterable[StreamView], boot: bytes) -> int | None:
    """Return UTC at which `boot`, which is just beginning, cannot have begun yet; None where no boot had a right time.

    To be asked before anything of the new run is written.
    """
    bounds = []
    for view in views:
        run = view.active.run if view.active is not None else None
        if run is None:
            continue
        if run.boot == boot:
            bounds.append(run.after_ms)
            continue
        last_ms = view.last_moment(run)
        anchor = view.timebase.anchor(run.boot, last_ms)
        if anchor is not None and anchor.synchronised:
            bounds.append(anchor.zero_ms + last_ms)
        elif run.after_ms is not None:
            bounds.append(run.after_ms + last_ms)
    return max((bound for bound in bounds if bound is not None), default=None)


def ended_before(views: Iterable[StreamView], run: Run) -> int | None:
    """Return UTC before which the boot of `run` had ended: when the next one with a right time began, None without."""
    zeros = []
    for view in views:
        for boot, epoch in view.boots():
            if epoch > run.epoch and boot != run.boot:
                zeros += [anchor.zero_ms for anchor in view.timebase.of(boot) if anchor.synchronised][:1]
    return min(zeros, default=None)


def date_of(run: Run, view: StreamView, views: Iterable[StreamView]) -> list[Anchor]:
    """Return the anchors of a boot that is over and has none in `view`: those of another stream, else a new one."""
    views = list(views)
    for other in views:
        if known := other.timebase.of(run.boot):
            return list(known)
    ended_ms = ended_before(views, run)
    high_ms = None if ended_ms is None else ended_ms - view.last_moment(run)
    said = [anchor for other in views for anchor in other.timebase.meters(run.boot)]
    return [dated(run.boot, run.clock.zero_ms, said, run.after_ms, high_ms)]


