"""Typed settings of the gateway: one frozen struct per section of `gateway.toml`.

Every limit and period has its unit in its name; defaults suit a Raspberry Pi. The structs are a leaf that any room of
`edge` may import. A field's annotation holds its range and the sentence that `default_toml` prints above it, so that
both stand in one place. Reading, checking and writing the file is `edge/configfile.py`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MIB = 1_048_576
IDENTITY = "{id}"
IDENTITY_LIMIT = 32

Period = Annotated[float, Meta(gt=0, le=86_400)]
Rest = Annotated[float, Meta(ge=0, le=2_678_400)]
Window = Annotated[float, Meta(ge=0, le=60)]
Order = Literal["oldest", "newest", "live+backfill"]
Credentials = Literal["access_token", "mqtt_basic", "x509"]
MqttVersion = Literal["auto", "5", "3.1.1"]
WhenFull = Literal["drop_oldest", "drop_newest", "block"]
Share = Annotated[float, Meta(gt=0, lt=1)]
Directory = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f]*\Z", description="an absolute path")]
File = Annotated[str, Meta(pattern=r"^(/[^\x00-\x1f\x7f]*)?\Z", description='an absolute path, or ""')]
Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,255}\Z", description="up to 255 characters on one line")]
Mac = Annotated[str, Meta(pattern=r"^(([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})?\Z",
                          description='six hexadecimal pairs with colons, or ""')]
Name = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]|\{id\})(([A-Za-z0-9 ._-]|\{id\}){0,62}([A-Za-z0-9._-]|\{id\}))?\Z",
                           description="1 to 64 letters, digits, spaces, dots, dashes or underscores; also {id}")]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:%-][A-Za-z0-9._:%-]{0,252}\Z",
                           description="a host name or an IP address")]

Command = Annotated[str, Meta(pattern=r"^(/[^\x00-\x1f\x7f]{0,500})?\Z",
                              description='a command that begins with an absolute path, or ""')]
Address = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?\Z", description="an IP address")]


Zone = Annotated[str, Meta(pattern=r"^([+-](0[0-9]|1[0-4]):[0-5][0-9]( eu)?)?\Z",
                           description='like "+01:00", "-05:00", "+01:00 eu" with European daylight saving, or ""')]


PathName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,15}\Z",
                               description="1 to 16 letters, digits, dashes or underscores")]
Interface = Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f/:]{0,15}\Z", description='a network interface, or ""')]
AnyHost = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_:%-][A-Za-z0-9._:%-]{0,252})?\Z",
                              description='a host name, an IP address, or ""')]
BacklogHours = Annotated[str, Meta(
    pattern=r"^(always|never|([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])\Z",
    description='"always", "never", or hours like "22:00-06:00"')]
NamedZone = Annotated[str, Meta(
    pattern=r"^(UTC|[+-](0[0-9]|1[0-4]):[0-5][0-9]( eu)?|[A-Z][A-Za-z_]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2})\Z",
    description='"UTC", an offset like "-05:00", "+01:00 eu", or a name like "America/Bogota"')]


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


class PollSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How meters are polled. A meter's own settings and its profile override interval and timing."""

    interval_s: Annotated[Period, "one poll per meter in this time"] = 60.0
    at_once: Annotated[int, Meta(ge=1, le=1_024), "meters asked at the same time, at most; how many is found out"] = 32
    connect_timeout_s: Annotated[Period, "TCP connection to a meter or its serial bridge"] = 10.0
    exchange_timeout_s: Annotated[Period, "one request until its whole answer"] = 8.0
    backoff_first_s: Annotated[Period, "first rest after a failed connection; doubles"] = 2.0
    backoff_max_s: Annotated[Period, "longest rest between two connections"] = 60.0
    breaker_failures: Annotated[int, Meta(ge=1, le=1_000), "failed connections in a row that open the circuit"] = 5
    breaker_open_s: Annotated[Period, "first rest of an open circuit; doubles"] = 120.0
    breaker_open_max_s: Annotated[Period, "longest rest of an open circuit"] = 1_800.0


class UplinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The way to ThingsBoard, or to another MQTT broker."""

    enabled: Annotated[bool, "false: poll and keep, send nothing"] = True
    dialect: Annotated[Literal["thingsboard", "mqtt", "sparkplug"],
                       "mqtt: any broker, with topic and payload as set below; sparkplug: SCADA hosts"
                       ] = "thingsboard"
    host: Annotated[Host, "ThingsBoard's MQTT transport, or the broker"] = "localhost"
    port: Annotated[int, Meta(ge=1, le=65_535), "usually 1883, or 8883 with tls"] = 1883
    mqtt: Annotated[MqttVersion, "auto: 5 where the server has it, 3.1.1 else; see docs/uplink.md before you set it"
                    ] = "auto"
    credentials: Annotated[Credentials,
                           "what ThingsBoard knows the gateway by; x509 needs tls, and a certificate for device.key"
                           ] = "access_token"
    token_file: Annotated[File, "holds the gateway's access token; empty: <state_dir>/uplink.token"] = ""
    username: Annotated[Text, "mqtt_basic: the user name"] = ""
    password_file: Annotated[File, "mqtt_basic: holds the password; empty: <state_dir>/uplink.password"] = ""
    certificate_file: Annotated[File, "x509: PEM, issuers behind it; empty: <state_dir>/device.pem"] = ""
    provision_key: Annotated[Text, "of a device profile: a gateway without credentials gets them by it; empty: it waits"
                             ] = ""
    provision_secret_file: Annotated[File, "the secret that belongs to it; empty: <state_dir>/provision.secret"] = ""
    tls: Annotated[bool, "encrypt, and check the server against ca_file"] = False
    ca_file: Annotated[File, "the one CA that is trusted; required with tls"] = ""
    client_id: Annotated[Text, "empty: the gateway's name"] = ""
    keepalive_s: Annotated[int, Meta(ge=1, le=65_535), "MQTT keep alive"] = 20
    connect_timeout_s: Annotated[Period, "TCP, TLS and CONNACK together"] = 15.0
    ack_timeout_s: Annotated[Period, "no PUBACK for so long with something in flight: the link is dead"] = 30.0
    window_messages: Annotated[int, Meta(ge=1, le=65_535), "publications in flight, at most"] = 16
    window_bytes: Annotated[int, Meta(ge=1_024, le=67_108_864), "bytes in flight, at most"] = 262_144
    batch_bytes: Annotated[int, Meta(ge=256, le=65_536), "payload of one publication; the server takes 65,536"] = 16_384
    order: Annotated[Order, "of polled values; live+backfill: new ones at once, old ones with a share of the link"] = (
        "live+backfill")
    backoff_first_s: Annotated[Period, "first rest after a lost connection; doubles"] = 1.0
    backoff_max_s: Annotated[Period, "longest rest between two connections"] = 60.0
    refused_backoff_s: Annotated[Period, "rest after a refused login"] = 300.0
    health_interval_s: Annotated[Period, "the gateway's own telemetry"] = 60.0
    silent_after_s: Annotated[Period, "a meter without a value for so long, and three polls, is disconnected there"] = (
        300.0)
    topic: Annotated[Text, "mqtt: of telemetry; places {gateway} {device} {kind} {profile}"] = (
        "halow/{gateway}/{device}")
    payload: Annotated[Text, "mqtt: JSON of one record; places as above, and {ts} in ms, {values}"] = (
        '{"device":{device},"kind":{kind},"ts":{ts},"values":{values}}')
    payload_per: Annotated[Literal["batch", "record"], "mqtt: batch: an array of such records; record: one alone"
                           ] = "batch"
    attributes_topic: Annotated[Text, "mqtt: of nameplates; empty: they are not sent"] = ""
    sparkplug_group: Annotated[Text, "sparkplug: the group id; the gateway's name is the edge node's id"] = ""
    sparkplug_primary_host: Annotated[Text, "sparkplug: nothing is sent while this host is offline; empty: none"] = ""


class PathSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to the server."""

    name: Annotated[PathName, "as status, events and telemetry call it"]
    interface: Annotated[Interface, "connections leave by it, and only by it; empty: as the routing table says"] = ""
    host: Annotated[AnyHost, "of the server on this path; empty: uplink.host"] = ""
    port: Annotated[int, Meta(ge=0, le=65_535), "of the server on this path; 0: uplink.port"] = 0
    metered: Annotated[bool, "bytes cost: fewer, larger messages, and fewer probes"] = False
    backlog: Annotated[BacklogHours, "when older values go by this path; alarms and new values always do"] = "always"


class PathsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several ways to the server, the best one first, as [[paths.path]] tables (docs/uplink.md)."""

    dead_after_s: Annotated[Period, "not a word from the server for so long: the next path is taken"] = 60.0
    return_after_s: Annotated[Period, "a better path must have answered for so long before it is taken again"] = 300.0
    probe_interval_s: Annotated[Period, "paths not in use are tried this often, metered ones 15 times as seldom"] = 60.0
    gather_s: Annotated[float, Meta(ge=0, le=3_600), "metered paths: values wait so long for others; alarms never"
                        ] = 60.0
    thin_s: Annotated[float, Meta(ge=0, le=86_400),
                      "outside a path's backlog hours one value of each meter in this time; 0: all"] = 0.0
    zone: Annotated[NamedZone, "of the backlog hours"] = "UTC"
    path: Annotated[tuple[PathSettings, ...], Meta(max_length=8, description="up to 8 tables"),
                    "none: the routing table's way is the only one"] = ()


class RadioSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HaLow link as it is watched."""

    kind: Annotated[Literal["auto", "nl80211", "external", "simulated", "none"],
                    "external: a bridge box tells its stations (docs/halow.md); none: nobody does"] = "auto"
    interface: Annotated[Text, "chosen by driver or MAC when empty"] = ""
    driver: Annotated[Text, 'e.g. "morse_sdio"'] = ""
    mac: Annotated[Mac, "the radio's own address"] = ""
    trace: Annotated[File, "simulated: the trace file to replay"] = ""
    control_dir: Annotated[File, "hostapd's or wpa_supplicant's control sockets, besides the usual places"] = ""
    vendor_tool: Annotated[Command, "runs morse_cli or cli_app, e.g. by sudo -n; empty: the one in the PATH"] = ""
    external_command: Annotated[Command, "external: prints the box's stations as JSON; this or external_file"] = ""
    external_file: Annotated[File, "external: holds the same; its time says how old it is"] = ""
    external_timeout_s: Annotated[Period, "external: the command is ended after it"] = 10.0
    external_stale_s: Annotated[Period, "external: stations told longer ago count as no answer"] = 60.0
    interval_s: Annotated[Period, "one sample of the link in this time"] = 5.0
    record_interval_s: Annotated[Period, "link records for the ring; a change of grade is written at once"] = 900.0
    width_mhz: Literal[1, 2, 4, 8, 16] = 2


class RecoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a dead radio is brought back: commands, gentlest first; an empty one is left out."""

    reassociate: Annotated[Command, "e.g. the daemon's reassociate or reattach"] = ""
    restart_daemon: Annotated[Command, "restarts hostapd or wpa_supplicant"] = ""
    vendor_restart: Annotated[Command, "the vendor's own restart of the module's firmware"] = ""
    reload_driver: Annotated[Command, "unloads the driver, pulls the reset line, loads it again"] = ""
    reboot: Annotated[Command, "asks for a reboot of the board"] = ""
    after_s: Annotated[Period, "the radio must be gone or deaf for so long"] = 180.0
    step_wait_s: Annotated[Period, "a step has so long to help before the next"] = 90.0
    heal_s: Annotated[Period, "so long healthy, and the ladder begins from its first step again"] = 600.0
    at_most_per_hour: Annotated[int, Meta(ge=1, le=60), "steps, all together"] = 6
    reboots_in_row: Annotated[int, Meta(ge=0, le=10), "reboots without the radio getting healthy in between"] = 2
    command_timeout_s: Annotated[Period, "a command that takes longer is ended"] = 60.0


class DiscoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Looking for meters whose address has changed. A meter is known again by the identity that was learned of it."""

    subnet: Annotated[Text, "where they are looked for, such as 10.30.0.0/24, at most a /22; empty: not at all"] = ""
    missing_after_s: Annotated[Period, "a meter that has not answered for so long is looked for"] = 900.0
    probe_interval_s: Annotated[Period, "one address is looked at in this time: the radio is one channel for all"] = 5.0
    sweep_rest_s: Annotated[Period, "rest between two rounds through the subnet"] = 3_600.0
    answer_s: Annotated[Period, "wait so long for a connection and an answer"] = 5.0


class PushSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The listener for what meters send by themselves (docs/push.md). The packet filter has to let them in, too."""

    enabled: Annotated[bool, "false: no port is open; pushes in polled associations are taken all the same"] = False
    listen: Annotated[Address, "own address to listen on; :: is all of them, IPv4 and IPv6"] = "::"
    tcp_port: Annotated[int, Meta(ge=0, le=65_535), "0: not by TCP"] = 4059
    udp_port: Annotated[int, Meta(ge=0, le=65_535), "0: not by UDP"] = 4059
    framing: Annotated[Literal["auto", "wrapper", "hdlc"], "auto tells them apart by the first octet"] = "auto"
    max_apdu_bytes: Annotated[int, Meta(ge=256, le=65_535), "no longer message is taken"] = 16_384
    max_connections: Annotated[int, Meta(ge=1, le=1_024), "TCP connections at the same time, from all meters"] = 64
    max_connections_per_address: Annotated[int, Meta(ge=1, le=1_024), "of these, from one address"] = 8
    messages_per_minute: Annotated[int, Meta(ge=1, le=100_000), "from one address; what is more is turned away"] = 120
    messages_per_minute_in_all: Annotated[int, Meta(ge=4, le=1_000_000), "a quarter of it for unknown senders"] = 1_200
    idle_timeout_s: Annotated[Period, "a connection in silence is closed"] = 120.0
    message_timeout_s: Annotated[Period, "and one whose message is not whole by then"] = 20.0


class DutySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is read from meters besides their polls, where the meter's profile has it. Nothing here changes a meter."""

    clock_interval_s: Annotated[Period, "each meter's clock is looked at this often"] = 3_600.0
    billing_interval_s: Annotated[Period, "billing registers: this often, and after each billing period"] = 86_400.0
    events_interval_s: Annotated[Period, "each event log is looked at this often"] = 900.0


class ClockSyncSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moving meters' clocks. Only while our own clock is synchronised."""

    allow: Annotated[bool, "false: clocks are read and their drift is told, none is moved"] = False
    threshold_s: Annotated[float, Meta(ge=1, le=3_600), "a clock that is less off is left alone"] = 10.0
    shift_max_s: Annotated[float, Meta(ge=0, le=900), "up to here by shift_time, beyond by writing the time"] = 120.0
    set_max_s: Annotated[float, Meta(ge=0, le=86_400), "a clock that is further off is not moved but told"] = 3_600.0
    beyond: Annotated[Literal["tell", "set"], "what happens to a clock beyond set_max_s"] = "tell"
    backwards: Annotated[Literal["refuse", "allow"], "setting back over the end of a load profile interval"] = "refuse"
    at_most_every_s: Annotated[float, Meta(ge=3_600, le=2_678_400), "one clock is moved once in this time"] = 86_400.0


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Switching meters' supply. Each meter needs a permission besides: `halow-gateway meter permit NAME relay`."""

    allow: Annotated[bool, "false: no meter is switched, whoever asks"] = False
    reading_max_age_s: Annotated[Period, "not while its last reading is older: then nobody knows what it is"] = 300.0
    load_limit_w: Annotated[float, Meta(ge=0, le=1e6), "not off above this load, nor while it is not known"] = 1_000.0
    min_between_s: Annotated[float, Meta(ge=0, le=86_400), "one switching after another"] = 60.0


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Firmware images for meters: `halow-gateway meter image`. Activating one is an order of its own."""

    allow: Annotated[bool, "false: no image is sent to any meter, none is activated"] = False
    blocks_per_step: Annotated[int, Meta(ge=1, le=256), "sent in one go between two polls, where there is room"] = 8
    line_share: Annotated[Share, "of a meter's time between polls that a transfer may take"] = 0.5


class OrderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An engineer's own requests to meters: `halow-gateway meter get`, `set`, `action`. Reading is always allowed."""

    allow_set: Annotated[bool, "write any attribute that the meter lets us write"] = False
    allow_action: Annotated[bool, "call any method that the meter lets us call"] = False


class BackfillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Reading from meters' load profiles what ThingsBoard does not have, where the meter's profile names one."""

    enabled: Annotated[bool, "false: load profiles are left alone"] = True
    order: Annotated[Literal["newest", "oldest"], "which of the missing intervals are read first"] = "newest"
    history_days: Annotated[int, Meta(ge=1, le=3_660), "how far back"] = 31
    line_share: Annotated[float, Meta(gt=0, le=1), "of the time between a meter's polls, at most"] = 0.5


class AlarmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the gateway judges by itself. The shipped conditions stand in edge/alarms/shipped.toml."""

    enabled: Annotated[bool, "false: no alarm is judged here; those of links and radio are told all the same"] = True
    file: Annotated[File, "own conditions, [[alarm]] tables; one with a shipped one's name replaces it"] = ""
    nominal_voltage_v: Annotated[float, Meta(ge=0, le=1e6), "EN 50160 allows 10 % around it; 0: no voltage limits"
                                 ] = 230.0
    nominal_frequency_hz: Annotated[float, Meta(ge=0, le=400), "and 1 % around this; 0: no frequency limits"] = 50.0
    max_current_a: Annotated[float, Meta(ge=0, le=1e6), "of one phase; 0: no limit"] = 0.0
    max_power_w: Annotated[float, Meta(ge=0, le=1e9), "of one meter; 0: no limit"] = 0.0


class OtaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Updates that ThingsBoard offers: firmware, which is the board's image, and software."""

    firmware_command: Annotated[Command, "installs the file in its first argument; empty: no firmware is taken"] = ""
    reboot_command: Annotated[Command, "makes the board start from the new firmware; empty: none is needed"] = ""
    software_command: Annotated[Command, "the same as firmware_command for software; it runs at once"] = ""
    install_timeout_s: Annotated[Period, "a command that takes longer has failed"] = 1_800.0
    size_max_mib: Annotated[int, Meta(ge=1, le=4_096), "larger packages are not fetched"] = 512
    chunk_bytes: Annotated[int, Meta(ge=256, le=65_536), "asked for at a time; the server gives up to 65,536"] = 16_384
    link_share: Annotated[float, Meta(gt=0, le=1), "of the time, at most, that a download spends on the link"] = 0.5


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The local page and API (docs/local-page.md). `halow-gateway page code` gives the code for the first password."""

    enabled: Annotated[bool, "false: no port is open, and nothing of it is in memory"] = False
    listen: Annotated[Address, "own address to listen on; :: is all of them, and the packet filter has to allow it"] = (
        "127.0.0.1")
    port: Annotated[int, Meta(ge=1, le=65_535), "TCP port"] = 8443
    tls: Annotated[bool, "by a certificate that the gateway makes; false: only on a loopback address"] = True
    metrics_open: Annotated[bool, "anybody on the board itself may have /metrics without a token"] = False
    language: Annotated[Literal["en", "es"], "of the page, where the browser asks for neither"] = "en"


RemoteMethod = Literal["status", "links", "log_level", "latest", "read", "relay_status", "relay", "backfill", "pause",
                       "resume", "resume_meter", "clock_sync", "link_survey", "bundle", "bundle_part", "reboot"]


class RemoteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be called for and set through ThingsBoard: docs/uplink.md. Switching wants [relay]'s permission, too."""

    allow: Annotated[tuple[RemoteMethod, ...], "methods; at first those that only read"] = (
        "status", "links", "link_survey", "latest", "read", "relay_status")
    configurable: Annotated[tuple[Text, ...], "what the shared attribute config may set: sections, or section.key"] = (
        "poll", "alarms", "radio", "discovery", "duties", "backfill", "gateway.log_level")
    config_trial_s: Annotated[Period, "settings from there stay, if the server acknowledges in this time; else they go"
                              ] = 300.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `gateway.toml`."""

    gateway: GatewaySettings = GatewaySettings()
    clock: ClockSettings = ClockSettings()
    ring: RingSettings = RingSettings()
    poll: PollSettings = PollSettings()
    uplink: UplinkSettings = UplinkSettings()
    paths: PathsSettings = PathsSettings()
    radio: RadioSettings = RadioSettings()
    recovery: RecoverySettings = RecoverySettings()
    discovery: DiscoverySettings = DiscoverySettings()
    duties: DutySettings = DutySettings()
    push: PushSettings = PushSettings()
    clock_sync: ClockSyncSettings = ClockSyncSettings()
    relay: RelaySettings = RelaySettings()
    image: ImageSettings = ImageSettings()
    orders: OrderSettings = OrderSettings()
    backfill: BackfillSettings = BackfillSettings()
    alarms: AlarmSettings = AlarmSettings()
    ota: OtaSettings = OtaSettings()
    api: ApiSettings = ApiSettings()
    remote: RemoteSettings = RemoteSettings()
