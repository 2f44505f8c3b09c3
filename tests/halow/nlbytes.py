"""nl80211 messages as the kernel writes them, built without any netlink library (linux/nl80211.h, linux/netlink.h)."""

import struct

FAMILY = 0x1C
NEW_INTERFACE, DEL_INTERFACE, NEW_STATION, DEL_STATION, NEW_SURVEY = 7, 8, 19, 20, 34
NESTED = 0x8000


def u8(value): return struct.pack("=B", value & 0xFF)
def u16(value): return struct.pack("=H", value)
def u32(value): return struct.pack("=I", value)
def u64(value): return struct.pack("=Q", value)


def attr(kind, payload=b""):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nest(kind, *parts):
    return attr(kind | NESTED, b"".join(parts))


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def message(command, *parts, kind=FAMILY, sequence=1, flags=2):
    body = struct.pack("=BBH", command, 1, 0) + b"".join(parts)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def vht_rate(mcs, width_mhz, bitrate_100kbps):
    width = {20: b"", 40: attr(3), 80: attr(8), 160: attr(10)}[width_mhz]
    return attr(1, u16(bitrate_100kbps)) + attr(5, u32(bitrate_100kbps)) + attr(6, u8(mcs)) + attr(7, u8(1)) + width


def s1g_rate(mcs, width_mhz, bitrate_100kbps):
    flag = {1: 25, 2: 26, 4: 27, 8: 28, 16: 29}[width_mhz]
    return attr(5, u32(bitrate_100kbps)) + attr(23, u8(mcs)) + attr(24, u8(1)) + attr(flag)


def station(mac, ifindex=7, *, signal=None, signal_avg=None, beacon_avg=None, inactive=None, connected=None, rx_packets=None,
            tx_packets=None, rx_bytes64=None, tx_bytes=None, retries=None, failed=None, tx_rate=None, rx_rate=None,
            expected=None, command=NEW_STATION):
    numbers = {1: (inactive, u32), 3: (tx_bytes, u32), 7: (signal, u8), 9: (rx_packets, u32), 10: (tx_packets, u32),
               11: (retries, u32), 12: (failed, u32), 13: (signal_avg, u8), 16: (connected, u32), 23: (rx_bytes64, u64),
               27: (expected, u32), 30: (beacon_avg, u8)}
    info = [attr(kind, pack(value)) for kind, (value, pack) in numbers.items() if value is not None]
    info += [nest(kind, rate) for kind, rate in ((8, tx_rate), (14, rx_rate)) if rate is not None]
    info.append(attr(17, u32(0xFF) + u32(0xAE)))                                # STA_FLAGS: mask, set
    return message(command, attr(3, u32(ifindex)), attr(6, mac_bytes(mac)), attr(46, u32(5)), nest(21, *info))


def interface(name="wlan0", ifindex=7, mac="02:00:00:00:00:01", *, iftype=3, freq=5610, center=5610, width=3, ssid=b"grid",
              offset_khz=None, command=NEW_INTERFACE, wiphy=0):
    parts = [attr(1, u32(wiphy)), attr(3, u32(ifindex)), attr(4, name.encode() + b"\0"), attr(5, u32(iftype)), attr(6, mac_bytes(mac))]
    if freq is not None:
        parts += [attr(38, u32(freq)), attr(159, u32(width)), attr(160, u32(center))]
    if offset_khz is not None:
        parts.append(attr(0x123, u32(offset_khz)))
    if ssid is not None:
        parts.append(attr(52, ssid))
    return message(command, *parts)


def regulatory(alpha2, *rules, wiphy=None):
    """An answer to GET_REG; `rules`: (low MHz, high MHz, width MHz, mBm, flags)."""
    nested = [nest(number, attr(1, u32(flags)), attr(2, u32(low * 1000)), attr(3, u32(high * 1000)), attr(4, u32(width * 1000)), attr(6, u32(mbm)))
              for number, (low, high, width, mbm, flags) in enumerate(rules)]
    return message(31, attr(33, alpha2.encode() + b"\0"), *([attr(1, u32(wiphy))] if wiphy is not None else []), nest(34, *nested))


def survey(ifindex=7, *, noise=None, in_use=True, freq=5610, times=None):
    """`times`: milliseconds surveyed, busy, sent."""
    info = [attr(1, u32(freq))]
    if times is not None:
        info += [attr(kind, u64(value)) for kind, value in zip((4, 5, 8), times, strict=True)]
    if noise is not None:
        info.append(attr(2, u8(noise)))
    if in_use:
        info.append(attr(3))
    return message(NEW_SURVEY, attr(3, u32(ifindex)), nest(84, *info))
