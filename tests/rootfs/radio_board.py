"""A board's file system as far as radio-config sees it, in a directory."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "rootfs/usr/lib/halow-gateway/radio-config"
SHARE = ROOT / "rootfs/usr/share/halow-gateway/radio"
WRONG = 78

AP = {"VENDOR": "morse", "ROLE": "ap", "COUNTRY": "AU", "SSID": "meters", "SECURITY": "sae", "PASSPHRASE": "correct horse",
      "ADDRESS": "10.41.0.1/24"}
STA = {"VENDOR": "newracom", "ROLE": "sta", "COUNTRY": "US", "SSID": "meters", "SECURITY": "sae", "PASSPHRASE": "correct horse"}


@dataclass(frozen=True)
class Board:
    """A board's file system as far as radio-config sees it, in a directory; daemons and networkctl only note their calls."""

    path: Path

    @classmethod
    def made(cls, path: Path) -> Self:
        """Lay it out in an empty directory."""
        for name in ("bin", "sys"):
            (path / name).mkdir()
        for name in ("hostapd", "hostapd_s1g", "wpa_supplicant", "wpa_supplicant_s1g", "networkctl"):
            script = path / "bin" / name
            script.write_text(f'#!/bin/sh\necho "{name} $*" >> "{path}/calls"\n')
            script.chmod(0o755)
        return cls(path)

    @property
    def conf(self) -> Path:
        return self.path / "radio.conf"

    @property
    def daemon_conf(self) -> Path:
        return self.path / "run/daemon.conf"

    @property
    def network_file(self) -> Path:
        return self.path / "network/40-halow0.network"

    def run(self, *words: str, shell: str = "/bin/sh") -> subprocess.CompletedProcess[bytes]:
        environment = {
            "PATH": f"{self.path}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HALOW_RADIO_CONF": str(self.conf), "HALOW_RADIO_SHARE": str(SHARE), "HALOW_RADIO_RUN": str(self.path / "run"),
            "HALOW_RADIO_NETWORK": str(self.path / "network"), "HALOW_RADIO_SYS": str(self.path / "sys"),
        }
        return subprocess.run([*shell.split(), str(PROGRAM), *words], env=environment, cwd=self.path, capture_output=True, check=False)

    def render(self, values: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        self.conf.write_text(text(values))
        return self.run("render")

    def lines(self) -> list[str]:
        return [line for line in self.daemon_conf.read_text().splitlines() if not line.startswith("#")]

    def calls(self) -> list[str]:
        log = self.path / "calls"
        return log.read_text().splitlines() if log.exists() else []


def text(values: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def faults(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stderr.decode(errors="replace").splitlines()


def rows(vendor: str, name: str) -> list[list[str]]:
    return [line.split("\t") for line in (SHARE / vendor / name).read_text().splitlines() if not line.startswith("#")]
