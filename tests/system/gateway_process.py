"""The gateway as its users run it: a process, a configuration file, a state directory, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

EDGE = [sys.executable, "-m", "edge"]
TOKEN = "token-of-the-test"


def toml(settings: Mapping[str, Mapping[str, object]]) -> str:
    """Write settings as TOML; JSON's forms of strings, numbers and booleans are TOML's."""
    lines = []
    for section, keys in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


class GatewayProcess:
    """One gateway in `directory`. Its log goes to `directory/gateway.log`, appended over restarts."""

    def __init__(self, directory: Path, **sections: Mapping[str, object]) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.log = directory / "gateway.log"
        self.config = directory / "gateway.toml"
        gateway: dict[str, object] = {"name": "gw-test", "state_dir": str(self.state), "runtime_dir": str(directory / "run"), "log_level": "info"}
        settings: dict[str, dict[str, object]] = {
            "gateway": gateway,
            "clock": {"trust_wall": True},
            # with elision, what the server has in time would be on no flash for `dump` to compare
            "ring": {"size_mib": 64, "slot_mib": 1.0, "instant_commit_window_s": 0.2, "elide": False},
            "radio": {"kind": "none"},
            "uplink": {"enabled": False},
            "backfill": {"enabled": False},      # simulated meters have months of rows: for the tests that want them
        }
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        self.settings = settings
        self.configure()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, **sections: Mapping[str, object]) -> None:
        """Write the settings file, with other keys in these sections from now on."""
        for name, section in sections.items():
            self.settings[name] = {**self.settings.get(name, {}), **section}
        self.config.write_text(toml(self.settings))

    def command(self, *words: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `halow-gateway` command on this gateway's configuration."""
        done = subprocess.run([*EDGE, "--config", str(self.config), *words], check=False, input=stdin, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def token(self, token: str) -> None:
        """Give the gateway its access token, the way an integrator does."""
        path = self.state / "uplink.token"
        path.write_text(token)
        path.chmod(0o600)

    def register(self, rows: str) -> None:
        """Import meters, as CSV."""
        path = self.directory / "meters.csv"
        path.write_text(rows)
        self.command("meter", "import", str(path))

    def start(self, *, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()) -> None:
        """Start it; `prefix` is a command that runs it (strace, unshare)."""
        self.run([*prefix, *EDGE, "--config", str(self.config), "run"], env=env)

    def run(self, command: list[str], *, env: Mapping[str, str] | None = None) -> None:
        """Let `command` be the gateway."""
        assert self.process is None or self.process.poll() is not None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})})

    def kill(self) -> None:
        """Cut it off as a power failure of the process would: SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout_s: float = 15) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        status: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return status

    def await_status(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 30) -> dict[str, Any]:
        """Ask until `condition` holds; there is no event that crosses a process border for every condition."""
        deadline = time.monotonic() + timeout_s
        while True:
            done = self.command("status", "--json", check=False)
            if done.returncode == 0 and condition(json.loads(done.stdout)):
                return dict(json.loads(done.stdout))
            assert self.process is None or self.process.poll() is None, f"the gateway ended: {self.tail()}"
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {done.stdout or done.stderr}\n{self.tail()}"
            time.sleep(0.2)

    def dump(self, *options: str) -> list[dict[str, Any]]:
        """Every readable record of the ring, also the acknowledged ones."""
        return [json.loads(line) for line in self.command("ring", "dump", "--all", *options).stdout.splitlines()]

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else "(no log)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
