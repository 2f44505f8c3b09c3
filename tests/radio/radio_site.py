"""The rehearsal's board as an access point of simulated radios: three stations, a meter behind each (tools/radio_vm).

    meter, this machine ◄── bridge, namespace s1..s3 ◄── station ◄── medium.py ── halow0 ◄── the gateway, as the image starts it
"""

import json
import re
import sys
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from host_side import HOST, HostSide, on, ready
from vm import Board, copy_disk, direct_kernel

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/image"))
from machine import MACHINES

TOOLS = Path(__file__).resolve().parents[2] / "tools"

INTERVAL_S = 2.0
PASSPHRASE = "a lab of four radios"
GATEWAY_UID = 780
LAB = "/run/lab/guest"
STATIONS = (1, 2, 3)
LEVELS = {1: -65, 2: -81, 3: -91}
"""What the access point hears of each station, in dBm; a station hears it 3 dB better."""

RUNGS = ("reassociate", "restart_daemon", "vendor_restart", "reload_driver", "reboot")
ASKED = ("restart_daemon", "reload_driver")
"""What the image's own helper does as root; the others only leave a mark."""
AFTER_S, STEP_WAIT_S, AT_MOST = 30.0, 8.0, 5
CONTROL = "/run/halow-gateway-radio/control"
AS_THE_GATEWAY = f"setpriv --reuid={GATEWAY_UID} --regid={GATEWAY_UID} --clear-groups --"

_SETTINGS = f"""
[radio]
mac = "02:00:00:00:00:00"
interval_s = {INTERVAL_S}
record_interval_s = 30.0

[recovery]
after_s = {AFTER_S}
step_wait_s = {STEP_WAIT_S}
heal_s = 3600.0
at_most_per_hour = {AT_MOST}
reboots_in_row = 1
""" + "".join(f'{rung} = "' + (f"/usr/lib/halow-gateway/ask-radio-step {rung}" if rung in ASKED else f"/usr/bin/touch /run/halow-gateway/taken-{rung}") + '"\n'
              for rung in RUNGS)

_RADIO = f"""VENDOR=lab
ROLE=ap
COUNTRY=AU
SSID=lab
SECURITY=sae
PASSPHRASE={PASSPHRASE}
ADDRESS=10.41.0.1/24
DHCP_SERVER=no
INTERFACE_MAC=02:00:00:00:00:00
"""


@dataclass(frozen=True)
class Seen:
    """What `watch.py` waited for, and how long."""

    came: bool
    began: float      # the board's monotonic seconds
    waited_s: float
    radio: dict[str, Any]

    def peer(self, station: int) -> dict[str, Any]:
        return next(peer for peer in self.radio["peers"] if peer["mac"] == mac(station))


def mac(station: int) -> str:
    return f"02:00:00:00:{station:02x}:00"


def both_ways(levels: dict[int, int]) -> dict[str, int]:
    return {key: value for station, dbm in levels.items() for key, value in ((f"{station}>0", dbm), (f"0>{station}", dbm + 3))}


class RadioSite:
    """Everything of it; an asynchronous context manager. Whatever happens, nothing is left running."""

    def __init__(self, images: Path, folder: Path) -> None:
        self.host = HostSide(
            folder, meters=len(STATIONS), interval_s=INTERVAL_S, ring_mib=24, settings=_SETTINGS,
            meter_hosts=[f"10.41.0.1{station}" for station in STATIONS])
        amd64 = images / "amd64"
        disk = copy_disk(amd64 / "disk.img", folder / "disk.img")
        log = images / "logs/radio.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        lab = f"file={amd64 / 'radio.squashfs'},format=raw,readonly=on,if=none,id=lab"
        machine = MACHINES["amd64"]
        lines = (TOOLS / "radio_vm/radio.dropin").read_text().splitlines(keepends=True)      # 2 KiB is all a command line holds
        dropin = b64encode("".join(line for line in lines if not line.startswith("#")).encode()).decode()
        credential = f"systemd.set_credential_binary=systemd.unit-dropin.halow-radio.service:{dropin}"
        self.board = Board(
            machine.qemu, drive=f"file={disk},format=raw,cache=unsafe", log=log, kernel=direct_kernel(amd64, machine.console, credential),
            extra=["-drive", lab, "-device", "virtio-blk-pci,drive=lab"])
        self._disk, self._log = disk, log
        self.levels = dict(LEVELS)

    async def __aenter__(self) -> Self:
        await self.host.__aenter__()
        self.host.card(self._disk)
        self.board.start()
        try:
            took = await ready(self.board, timeout_s=600)
            await self.on("mkdir -p /run/lab && mount -o ro /dev/vdb /run/lab")
            await self.on(f"{LAB}/prepare")
            # not on the card: the product does not know the lab's "vendor" before `prepare`
            await self.on(f"umask 077; echo {b64encode(_RADIO.encode()).decode()} | base64 -d > /etc/halow-gateway/radio.conf")
            await self.load()
            meters = " ".join(f"{station}:{member.row.port}" for station, member in zip(STATIONS, self.host.population.members, strict=True))
            await self.on(f"systemd-run --quiet --unit=meters {LAB}/python {LAB}/bridge.py {GATEWAY_UID} {HOST} {meters}")
            await self.all_heard()
            print(f"\nREADY {took:.0f} s after power on, three stations heard after {self.board.since_start_s():.0f} s")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.board.__exit__()
        await self.host.__aexit__(kind, error, trace)

    def note(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(f"---- {line}\n")

    async def on(self, command: str, *, timeout_s: float = 120.0, check: bool = True) -> str:
        return await on(self.board, command, timeout_s=timeout_s, check=check)

    async def load(self) -> None:
        """Load the driver; the radio's daemon starts by itself, the stations are started."""
        await self.on(f"mkdir -p /run/radio; echo '{json.dumps(both_ways(self.levels))}' > /run/radio/levels.json")
        await self.on(f"{LAB}/load '{PASSPHRASE}'")

    async def unload(self) -> None:
        await self.on(f"{LAB}/unload")

    async def watch(self, condition: str, within_s: float, levels: dict[int, int] | None = None) -> Seen:
        """Set levels, where some are given, and wait for a condition of watch.py; not coming is told, not raised."""
        if levels is not None:
            self.levels = levels
        told = "" if levels is None else f" '{json.dumps(both_ways(levels))}'"
        said = await self.on(f"{LAB}/python {LAB}/watch.py '{condition}' {within_s}{told}", timeout_s=within_s + 60)
        found = json.loads(said.splitlines()[-1])
        return Seen(found["came"], found["began"], found["waited_s"], found["radio"])

    async def all_heard(self, levels: dict[int, int] | None = None, *, within_s: float = 90.0) -> Seen:
        """Set the usual levels, or these, and wait until every station is heard."""
        self.levels = dict(LEVELS) if levels is None else levels
        for station in STATIONS:
            seen = await self.watch(f"peer {mac(station)} heard", within_s, self.levels)
            assert seen.came, f"station {station} is not heard: {seen.radio}\n{await self.said()}\n{await self.said('halow-radio')}"
        return seen

    async def looks(self, more: int, station: int = 1, levels: dict[int, int] | None = None) -> Seen:
        """Set levels, where some are given, and wait until the gateway has looked at a station so many times more."""
        seen = await self.watch(f"peer {mac(station)} looked {more}", 60 + more * INTERVAL_S, levels)
        assert seen.came, f"station {station} is not looked at: {seen.radio}\n{await self.said()}"
        return seen

    async def line(self, unit: str, since: float, pattern: str, *, within_s: float = 90.0) -> str:
        """Wait until a unit has logged a line like this at or after a monotonic time; return it."""
        return await self.on(f"{LAB}/python {LAB}/said.py {unit} {since} '{pattern}' {within_s:.0f}", timeout_s=within_s + 60)

    async def now(self) -> float:
        """Return the board's monotonic seconds."""
        return float((await self.on("cat /proc/uptime")).split()[0])

    async def said(self, unit: str = "halow-gateway", *, since: float = 0.0) -> str:
        """Return what a unit has logged since a monotonic time, with the time in front."""
        lines = (await self.on(f"journalctl -b -u {unit} -o short-monotonic --no-hostname --no-pager | tail -n 200")).splitlines()
        stamped = [(re.match(r"\[ *([\d.]+)\]", line), line) for line in lines]
        return "\n".join(line for at, line in stamped if at and float(at[1]) >= since)

    async def grades(self, station: int, since: float) -> list[str]:
        """Return the grades that a station's link has changed to, as the gateway's log has them."""
        return re.findall(rf"peer {mac(station)}: link (\w+)", await self.said(since=since))
