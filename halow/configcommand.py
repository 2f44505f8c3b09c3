"""`python -m halow config`: writes the configuration of hostapd_s1g or wpa_supplicant_s1g (I/O edge).

The passphrase comes from a file or is asked for; it is in no argument, and is shown nowhere: only the file that is
written has it, and only its owner may read that.
"""

import argparse
import contextlib
import getpass
import os
import sys
from pathlib import Path

from halow.daemonconfig import ROLES, SECURITIES, Made, Wish, WrongConfig, make

SECRET_BYTES = 256


def main(arguments: list[str]) -> int:
    """Make the file and write it, or show it without its secret; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m halow config", description="Configure a Morse Micro radio.")
    parser.add_argument("role", choices=ROLES, help="ap: an access point; sta: joins one")
    parser.add_argument("--country", required=True, help="what the driver was loaded with, e.g. US, EU, AU")
    parser.add_argument("--site", default="", help="the country where it stands, if another one, e.g. CO")
    parser.add_argument("--ssid", required=True)
    parser.add_argument("--security", choices=SECURITIES, default="sae")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="asked for when left out")
    parser.add_argument("--channel", type=int, default=0, help="S1G channel number; the country's default")
    parser.add_argument("--width", type=int, default=0, choices=(0, 1, 2, 4, 8), help="MHz")
    parser.add_argument("--interface", default="wlan0")
    parser.add_argument("--control-dir", default="")
    parser.add_argument("--control-group", default="", help="may ask the daemon, e.g. halow-gateway")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it, mode 0600; else it is shown")
    told = parser.parse_args(arguments)
    try:
        secret = "" if told.security == "owe" else secret_of(told.passphrase_file)
        made = make(Wish(told.role, told.country.upper(), told.ssid, told.security, secret, told.channel, told.width,
                         told.site, told.interface, told.control_dir, told.control_group))
        if told.output is not None:
            write(told.output, made)
    except (WrongConfig, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.writelines(f"warning: {line}\n" for line in made.warnings)
    sys.stdout.write(made.shown if told.output is None else f"{told.output}: for {made.program}\n")
    return 0


def secret_of(file: Path | None) -> str:
    """Return the passphrase, the first line of `file` or what a person types. OSError, WrongConfig."""
    if file is None:
        return getpass.getpass("Passphrase of the network: ")
    with file.open("rb") as opened:
        line = opened.read(SECRET_BYTES).split(b"\n")[0].removesuffix(b"\r")
    try:
        return line.decode("ascii")
    except UnicodeDecodeError as error:
        raise WrongConfig(f"passphrase: {file}: must be printable ASCII") from error


def write(path: Path, made: Made) -> None:
    """Write the file whole or not at all, for its owner alone. OSError."""
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(made.text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
