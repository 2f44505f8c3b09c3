"""One look at a radio, for commands; and which `Radio` stands for what was asked."""

import shlex
import time
from functools import partial
from pathlib import Path
from typing import Protocol

from halow.aided import AidedRadio, Tools
from halow.base import Radio
from halow.errors import RadioAbsent
from halow.interfaces import Wanted
from halow.model import LinkState, RadioState
from halow.quality import Thresholds
from halow.radios.external import External, ExternalRadio
from halow.radios.kernel import KernelRadio
from halow.radios.simulated import SimulatedRadio
from halow.tracker import PeerTracker, TrackerSettings
from halow.watched import DaemonFeed, WatchedRadio, control_directories


def radio_for(wanted: Wanted, trace: str | Path = "", *, width_mhz: int = 2, control_dir: str = "",
              vendor_tool: str = "", external: External | None = None) -> Radio:
    """Return the radio that replays `trace` where one is given, a box's by `external`, else the one of this machine.

    `control_dir`: where its hostapd or wpa_supplicant has its control socket, besides the usual places. `vendor_tool`:
    the command that runs morse_cli or cli_app, "" for the one in the PATH.
    """
    if trace:
        return SimulatedRadio(Path(trace), width_mhz=width_mhz)
    if external is not None:
        return ExternalRadio(external, width_mhz=width_mhz)
    watched = WatchedRadio(KernelRadio(wanted), DaemonFeed(control_directories(control_dir)))
    return AidedRadio(watched, partial(Tools, vendor_tool))


class RadioWish(Protocol):
    """What a settings file says of the radio, by shape: `edge.config.RadioSettings` has it."""

    @property
    def kind(self) -> str: ...
    @property
    def interface(self) -> str: ...
    @property
    def driver(self) -> str: ...
    @property
    def mac(self) -> str: ...
    @property
    def trace(self) -> str: ...
    @property
    def control_dir(self) -> str: ...
    @property
    def vendor_tool(self) -> str: ...
    @property
    def external_command(self) -> str: ...
    @property
    def external_file(self) -> str: ...
    @property
    def external_timeout_s(self) -> float: ...
    @property
    def external_stale_s(self) -> float: ...
    @property
    def width_mhz(self) -> int: ...


def radio_of(wish: RadioWish) -> Radio:
    """Return the radio that a settings file means. ValueError for a command with an open quotation mark."""
    external = None
    if wish.kind == "external":
        external = External(tuple(shlex.split(wish.external_command)), wish.external_file, wish.external_timeout_s,
                            wish.external_stale_s)
    return radio_for(Wanted(wish.interface, wish.driver, wish.mac), wish.trace if wish.kind == "simulated" else "",
                     width_mhz=wish.width_mhz, control_dir=wish.control_dir, vendor_tool=wish.vendor_tool,
                     external=external)


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
