"""Typed settings of the gateway. Every limit and period has its unit in its name; defaults suit a Raspberry Pi.

The structs are a leaf that any room of `edge` may import; each is frozen, and a misspelt key is an error.
"""

from typing import Literal

import msgspec


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this gateway is and where it keeps things."""

    name: str = "halow-gateway"
    state_dir: str = "/var/lib/halow-gateway"      # ring, registry, secrets: everything that must survive a power cut
    runtime_dir: str = "/run/halow-gateway"        # control socket: gone at the next boot
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether wall time is believed."""

    trust_wall: bool = False     # True: a laptop or a container whose clock is right although no daemon says so
    hold_s: float = 600.0        # records of a boot that is not synchronised yet wait this long before they are sent


class RingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The flash ring. The quotas are shares of `size_mib`, rounded down to whole slots, two slots each at least."""

    size_mib: int = 256
    slot_mib: float = 4.0                # 1 to 16 on a product; smaller for tests
    alarm_share: float = 0.05
    billing_share: float = 0.25
    instant_commit_window_s: float = 5.0
    alarm_commit_window_s: float = 0.2
    billing_commit_window_s: float = 1.0
    ack_commit_s: float = 10.0           # acknowledgements alone are written at most this often
    record_limit_bytes: int = 65_536


class PollSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How meters are polled. A meter's own settings and its profile override interval and timing."""

    interval_s: float = 60.0
    at_once: int = 8                     # meters asked at the same time, over the whole gateway
    connect_timeout_s: float = 10.0
    exchange_timeout_s: float = 8.0      # one request until its whole answer
    backoff_first_s: float = 2.0
    backoff_max_s: float = 60.0
    breaker_failures: int = 5            # failed connections in a row that open the circuit
    breaker_open_s: float = 120.0        # first rest; doubles up to breaker_open_max_s
    breaker_open_max_s: float = 1_800.0


class UplinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The way to ThingsBoard."""

    enabled: bool = True
    host: str = "localhost"
    port: int = 1883
    token_file: str = ""                 # file that holds the gateway's access token; default: <state_dir>/uplink.token
    tls: bool = False
    ca_file: str = ""                    # the one CA that is trusted; required with tls
    client_id: str = ""                  # default: the gateway's name
    keepalive_s: int = 20
    connect_timeout_s: float = 15.0
    ack_timeout_s: float = 30.0          # no PUBACK for the oldest publication: the link is taken for dead
    window_messages: int = 16
    window_bytes: int = 262_144
    batch_bytes: int = 16_384            # payload of one publication; ThingsBoard's default limit is 65,536
    order: Literal["oldest", "live+backfill"] = "live+backfill"
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    refused_backoff_s: float = 300.0     # after a refused login
    health_interval_s: float = 60.0      # the gateway's own telemetry


class RadioSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HaLow link as it is watched."""

    kind: Literal["auto", "nl80211", "simulated", "none"] = "auto"
    interface: str = ""                  # chosen by driver or MAC when empty
    driver: str = ""                     # e.g. "morse_sdio"
    mac: str = ""
    trace: str = ""                      # simulated: the trace file to replay
    interval_s: float = 5.0
    record_interval_s: float = 60.0      # link records for the ring; grade changes are written at once
    width_mhz: Literal[1, 2, 4, 8, 16] = 2


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `gateway.toml`."""

    gateway: GatewaySettings = GatewaySettings()
    clock: ClockSettings = ClockSettings()
    ring: RingSettings = RingSettings()
    poll: PollSettings = PollSettings()
    uplink: UplinkSettings = UplinkSettings()
    radio: RadioSettings = RadioSettings()
