"""`halow-gateway`: the table of commands, and how every one of them ends.

A command is a click command in `edge/commands`, loaded when it is called: `--version` and `--help` load none of them.
It gets its settings from `edge.commands.context.State` (`@pass_state`) and returns its exit status, None for 0.

    0    done                                     2    wrong usage
    1    refused or failed: one line on stderr    130  interrupted
    78   the settings file is wrong (EX_CONFIG of sysexits.h)

78 is what a restart or a reboot cannot mend, so the unit has `RestartPreventExitStatus=78`: a slip of the pen in
gateway.toml must not make the board reboot for ever. Only that file counts, and the alarm conditions that it names. A
token or a CA that is missing or wrong keeps nobody from polling: the gateway runs, says what it waits for, and takes
the right file when it comes. What is wrong with the state directory, the registry, the control socket or the program's
own files may be better after a restart, or on the other slot of the image: 1.
"""

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import edge
from edge.commands.context import DEFAULT_CONFIG, State
from edge.errors import EdgeError, SettingsError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERSION = edge.__version__ + (f" (build {edge.__build__})" if edge.__build__ else "")

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("edge.commands.init:init", "Make what is missing in the state directory: identity, keys, registry, ring."),
    "run": ("edge.commands.run:run", "Run the gateway in the foreground (systemd starts it so)."),
    "check": ("edge.commands.check:check", "Look at settings and surroundings; say what is wrong and what to do."),
    "status": ("edge.commands.status:status", "Show what the running gateway is doing, on one screen."),
    "meter": ("edge.commands.meter:meter", "Add, list, edit, pause meters; find them, ask them; import and export."),
    "backfill": ("edge.commands.backfill:backfill", "Show what of the load profiles is missing; read some again."),
    "read": ("edge.commands.read:read", "Poll one meter once and print its values with units."),
    "ring": ("edge.commands.ring:ring", "Look into the ring on flash; save what a broken one holds."),
    "alarms": ("edge.commands.alarms:alarms", "Show which alarms stand; acknowledge one."),
    "logs": ("edge.commands.logs:logs", "Show the newest lines of the running gateway's log; follow them."),
    "metrics": ("edge.commands.metrics:metrics", "Print the running gateway's metrics for Prometheus."),
    "log": ("edge.commands.logs:log", "Change how much the running gateway's log says."),
    "link": ("edge.commands.link:link", "Show the radio link to each peer; survey, plan, configure it."),
    "page": ("edge.commands.page:page", "Get into the local page: a code for its password, tokens for scripts."),
    "csr": ("edge.commands.csr:csr", "Print a certificate signing request for the gateway's own key."),
    "credentials": ("edge.commands.credentials:credentials", "Give the gateway new credentials for ThingsBoard."),
    "claim": ("edge.commands.claim:claim", "Let a customer claim the gateway at ThingsBoard."),
    "ota": ("edge.commands.ota:ota", "Show how an update from ThingsBoard goes; try a failed one again."),
    "bundle": ("edge.commands.bundle:bundle", "Make a support archive, without secrets."),
    "backup": ("edge.commands.backup:backup", "Write meters, settings and keys into one encrypted file."),
    "restore": ("edge.commands.backup:restore", "Put a backup in place, all of it or nothing."),
    "config": ("edge.commands.config:config", "Show, check and reload settings; who changed them; the defaults."),
    "completion": ("edge.commands.completion:completion", "Print what a shell needs to complete commands and meters."),
    "man": ("edge.commands.man:man", "Print the manual page."),
    "simulate": ("edge.commands.simulate:simulate", "Run simulated meters on this machine."),
    "demo": ("edge.commands.demo:demo", "Show the whole gateway at work on this machine, in a minute."),
}

EX_CONFIG = os.EX_CONFIG
_OUTPUT_FAILS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)      # what a redirected standard output meets


class LazyGroup(click.Group):
    """A group whose commands are loaded from the table above when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:      # noqa: ARG002 - click's signature
        """Return the names in the order of the table, without those that this build leaves out."""
        return [name for name, (place, _) in COMMANDS.items() if find_spec(place.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:      # noqa: ARG002 - same
        """Import a command's module; None for a name that is in no line of the table."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            if missing.name != module:
                raise
            raise click.ClickException(f"{cmd_name}: not part of this build; it runs from the source tree") from None
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete the table's names with the table's own words: nothing is loaded for it."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*(CompletionItem(name, help=COMMANDS[name][1]) for name in names),
                *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the table's own words, so that help loads none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def main(      # type: ignore[override]  # click types this as two overloads; the process ends here in any case
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any,
    ) -> NoReturn:
        """Run a command line and exit. Whatever happens, the operator gets at most a few plain lines."""
        state = State()
        extra |= {"standalone_mode": False, "obj": state}
        try:
            result = super().main(args, prog_name or "halow-gateway", **extra)
            status = result if isinstance(result, int) else 0
            if sys.stdout is not None:      # `>&-`: there is none
                sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            status = 130
        except EdgeError as error:
            _explain(str(error), debug=state.debug)
            status = EX_CONFIG if isinstance(error, SettingsError) else 1
        except BrokenPipeError:      # `halow-gateway meter list | head -1`: end quietly, with click's status for it
            _give_up_output()
            status = 1
        except OSError as error:
            what = _unexpected(error)
            if error.errno in _OUTPUT_FAILS and not error.filename:
                what = f"the output cannot be written: {error.strerror}"
                _give_up_output()
            _explain(what, debug=state.debug)
            status = 1
        except Exception as error:      # noqa: BLE001 - the last resort: a person at a shell gets a line, not a traceback
            _explain(_unexpected(error), debug=state.debug)
            status = 1
        sys.exit(status)


def _give_up_output() -> None:
    """Let what is left unwritten go nowhere: at exit Python would try once more, and end with a status of its own."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(text: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    for line in text.splitlines():
        click.echo(f"halow-gateway: {line}", err=True)


def _unexpected(error: Exception) -> str:
    return f"internal error: {type(error).__name__}{_place(error)}; run again with --debug and report it"


def _place(error: Exception) -> str:
    """Name where in the gateway it happened. The error's own text stays out of it: nobody has looked at that."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if {"edge", "halow"} & set(Path(frame.filename).parts)]
    return f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-c", "--config", type=click.Path(path_type=Path, readable=False), envvar="HALOW_GATEWAY_CONFIG",
              show_envvar=True,
              help=f"Settings file. Default: {DEFAULT_CONFIG} where it exists, else built-in defaults.")
@click.option("--debug", is_flag=True, help="Log everything to stderr, and show tracebacks.")
@click.version_option(VERSION, prog_name="halow-gateway")
@click.pass_context
def root(context: click.Context, config: Path | None, debug: bool) -> None:
    """Smart-meter edge gateway: DLMS/COSEM meters over Wi-Fi HaLow into ThingsBoard."""
    from edge.logs import output

    state: State = context.obj
    state.config = config
    state.debug = debug
    output.configure("debug" if debug else "warning")
    if context.invoked_subcommand != "run":      # the daemon's log outlives its command: what hangs then is still named
        context.call_on_close(output.release)


def main() -> NoReturn:
    """Start the program: what the console script and `python -m edge` call."""
    root.main()
