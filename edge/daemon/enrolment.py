"""The worker that keeps the pollers true to the registry.

    `reload` on the control socket ──┐
    every LOOK_S: data_version()     ├──► read all meters, passwords, what was learned ──► Fleet.apply
    start; a profile of one's own    ┘

The registry is SQLite and blocks, so it is read in a thread of its own. One that cannot be read stops nobody: the
pollers that run go on, the backlog drains, the fault is told once and tried again every RETRY_S.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import RegistryError
from edge.health.promise import Pulse
from edge.health.signals import close_within
from edge.meters.library import Library
from edge.model import Learned, Meter
from edge.poll.fleet import Change, Enrolled, Fleet
from edge.poll.lockout import DUTY as REFUSED
from edge.store.meters import ENDPOINT
from edge.store.registry import Registry

log = logging.getLogger(__name__)

LOOK_S = 5.0
RETRY_S = 30.0
CLOSE_S = 1.0         # a registry on a card that hangs must not keep the ring from its last sync
SPARE_S = 60.0        # SQLite waits for another writer, and stopping a poller has its own deadline

T = TypeVar("T")


class Enrolment:
    """Reads the registry for the fleet. `run` is one task; the rest may be called from any task of the loop."""

    def __init__(self, path: Path, library: Library) -> None:
        """`path` is the registry's file; it is opened by the first look. `library` is kept up to date with it."""
        self.fault = ""                       # why the registry cannot be read, "" while it can
        self.meters: tuple[Meter, ...] = ()   # as they were at the last look, paused ones too
        self.enrolled: tuple[Enrolled, ...] | None = None   # with secrets, and what was learned since; None before it
        self._forget: tuple[Callable[[frozenset[str]], object], ...] = ()
        self._profiles: dict[str, str] = {}
        self._path = path
        self._library = library
        self._registry: Registry | None = None
        self._version: tuple[object, ...] = ()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry")
        self._wake = asyncio.Event()
        self._applied = asyncio.Condition()
        self._looks = 0
        self._looking = False
        self._change = Change()

    def when_parted(self, *forget: Callable[[frozenset[str]], object]) -> None:
        """Have these told of names that mean another meter from then on, or none: what was heard of them is void."""
        self._forget = forget

    async def run(self, fleet: Fleet, pulse: Pulse) -> None:
        """Follow the registry until cancelled."""
        while True:
            pulse(RETRY_S + SPARE_S)
            self._wake.clear()
            self._looking = True
            try:
                await self._look(fleet)
                self._healthy()
                rest_s = LOOK_S
            except RegistryError as error:
                self._faulty(error)
                rest_s = RETRY_S
            async with self._applied:
                self._looks += 1
                self._looking = False
                self._applied.notify_all()
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with a reload.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._wake.wait()

    async def reload(self) -> Change:
        """Look now, and return what changed once it has taken effect. RegistryError if it cannot be read."""
        async with self._applied:
            # A look that is under way may have read the registry before the caller's change: wait for the one after.
            wanted = self._looks + (2 if self._looking else 1)
            self._wake.set()
            await self._applied.wait_for(lambda: self._looks >= wanted)
        if self.fault:
            raise RegistryError(self.fault)
        return self._change

    async def answer(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Control request `reload`: look now, and say which meters that started, stopped, restarted or refused."""
        change = await self.reload()
        return {"started": change.started, "stopped": change.stopped, "restarted": change.restarted,
                "refused": dict(change.refused)}

    def profile_of(self, device: str) -> str:
        """Return the profile of a meter, "" for a device that is none. The uplink asks for each device of a batch."""
        return self._profiles.get(device, "")

    async def keep_learned(self, name: str, learned: Learned) -> None:
        """Keep what a poller found out. Losing it costs requests, not data, so a fault is only told."""
        try:
            await self._call(lambda registry: registry.keep_learned(name, learned))
        except RegistryError as error:
            log.warning("meter %s: what was learned is not kept: %s", name, error)
        if self.enrolled is not None:      # after the write: a look that was before it in the queue has read the old
            self.enrolled = tuple(replace(item, learned=learned) if item.meter.name == name else item
                                  for item in self.enrolled)

    async def move(self, name: str, host: str, was: str) -> bool:
        """Let a meter be reached at another host, where it is still registered at `was`; RegistryError. See `Registry`.

        The pollers follow with the next look, or `reload`.
        """
        return await self._call(lambda registry: registry.move(name, host, was))

    async def set_paused(self, name: str, *, paused: bool) -> bool:
        """Poll a meter no more, or again; False: it was so. The pollers follow with `reload`. RegistryError."""
        return await self._call(lambda registry: registry.set_paused(name, paused))

    async def reserve_counters(self, scope: str, count: int, at_least: int) -> int:
        """Set invocation counters aside on flash; RegistryError if that cannot be done. See `Registry`."""
        return await self._call(lambda registry: registry.reserve_counters(scope, count, at_least))

    async def ask(self, ask: Callable[[Registry], T]) -> T:
        """Have something asked or changed that stands in no method here, in the registry's thread; RegistryError.

        The pollers follow a change with the next look, or `reload`.
        """
        return await self._call(ask)

    async def permitted(self) -> Mapping[str, frozenset[str]]:
        """Return what may be done on the meters besides reading them; RegistryError. See `Registry`."""
        return await self._call(Registry.permitted)

    async def progress(self, name: str, duty: str) -> str:
        """Return how far a duty has come with a meter, "" = nothing known; RegistryError. See `Registry`."""
        return await self._call(lambda registry: registry.progress(name, duty))

    async def keep_progress(self, name: str, duty: str, data: str) -> None:
        """Keep on flash how far a duty has come; RegistryError if that cannot be done. See `Registry`."""
        await self.keep_all_progress(duty, {name: data})

    async def keep_refusal(self, name: str, note: str) -> None:
        """Keep on flash that a meter refused to associate, "" forgets it; RegistryError if that cannot be done."""
        await self.keep_progress(name, REFUSED, note)

    async def keep_all_progress(self, duty: str, data: Mapping[str, str]) -> None:
        """Keep it for many meters in one write. RegistryError as above."""
        await self._call(lambda registry: registry.keep_all_progress(duty, data))

    async def heard(self) -> Mapping[str, int]:
        """Return the invocation counters that meters have used in pushes; RegistryError. See `Registry`."""
        return await self._call(Registry.heard)

    async def keep_heard(self, marks: Mapping[str, int]) -> None:
        """Put such counters on flash; RegistryError if that cannot be done. See `Registry`."""
        await self._call(lambda registry: registry.keep_heard(marks))

    async def close(self) -> None:
        """Close the file and end the thread; waits `CLOSE_S` at the most for the call under way."""
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        await close_within("the registry", closing, CLOSE_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self, fleet: Fleet) -> None:
        version = await self._call(self._versions)
        if version == self._version:
            self._change = Change()
            return
        before, enrolled = self.enrolled or (), await self._call(_enrolled)
        self.enrolled, self.meters = enrolled, tuple(item.meter for item in enrolled)
        self._profiles = {meter.name: meter.profile for meter in self.meters}
        self._change = await fleet.apply(enrolled)
        if parted := _parted(before, enrolled):      # their old pollers are at rest by now
            for forget in self._forget:
                forget(parted)
        self._version = version
        change = self._change
        if change.started or change.stopped or change.restarted:
            log.info("meters: %d started, %d stopped, %d restarted", len(change.started), len(change.stopped),
                     len(change.restarted))

    async def _call(self, ask: Callable[[Registry], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, ask)

    def _versions(self, registry: Registry) -> tuple[object, ...]:
        """Return what is another with every change of a meter, of a meter type, or of the registry's file."""
        self._library.refresh()
        return registry.file, registry.data_version(), self._library.generation

    def _ask(self, ask: Callable[[Registry], T]) -> T:
        if self._registry is not None and not self._registry.in_place():
            log.warning("another registry lies at %s: it is read anew", self._path)
            self._registry.close()
            self._registry = None
        if self._registry is None:
            self._registry = Registry.open(self._path)
        return ask(self._registry)

    def _close(self) -> None:
        if self._registry is not None:
            self._registry.close()

    def _healthy(self) -> None:
        if self.fault:
            log.info("the registry can be read again")
        self.fault = ""

    def _faulty(self, error: RegistryError) -> None:
        text = str(error)
        log.log(logging.DEBUG if text == self.fault else logging.ERROR,
                "no meter is added or changed: %s; polling goes on with what was known", text)
        self.fault = text


def _parted(before: Iterable[Enrolled], after: Iterable[Enrolled]) -> frozenset[str]:
    """Return the names that no longer mean the meter they meant: removed, registered for another, or exchanged."""
    now = {item.meter.name: item for item in after}
    return frozenset(item.meter.name for item in before if not _same(item, now.get(item.meter.name)))


def _same(before: Enrolled, after: Enrolled | None) -> bool:
    if after is None:
        return False
    if before.learned.identity and after.learned.identity:      # a meter may have moved
        return before.learned.identity == after.learned.identity
    return all(getattr(before.meter, name) == getattr(after.meter, name) for name in ENDPOINT)


def _enrolled(registry: Registry) -> tuple[Enrolled, ...]:
    title = registry.client_title()
    return tuple(Enrolled(meter, registry.password(meter.name), registry.learned(meter.name),
                          registry.keys(meter.name), title, registry.progress(meter.name, REFUSED))
                 for meter in registry.list())
