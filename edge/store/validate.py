"""What a meter's settings may be (pure). Used on the way into the registry and on the way out of it.

Address ranges: IEC 62056-46, extended addressing (HDLC: 7 bits per byte, upper and lower half) and IEC 62056-47
(wrapper: 16-bit ports).
"""

import ipaddress
import re
import unicodedata
from collections.abc import Iterator

from edge.endpoint import is_serial, parse_serial
from edge.model import Meter

# A ThingsBoard device name: any language, no markup, nothing that a spreadsheet takes for a formula at the start.
_NAME = re.compile(r"[^\W_](?:[\w .:/#()+-]{0,62}[\w.:/#()+-])?")
_PROFILE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,63})")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_WITH_PORT = re.compile(r"(?:[^:\s]+|\[[^\s\]]+\]):[0-9]+")      # as commands that find meters take it
_TITLE = re.compile(r"[0-9a-f]{16}")
_OBIS = re.compile(r"[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3}){2,3}")
_DEVICE_ADDRESS = re.compile(r"[0-9A-Za-z ]{0,32}")      # IEC 62056-21 clause 6.3.1
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")

INTERVAL_MAX_S = 86_400.0
PASSWORD_LIMIT_BYTES = 64
_LOGICAL_MAX = {1: 0x7F, 2: 0x7F, 4: 0x3FFF}


def problems(meter: Meter) -> Iterator[str]:
    """Yield one line per setting that is not allowed: key, value, what is. Types are those of `Meter` already."""
    if not valid_name(meter.name):
        yield f"name = {_shown(meter.name)}: must be a letter or digit, then at most 63 of these, spaces or .:/#()+-_"
    yield from _place_problems(meter)
    if not _PROFILE.fullmatch(meter.profile):
        yield f"profile = {_shown(meter.profile)}: must be the name of a meter profile"
    if meter.interval_s is not None and not 0 < meter.interval_s <= INTERVAL_MAX_S:      # NaN fails too
        yield f"interval_s = {meter.interval_s}: must be more than 0 and at most {INTERVAL_MAX_S:g} seconds"
    if meter.mac and not _MAC.fullmatch(meter.mac):
        yield f"mac = {_shown(meter.mac)}: must be six pairs of hexadecimal digits, like 02:00:5e:10:00:01"
    yield from _address_problems(meter)
    for key, title in (("client_title", meter.client_title), ("meter_title", meter.meter_title)):
        if title and not _TITLE.fullmatch(title):
            yield f"{key} = {_shown(title)}: must be 16 hexadecimal digits, like 4847570000000001"
    if meter.client_title and meter.client_title == meter.meter_title:
        yield "client_title: is the meter's own; each side needs another"
    if meter.counter_obis and not _OBIS.fullmatch(meter.counter_obis):
        yield f"counter_obis = {_shown(meter.counter_obis)}: must be an OBIS code, like 0-0:43.1.3.255"


def valid_name(name: str) -> bool:
    """Tell whether a name can be a ThingsBoard device name and one word of a command."""
    return _NAME.fullmatch(name) is not None and unicodedata.is_normalized("NFC", name)


def valid_host(host: str) -> bool:
    """Tell whether this is an IP address (an IPv6 one may name its zone) or a host name (RFC 1123)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        # an all-digit last label is a mistyped IPv4 address, not a name
        return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    return all(char.isalnum() or char in ".:%_-" for char in host)


def normal_mac(text: str) -> str:
    """Bring a MAC address to lower case with colons; anything else comes back as it is and is refused by `problems`."""
    digits = re.sub(r"[:.\-\s]", "", text).lower()
    return ":".join(re.findall("..", digits)) if re.fullmatch(r"[0-9a-f]{12}", digits) else text.strip()


def _place_problems(meter: Meter) -> Iterator[str]:
    if is_serial(meter.host):
        try:
            parse_serial(meter.host)
        except ValueError as error:
            yield f"host = {_shown(meter.host)}: {error}"
        if meter.port:
            yield f"port = {meter.port}: a serial line has none; leave it out or set it to 0"
        if meter.framing == "wrapper":
            yield "framing = 'wrapper': is for TCP; a serial line carries hdlc"
    else:
        if not valid_host(meter.host):
            hint = "; the port stands apart, as port or --port" if _WITH_PORT.fullmatch(meter.host) else ""
            yield f"host = {_shown(meter.host)}: must be an IP address, a host name, or serial: and a device{hint}"
        yield from _range("port", meter.port, 1, 65_535)
    if meter.opening == "mode-e" and meter.framing == "wrapper":
        yield "opening = 'mode-e': leads to HDLC; framing = 'wrapper' does not go with it"
    if not _DEVICE_ADDRESS.fullmatch(meter.device_address):
        yield f"device_address = {_shown(meter.device_address)}: must be at most 32 letters, digits or spaces"


def _address_problems(meter: Meter) -> Iterator[str]:
    hdlc = meter.framing == "hdlc"
    if meter.client_sap is not None:
        yield from _range("client_sap", meter.client_sap, 1, 0x7F if hdlc else 0xFFFF)
    if meter.server_logical is not None:
        most = 0xFFFF if meter.framing == "wrapper" else _LOGICAL_MAX.get(meter.address_bytes or 4, 0x3FFF)
        yield from _range("server_logical", meter.server_logical, 0, most)
    if meter.server_physical is not None:
        if meter.address_bytes == 1:
            yield "server_physical: has no place in a 1-byte server address; leave it out or set address_bytes"
        else:
            yield from _range("server_physical", meter.server_physical, 0, _LOGICAL_MAX[meter.address_bytes or 4])


def _range(key: str, value: int, least: int, most: int) -> Iterator[str]:
    if not least <= value <= most:
        yield f"{key} = {_shown(value)}: must be from {least} to {most}"


def _shown(value: str | int) -> str:
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
