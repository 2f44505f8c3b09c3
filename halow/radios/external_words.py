"""How a bridge box's stations are told (pure): JSON in either of two forms, taken strictly.

    {"peers": [{"mac": "02:00:00:00:0a:01", "signal_dbm": -71, "inactive_ms": 200}], "age_s": 2.0, "noise_dbm": -101}
    {"results": [{"mac": "02:00:00:00:0A:01", "signal": -71, "noise": -101, "inactive": 200, "tx": {...}, "rx": {...}}]}

The second is what OpenWrt answers to `ubus call iwinfo assoclist '{"device": "wlan0"}'` (openwrt/rpcd, iwinfo.c), which
bridge boxes run; its rates and its channel are the driver's disguise and are left out.
"""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from halow.extras import BadWords
from halow.model import LinkSample, Mode, RadioFacts, RadioSample
from halow.s1g import WIDTHS_MHZ

LIMIT_BYTES = 262_144
PEERS_MAX = 512
COUNTER_MAX = 2**64

_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_RANGES = {"signal_dbm": (-200, 100), "signal_avg_dbm": (-200, 100), "beacon_signal_avg_dbm": (-200, 100),
           "snr_db": (-20, 80)}
_NUMBERS = frozenset(one.name for one in fields(LinkSample)) - {"mac", "tx_rate", "rx_rate"}
_ROOT = frozenset(("peers", "age_s", "noise_dbm", "width_mhz", "s1g_khz", "country", "mode", "ssid"))


def sample(text: bytes, width_mhz: int) -> tuple[RadioSample, float]:
    """Return what the box tells and how old it says that it is, in seconds. Raises BadWords, one line."""
    if len(text) > LIMIT_BYTES:
        raise BadWords(f"more than {LIMIT_BYTES} bytes")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadWords("not JSON") from error
    if not isinstance(told, dict) or ("peers" in told) == ("results" in told):
        raise BadWords('must be a JSON object with "peers", or with "results" as ubus iwinfo assoclist answers')
    return _plain(told, width_mhz) if "peers" in told else _iwinfo(told, width_mhz)


def _plain(told: dict[str, Any], width_mhz: int) -> tuple[RadioSample, float]:
    _known(told, _ROOT, "")
    age_s = told.get("age_s", 0)
    if isinstance(age_s, bool) or not isinstance(age_s, int | float) or not 0 <= age_s <= 1e9:
        raise BadWords(f"age_s = {_shown(age_s)}: must be seconds")
    width = told.get("width_mhz", width_mhz)
    if width not in WIDTHS_MHZ:
        raise BadWords(f"width_mhz = {_shown(width)}: must be 1, 2, 4, 8 or 16")
    if (mode := told.get("mode", "ap")) not in ("ap", "station"):
        raise BadWords(f"mode = {_shown(mode)}: must be ap or station")
    return RadioSample(_facts(
        width, noise=_number(told, "noise_dbm", -200, 0), khz=_number(told, "s1g_khz", 700_000, 1_000_000),
        mode=Mode(mode), country=_text(told, "country"), ssid=_text(told, "ssid")),
        _peers(told["peers"], _plain_peer)), float(age_s)


def _iwinfo(told: dict[str, Any], width_mhz: int) -> tuple[RadioSample, float]:
    peers = _peers(told["results"], _iwinfo_peer)
    noises = [noise for entry in told["results"] if (noise := _number(entry, "noise", -200, 200)) is not None]
    noise = next((noise for noise in noises if -130 <= noise < 0), None)
    return RadioSample(_facts(width_mhz, noise=noise), peers), 0.0


def _facts(width_mhz: int, *, noise: int | None, khz: int | None = None, mode: Mode = Mode.AP, country: str = "",
           ssid: str = "") -> RadioFacts:
    channel = "not told" if khz is None else f"{khz / 1000:.1f} MHz, {width_mhz} MHz wide"
    return RadioFacts("external", "external", "", mode, "external", ssid, noise, width_mhz=width_mhz, s1g_khz=khz,
                      channel=channel, country=country.upper(), sources=(("all", "external"),))


def _peers(entries: Any, peer: Callable[[dict[str, Any]], LinkSample]) -> tuple[LinkSample, ...]:
    if not isinstance(entries, list) or len(entries) > PEERS_MAX or not all(isinstance(one, dict) for one in entries):
        raise BadWords(f"the peers must be a list of at most {PEERS_MAX} objects")
    found = tuple(peer(entry) for entry in entries)
    if len({one.mac for one in found}) != len(found):
        raise BadWords("a peer stands there twice")
    return found


def _plain_peer(entry: dict[str, Any]) -> LinkSample:
    _known(entry, _NUMBERS | {"mac"}, "a peer's ")
    numbers = {name: _number(entry, name, *_RANGES.get(name, (0, COUNTER_MAX))) for name in _NUMBERS if name in entry}
    return LinkSample(_mac(entry), **numbers)      # type: ignore[arg-type]  # its numeric fields, by name


def _iwinfo_peer(entry: dict[str, Any]) -> LinkSample:
    ways = [way if isinstance(way := entry.get(name), dict) else {} for name in ("rx", "tx")]
    rx_packets, tx_packets = (_number(way, "packets", 0, COUNTER_MAX) for way in ways)
    rx_bytes, tx_bytes = (_number(way, "bytes", 0, COUNTER_MAX) for way in ways)
    return LinkSample(
        _mac(entry), _number(entry, "signal", -200, 100), inactive_ms=_number(entry, "inactive", 0, COUNTER_MAX),
        connected_s=_number(entry, "connected_time", 0, COUNTER_MAX), rx_packets=rx_packets, tx_packets=tx_packets,
        rx_bytes=rx_bytes, tx_bytes=tx_bytes)


def _mac(entry: dict[str, Any]) -> str:
    mac = entry.get("mac")
    if not isinstance(mac, str) or not _MAC.fullmatch(mac):
        raise BadWords(f"mac = {_shown(mac)}: must be six hexadecimal pairs with colons")
    return mac.lower()


def _number(entry: dict[str, Any], key: str, low: int, high: int) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadWords(f"{key} = {_shown(value)}: must be a whole number from {low} to {high}")
    return value


def _text(told: dict[str, Any], key: str) -> str:
    value = told.get(key, "")
    if not isinstance(value, str) or len(value) > 64 or not value.isprintable():
        raise BadWords(f"{key} = {_shown(value)}: must be up to 64 printable characters")
    return value


def _known(entry: dict[str, Any], keys: frozenset[str], whose: str) -> None:
    if strange := sorted(set(entry) - keys):
        raise BadWords(f"{whose}{_shown(strange[0])} is not known; known are {', '.join(sorted(keys))}")


def _shown(value: object) -> str:
    return ascii(value)[:60]
