"""What happens in the demo, and when (pure): the acts, the radio trace, the settings of its gateway."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

METERS = 8
INTERVAL_S = 2.0
COMMIT_WINDOW_S = 0.2
TRACE_S = 120


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens, `at_s` seconds after the gateway was first ready."""

    at_s: float
    name: str
    says: str


ACTS: Sequence[Act] = (
    Act(0, "calm", "meters are polled, readings reach the server within a second"),
    Act(12, "outage", "the uplink goes dead without a word: packets vanish, no FIN (backlog grows on flash)"),
    Act(20, "kill", "kill -9 of the gateway in the middle of it"),
    Act(22, "restart", "the gateway starts again, as systemd would do it"),
    Act(36, "restored", "the uplink is back: fresh readings first, the backlog beside them"),
    Act(54, "pause", "all meters are paused, so that what is under way can be counted"),
)
END_S = 100.0      # whatever happens, the demo is over by then


def peer_mac(number: int) -> str:
    """Return the MAC of the radio behind meter number `number` (locally administered)."""
    return f"02:ac:00:00:00:{number:02x}"


def radio_trace(peers: int = METERS) -> str:
    """Return a trace for `halow.trace`: every peer breathes, one fades from good to poor and back, one drops out."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["t_s", "mac", "signal_dbm", "inactive_ms", "tx_packets", "tx_retries"])
    for t_s in range(0, TRACE_S + 1, 2):
        for number in range(1, peers + 1):
            signal_dbm: int | str = round(-62 - 3 * number + 2 * math.sin(t_s / 5 + number))
            if number == 3:
                signal_dbm = round(-72 - 20 * max(0.0, math.sin(math.pi * t_s / 60)))
            if number == 6 and 24 <= t_s < 40:
                signal_dbm = ""
            writer.writerow([t_s, peer_mac(number), signal_dbm, 200, 40 * t_s, 2 * t_s if number == 3 else t_s // 4])
    return out.getvalue()


def settings(directory: str, port: int) -> str:
    """Return the gateway's settings file. Times are shorter than on a board, so that a minute shows everything."""
    return f"""\
# The demo's gateway. `halow-gateway config default` prints every setting with its meaning.
[gateway]
name = "demo-gateway"
state_dir = "{directory}/state"
runtime_dir = "{directory}/run"

[clock]
trust_wall = true

[ring]
size_mib = 16
slot_mib = 1.0
instant_commit_window_s = {COMMIT_WINDOW_S}
elide = false

[poll]
interval_s = {INTERVAL_S}
backoff_first_s = 0.5
backoff_max_s = 2.0

[backfill]
enabled = false

[uplink]
port = {port}
ack_timeout_s = 5.0
backoff_first_s = 0.5
backoff_max_s = 2.0
health_interval_s = 10.0

[radio]
kind = "simulated"
trace = "{directory}/radio.csv"
interval_s = 1.0
record_interval_s = 10.0
"""


def with_peers(meters_csv: str) -> str:
    """Add the `mac` column to a registry CSV, so that each meter is joined to its peer in the trace."""
    rows = list(csv.reader(io.StringIO(meters_csv)))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*rows[0], "mac"])
    for number, row in enumerate(rows[1:], 1):
        writer.writerow([*row, peer_mac(number)])
    return out.getvalue()
