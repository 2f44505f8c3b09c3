"""nl80211 messages: requests as bytes, answers as plain data (the only importer of pyroute2).

Importing this costs about 14 MB and 0.2 s of a desktop CPU, so only a radio that exists pays for it. Attributes:
linux/nl80211.h; pyroute2 0.9.7 knows both the 802.11ac form and the native S1G form of rates.
"""

from sys import byteorder as sys_byteorder
from typing import Any, Literal

from pyroute2.netlink.nl80211 import nl80211cmd

from halow.daemonwords import reason_words
from halow.interfaces import Interface
from halow.model import Change, LinkEvent, LinkSample, Mode, Survey
from halow.netlink import GENERIC, HEADER, attribute, attributes
from halow.radios.vendor import ShownRate, Station

FAMILY = "nl80211"

GET_INTERFACE, NEW_INTERFACE, DEL_INTERFACE = 5, 7, 8
GET_STATION, NEW_STATION, DEL_STATION = 17, 19, 20
GET_SURVEY = 50
DEAUTHENTICATE, DISASSOCIATE = 39, 40
ATTR_IFINDEX, ATTR_FRAME = 3, 51
FRAME_SENDER, FRAME_BSSID, FRAME_REASON = slice(10, 16), slice(16, 22), slice(24, 26)      # IEEE 802.11-2020, 9.3.3.2

MODES = {2: Mode.STATION, 3: Mode.AP}                       # enum nl80211_iftype
WIDTHS_MHZ = {0: 20, 1: 20, 2: 40, 3: 80, 4: 80, 5: 160, 6: 5, 7: 10, 8: 1, 9: 2, 10: 4, 11: 8, 12: 16, 13: 320}
S1G_WIDTHS = range(8, 13)                                   # enum nl80211_chan_width, 1 to 16 MHz
BELOW_S1G_MHZ, ABOVE_S1G_MHZ = 700, 1000

EVENTS = {
    NEW_STATION: Change.PEER_ADDED,
    DEL_STATION: Change.PEER_REMOVED,
    DEAUTHENTICATE: Change.PEER_REMOVED,
    DISASSOCIATE: Change.PEER_REMOVED,
    NEW_INTERFACE: Change.INTERFACE_ADDED,
    DEL_INTERFACE: Change.INTERFACE_GONE,
}


def ask(command: int, ifindex: int | None = None) -> bytes:
    """Return a request's payload: generic netlink header and, where given, the interface it is about."""
    about = b"" if ifindex is None else attribute(ATTR_IFINDEX, ifindex.to_bytes(4, sys_byteorder))
    return GENERIC.pack(command, 0, 0) + about


def interface(message: bytes) -> Interface | None:
    """Take a NEW_INTERFACE message apart; None for one without a network device (P2P device, NAN)."""
    found = _decode(message)
    ifindex, name = found.get_attr("NL80211_ATTR_IFINDEX"), found.get_attr("NL80211_ATTR_IFNAME")
    if ifindex is None or name is None:
        return None
    width = found.get_attr("NL80211_ATTR_CHANNEL_WIDTH")
    mhz = found.get_attr("NL80211_ATTR_WIPHY_FREQ")
    return Interface(
        ifindex=ifindex,
        name=name,
        mac=found.get_attr("NL80211_ATTR_MAC") or "",
        mode=MODES.get(found.get_attr("NL80211_ATTR_IFTYPE"), Mode.OTHER),
        ssid=_text(found.get_attr("NL80211_ATTR_SSID")),
        kernel_mhz=mhz,
        center_mhz=found.get_attr("NL80211_ATTR_CENTER_FREQ1"),
        offset_khz=_hex_u32(found.get_attr("NL80211_ATTR_CENTER_FREQ1_OFFSET")),
        width_mhz=None if width is None else WIDTHS_MHZ.get(width),
        wiphy=found.get_attr("NL80211_ATTR_WIPHY"),
        native_s1g=width in S1G_WIDTHS or (mhz is not None and BELOW_S1G_MHZ < mhz < ABOVE_S1G_MHZ),
    )


def station(message: bytes) -> Station | None:
    """Take a NEW_STATION message apart; None when it names no station."""
    found = _decode(message)
    mac, info = found.get_attr("NL80211_ATTR_MAC"), found.get_attr("NL80211_ATTR_STA_INFO")
    if mac is None or info is None:
        return None

    def of(name: str) -> Any:
        return info.get_attr(f"NL80211_STA_INFO_{name}")

    def wide(name: str) -> Any:
        return of(f"{name}64") if of(f"{name}64") is not None else of(name)

    return Station(
        LinkSample(
            mac=mac,
            signal_dbm=of("SIGNAL"),
            signal_avg_dbm=of("SIGNAL_AVG"),
            beacon_signal_avg_dbm=of("BEACON_SIGNAL_AVG"),
            inactive_ms=of("INACTIVE_TIME"),
            connected_s=of("CONNECTED_TIME"),
            rx_packets=of("RX_PACKETS"),
            tx_packets=of("TX_PACKETS"),
            rx_bytes=wide("RX_BYTES"),
            tx_bytes=wide("TX_BYTES"),
            tx_retries=of("TX_RETRIES"),
            tx_failed=of("TX_FAILED"),
            beacon_loss=of("BEACON_LOSS"),
            expected_kbps=of("EXPECTED_THROUGHPUT"),
        ),
        tx=_rate(of("TX_BITRATE")),
        rx=_rate(of("RX_BITRATE")),
    )


def survey(message: bytes) -> Survey | None:
    """Take a survey message apart; None unless it is of the channel in use."""
    info = _decode(message).get_attr("NL80211_ATTR_SURVEY_INFO")
    if info is None or info.get_attr("NL80211_SURVEY_INFO_IN_USE") is None:
        return None
    noise = info.get_attr("NL80211_SURVEY_INFO_NOISE")
    if noise is not None:
        noise = noise - 256 if noise > 127 else noise          # pyroute2 takes this s8 for a u8
    return Survey(
        noise if noise is not None and noise < 0 else None,
        info.get_attr("NL80211_SURVEY_INFO_TIME"),
        info.get_attr("NL80211_SURVEY_INFO_TIME_BUSY"),
        info.get_attr("NL80211_SURVEY_INFO_TIME_TX"),
    )


def event(message: bytes, ifindex: int | None) -> LinkEvent | None:
    """Take a multicast message apart; None when it is about another interface or nothing we act on."""
    command = GENERIC.unpack_from(message, HEADER.size)[0]
    change = EVENTS.get(command)
    if change is None:
        return None
    if command in (DEAUTHENTICATE, DISASSOCIATE):
        return _farewell(message, ifindex)
    found = _decode(message)
    if change is not Change.INTERFACE_ADDED and found.get_attr("NL80211_ATTR_IFINDEX") != ifindex:
        return None
    about_peer = change in (Change.PEER_ADDED, Change.PEER_REMOVED)
    return LinkEvent(change, (found.get_attr("NL80211_ATTR_MAC") or "") if about_peer else "")


def _farewell(message: bytes, ifindex: int | None) -> LinkEvent | None:
    """Read the frame that ended a station's association: who its access point was, who ended it, and why."""
    found = attributes(message[HEADER.size + GENERIC.size :])
    frame = found.get(ATTR_FRAME, b"")
    if int.from_bytes(found.get(ATTR_IFINDEX, b""), sys_byteorder) != ifindex or len(frame) < FRAME_REASON.stop:
        return None
    sender, bssid = frame[FRAME_SENDER], frame[FRAME_BSSID]
    code = int.from_bytes(frame[FRAME_REASON], "little")
    return LinkEvent(Change.PEER_REMOVED, bssid.hex(":"), reason_words(code, ours=sender != bssid))


def _decode(message: bytes) -> Any:
    decoded = nl80211cmd(message)
    decoded.decode()
    return decoded


def _rate(info: Any) -> ShownRate | None:
    if info is None:
        return None

    def of(name: str) -> Any:
        return info.get_attr(f"NL80211_RATE_INFO_{name}")

    hundreds = of("BITRATE32") if of("BITRATE32") is not None else of("BITRATE")
    forms: tuple[tuple[Literal["s1g", "vht", "ht"], str], ...] = (("s1g", "S1G_MCS"), ("vht", "VHT_MCS"), ("ht", "MCS"))
    form, mcs = next(((form, of(name)) for form, name in forms if of(name) is not None), ("legacy", None))
    widths = (160, 80, 40, 10, 5, 16, 8, 4, 2, 1)
    flagged = next((width for width in widths if of(f"{width}_MHZ_WIDTH") is not None), None)
    return ShownRate(
        form=form,  # type: ignore[arg-type]  # mypy widens the literal through next()
        kbps=None if hundreds is None else hundreds * 100,
        mcs=mcs,
        width_mhz=flagged or (None if form == "s1g" else 20),
        short_gi=of("SHORT_GI") is not None,
    )


def _hex_u32(text: str | None) -> int:
    """Return a number that pyroute2 leaves as "xx:xx:xx:xx" in the machine's byte order; 0 when absent."""
    return 0 if not text else int.from_bytes(bytes.fromhex(text.replace(":", "")), sys_byteorder)


def _text(ssid: Any) -> str:
    if ssid is None:
        return ""
    return ssid.decode(errors="replace") if isinstance(ssid, bytes) else str(ssid)
