"""Settings of the radio: how the link is watched, and how a dead one is brought back."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.config.values import Command, File, Mac, Period, Text


class RadioSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HaLow link as it is watched."""

    kind: Annotated[Literal["auto", "nl80211", "external", "simulated", "none"],
                    "external: a bridge box tells its stations (docs/halow.md); none: nobody does"] = "auto"
    interface: Annotated[Text, "chosen by driver or MAC when empty"] = ""
    driver: Annotated[Text, 'e.g. "morse_sdio"'] = ""
    mac: Annotated[Mac, "the radio's own address"] = ""
    trace: Annotated[File, "simulated: the trace file to replay"] = ""
    control_dir: Annotated[File, "hostapd's or wpa_supplicant's control sockets, besides the usual places"] = ""
    vendor_tool: Annotated[Command, "runs morse_cli or cli_app, e.g. by sudo -n; empty: the one in the PATH"] = ""
    external_command: Annotated[Command, "external: prints the box's stations as JSON; this or external_file"] = ""
    external_file: Annotated[File, "external: holds the same; its time says how old it is"] = ""
    external_timeout_s: Annotated[Period, "external: the command is ended after it"] = 10.0
    external_stale_s: Annotated[Period, "external: stations told longer ago count as no answer"] = 60.0
    interval_s: Annotated[Period, "one sample of the link in this time"] = 5.0
    record_interval_s: Annotated[Period, "link records for the ring; a change of grade is written at once"] = 900.0
    width_mhz: Literal[1, 2, 4, 8, 16] = 2


class RecoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a dead radio is brought back: commands, gentlest first; an empty one is left out."""

    reassociate: Annotated[Command, "e.g. the daemon's reassociate or reattach"] = ""
    restart_daemon: Annotated[Command, "restarts hostapd or wpa_supplicant"] = ""
    vendor_restart: Annotated[Command, "the vendor's own restart of the module's firmware"] = ""
    reload_driver: Annotated[Command, "unloads the driver, pulls the reset line, loads it again"] = ""
    reboot: Annotated[Command, "asks for a reboot of the board"] = ""
    after_s: Annotated[Period, "the radio must be gone or deaf for so long"] = 180.0
    step_wait_s: Annotated[Period, "a step has so long to help before the next"] = 90.0
    heal_s: Annotated[Period, "so long healthy, and the ladder begins from its first step again"] = 600.0
    at_most_per_hour: Annotated[int, Meta(ge=1, le=60), "steps, all together"] = 6
    reboots_in_row: Annotated[int, Meta(ge=0, le=10), "reboots without the radio getting healthy in between"] = 2
    command_timeout_s: Annotated[Period, "a command that takes longer is ended"] = 60.0
