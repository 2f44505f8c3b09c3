"""One look at a radio, for commands; and which `Radio` stands for what was asked."""

import time
from pathlib import Path

from halow.base import Radio
from halow.errors import RadioAbsent
from halow.interfaces import Wanted
from halow.model import LinkState, RadioState
from halow.quality import Thresholds
from halow.radios.kernel import KernelRadio
from halow.radios.simulated import SimulatedRadio
from halow.tracker import PeerTracker, TrackerSettings
from halow.watched import DaemonFeed, WatchedRadio, control_directories


def radio_for(wanted: Wanted, trace: str | Path = "", *, width_mhz: int = 2, control_dir: str = "") -> Radio:
    """Return the radio that replays `trace` where one is given, else the one of this machine.

    `control_dir`: where its hostapd or wpa_supplicant has its control socket, besides the usual places.
    """
    if trace:
        return SimulatedRadio(Path(trace), width_mhz=width_mhz)
    return WatchedRadio(KernelRadio(wanted), DaemonFeed(control_directories(control_dir)))


async def look_once(radio: Radio, *, width_mhz: int = 2) -> tuple[tuple[LinkState, ...], RadioState]:
    """Open the radio, take one sample, close it. No radio is a state, not an error."""
    now = time.monotonic()
    try:
        await radio.open()
        sample = await radio.sample()
    except RadioAbsent as error:
        return (), RadioState(present=False, since=now, reason=error.reason.value, detail=str(error))
    finally:
        await radio.close()
    thresholds = Thresholds.for_width(sample.facts.width_mhz or width_mhz)
    states = [
        PeerTracker(peer.mac, TrackerSettings()).add(peer, now, thresholds, sample.facts.noise_dbm)
        for peer in sorted(sample.peers, key=lambda peer: peer.mac)
    ]
    return tuple(states), RadioState(present=True, since=now, facts=sample.facts)
