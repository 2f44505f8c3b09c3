"""Two network namespaces and two ways between them. Needs root. Gone when left, whatever happens.

    gateway  v1 10.77.1.1, fd77:1::1 ── veth ── 10.77.1.2, fd77:1::2 w1   server, which is 10.99.0.1 and fd99::1
             v2 10.77.2.1, fd77:2::1 ── veth ── 10.77.2.2, fd77:2::2 w2
    default routes of the gateway: v1 metric 100, v2 metric 200
"""

import os
import subprocess

from namespaces import NoNamespaces, Site

SERVER, SERVER6 = "10.99.0.1", "fd99::1"
NO_CAPABILITY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


class PathsSite(Site):
    """A gateway with two interfaces, and a server behind both. A context manager; NoNamespaces where it cannot be."""

    def __init__(self) -> None:
        """Nothing is made yet."""
        tag = f"hp{os.getpid() % 100_000}"
        self._gateway, self._server = f"{tag}gw", f"{tag}sv"

    def gateway(self, *words: str) -> list[str]:
        """Return a command as it runs on the gateway's side, without a single capability."""
        return ["ip", "netns", "exec", self._gateway, *NO_CAPABILITY, *words]

    def server(self, *words: str) -> list[str]:
        """Return a command as it runs on the server's side."""
        return ["ip", "netns", "exec", self._server, *words]

    def swallow(self, path: int) -> None:
        """Have the server's answers by a path vanish: no RST, no ICMP, the link stays up."""
        _ip("-n", self._server, "route", "replace", "blackhole", f"10.77.{path}.1/32")

    def heal(self, path: int) -> None:
        """Let them through again."""
        _ip("-n", self._server, "route", "del", "blackhole", f"10.77.{path}.1/32")

    def received_packets(self, path: int) -> int:
        """Return how many packets reached the server by a path."""
        words = self.server("cat", f"/sys/class/net/w{path}/statistics/rx_packets")
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def _build(self) -> None:
        for name in (self._gateway, self._server):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for address, bits in ((SERVER, 32), (SERVER6, 128)):
            _ip("-n", self._server, "addr", "add", f"{address}/{bits}", "dev", "lo")
        for path in (1, 2):
            near, far = f"v{path}", f"w{path}"
            _ip("link", "add", near, "netns", self._gateway, "type", "veth", "peer", "name", far, "netns", self._server)
            for name, interface, end in ((self._gateway, near, 1), (self._server, far, 2)):
                _ip("-n", name, "addr", "add", f"10.77.{path}.{end}/24", "dev", interface)
                _ip("-n", name, "addr", "add", f"fd77:{path}::{end}/64", "dev", interface, "nodad")
                _ip("-n", name, "link", "set", interface, "up")
        for path in (1, 2):
            for family, via in (("-4", f"10.77.{path}.2"), ("-6", f"fd77:{path}::2")):
                _ip("-n", self._gateway, family, "route", "add", "default", "via", via, "dev", f"v{path}",
                    "metric", f"{path}00")

    def _tear_down(self) -> None:
        for name in (self._gateway, self._server):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    try:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoNamespaces("ip is not on this machine (package iproute2)") from error
    except subprocess.CalledProcessError as error:
        raise NoNamespaces(f"ip {' '.join(words)}: {error.stderr.strip() or error}") from error
