"""The updaters of this machine: commands of the operator, or of the image, which has RAUC behind them (I/O edge)."""

import shlex
from pathlib import Path

from edge import __build__, __version__
from edge.config import OtaSettings
from edge.ota.offer import Offer, What
from edge.ota.updater import NotInstalled, Running, Updater
from halow import child

OS_RELEASE = Path("/etc/os-release")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OUTPUT_BYTES = 400


class CommandUpdater:
    """Runs `command FILE TITLE VERSION` without a shell; status 0: installed. `restart_command` "": none is needed."""

    def __init__(self, command: str, restart_command: str, timeout_s: float) -> None:
        """The commands are those of the settings, and checked there."""
        self._command, self._restart, self._timeout_s = shlex.split(command), shlex.split(restart_command), timeout_s

    async def install(self, package: Path, offer: Offer) -> None:
        """Wait for the command's end. Cancelling ends it; what it asked of others goes on."""
        await self._run([*self._command, str(package), offer.title, offer.version])

    async def restart(self) -> bool:
        """Ask for a reboot of the board."""
        if self._restart:
            await self._run(self._restart)
        return bool(self._restart)

    async def _run(self, words: list[str]) -> None:
        try:
            done = await child.run(words, self._timeout_s, output_bytes=OUTPUT_BYTES)
        except child.NotRun as error:
            raise NotInstalled(str(error)) from None
        if done.status:
            text = done.output.decode(errors="replace") + done.complaint
            said = [line for line in text.splitlines() if line.strip()]
            raise NotInstalled(f"{words[0]}: {said[-1][:200] if said else f'status {done.status}'}")


def updaters(settings: OtaSettings) -> dict[What, Updater]:
    """Return who takes packages of which kind; a kind without a command is not taken."""
    made: dict[What, Updater] = {}
    if settings.firmware_command:
        made["fw"] = CommandUpdater(settings.firmware_command, settings.reboot_command, settings.install_timeout_s)
    if settings.software_command:
        made["sw"] = CommandUpdater(settings.software_command, "", settings.install_timeout_s)
    return made


def running(os_release: Path = OS_RELEASE, boot_id: Path = BOOT_ID) -> dict[What, Running]:
    """Return what runs: of the image its name, version and build; of software only what was installed is known."""
    said = dict(_pairs(os_release))
    build = "/".join((said.get("BUILD_ID", ""), __version__, __build__))
    try:
        boot = boot_id.read_text().strip()
    except OSError:
        boot = ""
    title, version = said.get("IMAGE_ID") or said.get("NAME", ""), said.get("VERSION_ID") or __version__
    return {"fw": Running(title, version, build, boot), "sw": Running("", "", build, boot)}


def _pairs(path: Path) -> list[tuple[str, str]]:
    """Read os-release(5): shell assignments, a value to a line."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    pairs = []
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key.isidentifier():
            pairs.append((key, value.strip().strip("\"'")))
    return pairs
