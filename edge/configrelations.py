"""What settings have to do with one another (pure, but for a look at the time zones of this machine).

Each key by itself is judged by its annotation in `edge/config`; here is what only shows when several are seen
together, and what no annotation can say.
"""

import ipaddress
import json
import math
import shlex
from collections.abc import Iterator
from typing import Any

from edge.config import (
    IDENTITY,
    IDENTITY_LIMIT,
    MIB,
    ApiSettings,
    DiscoverySettings,
    PathsSettings,
    PushSettings,
    RadioSettings,
    RemoteSettings,
    RingSettings,
    Settings,
    UplinkSettings,
)
from edge.configchange import REACH
from edge.templates import Payload, Topic, level

SOCKET_PATH_LIMIT_BYTES = 107     # sockaddr_un.sun_path without its closing zero, unix(7)
NAME_LIMIT = 64
SUBNET_LIMIT = 1_024
NO_ZONE = ("this machine's time zone database has no such zone, or there is none (Debian: package tzdata); an offset "
           'like "-05:00" or "+01:00 eu" needs none')
PULSE_LIMIT_S = 25.0      # the radio's watchdog allows a look 30 s (halow.monitor.PULSE_SPARE_S)


def relations(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (key path and value, what is allowed) for what only shows when several keys are seen together."""
    poll, uplink, radio = settings.poll, settings.uplink, settings.radio
    push, clock_sync = settings.push, settings.clock_sync
    for path, first, most_path, most in (
        ("poll.backoff_first_s", poll.backoff_first_s, "backoff_max_s", poll.backoff_max_s),
        ("poll.breaker_open_s", poll.breaker_open_s, "breaker_open_max_s", poll.breaker_open_max_s),
        ("uplink.backoff_first_s", uplink.backoff_first_s, "backoff_max_s", uplink.backoff_max_s),
        ("uplink.batch_bytes", uplink.batch_bytes, "window_bytes", uplink.window_bytes),
        ("radio.interval_s", radio.interval_s, "record_interval_s", radio.record_interval_s),
        ("push.max_connections_per_address", push.max_connections_per_address, "max_connections", push.max_connections),
        ("push.messages_per_minute", push.messages_per_minute,
         "messages_per_minute_in_all", push.messages_per_minute_in_all),
        ("clock_sync.shift_max_s", clock_sync.shift_max_s, "set_max_s", clock_sync.set_max_s),
    ):
        if first > most:
            yield f"{path} = {first}", f"must be at most {most_path} = {most}"
    yield from _ring_relations(settings.ring)
    yield from _push_relations(push)
    yield from _discovery_relations(settings.discovery)
    if len(settings.gateway.name.replace(IDENTITY, "x" * IDENTITY_LIMIT)) > NAME_LIMIT:
        yield (f"gateway.name = {shown(settings.gateway.name)}",
               f"too long: at most {NAME_LIMIT} characters, of which {IDENTITY} takes up to {IDENTITY_LIMIT}")
    yield from _dialect_relations(uplink)
    yield from _sparkplug_relations(uplink)
    yield from _path_relations(settings.paths, uplink)
    if uplink.tls and not uplink.ca_file:
        yield "uplink.tls = true", "needs uplink.ca_file, the CA certificate that the server is checked against"
    if uplink.credentials == "x509" and not uplink.tls:
        yield 'uplink.credentials = "x509"', "needs uplink.tls = true"
    if uplink.provision_key and uplink.credentials == "mqtt_basic" and not uplink.username:
        yield "uplink.provision_key", 'with credentials = "mqtt_basic" it needs uplink.username'
    if uplink.ca_file and not uplink.tls:
        yield f"uplink.ca_file = {shown(uplink.ca_file)}", "does nothing without uplink.tls = true"
    yield from _radio_relations(radio)
    ota = settings.ota
    for key in ("firmware_command", "reboot_command", "software_command"):
        yield from _is_command(f"ota.{key}", getattr(ota, key))
    yield from _api_relations(settings.api)
    yield from _remote_relations(settings.remote)
    if len(settings.gateway.runtime_dir.encode()) + len("/control.sock") > SOCKET_PATH_LIMIT_BYTES:
        yield f"gateway.runtime_dir = {shown(settings.gateway.runtime_dir)}", "too long for the path of a Unix socket"


def _dialect_relations(uplink: UplinkSettings) -> Iterator[tuple[str, str]]:
    for key, template in (("topic", Topic), ("payload", Payload), ("attributes_topic", Topic)):
        text = getattr(uplink, key)
        if not text and key == "attributes_topic":
            continue
        try:
            template(text)
        except ValueError as error:
            yield f"uplink.{key} = {shown(text)}", str(error)
    if uplink.dialect != "thingsboard" and uplink.provision_key:
        yield "uplink.provision_key", f'ThingsBoard knows it, no other broker: not with dialect = "{uplink.dialect}"'


def _sparkplug_relations(uplink: UplinkSettings) -> Iterator[tuple[str, str]]:
    if uplink.dialect == "sparkplug" and not uplink.sparkplug_group:
        yield 'uplink.dialect = "sparkplug"', "needs uplink.sparkplug_group, the group id that the hosts look for"
    for key in ("sparkplug_group", "sparkplug_primary_host"):
        text = getattr(uplink, key)
        if text and uplink.dialect != "sparkplug":
            yield f"uplink.{key} = {shown(text)}", 'does nothing without uplink.dialect = "sparkplug"'
        elif text and level(text) != text:
            yield (f"uplink.{key} = {shown(text)}",
                   "is a level of Sparkplug's topics: without /, +, # and control characters")


def _path_relations(paths: PathsSettings, uplink: UplinkSettings) -> Iterator[tuple[str, str]]:
    names = [path.name for path in paths.path]
    for at, path in enumerate(paths.path, 1):
        if path.name in names[:at - 1]:
            yield f"paths.path[{at}].name = {shown(path.name)}", "there is another path of this name"
        if path.backlog != "always" and uplink.order == "oldest":
            yield (f"paths.path[{at}].backlog = {shown(path.backlog)}",
                   'with uplink.order = "oldest" new values wait behind older ones; set "live+backfill" or "newest"')
    if paths.path and paths.dead_after_s < 2 * uplink.keepalive_s:
        yield (f"paths.dead_after_s = {paths.dead_after_s:g}",
               f"must be at least twice uplink.keepalive_s = {uplink.keepalive_s}: no answer is due before")
    if paths.thin_s and all(path.backlog == "always" for path in paths.path):
        yield f"paths.thin_s = {paths.thin_s:g}", 'does nothing where every path has backlog = "always"'
    if "/" in paths.zone and not _zone_known(paths.zone):
        yield f"paths.zone = {shown(paths.zone)}", NO_ZONE


def _zone_known(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - few have one

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _radio_relations(radio: RadioSettings) -> Iterator[tuple[str, str]]:
    if radio.kind == "simulated" and not radio.trace:
        yield 'radio.kind = "simulated"', "needs radio.trace, the file to replay"
    if radio.kind == "external" and bool(radio.external_command) == bool(radio.external_file):
        yield 'radio.kind = "external"', "needs one of radio.external_command and radio.external_file"
    if radio.external_timeout_s > PULSE_LIMIT_S:
        yield f"radio.external_timeout_s = {radio.external_timeout_s}", f"must be at most {PULSE_LIMIT_S:g}"
    yield from _is_command("radio.vendor_tool", radio.vendor_tool)
    yield from _is_command("radio.external_command", radio.external_command)


def _is_command(path: str, command: str) -> Iterator[tuple[str, str]]:
    try:
        shlex.split(command)
    except ValueError as error:
        yield f"{path} = {shown(command)}", f"must be a command as a shell reads it: {error}"


def _ring_relations(ring: RingSettings) -> Iterator[tuple[str, str]]:
    slots = math.floor(ring.size_mib / ring.slot_mib)
    alarm, billing = (max(2, math.floor(share * slots)) for share in (ring.alarm_share, ring.billing_share))
    if slots < 6:
        yield f"ring.size_mib = {ring.size_mib}", f"must hold 6 slots of slot_mib = {ring.slot_mib} at least"
    elif alarm + billing + 2 > slots:
        yield (f"ring.alarm_share + ring.billing_share = {ring.alarm_share} + {ring.billing_share}",
               f"must leave 2 of the {slots} slots for polled values")
    if ring.record_limit_bytes > ring.slot_mib * MIB / 2:
        yield f"ring.record_limit_bytes = {ring.record_limit_bytes}", "must be at most half of slot_mib"
    yield from _is_command("ring.key_command", ring.key_command)
    if ring.key_command and ring.key_file:
        yield f"ring.key_file = {shown(ring.key_file)}", "does nothing beside ring.key_command; one of them"


def _discovery_relations(discovery: DiscoverySettings) -> Iterator[tuple[str, str]]:
    if not discovery.subnet:
        return
    try:
        size = ipaddress.ip_network(discovery.subnet).num_addresses
    except ValueError as error:
        yield f"discovery.subnet = {shown(discovery.subnet)}", f"must be a net like 10.30.0.0/24: {error}"
    else:
        if size > SUBNET_LIMIT:
            yield f"discovery.subnet = {shown(discovery.subnet)}", f"has {size} addresses; at most {SUBNET_LIMIT}"


def _push_relations(push: PushSettings) -> Iterator[tuple[str, str]]:
    try:
        ipaddress.ip_address(push.listen)
    except ValueError:
        yield f"push.listen = {shown(push.listen)}", "must be an IP address of this machine, 0.0.0.0 or ::"
    if push.enabled and not push.tcp_port and not push.udp_port:
        yield "push.tcp_port = 0, push.udp_port = 0", "one of them must be a port, or push.enabled false"


def _api_relations(api: ApiSettings) -> Iterator[tuple[str, str]]:
    try:
        loopback = ipaddress.ip_address(api.listen.partition("%")[0]).is_loopback
    except ValueError:
        yield f"api.listen = {shown(api.listen)}", "must be an IP address of this machine, 0.0.0.0 or ::"
        return
    if not api.tls and not loopback:
        yield "api.tls = false", f"passwords would be in clear on the network; {shown(api.listen)} wants tls"


def _remote_relations(remote: RemoteSettings) -> Iterator[tuple[str, str]]:
    possible = {key for key, reach in REACH.items() if reach == "remote"}
    sections = {key.partition(".")[0] for key in possible}
    for name in remote.configurable:
        if name not in possible | sections:
            yield (f"remote.configurable: {shown(name)}",
                   f"nothing of it is taken from a server; possible are {', '.join(sorted(sections))}, or section.key")


def shown(value: Any) -> str:
    """Write a value much as TOML does, on one line and not too long."""
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())
    elif isinstance(value, int) and value.bit_length() > 256:      # repr refuses thousands of digits
        text = f"a number of {value.bit_length()} bits"
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
