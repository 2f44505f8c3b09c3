"""What calls of the server do on the box itself: watch its radio, make a support archive, have the board reboot.

    link_survey   every peer, for some seconds: signal from to, average, how often it was heard
    bundle        <state_dir>/bundle.tar.gz, in place of the last one; bundle_part hands it out in pieces
    reboot        ota.reboot_command, else recovery.reboot: once who asked is on flash and the answer is out
"""

import asyncio
import base64
import dataclasses
import hashlib
import logging
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.config import Settings
from edge.errands.means import deed_schema
from edge.errors import ConfigError, EdgeError, OrderRefused, RingError
from edge.model import Record
from halow import child
from halow.model import LinkState

log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

FILE_NAME = "bundle.tar.gz"
PART_BYTES = 9_000
"""In base64, with what is around it, below the 16,384 octets of `uplink.batch_bytes`; ThingsBoard takes 65,536."""

LOOK_S = 0.5
COMMAND_TIMEOUT_S = 60.0
KEEP_S = 10.0


class Box:
    """The board that the gateway runs on."""

    def __init__(self, settings: Callable[[], Settings], states: Callable[[], tuple[LinkState, ...]],
                 answers: Mapping[str, Answer], append: Callable[[Record], Awaitable[int]], clock: Clock) -> None:
        """`settings` are those in force, `states` the radio's peers, `answers` those of control requests.

        `append` returns once a record of the alarm stream is on flash.
        """
        self._settings, self._states, self._answers, self._append = settings, states, answers, append
        self._clock = clock
        self._path = Path(settings().gateway.state_dir) / FILE_NAME

    async def survey(self, seconds: float) -> dict[str, Any]:
        """Watch the peers; a look that brought nothing new is none."""
        peers: dict[str, list[LinkState]] = {}
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            for state in self._states():
                seen = peers.setdefault(state.mac, [])
                if not seen or seen[-1] is not state:
                    seen.append(state)
            if loop.time() >= until:
                return {"seconds": seconds, "peers": [_summed(mac, seen) for mac, seen in sorted(peers.items())]}
            await asyncio.sleep(min(LOOK_S, max(0.0, until - loop.time())))

    async def bundle(self) -> dict[str, Any]:
        """Make the archive; return what it is called and how it is fetched. EdgeError."""
        told: dict[str, dict[str, Any] | EdgeError] = {}
        for name, answer in self._answers.items():
            try:
                told[name] = await answer({})
            except EdgeError as error:
                told[name] = error
        made = await asyncio.to_thread(self._make, told)
        parts = -(-made["size_bytes"] // PART_BYTES)
        return {"summary": f"{made['path']}, {made['size_bytes']} bytes in {parts} parts", **made, "parts": parts}

    def _make(self, told: Mapping[str, dict[str, Any] | EdgeError]) -> dict[str, Any]:
        from edge.support import known  # noqa: PLC0415 - a megabyte that most gateways never need
        from edge.support.archive import make  # noqa: PLC0415 - same
        from edge.support.pieces import pieces  # noqa: PLC0415 - same

        settings = self._settings()
        word = "".join(char if char.isalnum() or char in "-_." else "-" for char in settings.gateway.name)[:64]
        made = make(self._path, word, pieces(settings, _asking(told), source="what is in force"),
                    known.secrets(settings), replace=True)
        return {"path": str(made.path), "size_bytes": made.size_bytes, "sha256": made.sha256, "missing": made.missing}

    async def bundle_part(self, number: int) -> dict[str, Any]:
        """Return one part of the archive that was made last, in base64. OrderRefused where there is none such."""
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except FileNotFoundError:
            raise OrderRefused("no support archive was made; call bundle first") from None
        parts = -(-len(data) // PART_BYTES)
        if number > parts:
            raise OrderRefused(f"there are {parts} parts")
        piece = data[(number - 1) * PART_BYTES : number * PART_BYTES]
        return {"part": number, "parts": parts, "sha256": hashlib.sha256(data).hexdigest(),
                "data": base64.b64encode(piece).decode()}

    def rebooter(self) -> list[str]:
        """Return the words of the command that has the board reboot. ConfigError where none is set."""
        settings = self._settings()
        command = settings.ota.reboot_command or settings.recovery.reboot
        if not command:
            raise ConfigError("nothing is set that reboots this board (ota.reboot_command, recovery.reboot)")
        return shlex.split(command)

    async def reboot(self, by: str) -> str:
        """Have the board reboot, once who asked is on flash; return what the command said that did not, else ""."""
        words = " ".join(self.rebooter())
        record = Record(deed_schema(""), "", self._clock.stamp(), ("reboot", words, by))
        try:
            async with asyncio.timeout(KEEP_S):
                await self._append(record)
        except (RingError, TimeoutError) as error:      # a reboot may be what helps
            log.warning("that %s had the board reboot is not in the ring: %s", by, error or f"not within {KEEP_S:g} s")
        try:
            done = await child.run(self.rebooter(), COMMAND_TIMEOUT_S, output_bytes=400)
        except child.NotRun as error:
            return str(error)
        return f"status {done.status}, {child.last_line(done.output) or done.complaint}" if done.status else ""


def _asking(told: Mapping[str, dict[str, Any] | EdgeError]) -> Callable[[str], dict[str, Any]]:
    def ask(request: str) -> dict[str, Any]:
        answer = told.get(request, EdgeError(f"the gateway tells no {request}"))
        if isinstance(answer, EdgeError):
            raise answer
        return answer

    return ask


def _summed(mac: str, seen: list[LinkState]) -> dict[str, Any]:
    """Return a peer's figures over a survey (pure); None where the radio does not tell."""
    last = seen[-1]
    levels = [state.rssi_dbm for state in seen if state.rssi_dbm is not None]
    return {"mac": mac, "grade": last.grade.label, "looks": len(seen), "rssi_min_dbm": min(levels, default=None),
            "rssi_max_dbm": max(levels, default=None),
            "rssi_mean_dbm": round(sum(levels) / len(levels), 1) if levels else None,
            **{key: value for key, value in dataclasses.asdict(last).items()
               if key in ("rssi_avg_dbm", "snr_db", "margin_db", "trend_db", "retries_per_100", "lost_because")}}
