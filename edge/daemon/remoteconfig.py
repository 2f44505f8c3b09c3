"""Settings from ThingsBoard: the shared attribute `config`, tried, kept or taken back, and told as client attributes.

    attribute ─► allowed, good with the file? ─► on flash as a trial ─► in force ─► acknowledged in time?
                   │ no                                                               │ yes: kept   │ no: taken back
                   └─► refused                                                        └─► applied   └─► rolled_back

What was rolled back is not tried again before the attribute is another one; what is refused was never in force, and is
judged again with the file's next reload. No attribute is one, too: then the file alone is in force. Decision page 0032.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from edge.config import Settings
from edge.configchange import merge
from edge.configlayer import Kept, Layer, Refused, hash_of, over, understood
from edge.daemon.settings import SettingsDesk
from edge.errors import EdgeError, SettingsError
from edge.health.promise import Pulse
from edge.uplink.proof import Proof
from edge.uplink.shared import SharedAttributes

log = logging.getLogger(__name__)

ATTRIBUTE = "config"
NONE = "none"      # told where there is nothing to tell: an attribute that is not told stands as it was
UNKEPT = "it could not be kept on flash"
LOOK_S = 30.0
SPARE_S = 60.0

Tell = Callable[[dict[str, str]], object]


class RemoteConfig:
    """One worker. `changed` is called with the attributes as they are now."""

    def __init__(self, desk: SettingsDesk, shared: SharedAttributes, proof: Proof, tell: Tell) -> None:
        """`shared` and `proof` talk on the uplink's connection; `tell` takes client attributes of the gateway."""
        shared.follow((ATTRIBUTE,), self.changed)
        self._desk, self._proof, self._tell = desk, proof, tell
        self._heard = False          # the server has said what there is
        self._offered: object = None
        self._wake = asyncio.Event()
        desk.reloaded = self._wake.set

    def changed(self, attributes: Mapping[str, object]) -> None:
        """Take what the server has; no such key: it has none."""
        self._offered, self._heard = attributes.get(ATTRIBUTE), True
        self._wake.set()

    async def run(self, pulse: Pulse) -> None:
        """Work until cancelled. A trial that is cut off by it has had its try: the next start drops it."""
        pulse(LOOK_S + SPARE_S)
        if (trial := self._desk.kept.trial) is not None:      # a fault of this worker's own
            await self._back(trial, "a fault in the gateway")
        elif (dropped := self._desk.dropped) is not None:
            self._desk.dropped = None
            await self._desk.record("rolled_back", f"{dropped.hash}: {_why(self._desk.kept)}")
        while True:
            self._say()
            pulse(LOOK_S + SPARE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._heard:
                await self._look(pulse)

    async def _look(self, pulse: Pulse) -> None:
        """Do what the attribute wants, if anything is to be done."""
        offered, kept = self._offered, self._desk.kept
        known = hash_of(offered)
        if known == kept.applied.hash == self._desk.layer.hash:
            if kept.refused is not None:
                await self._keep(Kept(kept.applied))
        elif kept.refused is None or (kept.refused.hash, kept.refused.outcome) != (known, "rolled_back"):
            try:
                layer = understood(offered)
                wanted = over(self._desk.file, layer.settings)
                await self._desk.check(wanted)      # before anything is written: it may come with each connection
            except EdgeError as error:
                await self._refuse(known, "; ".join(str(error).splitlines()))
            else:
                await self._try(layer, wanted, pulse)

    async def _try(self, layer: Layer, wanted: Settings, pulse: Pulse) -> None:
        kept, desk = self._desk.kept, self._desk
        changes = bool(merge(desk.in_force, wanted).applied)
        if changes and not await self._keep(msgspec.structs.replace(kept, trial=layer, refused=None)):
            await self._refuse(layer.hash, UNKEPT)
            return
        try:
            await desk.lay(layer, "trial", layer.hash)
        except EdgeError as error:      # the file was reloaded just now
            await self._keep(Kept(kept.applied))
            await self._refuse(layer.hash, "; ".join(str(error).splitlines()))
            return
        self._say()
        if changes and not await self._proven(layer, pulse):
            await self._back(layer, f"nothing was acknowledged within {desk.in_force.remote.config_trial_s:g} s")
        elif desk.layer is not layer:
            await self._back(layer, desk.objection, "refused")      # the file was reloaded, and allows it no more
        elif not await self._keep(Kept(layer)):
            await self._back(layer, UNKEPT)
        else:
            await desk.record("applied", layer.hash or "the settings file alone")

    async def _proven(self, layer: Layer, pulse: Pulse) -> bool:
        """Wait until the server acknowledges something, by the new settings; False where it has not in time."""
        proven, loop = asyncio.Event(), asyncio.get_running_loop()
        self._proof.ask(msgspec.json.encode(_attributes("trial", "", layer.hash)), proven.set)
        deadline = loop.time() + self._desk.in_force.remote.config_trial_s
        try:
            while not proven.is_set() and (left_s := deadline - loop.time()) > 0:
                pulse(LOOK_S + SPARE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, LOOK_S)):
                        await proven.wait()
        finally:
            self._proof.stop()
        return proven.is_set()

    async def _back(self, trial: Layer, why: str, outcome: Literal["refused", "rolled_back"] = "rolled_back") -> None:
        """Go back to the layer of before, or to the file alone where that does not go with it any more."""
        desk = self._desk
        try:
            await desk.lay(desk.kept.applied, outcome, f"{trial.hash}: {why}")
        except SettingsError:
            await desk.lay(Layer(), outcome, f"{trial.hash}: {why}")
        desk.kept = Kept(desk.kept.applied, refused=Refused(trial.hash, outcome, why))
        await self._keep(desk.kept)      # else the next start drops what is on trial there

    async def _refuse(self, known: str, why: str) -> None:
        before, refused = self._desk.kept.refused, Refused(known, "refused", why)
        if refused != before:
            self._desk.kept = msgspec.structs.replace(self._desk.kept, refused=refused)
            await self._keep(self._desk.kept)
            await self._desk.record("refused", f"{known}: {why}")

    async def _keep(self, kept: Kept) -> bool:
        """Have it on flash; False, and a line in the log, where that cannot be. Nothing is tried then."""
        try:
            await self._desk.keep(kept)
        except OSError as error:
            log.warning("%s: cannot be written: %s", error.filename, error.strerror)
            return False
        return True

    def _say(self) -> None:
        """Tell how it stands."""
        desk, kept = self._desk, self._desk.kept
        if kept.trial is not None:
            told = _attributes("trial", "", kept.trial.hash)
        elif kept.refused is not None:
            told = _attributes(kept.refused.outcome, kept.refused.why, kept.refused.hash)
        elif desk.objection:
            told = _attributes("refused", desk.objection, kept.applied.hash)
        else:
            told = _attributes("applied" if desk.layer.hash else NONE, "", desk.layer.hash)
        self._tell(told)


def _attributes(state: str, why: str, known: str) -> dict[str, str]:
    """Return the client attributes: state, one line on why, and which attribute it is about."""
    return {"config_state": state, "config_error": why or NONE, "config_hash": known or NONE}


def _why(kept: Kept) -> str:
    return kept.refused.why if kept.refused is not None else ""
