"""Which dialect the settings' server is spoken to in (pure)."""

from collections.abc import Awaitable, Callable

from edge.clock import Clock
from edge.config import UplinkSettings
from edge.uplink.attributes import Attributes
from edge.uplink.dialect import Dialect
from edge.uplink.plain import PlainMqtt
from edge.uplink.thingsboard import ThingsBoardGateway


async def bdseq_of_a_first_start() -> int:
    """Return Sparkplug's number of births and deaths where nobody keeps one."""
    return 0


def dialect_of(settings: UplinkSettings, gateway_name: str, profile_of: Callable[[str], str],
               silent: Callable[[str], bool], clock: Clock, next_bdseq: Callable[[], Awaitable[int]],
               board: Attributes) -> Dialect:
    """Return the dialect; see `Uplink` for what it is made of."""
    if settings.dialect == "mqtt":
        return PlainMqtt(settings, gateway_name)
    if settings.dialect == "sparkplug":
        from edge.uplink.sparkplug import Sparkplug  # noqa: PLC0415 - most gateways never need it
        from edge.uplink.sparkplugnode import EdgeNode  # noqa: PLC0415 - same

        return Sparkplug(EdgeNode(settings.sparkplug_group, gateway_name, settings.sparkplug_primary_host, clock,
                                  next_bdseq, silent), board)
    return ThingsBoardGateway(profile_of, silent)
