"""`halow-gateway` as a process and in a terminal: what it loads, how it ends, what it asks."""

import importlib.util
import logging
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_site import Site
from click.testing import CliRunner

import edge
from edge.cli import COMMANDS, root
from edge.errors import ConfigError, EdgeError, SettingsError

HEAVY = {"dlms_cosem", "cryptography", "pyroute2", "gmqtt", "rich", "asyncio", "uvloop", "msgpack", "msgspec", "sqlite3", "ssl",
         "starlette", "uvicorn", "edge.app", "edge.config", "edge.configfile", "edge.store", "edge.dlms"}
PROGRAM = [sys.executable, "-m", "edge"]


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *args], capture_output=True, text=True, timeout=30, check=False, **options)


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = "import sys, edge.cli; print('\\n'.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert "edge.cli" in loaded
    assert not loaded & HEAVY


def test_version_and_help_load_no_command() -> None:
    program = ("import sys; from edge.cli import root\ntry:\n root.main(sys.argv[1:])\n"
               "except SystemExit as e:\n print(e.code, *sys.modules)")
    for args in (["--version"], ["--help"]):
        done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=True)
        status, *loaded = done.stdout.splitlines()[-1].split()
        assert status == "0"
        assert not set(loaded) & HEAVY
        assert {name for name in loaded if name.startswith("edge.commands.")} == {"edge.commands.context"}


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"halow-gateway, version {edge.__version__}\n", "")


def test_help_lists_the_table() -> None:
    text = CliRunner().invoke(root, ["--help"]).stdout
    assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo", "link", "read", "ring", "simulate"}))
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(root, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: root {name}")


def test_wrong_usage_ends_with_2(site: Site) -> None:
    for args in ((), ("frobnicate",), ("--frob",), ("status", "extra")):
        result = site(*args)
        assert result.exit_code == 2
        assert "Usage: halow-gateway" in result.stderr


def test_the_settings_file_comes_from_the_option_the_environment_or_the_defaults(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    monkeypatch.setenv("HALOW_GATEWAY_CONFIG", str(site.config))
    assert runner.invoke(root, ["config", "show"]).stdout.startswith(f"# from {site.config}\n")
    monkeypatch.setenv("HALOW_GATEWAY_CONFIG", "/none.toml")
    assert "/none.toml: cannot be read" in runner.invoke(root, ["config", "show"]).stderr
    assert site.good("config", "check") == f"{site.config}: good\n"
    monkeypatch.delenv("HALOW_GATEWAY_CONFIG")
    monkeypatch.setattr("edge.commands.context.DEFAULT_CONFIG", site.config)
    assert runner.invoke(root, ["config", "check"]).stdout == f"{site.config}: good\n"
    monkeypatch.setattr("edge.commands.context.DEFAULT_CONFIG", Path("/none/gateway.toml"))
    assert runner.invoke(root, ["config", "check"]).stdout == "No settings file; the built-in defaults are in force.\n"


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(("error", "status", "stderr"), [
    (EdgeError("one\ntwo"), 1, "halow-gateway: one\nhalow-gateway: two\n"),
    (ConfigError("no such profile"), 1, "halow-gateway: no such profile\n"),
    (SettingsError("gateway.toml: x"), 78, "halow-gateway: gateway.toml: x\n"),
    (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    (click.UsageError("so not"), 2, "Usage: halow-gateway status [OPTIONS]\nTry 'halow-gateway status --help' for help.\n\nError: so not\n"),
])
def test_every_end_has_its_status(site: Site, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, stderr: str) -> None:
    monkeypatch.setattr("edge.commands.status.status", failing(error))
    result = site("status")
    assert (result.exit_code, result.stderr) == (status, stderr)


def test_a_bug_is_one_line_and_a_traceback_only_when_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("with a secret in its text")

    monkeypatch.setattr("edge.configfile.load", broken)
    (line,) = site.refused("meter", "list")
    assert line.startswith("internal error: ZeroDivisionError in context.py:")
    assert "secret" not in line
    debugged = site("--debug", "meter", "list")
    assert debugged.exit_code == 1
    assert "Traceback (most recent call last)" in debugged.stderr


def test_the_gateway_ends_with_78_for_what_no_reboot_mends(site: Site) -> None:
    """EX_CONFIG, which the unit names in RestartPreventExitStatus=; one line per problem, before anything is opened."""
    for text, words in (("[poll]\nat_once = 0\n", "poll.at_once = 0: must be"), ("[uplnik]\n", "did you mean uplink?"), ("[", "not TOML")):
        site.config.write_text(text)
        done = run("-c", str(site.config), "run")
        assert (done.returncode, done.stdout) == (78, "")
        assert done.stderr.startswith(f"halow-gateway: {site.config}: ")
        assert words in done.stderr
    assert run("-c", "/none.toml", "run").returncode == 78
    site.configure()
    site.runtime_dir.mkdir()
    (site.runtime_dir / "control.sock").write_text("in the way")
    done = run("-c", str(site.config), "run")
    assert done.returncode == 1, "not the settings file"
    assert "is there and is no socket" in done.stderr


def test_a_command_leaves_no_log_handler_behind(site: Site) -> None:
    """Else what it counted is written when whoever called it in this process has long said something else."""
    before = logging.getLogger().handlers[:]
    site.good("meter", "list")
    assert logging.getLogger().handlers == before


def test_help_names_only_what_this_build_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The binary carries neither simulated meters nor the demo."""
    absent = {"edge.commands.demo", "edge.commands.simulate"}
    find = importlib.util.find_spec
    monkeypatch.setattr("edge.cli.find_spec", lambda name: None if name in absent else find(name))
    text = CliRunner().invoke(root, ["--help"]).stdout
    assert not [line for line in text.splitlines() if line.strip().startswith(("demo", "simulate"))]
    assert "  status " in text


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*PROGRAM, "config", "default"], stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_meter_s_whole_life_in_processes(site: Site) -> None:
    base = ("-c", str(site.config), "meter")
    assert run(*base, "add", "m1", "10.0.0.1").returncode == 0
    assert run(*base, "add", "m1", "10.0.0.1").stderr == "halow-gateway: the meter m1 is registered already; `meter edit` changes it\n"
    assert run(*base, "set-password", "m1", "--password-file", "-", input="pw 1\n").returncode == 0
    assert " set " in run(*base, "list").stdout
    with site.registry() as registry:
        assert registry.password("m1") == b"pw 1"


class Terminal:
    """A command in a real terminal; what is typed is echoed only where the command lets it."""

    def __init__(self, *args: str) -> None:
        self.master, slave = pty.openpty()
        # Tests that a shell runs in its background begin with SIGINT switched off, and so would their children.
        self.process = subprocess.Popen([*PROGRAM, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # noqa: PLW1509 - no threads here
        os.close(slave)
        self.seen = b""

    def until(self, text: str) -> None:
        while text.encode() not in self.seen:
            self.seen += os.read(self.master, 1_000)      # raises when the command ends without saying it

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        try:
            while chunk := os.read(self.master, 1_000):
                self.seen += chunk
        except OSError:      # EIO: the other end is closed
            pass
        os.close(self.master)
        return self.process.wait(10)


def test_a_password_typed_at_a_terminal_is_not_shown(site: Site) -> None:
    site.good("meter", "add", "m1", "10.0.0.1")
    terminal = Terminal("-c", str(site.config), "meter", "set-password", "m1")
    terminal.until("Password of m1:")
    terminal.type("hunter2-9f\n")
    terminal.until("Repeat for confirmation:")
    terminal.type("hunter2-9f\n")
    assert terminal.end() == 0
    assert b"Set the password of m1." in terminal.seen
    assert b"hunter2" not in terminal.seen
    with site.registry() as registry:
        assert registry.password("m1") == b"hunter2-9f"


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 0), ("n\n", 130, 1)])
def test_removing_asks_at_a_terminal(site: Site, answer: str, status: int, left: int) -> None:
    site.good("meter", "add", "m1", "10.0.0.1")
    terminal = Terminal("-c", str(site.config), "meter", "remove", "m1")
    terminal.until("Remove m1 and its password? [y/N]:")
    terminal.type(answer)
    assert terminal.end() == status
    with site.registry() as registry:
        assert len(registry.list()) == left


def test_ctrl_c_at_a_prompt_ends_with_130_and_changes_nothing(site: Site) -> None:
    site.good("meter", "add", "m1", "10.0.0.1")
    terminal = Terminal("-c", str(site.config), "meter", "set-password", "m1")
    terminal.until("Password of m1:")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.seen
    with site.registry() as registry:
        assert registry.password("m1") == b""


def test_read_asks_at_a_terminal_for_the_password_of_a_meter_that_is_not_registered(site: Site) -> None:
    terminal = Terminal("-c", str(site.config), "read", "--host", "127.0.0.1", "--port", "1")
    terminal.until("Password for 127.0.0.1:")
    terminal.type("hunter2-9f\n")
    assert terminal.end() == 1
    assert b"unreachable" in terminal.seen
    assert b"hunter2" not in terminal.seen


def test_whether_a_settings_file_can_be_read_is_told_by_reading_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a file of mode 0600 is wrong usage, status 2, while one that is not there is status 1."""
    monkeypatch.setattr("os.access", lambda *_args, **_options: False)
    assert site.good("config", "check") == f"{site.config}: good\n"
    assert site.good("config", "check", str(site.config)) == f"{site.config}: good\n"
    assert site.refused("ring", "--config", str(site.config), "ls")[0].endswith("there is no ring here; --state-dir says where to look")


def test_output_that_cannot_be_written_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, "config", "default"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, f"halow-gateway: the output cannot be written: {os.strerror(28)}\n")


def test_without_a_standard_output_it_still_works(site: Site) -> None:
    program = f"exec {sys.executable} -m edge -c {site.config} meter add m1 10.0.0.1 >&-"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with site.registry() as registry:
        assert len(registry.list()) == 1


def test_hexadecimal_digits_typed_at_a_terminal_are_read_as_such(site: Site) -> None:
    terminal = Terminal("-c", str(site.config), "read", "--host", "127.0.0.1", "--port", "1", "--hex")
    terminal.until("Password for 127.0.0.1:")
    terminal.type("hunter2-9f\n")
    assert terminal.end() == 1
    assert b"the password is not in hexadecimal digits" in terminal.seen
    assert b"hunter2" not in terminal.seen


def test_a_password_from_standard_input_is_not_shown_where_that_is_a_terminal(site: Site) -> None:
    terminal = Terminal("-c", str(site.config), "meter", "add", "m1", "10.0.0.1", "--password-file", "-")
    for prompt in ("Password:", "Repeat for confirmation:"):
        terminal.until(prompt)
        terminal.type("hunter2-9f\n")
    assert terminal.end() == 0
    assert b"hunter2" not in terminal.seen
    with site.registry() as registry:
        assert registry.password("m1") == b"hunter2-9f"
