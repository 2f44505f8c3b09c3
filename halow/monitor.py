"""The worker that watches a radio: samples and events in, judged states out.

    absent ──open, sample──► watching ──tick or event──► watching      every look ends in one callback
      ▲          │ RadioAbsent           │ RadioAbsent
      └──────────┴── wait, longer each time; an interface that went away is looked for at every tick
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from halow.base import Radio
from halow.errors import AbsentReason, RadioAbsent
from halow.health import AirWatch
from halow.model import Change, LinkEvent, LinkState, Mode, RadioSample, RadioState
from halow.quality import Thresholds
from halow.regions import region_of
from halow.tracker import PeerTracker, TrackerSettings

log = logging.getLogger(__name__)

Callback = Callable[[tuple[LinkState, ...], RadioState], None]
Pulse = Callable[[float], None]

EVENT_GAP_S = 0.5             # events come in bursts: one look serves them all
PULSE_SPARE_S = 30.0          # what a look may take at the most: five netlink questions with their time-outs


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """How a radio is watched. `width_mhz` grades a radio whose true width is not known."""

    interval_s: float = 5.0
    width_mhz: int = 2
    window_s: float = 60.0
    silent_s: float = 300.0
    absent_max_s: float = 60.0
    forget_s: float = 86_400.0     # a lost peer is shown for so long
    peers_max: int = 512


class Monitor:
    """Watches one radio. `states()` gives the newest judgement of its peers at any time."""

    def __init__(
        self,
        radio: Radio,
        callback: Callback,
        settings: MonitorSettings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`callback` runs in the loop after each look and each loss, and must not block."""
        self._radio = radio
        self._callback = callback
        self._settings = settings or MonitorSettings()
        self._monotonic = monotonic
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._trackers: dict[str, PeerTracker] = {}
        self._states: dict[str, LinkState] = {}
        self._judging = TrackerSettings(self._settings.interval_s, self._settings.window_s, self._settings.silent_s)
        self._radio_state = RadioState(present=False, since=monotonic(), reason="", detail="not looked yet")
        self._misses = 0
        self._air = AirWatch(self._settings.width_mhz)

    def use(self, settings: MonitorSettings, radio: Radio | None = None) -> None:
        """Watch by other settings from the next `run` on, another radio where one is given. Peers stay known.

        Not while `run` is under way.
        """
        self._radio, self._settings = radio or self._radio, settings
        self._judging = TrackerSettings(settings.interval_s, settings.window_s, settings.silent_s)
        for tracker in self._trackers.values():
            tracker.settings = self._judging

    def states(self) -> tuple[LinkState, ...]:
        """Return the newest state of every peer, by MAC."""
        return tuple(self._states[mac] for mac in sorted(self._states))

    async def run(self, pulse: Pulse) -> None:
        """Watch until cancelled. A missing radio is a state, not an error; what is raised is a bug.

        `pulse(within_s)` is called before each wait with the time until the next sign of life. Cancelling closes the
        radio and goes on.
        """
        while True:
            pulse(self._settings.interval_s + PULSE_SPARE_S)
            try:
                await self._radio.open()
                await self._watch(pulse)
            except RadioAbsent as error:
                self._absent(error)
            finally:
                await self._radio.close()
            rest_s = self._rest_s()
            pulse(rest_s + PULSE_SPARE_S)
            await asyncio.sleep(rest_s)

    async def _watch(self, pulse: Pulse) -> None:
        """Look at every tick and after every event, until the radio has to be opened anew."""
        event = asyncio.ensure_future(self._radio.wait_event())
        try:
            while True:
                gone = await self._look()
                pulse(self._settings.interval_s + PULSE_SPARE_S)
                next_tick = self._monotonic() + self._settings.interval_s
                while (left_s := next_tick - self._monotonic()) > 0:
                    await asyncio.wait({event}, timeout=left_s)
                    if event.done():
                        happened = event.result()
                        event = asyncio.ensure_future(self._radio.wait_event())
                        self._heed(happened, gone=gone)
                        next_tick = min(next_tick, self._monotonic() + EVENT_GAP_S)
        finally:
            event.cancel()
            await asyncio.wait({event})
            if not event.cancelled():
                event.exception()      # looked at: `_look` has just failed with the same news

    async def _look(self) -> bool:
        """Take one sample; return whether the interface is away for the moment. Other absences are raised."""
        try:
            sample = await self._radio.sample()
        except RadioAbsent as error:
            if error.reason not in (AbsentReason.INTERFACE_GONE, AbsentReason.SWITCHED_OFF, AbsentReason.NO_INTERFACE):
                raise
            self._absent(error)
            return True
        self._present(sample)
        return False

    def _heed(self, event: LinkEvent, *, gone: bool) -> None:
        """Act on an event at once where that is possible; the look that follows sees the rest."""
        log.debug("radio event: %s %s", event.change, event.mac)
        tracker = self._trackers.get(event.mac)
        if event.change is Change.PEER_REMOVED and tracker is not None and not gone:
            because = f"disassociated ({event.reason})" if event.reason else "disassociated"
            self._states[event.mac] = tracker.missing(self._monotonic(), because)
            self._deliver()

    def _present(self, sample: RadioSample) -> None:
        now = self._monotonic()
        before = self._radio_state
        if not before.present:
            log.info("radio %s (%s) is there: %s", sample.facts.interface, sample.facts.driver, sample.facts.channel)
        self._misses = 0
        since = before.since if before.present else now
        use, region = self._air.add(sample, now), region_of(sample.facts.country)
        self._radio_state = RadioState(
            present=True, since=since, facts=sample.facts, absences=before.absences, busy_pct=use.busy_pct,
            duty_pct=use.duty_pct, deaf_s=use.deaf_s, firmware_hangs_s=sample.firmware_hangs_s,
            duty_limit_pct=None if region is None else region.duty_pct(access_point=sample.facts.mode is Mode.AP))
        thresholds = Thresholds.for_width(sample.facts.width_mhz or self._settings.width_mhz)
        listed = set()
        for peer in sample.peers:
            listed.add(peer.mac)
            tracker = self._trackers.setdefault(peer.mac, PeerTracker(peer.mac, self._judging))
            self._states[peer.mac] = tracker.add(peer, now, thresholds, sample.facts.noise_dbm)
        for mac, tracker in self._trackers.items():
            if mac not in listed:
                self._states[mac] = tracker.missing(now)
        self._forget(now)
        self._deliver()

    def _absent(self, error: RadioAbsent) -> None:
        now = self._monotonic()
        before = self._radio_state
        self._air.gone()
        self._misses += 1
        news = before.present or before.reason != error.reason.value
        log.log(logging.WARNING if news else logging.DEBUG, "no radio: %s", error)
        self._radio_state = RadioState(
            present=False, since=before.since if not before.present and before.reason else now,
            reason=error.reason.value, detail=str(error), absences=before.absences + before.present,
        )
        for mac, tracker in self._trackers.items():
            self._states[mac] = tracker.missing(now, f"no radio: {error.reason.value}")
        self._forget(now)
        self._deliver()

    def _rest_s(self) -> float:
        """Return how long to wait before the radio is opened again: doubling, jittered, bounded."""
        longest = min(self._settings.absent_max_s, self._settings.interval_s * 2.0 ** min(self._misses, 10))
        return longest * (1.0 - 0.5 * self._rng.random())

    def _forget(self, now: float) -> None:
        """Drop peers that were lost long ago, and the longest lost ones when there are too many."""
        by_age = sorted(self._trackers, key=lambda mac: self._trackers[mac].seen_at)
        surplus = len(by_age) - self._settings.peers_max
        for index, mac in enumerate(by_age):
            if index < surplus or self._trackers[mac].seen_at < now - self._settings.forget_s:
                del self._trackers[mac], self._states[mac]

    def _deliver(self) -> None:
        """Hand the states out; a change is told once."""
        states = self.states()
        for state in states:
            if state.changed:
                average = "no RSSI" if state.rssi_avg_dbm is None else f"{state.rssi_avg_dbm:.1f} dBm"
                because = f" ({state.lost_because})" if state.lost_because else ""
                log.info("peer %s: link %s, %s%s", state.mac, state.grade.label, average, because)
                self._states[state.mac] = replace(state, changed=False)
        self._callback(states, self._radio_state)
