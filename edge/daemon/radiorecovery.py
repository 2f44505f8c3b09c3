"""Carries out the radio's recovery ladder: looks at the monitor's judgement, runs the operator's commands, records.

Off until a command is configured. A command runs as the gateway's user, without a shell, and is ended after its time.
What each step was, why, and what came of it is an EVENT; the count of reboots in a row is on flash before one is asked.
"""

import asyncio
import logging
import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.clock import Clock
from edge.config import RecoverySettings
from edge.durable import write_file
from edge.errors import ConfigError
from edge.health.promise import Pulse
from edge.model import Field, Kind, Record, Schema
from halow import child
from halow.errors import AbsentReason
from halow.model import RadioState
from halow.recovery import Ladder, LadderState, Limits, Rung

log = logging.getLogger(__name__)

LOOK_S = 5.0
SPARE_S = 30.0
OUTPUT_BYTES = 400
FILE_NAME = "radio-recovery.json"
DEAD = frozenset((AbsentReason.INTERFACE_GONE, AbsentReason.NO_INTERFACE, AbsentReason.NO_ANSWER, AbsentReason.FAULT))
"""Absences that a restart may mend; a radio that may not be looked at, or is one of several, is none of them."""

SCHEMA = Schema(Kind.EVENT, (Field("event"), Field("detail")))


class Kept(msgspec.Struct, frozen=True):
    """What must survive a reboot."""

    reboots_in_row: int = 0


class RadioRecovery:
    """One worker. Raises ConfigError for a command that cannot be taken apart."""

    def __init__(self, settings: RecoverySettings, radio: Callable[[], RadioState | None],
                 tell: Callable[[Record], object], clock: Clock, state_dir: Path) -> None:
        """`radio` gives the monitor's newest judgement, None before the first; `tell` takes events."""
        self._commands = {rung: _words(rung, getattr(settings, rung.value)) for rung in Rung
                          if getattr(settings, rung.value)}
        self._settings = settings
        self._radio = radio
        self._tell = tell
        self._clock = clock
        self._path = state_dir / FILE_NAME
        limits = Limits(settings.after_s, settings.step_wait_s, settings.heal_s, settings.at_most_per_hour,
                        settings.reboots_in_row)
        self.ladder = Ladder(frozenset(self._commands), limits, reboots_in_row=self._kept().reboots_in_row)
        self._written = self.ladder.reboots_in_row

    @property
    def configured(self) -> bool:
        """Tell whether there is any step to take."""
        return bool(self._commands)

    def state(self) -> LadderState:
        """Return where the ladder stands."""
        return self.ladder.state(self._clock.monotonic())

    async def run(self, pulse: Pulse) -> None:
        """Look and act until cancelled; cancelling ends a command that runs."""
        while True:
            pulse(LOOK_S + SPARE_S)
            rung = self.ladder.look(evidence_of(self._radio()), self._clock.monotonic())
            if self.ladder.reboots_in_row != self._written:
                await asyncio.to_thread(self._keep)
            if rung is Rung.REBOOT and self.ladder.reboots_in_row != self._written:
                self._record("radio_recovery", "reboot: left out, its count cannot be kept, so they might never end")
            elif rung is not None:
                pulse(self._settings.command_timeout_s + SPARE_S)
                await self._take(rung)
            await asyncio.sleep(LOOK_S)

    async def _take(self, rung: Rung) -> None:
        why = self.state().evidence
        log.warning("radio recovery: %s, because %s", rung.value, why)
        self._record("radio_recovery", f"{rung.value}: begins, because {why}")
        came = await _run(self._commands[rung], self._settings.command_timeout_s)
        log.warning("radio recovery: %s: %s", rung.value, came)
        self._record("radio_recovery", f"{rung.value}: {came}")

    def _record(self, name: str, detail: str) -> None:
        self._tell(Record(SCHEMA, "", self._clock.stamp(), (name, detail[:OUTPUT_BYTES])))

    def _kept(self) -> Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):      # none yet, or damaged: a reboot more is the worst that follows
            return Kept()

    def _keep(self) -> None:
        try:
            write_file(self._path, msgspec.json.encode(Kept(self.ladder.reboots_in_row)), replace=True)
            self._written = self.ladder.reboots_in_row
        except OSError as error:
            log.warning("radio recovery: %s is not written: %s", self._path, error.strerror or error)


def evidence_of(radio: RadioState | None) -> str:
    """Return why the radio counts as dead, "" where it does not."""
    if radio is None:
        return ""
    if not radio.present:
        return f"no radio: {radio.detail or radio.reason}" if radio.reason in DEAD else ""
    if radio.firmware_hangs_s is not None:
        return f"the driver gave its firmware up {radio.firmware_hangs_s:.0f} s ago, and nobody was heard since"
    return f"deaf: no frame from any peer for {radio.deaf_s:.0f} s" if radio.deaf else ""


def _words(rung: Rung, command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"recovery.{rung.value} = {command!r}: {error}") from error
    return words


async def _run(words: list[str], timeout_s: float) -> str:
    """Run a command; return in one line what came of it."""
    try:
        done = await child.run(words, timeout_s, output_bytes=OUTPUT_BYTES)
    except child.NotRun as error:
        return str(error)
    last = child.last_line(done.output) or done.complaint
    return f"exit status {done.status}" + (f", {last}" if last else "")
