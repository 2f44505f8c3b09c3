"""Three network namespaces in a row: gateway, air, meters. Needs root. Gone when left, whatever happens.

    gateway 10.30.0.1 ── veth ── air (emulator.py) ── veth ── meters 10.30.0.2
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
GATEWAY, METERS = "10.30.0.1", "10.30.0.2"


class NoNamespaces(Exception):
    """This machine or this user cannot make network namespaces; one line of why."""


class Site:
    """What is built when entered and taken down when left, whatever happens. A context manager."""

    def __enter__(self) -> Self:
        """Build it; NoNamespaces where that cannot be."""
        try:
            self._build()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        """Take it down."""
        self._tear_down()

    def _build(self) -> None:
        raise NotImplementedError

    def _tear_down(self) -> None:
        raise NotImplementedError


class RadioSite(Site):
    """A gateway's namespace and the meters' one, with a radio link between. A context manager."""

    def __init__(self, profile: str, *, seed: int = 1) -> None:
        """`profile` as in edge.demo.linkprofile."""
        tag = f"{os.getpid() % 100_000}"
        self._names = {side: f"hg{tag}{side}" for side in ("gw", "air", "mt")}
        self._profile, self._seed = profile, seed
        self._emulator: subprocess.Popen[str] | None = None

    def gateway(self, *words: str) -> list[str]:
        """Return a command as it runs on the gateway's side."""
        return ["ip", "netns", "exec", self._names["gw"], *words]

    def meters(self, *words: str) -> list[str]:
        """Return a command as it runs on the meters' side."""
        return ["ip", "netns", "exec", self._names["mt"], *words]

    def tell(self, line: str) -> dict[str, Any]:
        """Give the emulator an order (see emulator.py); return its counters."""
        assert self._emulator is not None
        assert self._emulator.stdin is not None
        assert self._emulator.stdout is not None
        self._emulator.stdin.write(f"{line}\n")
        self._emulator.stdin.flush()
        return dict(json.loads(self._emulator.stdout.readline()))

    def _build(self) -> None:
        gw, air, mt = self._names["gw"], self._names["air"], self._names["mt"]
        for name in (gw, air, mt):
            _ip("netns", "add", name)
        sides = ((gw, "g0", "g1", GATEWAY, METERS, "02:00:00:00:30:01", "02:00:00:00:30:02"),
                 (mt, "m0", "m1", METERS, GATEWAY, "02:00:00:00:30:02", "02:00:00:00:30:01"))
        for name, near, far, address, peer, mac, peer_mac in sides:
            _ip("link", "add", near, "netns", name, "address", mac, "type", "veth", "peer", "name", far, "netns", air)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", near)
            for where, interface in ((name, "lo"), (name, near), (air, far)):
                _ip("-n", where, "link", "set", interface, "up")
            # so that no loss of an ARP frame stands for a second of silence
            _ip("-n", name, "neigh", "add", peer, "lladdr", peer_mac, "dev", near, "nud", "permanent")
            _run("ip", "netns", "exec", name, sys.executable, str(HERE / "plain_frames.py"), near)
        self._emulator = subprocess.Popen(
            ["ip", "netns", "exec", air, sys.executable, str(HERE / "emulator.py"), "g1", "m1",
             "--profile", self._profile, "--seed", str(self._seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)})
        assert self._emulator.stdout is not None
        if not self._emulator.stdout.readline():
            raise NoNamespaces("the link emulator did not start")

    def _tear_down(self) -> None:
        if self._emulator is not None:
            self._emulator.kill()
            self._emulator.communicate()
        for name in self._names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoNamespaces(f"{words[0]} is not on this machine (package iproute2)") from error
    except subprocess.CalledProcessError as error:
        raise NoNamespaces(f"{' '.join(words)}: {error.stderr.strip() or error}") from error
