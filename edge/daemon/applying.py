"""How changed settings reach the parts of a running gateway: one row for each section of which anything is live.

Which keys are live stands in `edge/configchange.py`. A part is told only where one of its settings has changed.
"""

from collections.abc import Callable, Mapping

from edge.alarms.conditions import Judges
from edge.config import Settings
from edge.daemon.alarms import judges
from edge.daemon.cloudside import CloudSide
from edge.daemon.fieldside import FieldSide
from edge.daemon.remote import RemoteDesk
from edge.daemon.updaters import updaters
from edge.logs.level import LevelDesk


class Applying:
    """Tells the parts. One at a time. What is made by the settings in force (radio, finder) is only made anew."""

    def __init__(self, field: FieldSide, cloud: CloudSide, remote: RemoteDesk, levels: LevelDesk) -> None:
        """All of them work by the settings in force at the start."""
        self._field, self._cloud, self._remote, self._levels = field, cloud, remote, levels

    def prepare(self, settings: Settings) -> Judges:
        """Make what may fail, from flash (blocks). ConfigError: then nothing has been told to anybody."""
        return judges(settings.alarms, self._field.supply_of)

    async def apply(self, before: Settings, after: Settings, conditions: Judges) -> tuple[str, ...]:
        """Have everybody work by `after`, which is in force already; return the meters that were connected anew."""
        restarted: tuple[str, ...] = ()
        if before.poll != after.poll:
            restarted = await self._field.fleet.use(after.poll)
        for section, tell in self.rows.items():
            if getattr(before, section) != getattr(after, section):
                tell(before, after)
        if any(getattr(before, section) != getattr(after, section) for section in (
                "poll", "duties", "clock_sync", "image", "backfill")):
            self._field.fleet.renew_errands()
        if conditions != self._field.alarms.conditions:      # the operator's file may have changed under its name
            self._field.alarms.use(conditions)
        return restarted

    @property
    def rows(self) -> Mapping[str, Callable[[Settings, Settings], object]]:
        """Return by section who is told what, besides the fleet and the alarms."""
        field, cloud = self._field, self._cloud
        return {
            "gateway": lambda _, after: self._levels.settle(after.gateway.log_level),
            "poll": lambda _, after: field.backfill.use(after),
            "uplink": self._uplink,
            "paths": lambda _, after: cloud.upstream.use(after),
            "radio": self._radio,
            "discovery": lambda *_: field.finder.renew(),
            "push": lambda _, after: field.pushes.use(after.push),
            "relay": lambda _, after: field.orders.use(after),
            "orders": lambda _, after: field.orders.use(after),
            "image": lambda _, after: field.images.use(after),
            "backfill": lambda _, after: field.backfill.use(after),
            "ota": self._ota,
            "remote": lambda _, after: self._remote.use(after.remote),
        }

    def _uplink(self, before: Settings, after: Settings) -> None:
        self._cloud.vitals.use(after.uplink.health_interval_s)
        self._field.backfill.use(after)
        self._cloud.upstream.use(after)
        if before.uplink.ack_timeout_s != after.uplink.ack_timeout_s:
            self._ota(before, after)

    def _ota(self, _before: Settings, after: Settings) -> None:
        self._cloud.ota.use(after.ota, updaters(after.ota), after.uplink.ack_timeout_s)

    def _radio(self, before: Settings, after: Settings) -> None:
        self._field.links.use(after.radio.record_interval_s)
        if (before.radio.interval_s, _identity(before)) != (after.radio.interval_s, _identity(after)):
            self._field.radio.renew()


def _identity(settings: Settings) -> tuple[object, ...]:
    """Return what makes another radio of it."""
    radio = settings.radio
    return (radio.interface, radio.driver, radio.mac, radio.trace, radio.control_dir, radio.vendor_tool,
            radio.external_command, radio.external_file, radio.external_timeout_s, radio.external_stale_s)
