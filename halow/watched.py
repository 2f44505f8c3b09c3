"""A radio with its daemon as a second source: the true channel, noise, and why a peer went (I/O edge).

    nl80211 ────► base radio ─► samples, events ─┐
    hostapd or wpa_supplicant ─► feed ─► facts ──┴─► one Radio for the monitor

The daemon is an extra: where there is none, or it may not be asked, the radio is watched all the same.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from halow import daemonwords
from halow.base import Radio
from halow.control import DIRECTORIES, ControlError, ControlSocket, Refused, pairs, socket_of
from halow.daemonwords import DaemonFacts
from halow.model import LinkEvent, Mode, RadioFacts, RadioSample

log = logging.getLogger(__name__)

FIRST_LOOK_S = 1.0
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
PING_S = 10.0
"""A daemon that was killed says nothing: it is asked whether it lives."""


class DaemonFeed:
    """Follows the daemon of one interface: attached as long as it lives, attached again when it is back."""

    def __init__(self, directories: Sequence[str] = DIRECTORIES, *, ping_s: float = PING_S,
                 retry_first_s: float = RETRY_FIRST_S) -> None:
        """Look in these directories for the interface's socket."""
        self.facts: DaemonFacts | None = None
        self.problem = ""
        self.attached = asyncio.Event()
        self.tried = asyncio.Event()      # once the first look has come to something
        self.events: deque[LinkEvent] = deque(maxlen=256)
        self.news = asyncio.Event()
        self._directories = directories
        self._ping_s = ping_s
        self._retry_first_s = retry_first_s

    async def run(self, interface: str) -> None:
        """Follow until cancelled."""
        rest_s = self._retry_first_s
        while True:
            path = socket_of(interface, self._directories)
            if path is not None:
                control = ControlSocket(path)
                try:
                    await control.open()
                    await control.attach()
                    rest_s = self._retry_first_s
                    await self._follow(control)
                except ControlError as error:
                    self._lost(str(error))
                finally:
                    await control.close()
            else:
                self._lost(f"no control socket of {interface} in {', '.join(self._directories)}")
            await asyncio.sleep(rest_s)
            rest_s = min(rest_s * 2, RETRY_MAX_S)

    def forget(self) -> None:
        """Let go of what was heard: it speaks of a daemon, or of a radio, that is followed no longer."""
        self.facts, self.problem = None, ""
        self.attached.clear()
        self.tried.clear()
        self.events.clear()

    async def _follow(self, control: ControlSocket) -> None:
        await self._look(control)
        log.log(logging.INFO if self.problem else logging.DEBUG, "the radio's daemon is followed at %s", control.path)
        self.problem = ""
        self.attached.set()
        self.tried.set()
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    text = await control.event()
            except TimeoutError:
                await self._look(control)      # asks, and so finds out whether it lives
                continue
            if text.startswith("CTRL-EVENT-TERMINATING"):
                raise ControlError(f"{control.path}: the daemon ends")
            self._heed(text)
            if (found := daemonwords.event(text)) is not None:
                await self._look(control)
                self.events.append(found)
                self.news.set()

    def _heed(self, text: str) -> None:
        waits = daemonwords.waits(text)
        if waits and self.facts is not None:
            self.facts = replace(self.facts, waits=waits)
            log.info("the daemon lets a network rest: %s", waits)

    async def _look(self, control: ControlSocket) -> None:
        status = pairs(await control.ask("STATUS"))
        if "wpa_state" in status:
            signal: dict[str, str] = {}
            with contextlib.suppress(Refused):      # FAIL while it is not connected
                signal = pairs(await control.ask("SIGNAL_POLL"))
            self.facts = daemonwords.station(status, signal)
        else:
            self.facts = daemonwords.access_point(status)

    def _lost(self, why: str) -> None:
        level = logging.DEBUG if why == self.problem else logging.INFO
        log.log(level, "the radio's daemon is not followed: %s", why)
        self.facts, self.problem = None, why
        self.attached.clear()
        self.tried.set()


class WatchedRadio:
    """A `halow.base.Radio` that adds what the daemon says to what the kernel shows."""

    def __init__(self, base: Radio, feed: DaemonFeed) -> None:
        """`feed` follows the daemon of the interface that `base` finds."""
        self.feed = feed
        self._base = base
        self._interface = ""
        self._following: asyncio.Task[None] | None = None
        self._base_event: asyncio.Task[LinkEvent] | None = None

    async def open(self) -> None:
        """See `Radio.open`."""
        await self._base.open()

    async def close(self) -> None:
        """See `Radio.close`."""
        await self._follow("")
        await _end(self._base_event)
        self._base_event = None
        await self._base.close()

    async def sample(self) -> RadioSample:
        """See `Radio.sample`."""
        sample = await self._base.sample()
        await self._follow(sample.facts.interface)
        facts = self.feed.facts
        return sample if facts is None else replace(sample, facts=merged(sample.facts, facts))

    async def wait_event(self) -> LinkEvent:
        """See `Radio.wait_event`; the daemon's events count as well."""
        while not self.feed.events:
            if self._base_event is None:
                self._base_event = asyncio.create_task(self._base.wait_event(), name="radio event")
            self.feed.news.clear()
            daemon = asyncio.create_task(self.feed.news.wait(), name="daemon event")
            try:
                await asyncio.wait({self._base_event, daemon}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(daemon)
            if self._base_event.done():
                done, self._base_event = self._base_event, None
                return done.result()
        return self.feed.events.popleft()

    async def _follow(self, interface: str) -> None:
        if interface == self._interface and (not interface or self._following is not None):
            return
        await _end(self._following)
        self.feed.forget()
        self._interface = interface
        self._following = None
        if interface:
            self._following = asyncio.create_task(self.feed.run(interface), name="radio daemon")
            with contextlib.suppress(TimeoutError):      # so that the first sample is as true as the later ones
                async with asyncio.timeout(FIRST_LOOK_S):
                    await self.feed.tried.wait()


def merged(kernel: RadioFacts, daemon: DaemonFacts) -> RadioFacts:
    """Return the radio's facts with the daemon's, which knows the S1G channel where the kernel shows another band."""
    width = daemon.width_mhz or kernel.width_mhz
    khz = daemon.s1g_khz or kernel.s1g_khz
    channel = kernel.channel
    if daemon.s1g_khz is not None and daemon.s1g_khz != kernel.s1g_khz:
        shown = f" (kernel {kernel.kernel_mhz})" if kernel.kernel_mhz is not None else ""
        channel = f"{daemon.s1g_khz / 1000:.1f} MHz" + (f", {width} MHz wide" if width else "") + shown
    return replace(
        kernel, sources=kernel.sources if channel == kernel.channel else (*kernel.sources, ("channel", daemon.kind)),
        s1g_khz=khz, width_mhz=width, channel=channel, ssid=kernel.ssid or daemon.ssid,
        s1g_channel=kernel.s1g_channel if khz == kernel.s1g_khz else None,
        noise_dbm=kernel.noise_dbm if kernel.noise_dbm is not None else daemon.noise_dbm,
        mode=kernel.mode if kernel.mode is not Mode.OTHER else (
            Mode.AP if daemon.kind == "hostapd" else Mode.STATION))


async def _end(task: "asyncio.Task[None] | asyncio.Task[LinkEvent] | asyncio.Task[bool] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()      # looked at: whoever waited has it, or nobody wants it any more


def control_directories(extra: str) -> tuple[str, ...]:
    """Return where to look: the operator's directory first, where one is set."""
    return (str(Path(extra)), *DIRECTORIES) if extra else DIRECTORIES
