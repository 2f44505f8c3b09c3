"""The radio of this machine, seen through nl80211 (I/O edge).

Each sample asks for the interfaces anew: that costs one small dump, gives the channel, and finds the radio again after
a driver reload, which changes its ifindex. No privilege is needed; the process must be allowed AF_NETLINK sockets.
"""

import asyncio
import errno
from collections import deque
from dataclasses import replace
from types import ModuleType

from halow.errors import AbsentReason, RadioAbsent
from halow.interfaces import Interface, Wanted, choose, country_of, with_driver
from halow.model import Change, KernelRules, LinkEvent, RadioSample, Survey
from halow.netlink import NetlinkSocket, resolve_family, split
from halow.radios import is_halow, vendor_of
from halow.regulatory import domain_of

NETLINK_GENERIC = 16
FAMILY = "nl80211"
NO_DOMAIN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)
SURVEY_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)


class KernelRadio:
    """A `halow.base.Radio` over nl80211; `wanted` says which interface."""

    def __init__(self, wanted: Wanted, *, timeout_s: float = 5.0) -> None:
        """Keep what to look for; nothing is opened yet. `timeout_s` bounds each question to the kernel."""
        self._wanted = wanted
        self._timeout_s = timeout_s
        self._asks: NetlinkSocket | None = None
        self._hears: NetlinkSocket | None = None
        self._family = 0
        self._codec: ModuleType | None = None       # halow.nl80211, loaded when there is something to decode
        self._ifindex: int | None = None
        self._was_there = False
        self._events: deque[LinkEvent] = deque()

    async def open(self) -> None:
        """Find nl80211 and subscribe to its events. See `Radio.open`."""
        await self.close()
        try:
            self._asks = NetlinkSocket(NETLINK_GENERIC, timeout_s=self._timeout_s)
            self._family, groups = await resolve_family(self._asks, FAMILY)
            self._hears = NetlinkSocket(NETLINK_GENERIC)
            for group in ("mlme", "config"):
                if group in groups:
                    self._hears.join(groups[group])
        except OSError as error:
            await self.close()
            raise _absent(error, "nl80211") from error
        # pyroute2 takes long to import on a small board: not in the loop's thread.
        self._codec = await asyncio.to_thread(_load_codec)

    async def close(self) -> None:
        """Close both sockets. See `Radio.close`."""
        for sock in (self._asks, self._hears):
            if sock is not None:
                sock.close()
        self._asks = self._hears = None
        self._ifindex = None
        self._events.clear()

    async def sample(self) -> RadioSample:
        """Dump interfaces, stations and survey. See `Radio.sample`."""
        asks, codec = self._ready()
        try:
            entries = [codec.interface(one) for one in await asks.dump(self._family, codec.ask(codec.GET_INTERFACE))]
            there = [with_driver(one) for one in entries if one is not None]
            chosen = choose(there, self._wanted, is_halow)
            self._ifindex, self._was_there = chosen.ifindex, True
            return await self._look(chosen)
        except RadioAbsent as error:
            self._ifindex = None
            if self._was_there and error.reason is AbsentReason.NO_INTERFACE:
                raise RadioAbsent(AbsentReason.INTERFACE_GONE, f"the radio's interface is gone: {error}") from error
            raise
        except (OSError, ValueError) as error:
            raise _absent(error, str(self._wanted)) from error

    async def _look(self, chosen: Interface) -> RadioSample:
        asks, codec = self._ready()
        vendor = vendor_of(chosen.driver)
        peers = []
        for message in await asks.dump(self._family, codec.ask(codec.GET_STATION, chosen.ifindex)):
            station = codec.station(message)
            if station is not None:
                peers.append(vendor.correct(station))
            await asyncio.sleep(0)      # a station costs 0.3 ms on a desktop: the meters' sockets get their turn
        survey = await self._survey(chosen.ifindex)
        rules = await self._rules(chosen)
        country = country_of(vendor.country_parameter)
        if not country and rules is not None and vendor.country_from_kernel:
            country = rules.country
        facts = vendor.facts(chosen, country, None if survey is None else survey.noise_dbm)
        return RadioSample(replace(facts, kernel_rules=rules), tuple(peers), survey)

    async def _rules(self, chosen: Interface) -> KernelRules | None:
        """Ask what the kernel allows here; one that does not say is no reason to see no radio."""
        asks, _ = self._ready()
        try:
            domain = await domain_of(asks, self._family, chosen.wiphy)
        except OSError as error:
            if error.errno in NO_DOMAIN:
                return None
            raise
        return None if domain is None else domain.at(chosen.kernel_mhz)

    async def _survey(self, ifindex: int) -> Survey | None:
        asks, codec = self._ready()
        try:
            surveys = await asks.dump(self._family, codec.ask(codec.GET_SURVEY, ifindex))
        except OSError as error:
            if error.errno in SURVEY_UNSUPPORTED:
                return None
            raise
        found: list[Survey | None] = [codec.survey(one) for one in surveys]
        return next((one for one in found if one is not None), None)

    async def wait_event(self) -> LinkEvent:
        """Wait for a station or interface that comes or goes. See `Radio.wait_event`."""
        _, codec = self._ready()
        while not self._events:
            if self._hears is None:
                raise RadioAbsent(AbsentReason.FAULT, "the radio was closed")
            try:
                for kind, _, _, message in split(await self._hears.receive()):
                    found = codec.event(message, self._ifindex) if kind == self._family else None
                    if found is not None:
                        self._events.append(found)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOBUFS:
                    return LinkEvent(Change.RESYNC)
                raise _absent(error, "events of nl80211") from error
        return self._events.popleft()

    def _ready(self) -> tuple[NetlinkSocket, ModuleType]:
        if self._asks is None or self._codec is None:
            raise RadioAbsent(AbsentReason.FAULT, "the radio is not open")
        return self._asks, self._codec


def _load_codec() -> ModuleType:
    from halow import nl80211  # noqa: PLC0415 - 14 MB and 0.2 s that a machine without a radio does not pay

    return nl80211


def _absent(error: OSError | ValueError, about: str) -> RadioAbsent:
    """Turn what the system says into a reason and a line for people."""
    code = getattr(error, "errno", None)
    if isinstance(error, TimeoutError):
        return RadioAbsent(AbsentReason.NO_ANSWER, f"{about}: the kernel did not answer in time")
    if code in (errno.ENOENT, errno.EPROTONOSUPPORT):
        return RadioAbsent(AbsentReason.NO_NL80211,
                           "this kernel has no Wi-Fi (nl80211): load the radio's driver, or set the radio to none")
    if code in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
        return RadioAbsent(AbsentReason.NOT_PERMITTED,
                           f"{about}: not permitted ({error}); the service needs AF_NETLINK sockets")
    if code in (errno.ENODEV, errno.ENXIO):
        return RadioAbsent(AbsentReason.INTERFACE_GONE, f"the interface of {about} went away")
    return RadioAbsent(AbsentReason.FAULT, f"{about}: {error}")
