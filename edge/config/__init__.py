"""Typed settings of the gateway: one frozen struct per section of `gateway.toml`.

    values.py     what a value may be       gateway.py   the box itself: places, clock, ring, alarms, page
    meters.py     polling and the rest      radio.py     link and recovery      cloud.py    uplink, updates, calls

Every limit and period has its unit in its name; defaults suit a Raspberry Pi. The structs are a leaf that any room of
`edge` may import, all of them from here. A field's annotation holds its range and the sentence that `default_toml`
prints above it, so that both stand in one place. Reading, checking and writing the file is `edge/configfile.py`.
"""

import msgspec

from edge.config.cloud import OtaSettings, PathSettings, PathsSettings, RemoteSettings, UplinkSettings
from edge.config.gateway import AlarmSettings, ApiSettings, ClockSettings, GatewaySettings, RingSettings
from edge.config.meters import (
    BackfillSettings,
    ClockSyncSettings,
    DiscoverySettings,
    DutySettings,
    ImageSettings,
    OrderSettings,
    PollSettings,
    PushSettings,
    RelaySettings,
)
from edge.config.radio import RadioSettings, RecoverySettings
from edge.config.values import IDENTITY, IDENTITY_LIMIT, MIB, Command, Credentials, MqttVersion, Order, WhenFull, Zone

__all__ = [
    "IDENTITY", "IDENTITY_LIMIT", "MIB", "AlarmSettings", "ApiSettings", "BackfillSettings", "ClockSettings",
    "ClockSyncSettings", "Command", "Credentials", "DiscoverySettings", "DutySettings", "GatewaySettings",
    "ImageSettings", "MqttVersion", "Order", "OrderSettings", "OtaSettings", "PathSettings", "PathsSettings",
    "PollSettings", "PushSettings", "RadioSettings", "RecoverySettings", "RelaySettings", "RemoteSettings",
    "RingSettings", "Settings", "UplinkSettings", "WhenFull", "Zone",
]


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
