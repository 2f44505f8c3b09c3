"""The settings in force: read at the start, changed by a reload, and every change told.

    gateway.toml ─┐
    remote layer ─┴► checked whole ─► merge with what is in force ─► checked again ─► the parts ─► history, event, log
                      │ no            what needs a restart waits      │ no
                      └───────────────────────────────────────────────┴─► refused, nothing is changed

The layer comes from ThingsBoard (edge/daemon/remoteconfig.py). Where it does not go with the file, the file wins.

One change at a time, and none is left half done: what asked for it may go away meanwhile.
"""

import asyncio
import contextlib
import logging
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge import confighistory, configlayer
from edge.alarms.conditions import Judges
from edge.clock import Clock
from edge.config import Settings
from edge.configchange import Changed, Merged, merge
from edge.configfile import contradictions, load
from edge.confighistory import Entry
from edge.configlayer import Kept, Layer, Refused, over
from edge.control import PEER_UID
from edge.daemon.vitals import event
from edge.errors import ConfigError, EdgeError, LocalStateError, SettingsError
from edge.health.promise import Pulse
from edge.identity import named
from edge.model import Record

log = logging.getLogger(__name__)

REMOTE = "thingsboard"
INTERRUPTED = "the gateway was started anew before the server had acknowledged anything"
LOOK_S = 60.0
SPARE_S = 60.0
DETAIL_LIMIT = 400
BY_LIMIT = 100


class Parts(Protocol):
    """Who works by the settings: `edge.daemon.applying.Applying`."""

    def prepare(self, settings: Settings) -> Judges:
        """Make what may fail, from flash (blocks). ConfigError: then nothing has been told to anybody."""

    async def apply(self, before: Settings, after: Settings, conditions: Judges) -> tuple[str, ...]:
        """Have everybody work by `after`, which is in force already; return the meters that were connected anew."""


class SettingsDesk:
    """Owns what is in force. `run` is its worker."""

    def __init__(self, path: Path | None, settings: Settings, identity: str, clock: Clock) -> None:
        """`settings` were read from `path` (None: there is no file).

        What is kept of the remote layer is read from flash. One that was on trial has had its try, and is dropped.
        """
        self.reloaded: Callable[[], object] = lambda: None
        self.state_dir = Path(settings.gateway.state_dir)
        self.file = named(settings, identity)
        self.kept, self.dropped = settled(self.state_dir)
        self.layer, self.objection = Layer(), ""   # what lies over the file, and why not what is kept
        self.in_force = self._layered(self.file, self.kept.applied)
        self._path, self._identity, self._clock = path, identity, clock
        self._parts: Parts | None = None
        self._tell: Callable[[Record], object] = lambda _record: None
        self._changing = asyncio.Lock()
        self._waits: tuple[Changed, ...] = ()       # for a restart
        self._asked: asyncio.Queue[tuple[str, asyncio.Future[dict[str, Any]] | None]] = asyncio.Queue()

    def now(self) -> Settings:
        """Return the settings in force."""
        return self.in_force

    def govern(self, parts: Parts, tell: Callable[[Record], object]) -> None:
        """Have changes reach the parts from now on; `tell` keeps an event. The parts are made by what is in force."""
        self._parts, self._tell = parts, tell

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Control request `config_reload`: what has changed. SettingsError, ConfigError: why nothing has."""
        outcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((_by(request), outcome))
        return await outcome

    def hangup(self) -> None:
        """Reload; what comes of it is in the log. One that waits already will read the file as it is then."""
        if self._asked.empty():
            self._asked.put_nowait(("signal", None))

    async def run(self, pulse: Pulse) -> None:
        """Reload when asked, until cancelled."""
        while True:
            pulse(LOOK_S + SPARE_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    by, outcome = await self._asked.get()
            except TimeoutError:
                continue
            await self._serve(by, outcome or asyncio.get_running_loop().create_future())

    async def _serve(self, by: str, outcome: asyncio.Future[dict[str, Any]]) -> None:
        try:
            answer = await self._reload(by)
        except EdgeError as error:
            log.warning("settings are not reloaded: %s", "; ".join(str(error).splitlines()))
            if not outcome.done():
                outcome.set_exception(error)
                outcome.exception()      # looked at: after a signal nobody waits
        except Exception:      # a bug, and the supervisor's; who asked must not wait for ever
            if not outcome.done():
                outcome.set_exception(LocalStateError("a fault of the gateway's own broke it off; see its log"))
                outcome.exception()
            raise
        else:
            log.info("settings are read again, asked for by %s: %d changed", by, len(answer["changed"]))
            if not outcome.done():
                outcome.set_result(answer)

    async def check(self, wanted: Settings) -> None:
        """Find out whether this could be in force, beside what needs a restart. Raises EdgeError with what is wrong."""
        await self._prepared(wanted)

    async def lay(self, layer: Layer, outcome: str, detail: str = "") -> None:
        """Put another layer over the file. SettingsError where it does not go with it; then nothing is changed."""
        async with self._changing:
            await self._bring(over(self.file, layer.settings), REMOTE, outcome, detail)
            self.layer, self.objection = layer, ""

    async def keep(self, kept: Kept) -> None:
        """Have this on flash of what ThingsBoard has set. Raises OSError; then it is what it was."""
        await asyncio.to_thread(configlayer.keep, self.state_dir, kept)
        self.kept = kept

    async def record(self, outcome: str, detail: str) -> None:
        """Tell what became of something that ThingsBoard has set."""
        await self._record(Entry(self._now_ms(), REMOTE, outcome, (), (), detail, self._clock.synchronised()))

    async def _reload(self, by: str) -> dict[str, Any]:
        async with self._changing:
            file = named(await asyncio.to_thread(load, self._path), self._identity)
            before = self.layer, self.objection
            try:
                answer = await self._bring(self._layered(file, self.layer), by)
            except EdgeError:
                self.layer, self.objection = before
                raise
            self.file = file
        self.reloaded()
        return answer | {"objection": self.objection}

    def _layered(self, file: Settings, layer: Layer) -> Settings:
        """Return the layer over the file; where it does not go with it, the file alone."""
        try:
            settings, self.layer, self.objection = over(file, layer.settings), layer, ""
        except SettingsError as error:
            settings, self.layer, self.objection = file, Layer(), "; ".join(str(error).splitlines())
            log.warning("what ThingsBoard has set is left out: %s", self.objection)
        return settings

    async def _bring(self, wanted: Settings, by: str, outcome: str = "applied", detail: str = "") -> dict[str, Any]:
        """Put in force what can be of `wanted`. Raises before anything is changed."""
        parts, merged, conditions = await self._prepared(wanted)
        before, self.in_force = self.in_force, merged.settings
        restarted = await parts.apply(before, merged.settings, conditions)
        if merged.applied or merged.needs_restart != self._waits:
            self._waits = merged.needs_restart
            await self._record(Entry(self._now_ms(), by, outcome, _shown(merged.applied),
                                     _shown(merged.needs_restart), detail, self._clock.synchronised()))
        return {"file": str(self._path or ""), "changed": _shown(merged.applied), "restarted": restarted,
                "needs_restart": _shown(merged.needs_restart)}

    async def _prepared(self, wanted: Settings) -> tuple[Parts, Merged, Judges]:
        """Do all that may fail, and change nothing."""
        if self._parts is None:
            raise LocalStateError("the gateway is just starting; try again")
        merged = merge(self.in_force, wanted)
        if problems := contradictions(merged.settings):
            raise SettingsError("\n".join(f"{problem}; what is in force with it needs a restart to change"
                                          for problem in problems))
        return self._parts, merged, await asyncio.to_thread(self._parts.prepare, merged.settings)

    async def _record(self, entry: Entry) -> None:
        """Tell of a change: log, event, history. It is in force by then, so a full disk only costs the history."""
        detail = entry.words()
        log.warning("settings %s by %s: %s", entry.outcome, entry.by, detail)
        self._tell(event("settings_changed", f"{entry.outcome} by {entry.by}: {detail}"[:DETAIL_LIMIT], self._clock))
        try:
            await asyncio.to_thread(confighistory.add, self.state_dir, entry)
        except OSError as error:
            log.warning("the change is not in the history: %s: %s", error.filename, error.strerror)

    def _now_ms(self) -> int:
        return self._clock.stamp().wall_ms


def settled(state_dir: Path) -> tuple[Kept, Layer | None]:
    """Return what is kept of the remote layer, and what was on trial when the gateway ended: it is dropped (blocks)."""
    try:
        kept = configlayer.load(state_dir)
    except ConfigError as error:
        log.warning("%s", error)
        return Kept(), None
    if kept.trial is None:
        return kept, None
    dropped = kept.trial
    kept = Kept(kept.applied, refused=Refused(dropped.hash, "rolled_back", INTERRUPTED))
    try:
        configlayer.keep(state_dir, kept)
    except OSError as error:      # the next start drops it again
        log.warning("%s: cannot be written: %s", error.filename, error.strerror)
    return kept, dropped


def _shown(changes: Sequence[Changed]) -> tuple[dict[str, Any], ...]:
    return tuple(each.shown() for each in changes)


def _by(request: dict[str, Any]) -> str:
    """Return who is at the socket's other end: the kernel's word, and behind it what the command says of itself.

    Without a socket it is the page, which knows who is logged in.
    """
    uid, says = PEER_UID.get(), request.get("by")
    user = "page"
    if uid is not None:
        user = f"uid {uid}"
        with contextlib.suppress(KeyError):      # a user without an entry, as in a container
            user = f"uid {uid} ({pwd.getpwuid(uid).pw_name})"
    text = f"{user}: {says}" if isinstance(says, str) and says else user
    return "".join(char if char.isprintable() else "?" for char in text)[:BY_LIMIT]
