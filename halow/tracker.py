"""One peer over time: from samples to the state that is shown and recorded (pure).

The RSSI a driver reports is that of the last frame received. A sample that brings no newer frame than the one before
therefore says nothing new about the signal, and does not enter the average.
"""

from collections import deque
from dataclasses import dataclass

from halow.model import Grade, LinkSample, LinkState
from halow.quality import EWMA_SPAN, TREND_SPAN, Ewma, Thresholds, plausible, regrade

STALE_POLLS = 3
"""So many looks in a row without a frame, or so long, and the figures describe the past."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How peers are judged. `silent_s`: a peer not heard for so long is lost although its driver still lists it.

    The default of `silent_s` is hostapd's `ap_max_inactivity`; Newracom firmware keeps dead stations for 30 minutes.
    """

    poll_s: float = 5.0
    window_s: float = 60.0
    silent_s: float = 300.0


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    rssi_dbm: int | None
    tx_packets: int | None
    tx_retries: int | None
    tx_failed: int | None


class PeerTracker:
    """The history of one peer. `now` is monotonic seconds."""

    def __init__(self, mac: str, settings: TrackerSettings) -> None:
        """Begin without history."""
        self.mac = mac
        self.settings = settings
        self._fast = Ewma(EWMA_SPAN)
        self._slow = Ewma(TREND_SPAN)
        self._window: deque[_Look] = deque()
        self._sample = LinkSample(mac)
        self._heard_at: float | None = None       # when the newest frame arrived, by `now` minus inactive time
        self._rssi_dbm: int | None = None
        self._rejected = 0
        self._floor_dbm: float | None = None
        self._grade = Grade.UNKNOWN
        self._away = False
        self._unheard = 0                         # looks in a row that brought no frame
        self.seen_at = float("-inf")              # when the driver last listed the peer

    def add(self, sample: LinkSample, now: float, thresholds: Thresholds, noise_dbm: int | None = None) -> LinkState:
        """Take in one sample of this peer; return the new state."""
        self._floor_dbm = thresholds.sensitivity_dbm
        fresh = self._note_heard(sample, now)
        age_s = self._age_s(now)
        if fresh:
            self._unheard = 0
        elif now - self.seen_at >= self.settings.poll_s / 2.0:      # one after an event comes early, and says nothing
            self._unheard += 1
        came_back = self._away and fresh
        if came_back:
            # What was before the absence says nothing about the link now.
            self._fast, self._slow = Ewma(EWMA_SPAN), Ewma(TREND_SPAN)
        if came_back or _restarted(self._sample, sample):
            self._window.clear()
        self.seen_at, self._sample = now, sample
        rssi_dbm = self._take_signal(sample) if fresh else None
        self._window.append(_Look(now, rssi_dbm, sample.tx_packets, sample.tx_retries, sample.tx_failed))
        while self._window[0].at < now - self.settings.window_s:
            self._window.popleft()
        if age_s is not None and age_s > self.settings.silent_s:
            self._away = True
            return self._become(Grade.LOST, now, noise_dbm, f"no frame for {age_s:.0f} s")
        if self._away and not fresh:
            return self._become(Grade.LOST, now, noise_dbm, "listed, but no frame since it was lost")
        self._away = False
        if self._fast.value is None:
            return self._become(Grade.UNKNOWN, now, noise_dbm)
        grade = regrade(Grade.UNKNOWN if came_back else self._grade, self._fast.value, thresholds)
        because = f"average of {self._fast.value:.0f} dBm" if grade is Grade.LOST else ""
        return self._become(grade, now, noise_dbm, because)

    def missing(self, now: float, because: str = "not associated any more") -> LinkState:
        """Note that the driver does not list the peer any more; return the new state."""
        self._away = True
        return self._become(Grade.LOST, now, None, because)

    def _note_heard(self, sample: LinkSample, now: float) -> bool:
        """Return whether a frame arrived since the last look. Without an inactive time every sample counts."""
        if sample.inactive_ms is None:
            self._heard_at = now
            return True
        heard_at = now - sample.inactive_ms / 1000.0
        # Half a poll of tolerance: the dump and `now` are not taken at the very same moment.
        fresh = self._heard_at is None or heard_at > self._heard_at + min(0.5, self.settings.poll_s / 2.0)
        if fresh:
            self._heard_at = heard_at
        return fresh

    def _take_signal(self, sample: LinkSample) -> int | None:
        if sample.signal_dbm is None:
            return None
        if not plausible(sample.signal_dbm):
            self._rejected += 1
            return None
        self._rssi_dbm = sample.signal_dbm
        self._fast.add(sample.signal_dbm)
        self._slow.add(sample.signal_dbm)
        return sample.signal_dbm

    def _age_s(self, now: float) -> float | None:
        return None if self._heard_at is None else max(0.0, now - self._heard_at)

    def _become(self, grade: Grade, now: float, noise_dbm: int | None, lost_because: str = "") -> LinkState:
        changed = grade is not self._grade
        self._grade = grade
        age_s = self._age_s(now)
        # Of a peer that is away only the last RSSI is told: an average of the past would pass for the present.
        heard = [] if self._away else [look.rssi_dbm for look in self._window if look.rssi_dbm is not None]
        average, slow = (None, None) if self._away else (self._fast.value, self._slow.value)
        return LinkState(
            mac=self.mac,
            grade=grade,
            changed=changed,
            stale=self._unheard >= STALE_POLLS or (age_s is not None and age_s > STALE_POLLS * self.settings.poll_s),
            rssi_dbm=self._rssi_dbm,
            rssi_avg_dbm=average,
            rssi_min_dbm=min(heard, default=None),
            rssi_max_dbm=max(heard, default=None),
            trend_db=None if average is None or slow is None or self._fast.count < EWMA_SPAN else average - slow,
            snr_db=self._snr_db(average, noise_dbm),
            margin_db=None if average is None or self._floor_dbm is None else average - self._floor_dbm,
            age_s=age_s,
            connected_s=self._sample.connected_s,
            samples=self._fast.count,
            rejected=self._rejected,
            retries_per_100=self._per_100([look.tx_retries for look in self._window]),
            failed_per_100=self._per_100([look.tx_failed for look in self._window]),
            tx_rate=None if self._away else self._sample.tx_rate,
            rx_rate=None if self._away else self._sample.rx_rate,
            lost_because=lost_because,
        )

    def _snr_db(self, average_dbm: float | None, noise_dbm: int | None) -> float | None:
        """Return what the vendor measured, else the average over the noise floor."""
        if average_dbm is None:
            return None
        if self._sample.snr_db is not None:
            return float(self._sample.snr_db)
        return None if noise_dbm is None else average_dbm - noise_dbm

    def _per_100(self, counts: list[int | None]) -> float | None:
        """Return the growth of a counter per 100 frames sent within the window; None when nothing was sent."""
        sent = [look.tx_packets for look in self._window]
        pairs = [(count, of) for count, of in zip(counts, sent, strict=True) if count is not None and of is not None]
        if self._away or len(pairs) < 2 or pairs[-1][1] <= pairs[0][1]:
            return None
        return 100.0 * max(0, pairs[-1][0] - pairs[0][0]) / (pairs[-1][1] - pairs[0][1])


def _restarted(before: LinkSample, after: LinkSample) -> bool:
    """Tell whether the peer associated anew in between, so that its counters began again."""
    for old, new in ((before.connected_s, after.connected_s), (before.tx_packets, after.tx_packets)):
        if old is not None and new is not None and new < old:
            return True
    return False
