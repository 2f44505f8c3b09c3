"""Configuration files of hostapd_s1g and wpa_supplicant_s1g from a few settings (pure).

Source: MorseMicro/hostap 1.12.4; defaults of its primary channel and of sae_pwe as in MorseMicro/morse-feed. Held
against `channels.toml` (what the daemon takes; else refused) and `regions.toml` (what is allowed where it stands; else
warned of). The country is the driver's and the integrator's to choose: it is shown and checked, never picked.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from halow.regions import NO_LIMIT_PCT, Region, region_of

ROLES, SECURITIES = ("ap", "sta"), ("sae", "owe")
PASSPHRASE_CHARS = range(8, 64)         # what hostapd takes as wpa_passphrase
PRIMARY_INDEX = {4: 2, 8: 3}            # the 2 MHz primary in the middle of a wider channel


class WrongConfig(ValueError):
    """The settings do not do: one line each, what and what is allowed. No secret stands in it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that the daemon takes in a country."""

    number: int
    width_mhz: int
    khz: int
    op_class: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person decides. `country` is what the driver was loaded with; `site` where it stands, if that differs.

    `channel` and `width_mhz` are an access point's; 0 = the country's default, or whatever the other one leaves.
    """

    role: str
    country: str
    ssid: str
    security: str = "sae"
    passphrase: str = field(default="", repr=False)
    channel: int = 0
    width_mhz: int = 0
    site: str = ""
    interface: str = "wlan0"
    control_dir: str = ""
    control_group: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """The file and what to know of it. `text` holds the passphrase, `shown` does not."""

    program: str
    text: str = field(repr=False)
    shown: str
    channel: Channel | None
    warnings: tuple[str, ...]


@cache
def channels() -> dict[str, tuple[Channel, tuple[Channel, ...]]]:
    """Return by country (its default channel, all of them)."""
    found = {}
    for plan in tomllib.loads(files("halow").joinpath("channels.toml").read_text()).values():
        there = tuple(Channel(number, one["width_mhz"], one["base_khz"] + 500 * number, one["op_class"])
                      for one in plan["classes"] for number in one["channels"])
        width, number = plan["default"]
        default = next(one for one in there if (one.width_mhz, one.number) == (width, number))
        found.update(dict.fromkeys(plan["countries"], (default, there)))
    return found


def make(wish: Wish) -> Made:
    """Return the file. Raises WrongConfig with every fault."""
    faults = list(_faults(wish))
    channel = None
    if wish.role == "ap" and wish.country in channels():
        channel = _channel(wish)
        if channel is None:
            faults.append(_no_channel(wish))
    if faults:
        raise WrongConfig("\n".join(faults))
    country = region_of(wish.country)
    assert country is not None, "a test: each country with channels has its rules"
    site = region_of(wish.site) if wish.site else None
    regions = [country, *([site] if site is not None and not site.same_rules(country) else [])]
    lines = _access_point(wish, channel) if channel else _station(wish)
    head = [f"# {_program(wish)}: {wish.country}, {country.summary()}"]
    text = "\n".join([*head, *lines]) + "\n"
    hidden = "\n".join([*head, *(_hidden(line) for line in lines)]) + "\n"
    return Made(_program(wish), text, hidden, channel, tuple(_warnings(wish, channel, regions)))


def _faults(wish: Wish) -> Iterator[str]:
    if wish.role not in ROLES:
        yield f"role {wish.role[:20]!r}: must be ap (an access point) or sta (joins one)"
    if wish.country not in channels():
        yield (f"country {wish.country[:20]!r}: hostapd_s1g 1.12.4 has no channels for it, only for "
               f"{', '.join(sorted(channels()))}; {_by_another_name(wish.country)}")
    if wish.site and region_of(wish.site) is None:
        yield f"site {wish.site[:20]!r}: its rules are not known; take it out, and have band and power confirmed"
    if not 1 <= len(wish.ssid.encode()) <= 32 or not wish.ssid.isprintable() or wish.ssid != wish.ssid.strip():
        yield "ssid: must be 1 to 32 bytes, printable, without spaces around it"
    yield from _secret_faults(wish)
    if wish.role == "sta" and (wish.channel or wish.width_mhz):
        yield "channel, width: a station follows its access point"
    for name, value in (("interface", wish.interface), ("control group", wish.control_group)):
        if not value.isascii() or any(char in "/ \t" or not char.isprintable() for char in value) or len(value) > 31:
            yield f"{name} {value[:20]!r}: must be one plain word"
    if not wish.control_dir.isprintable() or (wish.control_dir and not wish.control_dir.startswith("/")):
        yield "control directory: must be an absolute path"


def _by_another_name(country: str) -> str:
    """Say what the daemon takes for a country: Germany's rules are those of EU."""
    there = region_of(country)
    names = [name for name in channels()
             if there is not None and (known := region_of(name)) is not None and there.same_rules(known)]
    return f"write --country {names[0]} --site {there.name}" if names and there is not None else (
        "where it stands is --site")


def _secret_faults(wish: Wish) -> Iterator[str]:
    if wish.security not in SECURITIES:
        yield f"security {wish.security[:20]!r}: must be sae (with a passphrase) or owe; HaLow has no WPA2"
    secret = wish.passphrase
    if wish.security == "owe" and secret:
        yield "passphrase: is for sae only"
    if wish.security == "sae" and not (len(secret) in PASSPHRASE_CHARS and secret.isascii() and secret.isprintable()):
        yield f"passphrase: {len(secret)} characters; must be 8 to 63 of printable ASCII"


def _channel(wish: Wish) -> Channel | None:
    """Return the one channel that is meant: the default, or the only one that fits. None is chosen among several."""
    default, there = channels()[wish.country]
    if not wish.channel and wish.width_mhz in (0, default.width_mhz):
        return default
    fitting = [one for one in there if wish.channel in (0, one.number) and wish.width_mhz in (0, one.width_mhz)]
    return fitting[0] if len(fitting) == 1 else None


def _no_channel(wish: Wish) -> str:
    there = channels()[wish.country][1]
    widths = sorted({one.width_mhz for one in there})
    numbers = [str(one.number) for one in there if wish.width_mhz in (0, one.width_mhz)]
    if not wish.channel and numbers:
        return (f"channel: {wish.country} has {len(numbers)} that are {wish.width_mhz} MHz wide; name one of "
                f"{', '.join(numbers)}")
    return (f"channel {wish.channel or 'any'}, {wish.width_mhz or 'any'} MHz wide: {wish.country} has widths of "
            f"{', '.join(map(str, widths))} MHz" + (f", and channels {', '.join(numbers)}" if numbers else ""))


def _program(wish: Wish) -> str:
    return "hostapd_s1g" if wish.role == "ap" else "wpa_supplicant_s1g"


def _warnings(wish: Wish, channel: Channel | None, regions: list[Region]) -> Iterator[str]:
    for region in regions:
        khz, width = (channel.khz, channel.width_mhz) if channel else (None, None)
        yield from region.warnings(khz=khz, width_mhz=width)
        if region.duty_sta_pct < NO_LIMIT_PCT or region.gap_ms:
            yield f"{region.name}: {region.summary()}"
    if len(regions) > 1:
        yield (f"the radio runs by the rules of {wish.country} and stands in {wish.site.upper()}: "
               "the power there is yours to confirm")


def _access_point(wish: Wish, channel: Channel) -> list[str]:
    index = PRIMARY_INDEX.get(channel.width_mhz, 0)
    control = wish.control_dir or "/run/hostapd_s1g"
    return [
        f"# S1G {channel.number}, {channel.khz / 1000:g} MHz, {channel.width_mhz} MHz wide",
        f"interface={wish.interface}", "driver=nl80211", f"ctrl_interface={control}",
        *([f"ctrl_interface_group={wish.control_group}"] if wish.control_group else []),
        f"country_code={wish.country}", f"ssid={wish.ssid}", "hw_mode=a", "ieee80211ah=1",
        f"op_class={channel.op_class}", f"channel={channel.number}",
        f"s1g_prim_chwidth={0 if channel.width_mhz == 1 else 1}", f"s1g_prim_1mhz_chan_index={index}",
        "s1g_capab=[SHORT-GI-ALL]", "beacon_int=100", "dtim_period=1", "wmm_enabled=1",
        "ap_isolate=1", "auth_algs=1", "wpa=2", f"wpa_key_mgmt={wish.security.upper()}", "rsn_pairwise=CCMP",
        "ieee80211w=2",
        *(["sae_pwe=1", "sae_require_mfp=1", f"wpa_passphrase={wish.passphrase}"] if wish.security == "sae" else []),
    ]


def _station(wish: Wish) -> list[str]:
    control = wish.control_dir or "/run/wpa_supplicant_s1g"
    group = f"DIR={control} GROUP={wish.control_group}" if wish.control_group else control
    return [
        f"ctrl_interface={group}", f"country={wish.country}", "sae_pwe=1", "network={",
        f"    ssid={wish.ssid.encode().hex()}", "    scan_ssid=1", "    proto=RSN",
        f"    key_mgmt={wish.security.upper()}", "    pairwise=CCMP", "    group=CCMP", "    ieee80211w=2",
        *([f"    sae_password={wish.passphrase.encode().hex()}"] if wish.security == "sae" else []), "}",
    ]


def _hidden(line: str) -> str:
    key, mark, _ = line.partition("=")
    return f"{key}{mark}<not shown>" if key.strip() in ("wpa_passphrase", "sae_password") else line
