"""What hostapd and wpa_supplicant say, as facts and events (pure).

Sources: hostap, hostapd/ctrl_iface.c and src/common/wpa_ctrl.h; for the S1G keys MorseMicro/hostap 1.12.4. Reason
codes: IEEE 802.11-2020, 9.4.1.7.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from halow.model import Change, LinkEvent
from halow.s1g import WIDTHS_MHZ

REASONS = {
    1: "unspecified", 2: "authentication expired", 3: "the station left", 4: "inactivity", 5: "too many stations",
    6: "not authenticated", 7: "not associated", 8: "the station left", 14: "MIC failure",
    15: "4-way handshake time-out", 16: "group key time-out", 23: "authentication failed", 34: "too many frames lost",
    36: "the peer left",
    45: "the peer does not support the ciphers",
}
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What a daemon says of the radio it serves; None = it does not say. `waits`: why a network is not tried now."""

    kind: str
    state: str = ""
    ssid: str = ""
    s1g_khz: int | None = None
    width_mhz: int | None = None
    noise_dbm: int | None = None
    waits: str = ""

    @property
    def working(self) -> bool:
        """Tell whether it serves, or is connected."""
        return self.state in ("ENABLED", "COMPLETED")


def access_point(status: Mapping[str, str]) -> DaemonFacts:
    """Read hostapd's STATUS."""
    return DaemonFacts("hostapd", status.get("state", ""), status.get("ssid[0]", ""),
                       _khz(status.get("s1g_freq")), _width(status.get("s1g_bw")))


def station(status: Mapping[str, str], signal: Mapping[str, str]) -> DaemonFacts:
    """Read wpa_supplicant's STATUS and SIGNAL_POLL."""
    return DaemonFacts("wpa_supplicant", status.get("wpa_state", ""), status.get("ssid", ""),
                       _khz(status.get("s1g_freq")), _width(status.get("s1g_bw")),
                       _number(signal.get("NOISE"), -130, -30))


def event(text: str) -> LinkEvent | None:
    """Return what an event means for the link, None for one that means nothing."""
    word, _, rest = text.partition(" ")
    found = _MAC.search(rest.lower())
    mac = found.group() if found else ""
    match word:
        case "AP-STA-CONNECTED" | "CTRL-EVENT-CONNECTED":
            return LinkEvent(Change.PEER_ADDED, mac)
        case "AP-STA-DISCONNECTED" | "CTRL-EVENT-DISCONNECTED":
            return LinkEvent(Change.PEER_REMOVED, mac, reason(rest))
        case "CTRL-EVENT-BEACON-LOSS" | "CTRL-EVENT-SIGNAL-CHANGE" | "AP-ENABLED" | "AP-DISABLED" | (
                "INTERFACE-ENABLED") | "INTERFACE-DISABLED" | "CTRL-EVENT-REGDOM-CHANGE":
            return LinkEvent(Change.RESYNC)
    return None


def waits(text: str) -> str:
    """Return why a network is not tried for a while, "" for another event: the daemon's own back-off."""
    if not text.startswith("CTRL-EVENT-SSID-TEMP-DISABLED"):
        return ""
    said = dict(re.findall(r"(\w+)=(\S+)", text))
    why = said.get("reason", "").replace("_", " ").lower() or "a failure"
    return f"not tried for {said.get('duration', 'some')} s after {why}"


def reason(text: str) -> str:
    """Return an event's reason code in words, "" where it has none."""
    found = re.search(r"\breason=(\d+)", text)
    if not found:
        return ""
    return reason_words(int(found.group(1)), ours="locally_generated=1" in text)


def reason_words(code: int, *, ours: bool) -> str:
    """Return a reason code in words. `ours`: we ended it, not the peer."""
    return f"reason {code}: {REASONS.get(code, 'see IEEE 802.11, 9.4.1.7')}" + (", we ended it" if ours else "")


def _khz(text: str | None) -> int | None:
    """Read a frequency; hostap writes MHz in some releases and kHz in others."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    khz = value * 1000 if value < 10_000 else value
    return round(khz) if 700_000 <= khz <= 1_000_000 else None


def _width(text: str | None) -> int | None:
    width_mhz = _number(text, 1, 16)
    return width_mhz if width_mhz in WIDTHS_MHZ else None


def _number(text: str | None, low: int, high: int) -> int | None:
    try:
        value = int(text or "")
    except ValueError:
        return None
    return value if low <= value <= high else None
