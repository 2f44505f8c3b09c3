"""The whole ring on the writing side, synchronous: opens all streams, commits, reads, tells losses.

It runs in one thread. The file system, the clock and the source of random bytes come in from outside, so a test can
stand in for each.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge.config import RingSettings, WhenFull
from edge.errors import RingError
from edge.model import SEQ_BITS, Stamp, Stored, Stream
from edge.ring.batch import Commit
from edge.ring.dating import began_after, date_of, dated_now
from edge.ring.fs import FileSystem
from edge.ring.key import KeyPort, unlock
from edge.ring.layout import MAX_EPOCH, quotas, slot_size
from edge.ring.log import StreamLog
from edge.ring.losses import Deposit, Loss, LossReason
from edge.ring.pool import SlotPool, StreamFull
from edge.ring.records import boot_bytes
from edge.ring.segment import Run
from edge.ring.slots import ring_of, survey
from edge.ring.timebase import Anchor, Quality
from edge.ring.view import StreamView, load_streams

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of a commit: everything below ordinal `end` is durable; `untold` are losses that need a gap record.

    `timed`: there is a new anchor, so records may be readable that were not. `slot_wanted`: see `Engine.prepare`.
    """

    end: int
    error: OSError | None
    untold: tuple[tuple[Stream, Loss], ...]
    timed: bool
    slot_wanted: bool


def anchor_of(stamp: Stamp, boot: bytes, source: str) -> Anchor:
    """Return the two clocks of a stamp as an anchor, with the quality that the clock vouches for."""
    quality = Quality.NTP if stamp.synchronised else Quality.UNKNOWN
    return Anchor(boot, stamp.boottime_ms, stamp.wall_ms, quality, source)


def when_full(settings: RingSettings, stream: Stream) -> WhenFull:
    """Return what a stream does with its oldest records when it is full."""
    return {Stream.ALARM: settings.alarm_when_full, Stream.BILLING: settings.billing_when_full,
            Stream.INSTANT: settings.instant_when_full}[stream]


class Engine:
    """All streams of one ring directory."""

    def __init__(self, fs: FileSystem, directory: Path, settings: RingSettings, now: Callable[[], Stamp],
                 entropy: Callable[[int], bytes], *, key: KeyPort | None = None, runs_beyond: int = 0) -> None:
        """Load what is there and begin a run. `errors` says in which streams the run is not durable yet, and why.

        Raises RingError when the directory cannot be listed, RingLocked when `key` does not open what is there, or has
        none for what is to be encrypted; nothing was written then. `runs_beyond`: leave so many epochs out, which
        somebody may have used whose segments are gone.
        """
        opened = now()
        self.boot = boot_bytes(opened.boot_id)
        self.settings = settings
        slot_bytes = slot_size(int(settings.slot_mib * (1 << 20)), settings.size_mib << 20)
        bounds = quotas(settings.size_mib << 20, slot_bytes, settings.alarm_share, settings.billing_share)
        places = {stream: directory / stream.name.lower() for stream in Stream}
        try:
            found = {stream: survey(fs, place, stream) for stream, place in places.items()}
            ring = ring_of(slot for slots in found.values() for slot in slots) or entropy(16)
            keys = unlock((slot for slots in found.values() for slot in slots), ring, key, wanted=settings.encrypt)
            views = load_streams(lambda s, deposit: StreamView(
                fs, s, found[s], ring, boot=self.boot, boot_id=opened.boot_id, keys=keys, deposit=deposit))
            after_ms = began_after(views.values(), self.boot)
        except OSError as error:
            raise RingError(f"ring {directory} cannot be read: {error}") from error
        epoch = 1 + runs_beyond + max(view.epoch for view in views.values())
        if epoch > MAX_EPOCH:
            raise RingError(f"ring {directory} has used up its {MAX_EPOCH} starts; move the directory away")
        self.opened = anchor_of(opened, self.boot, "open")
        self.after_ms = after_ms
        run = Run(epoch, self.boot, opened.boottime_ms, self.opened, after_ms)
        self.logs: dict[Stream, StreamLog] = {}
        for stream, view in views.items():
            pool = SlotPool(fs, places[stream], found[stream], slot_bytes=slot_bytes, quota_bytes=bounds[stream],
                            keeps=when_full(settings, stream) != "drop_oldest")
            self.logs[stream] = StreamLog(view, pool, run, entropy, lambda: anchor_of(now(), self.boot, "segment"),
                                          sealed=settings.encrypt)
        self.slot_bytes = slot_bytes
        self._handed: dict[int, int] = dict(views[Stream.ALARM].state.told)
        for stream, view in views.items():
            view.state.losses.forget(self._handed.get(stream, 0))
        self.errors = self._begin(entropy)
        self._shrink()

    def _begin(self, entropy: Callable[[int], bytes]) -> dict[Stream, OSError]:
        failed: dict[Stream, OSError] = {}
        for stream, stream_log in self.logs.items():
            try:
                stream_log.begin()
            except OSError as error:
                stream_log.view.failing = not isinstance(error, StreamFull)
                # its numbers are not reserved on flash: jump, so that the next start is unlikely to give the same
                jump = int.from_bytes(entropy(2), "little") & 0xFFF
                epoch = min(MAX_EPOCH, stream_log.run.epoch + jump)
                stream_log.run = stream_log.run._replace(epoch=epoch)
                if self.opened.synchronised:
                    self._keep(stream_log, self.opened)      # as it would have been by the opening
                failed[stream] = error
        return failed

    def _shrink(self) -> None:
        for stream, stream_log in self.logs.items():
            try:
                if stream not in self.errors:
                    stream_log.shrink()
            except OSError as error:
                log.warning("ring %s: slots beyond the quota cannot be given back: %s", stream.name.lower(), error)

    def commit(self, stream: Stream, commit: Commit) -> Outcome:
        """Make a batch durable; see StreamLog.commit. Errors of storage come back in the outcome."""
        stream_log = self.logs[stream]
        error: OSError | None = None
        anchors = stream_log.waiting_anchors
        if stream is Stream.ALARM:
            self._deposit(stream_log.view)
        try:
            stream_log.commit(commit)
        except OSError as caught:
            error = caught
        stream_log.view.failing = error is not None and not isinstance(error, StreamFull)
        if stream is Stream.ALARM:
            for number, no in stream_log.view.state.told.items():
                self.logs[Stream(number)].view.state.losses.forget(no)
            for number, no in stream_log.view.state.deposited.items():
                losses = self.logs[Stream(number)].view.state.losses
                losses.durable_no = max(losses.durable_no, no)
        for anchor in anchors:
            if anchor in stream_log.waiting_anchors:
                # it cannot be made durable: better once more with another time than held for as long as that lasts
                stream_log.view.timebase.add(anchor)
        wanted = error is None and stream_log.pool.wants_slot(stream_log.view)
        return Outcome(stream_log.view.next_ordinal, error, tuple(self.untold()), bool(anchors), wanted)

    def _deposit(self, alarms: StreamView) -> None:
        """Give the alarm stream what streams that keep what they have lost, until their own logs say it."""
        deposits, epoch = {}, self.logs[Stream.ALARM].run.epoch      # that of a full stream is not on flash
        for stream, stream_log in self.logs.items():
            losses = stream_log.view.state.losses
            if stream is not Stream.ALARM and stream_log.pool.keeps and losses.own_no < losses.last_no:
                with stream_log.view.lock:
                    deposits[int(stream)] = Deposit(epoch, stream_log.view.state.acks.copy(),
                                                    losses.unstated())
        with alarms.lock:
            alarms.state.deposits = deposits

    def prepare(self, stream: Stream) -> bool:
        """Take one step towards the slot that the stream needs next; True when more are needed.

        Behind a commit, not in it, and in steps: whoever waits for the flash never waits for a whole slot.
        """
        stream_log = self.logs[stream]
        try:
            return stream_log.pool.prepare(stream_log.view)
        except OSError as error:
            # a slot that could not be made ahead is no failure: it is made when it is needed, or the oldest goes
            log.debug("ring: %s", error)
            return False

    def untold(self) -> list[tuple[Stream, Loss]]:
        """Return the durable losses that have no gap record yet; each is returned once per run."""
        fresh = []
        for stream, stream_log in self.logs.items():
            losses = stream_log.view.state.losses
            for loss in losses.untold:
                if self._handed.get(stream, 0) < loss.no <= losses.durable_no:
                    self._handed[stream] = loss.no
                    fresh.append((stream, loss))
        return fresh

    def read(self, stream: Stream, first: int, limit_records: int, limit_bytes: int) -> list[Stored]:
        """Return the oldest un-acknowledged records from ordinal `first` on."""
        return self.logs[stream].view.read(first, limit_records, limit_bytes)

    def read_newest(self, stream: Stream, end: int, limit_records: int, limit_bytes: int) -> list[Stored]:
        """Return the newest un-acknowledged records below ordinal `end`."""
        return self.logs[stream].view.read_newest(end, limit_records, limit_bytes)

    def anchor(self, stream: Stream, anchor: Anchor) -> None:
        """Let an anchor ride with the stream's next commit."""
        self.logs[stream].keep_anchor(anchor)

    def segment_clocks(self, boottime_ms: int) -> list[Anchor]:
        """Return the anchors that count for a moment of this run because a segment began then. From any thread."""
        counting = [stream_log.anchor_at(boottime_ms) for stream_log in self.logs.values()]
        return [anchor for anchor in counting if anchor is not None and anchor.source == "segment"]

    def date(self, stream: Stream, now: Stamp) -> None:
        """Give the boots whose records were wanted and had no time one, for good; it rides with the next commit."""
        stream_log = self.logs[stream]
        view = stream_log.view
        for boot, run in list(view.undated.items()):
            if boot != self.boot:
                anchors = date_of(run, view, self.views)
            elif stream_log.anchor_at(now.boottime_ms) is None:
                anchors = self._date_now(now)
            else:
                anchors = []
            for anchor in anchors:
                self._keep(stream_log, anchor)
        view.undated.clear()

    def _keep(self, stream_log: StreamLog, anchor: Anchor) -> None:
        stream_log.keep_anchor(anchor)
        if stream_log.view.failing or not stream_log.has_page():
            # it cannot be made durable: better once more with another time than never
            stream_log.view.timebase.add(anchor)

    def _date_now(self, now: Stamp) -> list[Anchor]:
        for other in self.logs.values():
            if known := other.anchor_at(now.boottime_ms):
                return [known]
        said = [anchor for view in self.views for anchor in view.timebase.meters(self.boot)]
        return [dated_now(anchor_of(now, self.boot, "held"), said, self.after_ms)]

    @property
    def views(self) -> list[StreamView]:
        """All streams as they are on flash."""
        return [stream_log.view for stream_log in self.logs.values()]

    def lose(self, stream: Stream, first: int, last: int, reason: str) -> None:
        """Count records as lost that never came to flash."""
        self.logs[stream].view.lose(first, last, reason)

    def turn_away(self, stream: Stream, count: int, wall_ms: int) -> None:
        """Count records as lost that the stream refused; they have no numbers."""
        view = self.logs[stream].view
        seq = self.logs[stream].run.epoch << SEQ_BITS | view.next_ordinal
        with view.lock:
            view.state.losses.add(seq, seq, count, LossReason.FULL, (None, wall_ms))

    def close(self) -> None:
        """Let go of all files."""
        for stream_log in self.logs.values():
            stream_log.close()
