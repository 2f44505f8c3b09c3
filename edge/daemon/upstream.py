"""Runs the uplink as soon as there are credentials and a CA that can be used, and says why while there are none."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from edge.clock import Clock
from edge.config import Settings
from edge.credentials import Login
from edge.daemon.admission import Admission
from edge.daemon.bdseq import BdSeq
from edge.daemon.zones import local_minute
from edge.errors import ConfigError, UplinkError
from edge.health.promise import Pulse
from edge.model import Record
from edge.remote.hands import Hands
from edge.ring.store import Ring
from edge.uplink.addresses import Addresses
from edge.uplink.attributes import Attributes
from edge.uplink.claiming import Claiming
from edge.uplink.pathwatch import PathWatch
from edge.uplink.presence import nobody_is_silent
from edge.uplink.proof import Proof
from edge.uplink.talk import Talk
from edge.uplink.uplink import Uplink, UplinkState

log = logging.getLogger(__name__)

LOOK_S = 5.0
SPARE_S = 30.0


class Upstream:
    """Owns the uplink over its life."""

    def __init__(self, settings: Settings, ring: Ring, clock: Clock, rng: random.Random,
                 profile_of: Callable[[str], str], tell: Callable[[Record], object],
                 talks: Sequence[Talk] = (), keep: Callable[[Record], object] = lambda _record: None,
                 silent: Callable[[str], bool] = nobody_is_silent,
                 alarm: Callable[[Record], object] = lambda _record: None) -> None:
        """`profile_of` names a meter's device profile, for ThingsBoard's device creation; `tell` keeps an event.

        `keep` takes the gateway's own figures. `talks` take turns on each connection (edge.uplink.talk). `silent` tells
        which meters are not heard, or gone; `alarm` takes alarm records of the uplink's own.
        """
        state_dir = Path(settings.gateway.state_dir)
        self.paths = PathWatch(settings.uplink, settings.paths, clock, rng, tell, keep, local_minute,
                               Addresses(state_dir))
        self.admission = Admission(settings, clock, rng, tell, self.paths)
        self.attributes = Attributes()      # any part of the gateway tells here what is so now
        self._bdseq = BdSeq(state_dir)
        self._settings = settings
        self._ring = ring
        self._clock = clock
        self._rng = rng
        self._profile_of, self._silent, self._alarm = profile_of, silent, alarm
        self.claiming, self.hands, self.proof = Claiming(), Hands(), Proof()
        # another broker knows nothing of these, and one that guards its topics would end the connection
        everything: tuple[Talk, ...] = (self.hands, self.claiming, self.proof, *talks)
        self._talks = everything if settings.uplink.dialect == "thingsboard" else ()
        self._renewed = asyncio.Event()
        self._uplink: Uplink | None = None
        self._waits_for = "not started yet" if settings.uplink.enabled else "switched off (uplink.enabled = false)"

    def use(self, settings: Settings) -> None:
        """Go on by other settings: a session that is open ends, and one by these begins at once."""
        before, self._settings = self._settings, settings
        now = settings.uplink
        uplink = msgspec.structs.replace(before.uplink, health_interval_s=now.health_interval_s,
                                         silent_after_s=now.silent_after_s)
        if (uplink, before.paths) != (now, settings.paths):
            self._renewed.set()
            self.proof.ended()      # the connection that is there proves nothing of these settings

    def state(self) -> UplinkState | str:
        """Return the uplink's state, or one line on why there is none."""
        return self._uplink.state() if self._uplink else self._waits_for

    async def run(self, pulse: Pulse) -> None:
        """Drain the ring until cancelled; then within 2 s everything un-acknowledged stays in the ring.

        Other credentials in the file begin a new session with it, so that a wrong one is mended without a restart.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.paths.run(), name="uplink paths")
            await self._drain_for_ever(pulse)

    async def _drain_for_ever(self, pulse: Pulse) -> NoReturn:
        while True:
            self._uplink = None
            login, self._uplink = await self._made(pulse)
            draining = asyncio.create_task(self._uplink.run(), name="uplink")
            watching = asyncio.create_task(self._replaced(login, self._uplink), name="uplink credentials")
            renewed = asyncio.create_task(self._renewed.wait(), name="uplink settings")
            try:
                await asyncio.wait({draining, watching, renewed}, return_when=asyncio.FIRST_COMPLETED)
                if draining.done():
                    await draining      # it never returns: what it raises is a bug, and goes on to the supervisor
                log.info("there are other %s: connecting anew", "settings" if renewed.done() else "credentials")
            finally:
                for task in (draining, watching, renewed):
                    task.cancel()
                await asyncio.wait({draining, watching, renewed})

    async def _replaced(self, login: Login, uplink: Uplink) -> None:
        """Return when there is another token, password or certificate, in use or to be tried."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.admission.nudged.wait()
            self.admission.nudged.clear()
            if self.admission.other(login, refused=uplink.state().rejected):
                return

    async def _made(self, pulse: Pulse) -> tuple[Login, Uplink]:
        """Wait until credentials and CA file are there and right: without them the meters are polled all the same."""
        told = ""
        while True:
            if self._renewed.is_set():
                self._renewed.clear()
                self.admission.use(self._settings)
                self.paths.use(self._settings.uplink, self._settings.paths)
                told = ""
            settings = self._settings
            # provisioning is a connection, an answer, and at the worst a login to be sure; each in MQTT 5, then 3.1.1
            pulse(4 * settings.uplink.connect_timeout_s + settings.uplink.ack_timeout_s + LOOK_S + SPARE_S)
            try:
                login = await self.admission.login()
                return login, Uplink(
                    self._ring, settings.uplink, gateway_name=settings.gateway.name, login=login, clock=self._clock,
                    promise=pulse, rng=self._rng, profile_of=self._profile_of,
                    attributes=self.attributes, talks=self._talks, paths=self.paths, silent=self._silent,
                    alarm=self._alarm, next_bdseq=self._bdseq.next)
            except (ConfigError, UplinkError) as error:
                self._waits_for = str(error)
                log.log(logging.DEBUG if told == self._waits_for else logging.WARNING,
                        "nothing is sent yet: %s; it is looked for every %g s", error, LOOK_S)
                told = self._waits_for
            except OSError as error:
                self._waits_for = f"{error.filename or 'state directory'}: credentials cannot be kept: {error.strerror}"
                log.warning("nothing is sent yet: %s", self._waits_for)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._renewed.wait()
