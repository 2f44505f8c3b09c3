"""Who puts a package into place, and what runs: a port, and two small facts.

The image's updater is RAUC, reached by a command (edge.daemon.updaters); a fake one stands in tests/daemon.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from edge.ota.offer import Offer


class Running(NamedTuple):
    """What runs now. `build` tells two builds apart, `boot` two boots; "" where there is nothing to tell."""

    title: str
    version: str
    build: str
    boot: str


class NotInstalled(Exception):
    """The updater did not take the package, and why: one line. What ran before runs on."""


class Updater(Protocol):
    """Installs packages of one kind."""

    async def install(self, package: Path, offer: Offer) -> None:
        """Put a checked package into place, so that it runs now or from the next start on. Raises NotInstalled.

        A power cut in the middle must leave what ran before.
        """

    async def restart(self) -> bool:
        """Ask for the start that makes it run, and return before it comes; False where none is needed. NotInstalled."""
