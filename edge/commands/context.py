"""What every command shares: the settings file that was asked for, and how to open what stands in it.

    @click.command()
    @pass_state
    def thing(state: State) -> None:
        settings = state.settings()
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.errors import EdgeError
from edge.rights import as_owner, as_started

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.configlayer import Look
    from edge.meters.library import Library
    from edge.store.registry import Registry

RELOAD_TIMEOUT_S = 15.0      # pollers that stop close their associations first
DEFAULT_CONFIG = Path("/etc/halow-gateway/gateway.toml")


class State:
    """One command line: its `--config` and `--debug`."""

    def __init__(self) -> None:
        """Nothing is read before a command asks for it."""
        self.config: Path | None = None
        self.debug = False

    def config_path(self) -> Path | None:
        """Return the settings file: the one asked for, else the default one where it exists, else None."""
        if self.config is not None:
            return self.config
        try:
            DEFAULT_CONFIG.lstat()
        except FileNotFoundError:
            return None
        except OSError:      # there, but not for this user: loading it will say so
            pass
        return DEFAULT_CONFIG

    def load(self) -> "Settings":
        """Load the settings, and keep the rights that the command was started with. Raises ConfigError."""
        from edge.configfile import load

        with as_started():
            return load(self.config_path())

    def settings(self) -> "Settings":
        """Load the settings; from here on root works as the state directory's owner. Raises ConfigError."""
        settings = self.load()
        work_as_owner(Path(settings.gateway.state_dir))
        return settings

    def in_force(self) -> "Look":
        """Load the settings, and what ThingsBoard has set over them. Raises ConfigError for the file only."""
        from edge.configlayer import look

        settings = self.settings()
        return look(Path(settings.gateway.state_dir), settings)

    def registry(self, settings: "Settings") -> "Registry":
        """Open the registry; use it in a `with`. Raises RegistryError."""
        from edge.store.registry import FILE_NAME, Registry

        return Registry.open(Path(settings.gateway.state_dir) / FILE_NAME)

    def library(self, settings: "Settings") -> "Library":
        """Load the meter types, shipped and own."""
        from edge.meters.library import Library, own_directory

        return Library(own_directory(settings.gateway))


pass_state = click.make_pass_decorator(State)


def work_as_owner(directory: Path) -> None:
    """Have the rest of this command line work as a directory's owner where root runs it: see edge.rights."""
    click.get_current_context().find_root().with_resource(as_owner(directory))


def told_on_screen(state: State, logger: str) -> None:
    """Keep out of this command's log what it prints itself. `--debug` has both."""
    noisy = logging.getLogger(logger)
    if not state.debug:
        noisy.setLevel(logging.CRITICAL)
        click.get_current_context().call_on_close(lambda: noisy.setLevel(logging.NOTSET))


def read_input(name: str, limit_bytes: int) -> bytes:
    """Read a file, or standard input for "-", up to `limit_bytes`. Raises EdgeError."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(limit_bytes)
        with as_started(), Path(name).open("rb") as file:
            return file.read(limit_bytes)
    except OSError as error:
        raise EdgeError(f"{name}: cannot be read: {error.strerror}") from error


def poke(settings: "Settings", *names: str) -> str:
    """Tell a running gateway that these meters changed, and return a sentence or two on when that takes effect."""
    from edge.control import NoDaemon, ask

    try:
        answer = ask(Path(settings.gateway.runtime_dir), "reload", timeout_s=RELOAD_TIMEOUT_S)
    except NoDaemon:
        return "No gateway is running; it takes effect at the next start."
    except EdgeError as error:
        return f"The running gateway has not taken it up yet: {error}"
    refused = [str(reason) for name, reason in dict(answer.get("refused") or {}).items() if name in names]
    return "\n".join(["The running gateway has taken it up.", *(f"It cannot poll: {reason}" for reason in refused)])
