"""`halow-gateway link config`: the configuration of hostapd_s1g or wpa_supplicant_s1g from a few settings."""

from pathlib import Path

import click

from edge.errors import ConfigError, EdgeError


@click.command(short_help="Write hostapd_s1g's or wpa_supplicant_s1g's configuration.")
@click.argument("role", type=click.Choice(["ap", "sta"]))
@click.option("--country", required=True, help="What the driver was loaded with, e.g. US, EU, AU.")
@click.option("--site", default="", help="The country where it stands, if another one, e.g. CO.")
@click.option("--ssid", required=True)
@click.option("--security", type=click.Choice(["sae", "owe"]), default="sae", show_default=True)
@click.option("--passphrase-file", type=click.Path(dir_okay=False, path_type=Path), help="Asked for when left out.")
@click.option("--channel", type=click.IntRange(min=1), default=None, help="S1G channel; else the country's default.")
@click.option("--width", "width_mhz", type=click.Choice(["1", "2", "4", "8"]), help="MHz.")
@click.option("--interface", default="wlan0", show_default=True)
@click.option("--control-dir", default="", help="Where the daemon makes its control socket.")
@click.option("--control-group", default="", help="Who may ask the daemon, e.g. halow-gateway.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it (mode 0600); else shown.")
def config(role: str, country: str, site: str, ssid: str, security: str, passphrase_file: Path | None,
           channel: int | None, width_mhz: str | None, interface: str, control_dir: str, control_group: str,
           output: Path | None) -> None:
    """Make the file for a Morse Micro radio, checked against what the country allows.

    The passphrase is shown nowhere: only the file that is written has it.
    """
    from halow.configcommand import secret_of, write
    from halow.daemonconfig import Wish, WrongConfig, make

    try:
        secret = "" if security == "owe" else secret_of(passphrase_file)
        made = make(Wish(role, country.upper(), ssid, security, secret, channel or 0, int(width_mhz or 0), site,
                         interface, control_dir, control_group))
        if output is not None:
            write(output, made)
    except WrongConfig as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise EdgeError(f"{error.filename}: {error.strerror}") from error
    for line in made.warnings:
        click.echo(f"warning: {line}", err=True)
    click.echo(made.shown.rstrip() if output is None else f"{output}: for {made.program}")
