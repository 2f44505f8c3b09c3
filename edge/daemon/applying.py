"""How changed settings reach the parts of a running gateway: one row for each section of which anything is live.

Which keys are live stands in `edge/configchange.py`. A part is told only where one of its settings has changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.alarms.conditions import Judges, Supply
from edge.config import Settings
from edge.daemon.alarms import AlarmDesk, judges
from edge.daemon.backfill import BackfillDesk
from edge.daemon.images import ImageDesk
from edge.daemon.links import LinkDesk
from edge.daemon.orders import OrderDesk
from edge.daemon.ota import OtaDesk
from edge.daemon.pushes import Pushes
from edge.daemon.remote import RemoteDesk
from edge.daemon.renewable import Renewable
from edge.daemon.updaters import updaters
from edge.daemon.upstream import Upstream
from edge.daemon.vitals import Vitals
from edge.logs.level import LevelDesk
from edge.poll.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is told. `radio` and `finder` are made by the settings in force, so renewing them is enough."""

    fleet: Fleet
    upstream: Upstream
    links: LinkDesk
    radio: Renewable
    finder: Renewable
    pushes: Pushes
    orders: OrderDesk
    images: ImageDesk
    backfill: BackfillDesk
    alarms: AlarmDesk
    ota: OtaDesk
    remote: RemoteDesk
    vitals: Vitals
    levels: LevelDesk
    supply_of: Callable[[str], Supply]


class Applying:
    """Tells the parts. One at a time."""

    def __init__(self, parts: Parts) -> None:
        """`parts` work by the settings in force at the start."""
        self._parts = parts

    def prepare(self, settings: Settings) -> Judges:
        """Make what may fail, from flash (blocks). ConfigError: then nothing has been told to anybody."""
        return judges(settings.alarms, self._parts.supply_of)

    async def apply(self, before: Settings, after: Settings, conditions: Judges) -> tuple[str, ...]:
        """Have everybody work by `after`, which is in force already; return the meters that were connected anew."""
        restarted: tuple[str, ...] = ()
        if before.poll != after.poll:
            restarted = await self._parts.fleet.use(after.poll)
        for section, tell in self.rows.items():
            if getattr(before, section) != getattr(after, section):
                tell(before, after)
        if any(getattr(before, section) != getattr(after, section) for section in (
                "poll", "duties", "clock_sync", "image", "backfill")):
            self._parts.fleet.renew_errands()
        if conditions != self._parts.alarms.conditions:      # the operator's file may have changed under its name
            self._parts.alarms.use(conditions)
        return restarted

    @property
    def rows(self) -> Mapping[str, Callable[[Settings, Settings], object]]:
        """Return by section who is told what, besides the fleet and the alarms."""
        parts = self._parts
        return {
            "gateway": lambda _, after: parts.levels.settle(after.gateway.log_level),
            "poll": lambda _, after: parts.backfill.use(after),
            "uplink": self._uplink,
            "paths": lambda _, after: parts.upstream.use(after),
            "radio": self._radio,
            "discovery": lambda *_: parts.finder.renew(),
            "push": lambda _, after: parts.pushes.use(after.push),
            "relay": lambda _, after: parts.orders.use(after),
            "orders": lambda _, after: parts.orders.use(after),
            "image": lambda _, after: parts.images.use(after),
            "backfill": lambda _, after: parts.backfill.use(after),
            "ota": self._ota,
            "remote": lambda _, after: parts.remote.use(after.remote),
        }

    def _uplink(self, before: Settings, after: Settings) -> None:
        self._parts.vitals.use(after.uplink.health_interval_s)
        self._parts.backfill.use(after)
        self._parts.upstream.use(after)
        if before.uplink.ack_timeout_s != after.uplink.ack_timeout_s:
            self._ota(before, after)

    def _ota(self, _before: Settings, after: Settings) -> None:
        self._parts.ota.use(after.ota, updaters(after.ota), after.uplink.ack_timeout_s)

    def _radio(self, before: Settings, after: Settings) -> None:
        self._parts.links.use(after.radio.record_interval_s)
        if (before.radio.interval_s, _identity(before)) != (after.radio.interval_s, _identity(after)):
            self._parts.radio.renew()


def _identity(settings: Settings) -> tuple[object, ...]:
    """Return what makes another radio of it."""
    radio = settings.radio
    return (radio.interface, radio.driver, radio.mac, radio.trace, radio.control_dir, radio.vendor_tool,
            radio.external_command, radio.external_file, radio.external_timeout_s, radio.external_stale_s)
