"""A radio that replays a trace (I/O edge: reads one file, waits by the loop's clock)."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from halow.errors import AbsentReason, RadioAbsent
from halow.model import Change, LinkEvent, Mode, RadioFacts, RadioSample
from halow.trace import Moment, Trace, parse

MAC = "02:00:00:00:00:00"


class SimulatedRadio:
    """A `halow.base.Radio` that looks like its trace, in a loop. Its driver is called "simulated"."""

    def __init__(
        self,
        trace: Path,
        *,
        width_mhz: int = 2,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the file's name; it is read by `open`. `speed` is how many trace seconds pass in one second."""
        self._path = trace
        self._width_mhz = width_mhz
        self._speed = speed
        self._monotonic = monotonic
        self._trace: Trace | None = None
        self._started_at = 0.0
        self._announced: Moment | None = None
        self._queue: list[LinkEvent] = []

    async def open(self) -> None:
        """Read the trace, and start it at the first opening. See `Radio.open`."""
        try:
            text = await asyncio.to_thread(self._path.read_text)
            trace = parse(text)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise RadioAbsent(AbsentReason.NO_TRACE, f"{self._path}: {why}") from error
        if self._trace is None:
            self._started_at = self._monotonic()
        self._trace = trace
        self._announced = trace.at(self._elapsed_s())
        self._queue.clear()

    async def close(self) -> None:
        """Nothing to give back; the trace goes on. See `Radio.close`."""

    async def sample(self) -> RadioSample:
        """Return what the trace says about now. See `Radio.sample`."""
        moment = self._now()
        if not moment.present:
            raise RadioAbsent(AbsentReason.SWITCHED_OFF, "the simulated radio plays absent")
        facts = RadioFacts(
            interface="sim0", driver="simulated", mac=MAC, mode=Mode.AP, vendor="simulated",
            noise_dbm=moment.noise_dbm, width_mhz=self._width_mhz, channel=f"simulated, {self._width_mhz} MHz wide",
        )
        return RadioSample(facts, moment.peers)

    async def wait_event(self) -> LinkEvent:
        """Wait until a peer or the radio itself comes or goes in the trace. See `Radio.wait_event`."""
        while not self._queue:
            self._announce(self._now())
            if not self._queue:
                assert self._trace is not None
                await asyncio.sleep(self._trace.next_change_s(self._elapsed_s()) / self._speed + 0.001)
        return self._queue.pop(0)

    def _announce(self, moment: Moment) -> None:
        before, self._announced = self._announced, moment
        if before is None or before is moment:
            return
        if before.present != moment.present:
            self._queue.append(LinkEvent(Change.INTERFACE_ADDED if moment.present else Change.INTERFACE_GONE))
            return
        had, has = ({peer.mac for peer in at.peers} for at in (before, moment))
        self._queue += [LinkEvent(Change.PEER_REMOVED, mac) for mac in sorted(had - has)]
        self._queue += [LinkEvent(Change.PEER_ADDED, mac) for mac in sorted(has - had)]

    def _elapsed_s(self) -> float:
        return (self._monotonic() - self._started_at) * self._speed

    def _now(self) -> Moment:
        if self._trace is None:
            raise RadioAbsent(AbsentReason.NO_TRACE, "the simulated radio is not open")
        return self._trace.at(self._elapsed_s())
