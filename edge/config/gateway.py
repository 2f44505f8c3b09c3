"""Settings of the gateway itself: identity and places, time, the ring, its alarms, the local page."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.config.values import Address, Command, Directory, File, Name, Period, Rest, Share, WhenFull, Window, Zone


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this gateway is and where it keeps things."""

    name: Annotated[Name, "the gateway's own device name in ThingsBoard; {id} stands for the board's identity"] = (
        "halow-gateway-{id}")
    state_dir: Annotated[Directory, "ring, registry, secrets: what must survive a power cut"] = "/var/lib/halow-gateway"
    runtime_dir: Annotated[Directory, "control socket: gone at the next boot"] = "/run/halow-gateway"
    profiles_dir: Annotated[File, "meter types of one's own, *.toml; empty: <state_dir>/profiles"] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether wall time is believed."""

    trust_wall: Annotated[bool, "true: a laptop or container whose clock is right although no daemon says so"] = False
    meters_zone: Annotated[Zone, "of meters that leave it open: +01:00, or +01:00 eu; empty: not known"] = ""
    hold_s: Annotated[Period, "records of a boot whose clock is not synchronised yet wait this long"] = 600.0


class RingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The flash ring. The quotas are shares of `size_mib`, rounded down to whole slots, two slots each at least."""

    size_mib: Annotated[int, Meta(ge=1, le=65_536), "flash the ring may take"] = 256
    slot_mib: Annotated[float, Meta(ge=0.03125, le=16), "1 to 16 on a product; smaller for tests"] = 4.0
    alarm_share: Annotated[Share, "for alarms, events and gap records"] = 0.05
    billing_share: Annotated[Share, "for what money depends on; polled values have the rest"] = 0.25
    instant_commit_window_s: Annotated[Window, "polled values are on flash this long after they came"] = 5.0
    alarm_commit_window_s: Annotated[Window, "the same for alarms"] = 0.2
    billing_commit_window_s: Annotated[Window, "the same for billing values"] = 1.0
    alarm_when_full: Annotated[WhenFull, "drop_oldest makes room; the others keep what is there"] = "drop_oldest"
    billing_when_full: Annotated[WhenFull, "drop_newest refuses records; block keeps them in memory, then refuses"] = (
        "drop_oldest")
    instant_when_full: Annotated[WhenFull, "the same for polled values"] = "drop_oldest"
    elide: Annotated[bool, "polled values that the server acknowledges within their window are never written"] = True
    scrub_interval_s: Annotated[Rest, "one slot at rest is read through in this time, to find rot early; 0: none"] = (
        3_600.0)
    flash_overwrites: Annotated[float, Meta(ge=1, le=1_000_000),
                                "how often the flash bears being written full: data sheet: TBW over size"] = 300.0
    ack_commit_s: Annotated[Period, "acknowledgements alone are written at most this often"] = 10.0
    record_limit_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576), "no single record may be larger"] = 65_536
    encrypt: Annotated[bool, "what is written from the next start on is encrypted (docs/ring-encryption.md)"] = False
    key_file: Annotated[File, "holds the ring's key, made at first use; empty: <state_dir>/ring.key"] = ""
    key_command: Annotated[Command, "instead: prints the key, 64 hexadecimal digits; for a TPM or secure element"] = ""
    key_timeout_s: Annotated[float, Meta(gt=0, le=20), "the command is ended after it; it has three tries"] = 10.0


class AlarmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the gateway judges by itself. The shipped conditions stand in edge/alarms/shipped.toml."""

    enabled: Annotated[bool, "false: no alarm is judged here; those of links and radio are told all the same"] = True
    file: Annotated[File, "own conditions, [[alarm]] tables; one with a shipped one's name replaces it"] = ""
    nominal_voltage_v: Annotated[float, Meta(ge=0, le=1e6), "EN 50160 allows 10 % around it; 0: no voltage limits"
                                 ] = 230.0
    nominal_frequency_hz: Annotated[float, Meta(ge=0, le=400), "and 1 % around this; 0: no frequency limits"] = 50.0
    max_current_a: Annotated[float, Meta(ge=0, le=1e6), "of one phase; 0: no limit"] = 0.0
    max_power_w: Annotated[float, Meta(ge=0, le=1e9), "of one meter; 0: no limit"] = 0.0


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The local page and API (docs/local-page.md). `halow-gateway page code` gives the code for the first password."""

    enabled: Annotated[bool, "false: no port is open, and nothing of it is in memory"] = False
    listen: Annotated[Address, "own address to listen on; :: is all of them, and the packet filter has to allow it"] = (
        "127.0.0.1")
    port: Annotated[int, Meta(ge=1, le=65_535), "TCP port"] = 8443
    tls: Annotated[bool, "by a certificate that the gateway makes; false: only on a loopback address"] = True
    metrics_open: Annotated[bool, "anybody on the board itself may have /metrics without a token"] = False
    language: Annotated[Literal["en", "es"], "of the page, where the browser asks for neither"] = "en"
