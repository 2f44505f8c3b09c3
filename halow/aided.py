"""A radio with its vendor's own tools as a third source (I/O edge).

    radio ────────────────────► samples, events ─┐
    morse_cli, debugfs, cli_app ─► words, aged ──┼─► one Radio for the monitor
    the driver's watchdog ─► notice of its end ──┘

The tools are asked aside, so that a slow one delays no sample. They mostly need root: where one is missing or refused,
that is told once, it is asked again an hour later, and the radio is watched all the same.
"""

import asyncio
import contextlib
import logging
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from halow import child
from halow.base import Radio
from halow.child import NotRun
from halow.errors import RadioAbsent
from halow.extras import BadWords, Extras, with_extras
from halow.model import LinkEvent, RadioSample
from halow.netlink import NetlinkSocket, resolve_family, split
from halow.radios import morse_words, newracom_words

log = logging.getLogger(__name__)

ASK_S, REST_S = 30.0, 3_600.0
TOOL_TIMEOUT_S = 5.0
FIRST_LOOK_S = 1.0
FRESH_LOOKS = 3             # so many turns an answer counts, then it is forgotten
TABLE_BYTES = 262_144
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = {"morse": (morse_words.TOOL, morse_words.ARGUMENTS, morse_words.channel),
         "newracom": (newracom_words.TOOL, newracom_words.ARGUMENTS, newracom_words.signal)}


class Tools:
    """Asks one interface's tools in turn, and listens to its driver. `extras()` are the answers that still count."""

    def __init__(self, command: str = "", *, sys: Path = Path("/sys"), ask_s: float = ASK_S, rest_s: float = REST_S,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """`command`: the tool with what must stand before it ("sudo -n /usr/bin/morse_cli"); "" looks in the PATH."""
        self.tried = asyncio.Event()          # once the first round has come to something
        self.notice_at: float | None = None   # when the driver said that its firmware hangs
        self._command = shlex.split(command)
        self._sys, self._ask_s, self._rest_s, self._monotonic = sys, ask_s, rest_s, monotonic
        self._answers: dict[str, tuple[float, Extras]] = {}
        self._told: dict[str, str] = {}

    def extras(self) -> list[Extras]:
        """Return what is not too old."""
        oldest = self._monotonic() - FRESH_LOOKS * self._ask_s
        return [extras for at, extras in self._answers.values() if at >= oldest]

    async def follow(self, interface: str, vendor: str) -> None:
        """Ask until cancelled, which ends a tool that runs."""
        async with asyncio.TaskGroup() as group:
            if vendor == "newracom":
                group.create_task(self._listen(), name="radio notice")
            group.create_task(self._ask(interface, vendor), name="radio tools")

    async def _ask(self, interface: str, vendor: str) -> None:
        sources = {"tool": self._tool} | ({"table": self._table} if vendor == "morse" else {})
        not_before = dict.fromkeys(sources, self._monotonic())
        while True:
            for name, source in sources.items():
                if self._monotonic() < not_before[name]:
                    continue
                try:
                    self._answers[name] = (self._monotonic(), await source(interface, vendor))
                    self._told.pop(name, None)
                except (NotRun, BadWords) as error:
                    not_before[name] = self._monotonic() + self._rest_s
                    self._tell(name, str(error))
            self.tried.set()
            await asyncio.sleep(self._ask_s)

    def _tell(self, name: str, why: str) -> None:
        log.log(logging.DEBUG if self._told.get(name) == why else logging.INFO,
                "a vendor's source is not used: %s; it is asked again in %.0f min", why, self._rest_s / 60)
        self._told[name] = why

    async def _tool(self, interface: str, vendor: str) -> Extras:
        name, arguments, decode = TOOLS[vendor]
        words = self._command or [shutil.which(name, path=PATH) or ""]
        if not words[0]:
            raise NotRun(f"{name} is not installed (radio.vendor_tool names it)")
        done = await child.run([*words, *(word.format(interface=interface) for word in arguments)], TOOL_TIMEOUT_S)
        if done.status != 0:
            why = done.complaint or child.last_line(done.output) or "without a word"
            raise NotRun(f"{name}: exit status {done.status}: {why[:160]}; it needs root (radio.vendor_tool)")
        if done.cut:
            raise BadWords(f"{name}: too long an answer")
        return decode(done.output)

    async def _table(self, interface: str, _vendor: str) -> Extras:
        text = await asyncio.to_thread(self._read_table, interface)
        return Extras(f"debugfs {morse_words.RATE_TABLE}", rates=morse_words.rates(text))

    def _read_table(self, interface: str) -> bytes:
        try:
            phy = (self._sys / "class/net" / interface / "phy80211").readlink().name
            with (self._sys / "kernel/debug/ieee80211" / phy / "morse" / morse_words.RATE_TABLE).open("rb") as file:
                return file.read(TABLE_BYTES)
        except OSError as error:
            raise NotRun(f"{error.filename}: {error.strerror}; debugfs is root's") from error

    async def _listen(self) -> None:
        """Wait for the notice that the firmware hangs; a driver without that family gives none."""
        try:
            with contextlib.closing(NetlinkSocket(16)) as sock:
                family, groups = await resolve_family(sock, newracom_words.FAMILY)
                sock.join(groups[newracom_words.LOG_GROUP])
                while True:
                    for kind, _, _, message in split(await sock.receive()):
                        if kind == family and newracom_words.asks_for_recovery(message):
                            self.notice_at = self._monotonic()
                            log.warning("the radio's driver says that its firmware hangs")
        except (OSError, ValueError, KeyError) as error:
            self._tell("notice", f"{newracom_words.FAMILY}: {error}")


class AidedRadio:
    """A `halow.base.Radio` that adds what the vendor's tools say."""

    def __init__(self, base: Radio, make_tools: Callable[[], Tools] = Tools, *,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """`make_tools` begins anew for each interface."""
        self._base = base
        self._make_tools = make_tools
        self._monotonic = monotonic
        self._tools = make_tools()
        self._whose = ("", "")
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `Radio.open`."""
        await self._base.open()

    async def close(self) -> None:
        """See `Radio.close`."""
        await self._follow("", "")
        await self._base.close()

    async def sample(self) -> RadioSample:
        """See `Radio.sample`."""
        try:
            sample = await self._base.sample()
        except RadioAbsent:
            await self._follow("", "")      # a driver that is loaded again begins anew, and its notice is settled
            raise
        await self._follow(sample.facts.interface, sample.facts.vendor)
        for extras in self._tools.extras():
            sample = with_extras(sample, extras)
        return replace(sample, firmware_hangs_s=self._hangs_s(sample))

    async def wait_event(self) -> LinkEvent:
        """See `Radio.wait_event`."""
        return await self._base.wait_event()

    def _hangs_s(self, sample: RadioSample) -> float | None:
        """Return how long ago the driver gave its firmware up. A peer that was heard since proves otherwise."""
        at = self._tools.notice_at
        if at is None:
            return None
        age_s = self._monotonic() - at
        if any(peer.inactive_ms is not None and peer.inactive_ms / 1000 < age_s - 1.0 for peer in sample.peers):
            self._tools.notice_at = None
            return None
        return age_s

    async def _follow(self, interface: str, vendor: str) -> None:
        if (interface, vendor) == self._whose and (not interface or self._following is not None):
            return
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
            if not self._following.cancelled():
                self._following.result()      # it never ends by itself: what it raises is a bug
        self._whose, self._following, self._tools = (interface, vendor), None, self._make_tools()
        if vendor in TOOLS:
            self._following = asyncio.create_task(self._tools.follow(interface, vendor), name="vendor tools")
            with contextlib.suppress(TimeoutError):      # so that the first sample is as true as the later ones
                async with asyncio.timeout(FIRST_LOOK_S):
                    await self._tools.tried.wait()
