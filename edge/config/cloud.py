"""Settings of the server's side: the uplink and its paths, updates, what may be called for from there."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.config.values import (
    AnyHost,
    BacklogHours,
    Command,
    Credentials,
    File,
    Host,
    Interface,
    MqttVersion,
    NamedZone,
    Order,
    PathName,
    Period,
    Text,
)


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


class OtaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Updates that ThingsBoard offers: firmware, which is the board's image, and software."""

    firmware_command: Annotated[Command, "installs the file in its first argument; empty: no firmware is taken"] = ""
    reboot_command: Annotated[Command, "makes the board start from the new firmware; empty: none is needed"] = ""
    software_command: Annotated[Command, "the same as firmware_command for software; it runs at once"] = ""
    install_timeout_s: Annotated[Period, "a command that takes longer has failed"] = 1_800.0
    size_max_mib: Annotated[int, Meta(ge=1, le=4_096), "larger packages are not fetched"] = 512
    chunk_bytes: Annotated[int, Meta(ge=256, le=65_536), "asked for at a time; the server gives up to 65,536"] = 16_384
    link_share: Annotated[float, Meta(gt=0, le=1), "of the time, at most, that a download spends on the link"] = 0.5


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
