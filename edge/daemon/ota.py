"""Updates that ThingsBoard offers: fetched, checked, installed, and told about, one after the other.

    offer ─► DOWNLOADING ─► DOWNLOADED ─► VERIFIED ─► UPDATING ─► restart ─► UPDATED
                   └──────────────┴────────────┴──────────┴─────────┴──────► FAILED, why

An offer that was carried out or has failed is not tried again before another one comes, or somebody says so. Each
phase is on flash before it is acted on (edge.ota.store), and what became of an update is told from what runs after the
restart, not from what was meant to. Telling goes through the ring, so that no state is lost to an outage.
Decision: docs/decisions/0028-ota.md.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge.clock import Clock
from edge.config import MIB, OtaSettings
from edge.errors import ConfigError
from edge.health.promise import Pulse
from edge.model import Field, Kind, Record, Schema
from edge.ota.chunks import Chunks, Piece
from edge.ota.offer import KEYS, WHATS, Offer, What, offered
from edge.ota.store import Kept, NoRoom, PackageStore
from edge.ota.updater import NotInstalled, Running, Updater
from edge.uplink.shared import SharedAttributes

log = logging.getLogger(__name__)

LOOK_S = 5.0
SPARE_S = 30.0
DOWNLOADS = 2              # of one offer, when the checksum is wrong
INSTALLS = 2               # calls of the updater for one offer, when the power fails in them

SCHEMAS: dict[What, Schema] = {
    what: Schema(Kind.GATEWAY, tuple(Field(key) for key in (
        f"{what}_state", f"{what}_error", f"current_{what}_title", f"current_{what}_version"))) for what in WHATS}

T = TypeVar("T")


class OtaDesk:
    """One worker, and the talk by which packages come."""

    def __init__(self, settings: OtaSettings, state_dir: Path, updaters: Mapping[What, Updater],
                 running: Mapping[What, Running], shared: SharedAttributes, tell: Callable[[Record], object],
                 clock: Clock, answer_timeout_s: float) -> None:
        """`shared` says what is offered, `tell` keeps a record of the gateway; a chunk may take `answer_timeout_s`."""
        self.chunks = Chunks(settings.chunk_bytes, answer_timeout_s, settings.link_share)
        shared.follow(KEYS, self.changed)
        self._settings, self._store = settings, PackageStore(state_dir)
        self._updaters, self._running, self._tell, self._clock = updaters, running, tell, clock
        self._attributes: Mapping[str, object] | None = None      # None: the server has not said
        self._woken = asyncio.Event()
        self._pieces: asyncio.Queue[Piece | str | None] = asyncio.Queue()
        self._states: dict[What, tuple[str, str]] = {}
        self._progress: dict[What, tuple[int, int]] = {}
        self._wrong: dict[What, str] = {}
        self._concluded: dict[What, Offer] = {}                   # there is nothing more to do about it
        self._retries = 0                                         # asked for, so far

    def use(self, settings: OtaSettings, updaters: Mapping[What, Updater], answer_timeout_s: float) -> None:
        """Work by other settings: the next chunk, the next package, the next installation."""
        self._settings, self._updaters = settings, updaters
        self.chunks.use(settings.chunk_bytes, answer_timeout_s, settings.link_share)

    def changed(self, attributes: Mapping[str, object]) -> None:
        """Take the shared attributes of KEYS as they are now."""
        self._attributes = attributes
        self._woken.set()
        if self._pieces.empty():
            self._pieces.put_nowait(None)      # a download looks whether it is still wanted

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Control request `ota`: what is going on; with "retry", try again what has failed."""
        if request.get("retry"):
            for what in WHATS:
                kept = await asyncio.to_thread(self._store.load, what)
                if kept is not None and kept.phase == "failed":
                    await asyncio.to_thread(self._store.forget, what)
            self._concluded.clear()
            self._retries += 1
            self._woken.set()
        told: dict[str, Any] = {}
        for what, (state, why) in self._states.items():
            there_bytes, size_bytes = self._progress.get(what, (0, 0))
            told[what] = {"state": state, "error": why, "bytes": there_bytes, "size_bytes": size_bytes}
        return told

    async def run(self, pulse: Pulse) -> None:
        """Work until cancelled; what was under way goes on from there at the next start."""
        pulse(LOOK_S + SPARE_S)
        for what in WHATS:
            await self._settle(what)
        while True:
            pulse(LOOK_S + SPARE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()
            self._woken.clear()
            for what in WHATS:
                offer = self._offer(what)
                if offer is None or offer == self._concluded.get(what):
                    continue
                retries = self._retries
                try:
                    await self._pursue(offer, pulse)
                except OSError as error:
                    self._say(what, "FAILED", f"{error.filename or 'state directory'}: {error.strerror or error}")
                finally:
                    self.chunks.stop()
                # else it was left for another one, or withdrawn and may come back, or is to be tried again
                if self._offer(what) == offer and retries == self._retries:
                    self._concluded[what] = offer

    def _offer(self, what: What) -> Offer | None:
        if self._attributes is None:
            return None
        try:
            return offered(what, self._attributes)
        except ConfigError as error:
            if self._wrong.get(what) != str(error):
                self._wrong[what] = str(error)
                self._say(what, "FAILED", str(error))
            return None

    # ---- what became of it

    async def _settle(self, what: What) -> None:
        """Tell at the start what runs, and what that says of an update."""
        kept, now = await asyncio.to_thread(self._store.load, what), self._running[what]
        if kept is not None and kept.phase in ("installing", "installed"):
            if kept.build != now.build:
                await self._done(kept, now)
                return
            if kept.phase == "installed" and kept.boot != now.boot:
                await self._failed(kept, f"the board has started and still runs {now.version}: the new image gave way")
        if kept is not None and kept.phase == "updated" and kept.build == now.build:
            now = self._after(kept.offer, now)
        if now.version:
            self._tell(Record(SCHEMAS[what], "", self._clock.stamp(), (None, None, now.title or None, now.version)))

    def _after(self, offer: Offer, now: Running) -> Running:
        """Return what runs since `offer` was installed: its version is the image's own word, software has none."""
        return now._replace(title=offer.title, version=now.version or offer.version)

    async def _done(self, kept: Kept, now: Running) -> None:
        await self._keep(Kept(kept.offer, "updated", build=now.build))
        await asyncio.to_thread(self._store.drop, kept.offer.what)
        runs = self._after(kept.offer, now)
        if runs.version != kept.offer.version:
            log.warning("%s was installed, and what runs calls itself %s", kept.offer.name, runs.version)
        self._say(kept.offer.what, "UPDATED", runs=runs)

    async def _failed(self, kept: Kept, why: str) -> None:
        await self._keep(Kept(kept.offer, "failed", why))
        await asyncio.to_thread(self._store.drop, kept.offer.what)
        self._say(kept.offer.what, "FAILED", why)

    async def _keep(self, kept: Kept) -> None:
        await asyncio.to_thread(self._store.keep, kept)

    # ---- the way of an offer

    async def _pursue(self, offer: Offer, pulse: Pulse) -> None:
        kept = await asyncio.to_thread(self._store.load, offer.what)
        if kept is None or kept.offer != offer:
            kept = Kept(offer, "downloading")
            self._states.pop(offer.what, None)
            if self._running[offer.what].version == offer.version:
                await self._done(kept, self._running[offer.what])
                return
        elif kept.phase not in ("downloading", "installing"):
            return
        if offer.what not in self._updaters:
            setting = "ota.firmware_command" if offer.what == "fw" else "ota.software_command"
            await self._failed(kept, f"this gateway takes no such packages ({setting} names no updater)")
        elif kept.phase == "installing" or await self._fetched(kept, pulse):
            await self._install(kept, pulse)

    async def _fetched(self, kept: Kept, pulse: Pulse) -> bool:
        """Download and check; False where the offer has failed or is another one by now."""
        offer, wrong = kept.offer, ""
        for _ in range(DOWNLOADS):
            try:
                position = await asyncio.to_thread(self._store.begin, offer, self._settings.size_max_mib * MIB)
            except NoRoom as error:
                await self._failed(kept, str(error))
                return False
            await self._keep(kept)
            self._say(offer.what, "DOWNLOADING")
            if not await self._downloaded(kept, position, pulse):
                return False
            self._say(offer.what, "DOWNLOADED")
            wrong = await self._pulsing(pulse, asyncio.to_thread(self._store.verify, offer))
            if not wrong:
                self._say(offer.what, "VERIFIED")
                return True
            log.warning("%s: %s", offer.name, wrong)
            await asyncio.to_thread(self._store.drop, offer.what)
        await self._failed(kept, wrong)
        return False

    async def _downloaded(self, kept: Kept, position: int, pulse: Pulse) -> bool:
        offer = kept.offer
        self._pieces = asyncio.Queue()
        self.chunks.arrived = self.chunks.failed = self._pieces.put_nowait
        self._progress[offer.what] = (position, offer.size_bytes)
        if position < offer.size_bytes:
            self.chunks.begin(offer, position)
        while position < offer.size_bytes:
            pulse(LOOK_S + SPARE_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    piece = await self._pieces.get()
            except TimeoutError:
                piece = None
            if self._offer(offer.what) != offer:
                self._woken.set()      # another one, or none
                return False
            if isinstance(piece, str):
                await self._failed(kept, piece)
                return False
            if piece is not None:
                position = await asyncio.to_thread(self._store.write, offer.what, piece.offset, piece.data)
                self._progress[offer.what] = (position, offer.size_bytes)
                self.chunks.taken(position)
        self.chunks.stop()
        return True

    async def _install(self, kept: Kept, pulse: Pulse) -> None:
        offer, now, updater = kept.offer, self._running[kept.offer.what], self._updaters[kept.offer.what]
        if kept.tries >= INSTALLS:
            await self._failed(kept, "the board went out while it was being installed, each time")
            return
        installing = Kept(offer, "installing", build=now.build, boot=now.boot, tries=kept.tries + 1)
        await self._keep(installing)
        self._say(offer.what, "UPDATING")
        try:
            await self._pulsing(pulse, updater.install(self._store.package(offer.what), offer))
        except NotInstalled as error:
            await self._failed(installing, str(error))
            return
        await self._keep(msgspec.structs.replace(installing, phase="installed"))
        try:
            starts = await self._pulsing(pulse, updater.restart())
        except NotInstalled as error:
            self._say(offer.what, "UPDATING", f"installed, to run from the board's next start, which failed: {error}")
        else:
            if starts:
                log.info("%s is installed; the board starts anew", offer.name)
            else:
                await self._done(installing, now)

    async def _pulsing(self, pulse: Pulse, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work that takes its time, and keep the watchdog quiet meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                pulse(LOOK_S + SPARE_S)
                await asyncio.wait({task}, timeout=LOOK_S)
            return await task
        finally:
            task.cancel()

    def _say(self, what: What, state: str, why: str = "", runs: Running | None = None) -> None:
        """Tell a state once; a download that goes on after a restart of the link is no new one."""
        if self._states.get(what) == (state, why):
            return
        self._states[what] = (state, why)
        title, version = (runs.title or None, runs.version or None) if runs else (None, None)
        log.log(logging.WARNING if why else logging.INFO, "%s: %s%s", what, state, f": {why}" if why else "")
        self._tell(Record(SCHEMAS[what], "", self._clock.stamp(), (state, why or None, title, version)))
