"""Which settings can change while the gateway runs, and who may change them (pure): one table for both.

    restart   read once, at the start: names, directories, the ring's geometry, what is in memory at all
    live      by the settings file and a reload
    remote    by ThingsBoard's attribute too, where `remote.configurable` names it

Never remote: commands, paths, credentials, permissions, nets to be scanned. A key that stands in no row needs a
restart; a test sees to it that every key stands in one. Decision: docs/decisions/0032-remote-configuration.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from edge.config import Settings
from edge.redaction import redacted

Reach = Literal["restart", "live", "remote"]


class Keys(NamedTuple):
    """The keys of one section, by reach, with spaces between them."""

    restart: str = ""
    live: str = ""
    remote: str = ""


TABLE: Mapping[str, Keys] = {
    "gateway": Keys(restart="name state_dir runtime_dir profiles_dir", remote="log_level"),
    "clock": Keys(restart="trust_wall meters_zone hold_s"),
    "ring": Keys(
        restart="size_mib slot_mib alarm_share billing_share instant_commit_window_s alarm_commit_window_s "
                "billing_commit_window_s alarm_when_full billing_when_full instant_when_full elide scrub_interval_s "
                "ack_commit_s record_limit_bytes encrypt key_file key_command key_timeout_s flash_overwrites"),
    "poll": Keys(
        remote="interval_s at_once connect_timeout_s exchange_timeout_s backoff_first_s backoff_max_s breaker_failures "
               "breaker_open_s breaker_open_max_s"),
    "uplink": Keys(
        restart="enabled dialect",
        live="mqtt credentials token_file username password_file certificate_file provision_key provision_secret_file "
             "tls ca_file client_id topic payload payload_per attributes_topic "
             "sparkplug_group sparkplug_primary_host",
        remote="host port keepalive_s connect_timeout_s ack_timeout_s window_messages window_bytes batch_bytes order "
               "backoff_first_s backoff_max_s refused_backoff_s health_interval_s silent_after_s"),
    "paths": Keys(live="path zone", remote="dead_after_s return_after_s probe_interval_s gather_s thin_s"),
    "radio": Keys(
        restart="kind width_mhz",
        live="interface driver mac trace control_dir vendor_tool external_command external_file",
        remote="interval_s record_interval_s external_timeout_s external_stale_s"),
    "recovery": Keys(
        restart="reassociate restart_daemon vendor_restart reload_driver reboot after_s step_wait_s heal_s "
                "at_most_per_hour reboots_in_row command_timeout_s"),
    "discovery": Keys(live="subnet", remote="missing_after_s probe_interval_s sweep_rest_s answer_s"),
    "duties": Keys(remote="clock_interval_s billing_interval_s events_interval_s"),
    "push": Keys(
        live="enabled listen tcp_port udp_port framing",
        remote="max_apdu_bytes max_connections max_connections_per_address messages_per_minute "
               "messages_per_minute_in_all idle_timeout_s message_timeout_s"),
    "clock_sync": Keys(live="allow threshold_s shift_max_s set_max_s beyond backwards at_most_every_s"),
    "relay": Keys(live="allow reading_max_age_s load_limit_w min_between_s"),
    "image": Keys(live="allow", remote="blocks_per_step line_share"),
    "orders": Keys(live="allow_set allow_action"),
    "backfill": Keys(remote="enabled order history_days line_share"),
    "alarms": Keys(live="file", remote="enabled nominal_voltage_v nominal_frequency_hz max_current_a max_power_w"),
    "ota": Keys(live="firmware_command reboot_command software_command install_timeout_s size_max_mib",
                remote="chunk_bytes link_share"),
    "api": Keys(restart="enabled listen port tls metrics_open", live="language"),
    "remote": Keys(live="allow configurable config_trial_s"),
}

REACHES: tuple[Reach, ...] = ("restart", "live", "remote")      # the fields of Keys
REACH: Mapping[str, Reach] = {
    f"{section}.{key}": reach for section, keys in TABLE.items()
    for reach, names in zip(REACHES, keys, strict=True) for key in names.split()}


class Changed(NamedTuple):
    """One setting that is another than before."""

    key: str      # "section.key"
    before: Any
    after: Any

    def shown(self) -> dict[str, Any]:
        """Return it as history and answers show it: secrets and the arguments of commands hidden."""
        return {"key": self.key, "before": redacted(self.key, self.before), "after": redacted(self.key, self.after)}


class Merged(NamedTuple):
    """What comes of a reload: the settings to be in force, what of the change is in them, and what waits."""

    settings: Settings
    applied: tuple[Changed, ...]
    needs_restart: tuple[Changed, ...]


def reach_of(key: str) -> Reach:
    """Return how "section.key" can be changed."""
    return REACH.get(key, "restart")


def keys_of(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield ("section.key", value) of every setting."""
    for section in settings.__struct_fields__:
        struct = getattr(settings, section)
        for key in struct.__struct_fields__:
            yield f"{section}.{key}", getattr(struct, key)


def compare(before: Settings, after: Settings) -> tuple[Changed, ...]:
    """Return the keys whose value differs, in the order of the settings file."""
    return tuple(Changed(key, old, new) for (key, old), (_, new) in zip(keys_of(before), keys_of(after), strict=True)
                 if old != new)


def merge(in_force: Settings, wanted: Settings) -> Merged:
    """Take from `wanted` what can be changed while the gateway runs; the rest stays as it is in force."""
    changes = compare(in_force, wanted)
    live = tuple(each for each in changes if reach_of(each.key) != "restart")
    by_section: dict[str, dict[str, Any]] = {}
    for each in live:
        section, _, key = each.key.partition(".")
        by_section.setdefault(section, {})[key] = each.after
    settings = msgspec.structs.replace(in_force, **{
        section: msgspec.structs.replace(getattr(in_force, section), **keys) for section, keys in by_section.items()})
    return Merged(settings, live, tuple(each for each in changes if each not in live))
