"""What Newracom's own tools say (pure).

Source: newracom/nrc7292_sw_pkg, cli_app: cli_cmd.c (`show signal`), cli_util.c (how it is laid out: "key : value" with
tabs, "N/A" without a station, "OK" or "FAIL" at the end, status 0 either way), cli_cmd.h (the keys); driver:
nrc-netlink.c and nrc-netlink.h (the notice of the firmware's watchdog). `show signal` also switches the driver's
averaging on, so the first answers after a load may have no station.
"""

import re

from halow.extras import BadWords, Extras, Signal
from halow.netlink import GENERIC, HEADER, attributes

TOOL, ARGUMENTS = "cli_app", ("show", "signal")

FAMILY, LOG_GROUP = "NRC-NL-FAM", "nrc-log"
CMD_RECOVERY, ATTR_RECOVERY_MSG = 15, 27

_STATION = re.compile(r"MAC addr\s*:\s*((?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})\s+rssi\s*:\s*(-?\d{1,4})\s+"
                      r"snr\s*:\s*(-?\d{1,4})\s")


def signal(output: bytes) -> Extras:
    """Read the answer of `cli_app show signal`: the average RSSI and SNR of each station. Raises BadWords."""
    text = output.decode(errors="replace").strip() + "\n"
    verdict = text.split()[-1] if text.strip() else ""
    if verdict != "OK":
        raise BadWords(f"show signal: ends with {verdict[:20]!r} instead of OK")
    found = {mac.lower(): Signal(int(rssi), int(snr)) for mac, rssi, snr in _STATION.findall(text)}
    if len(found) != text.count("MAC addr"):
        raise BadWords("show signal: stations in a form that is not known")
    return Extras(TOOL, signals={mac: one for mac, one in found.items() if -20 <= one.snr_db <= 80})


def asks_for_recovery(message: bytes) -> bool:
    """Tell whether a message of the driver's family says that its firmware hangs. ValueError for a broken one."""
    if len(message) < HEADER.size + GENERIC.size or message[HEADER.size] != CMD_RECOVERY:
        return False
    return attributes(message[HEADER.size + GENERIC.size:]).get(ATTR_RECOVERY_MSG, b"").startswith(b"recovery")
