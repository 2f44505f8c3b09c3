"""What Morse Micro's own tools say (pure).

Source: MorseMicro/morse_cli 1.12.4, channel.c (`channel -j`); MorseMicro/morse_driver, debugfs of its rate control,
both layouts: 1.12.4 without a heading, later ones with it and with the streams in a column of their own.
"""

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

from halow.extras import BadWords, Extras
from halow.model import Rate
from halow.s1g import WIDTHS_MHZ, rate_kbps

TOOL, ARGUMENTS = "morse_cli", ("-i", "{interface}", "channel", "-j")
RATE_TABLE = "mmrc_table_csv"

OLD_COLUMNS = ("bandwidth", "guard", "evidence", "rate_selection", "mcs", "index", "airtime", "max_throughput",
               "average_throughput", "probability", "last_retry", "last_success", "last_attempts", "total_success",
               "total_attempts", "mac_address")
BEST = "A"
"""Mark of the row that the rate control takes first (mmrc's best_tp)."""

_MCS = re.compile(r"MCS(\d{1,2})(?:/\d)?")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


def channel(output: bytes) -> Extras:
    """Read the answer of `morse_cli channel -j`: the channel that the firmware is on. Raises BadWords."""
    try:
        told = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise BadWords("channel -j: not JSON") from error
    if not isinstance(told, dict):
        raise BadWords("channel -j: not a JSON object")
    width = _whole(told, "channel_op_bw", 1, 16)
    primary = _whole(told, "channel_primary_bw", 1, 2)
    if width not in WIDTHS_MHZ:
        raise BadWords(f"channel -j: channel_op_bw = {width}: S1G has no such width")
    return Extras(TOOL, s1g_khz=_whole(told, "channel_frequency", 700_000, 1_000_000), width_mhz=width,
                  primary_mhz=primary, primary_index=_whole(told, "channel_index", 0, 15))


def rates(output: bytes) -> dict[str, Rate]:
    """Return by MAC the rate that is now sent with. Raises BadWords; an empty table is nobody's."""
    found = {}
    for row in _rows(output.decode(errors="replace")):
        if BEST not in row["rate_selection"]:
            continue
        mac, mcs, width = row["mac_address"].lower(), _MCS.fullmatch(row["mcs"]), row["bandwidth"].removesuffix("MHz")
        if not _MAC.fullmatch(mac) or mcs is None or not width.isdecimal() or row["guard"] not in ("SGI", "LGI"):
            raise BadWords(f"{RATE_TABLE}: a row that is none: {','.join(row.values())[:80]!r}")
        short = row["guard"] == "SGI"
        kbps = rate_kbps(int(mcs.group(1)), int(width), short_gi=short)
        if kbps is not None:
            found[mac] = Rate(kbps, int(mcs.group(1)), int(width), short)
    return found


def _rows(text: str) -> Iterator[dict[str, str]]:
    """Yield each line by its columns' names."""
    columns: tuple[str, ...] = OLD_COLUMNS
    for cells in csv.reader(line for line in text.splitlines() if line.strip()):
        if cells[0] == "bandwidth":
            columns = tuple(cells)
            if not {"guard", "rate_selection", "mcs", "mac_address"} <= set(columns):
                raise BadWords(f"{RATE_TABLE}: its heading lacks columns")
        elif len(cells) != len(columns):
            raise BadWords(f"{RATE_TABLE}: {len(cells)} columns where {len(columns)} are known")
        else:
            yield dict(zip(columns, cells, strict=True))


def _whole(told: dict[str, Any], key: str, low: int, high: int) -> int:
    value = told.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadWords(f"channel -j: {key} = {str(value)[:40]}: must be {low} to {high}")
    return value
