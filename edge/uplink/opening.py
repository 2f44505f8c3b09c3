"""From settings to an open session: in which MQTT the server is spoken to is found out on the way."""

import asyncio
import ssl

from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import Rejected
from edge.uplink.arrivals import ClosedAtOnce, OtherVersion
from edge.uplink.mqtt import Session
from edge.uplink.versions import Versions


def versions_of(settings: UplinkSettings) -> Versions:
    """Return a memory of what servers speak. ThingsBoard says so, and closes while it starts: no guesses there."""
    return Versions(settings.mqtt, by_closing=settings.dialect == "mqtt")


async def opened(settings: UplinkSettings, versions: Versions, now: float, *, client_id: str, login: Login,
                 activity: asyncio.Event, tls: ssl.SSLContext | None) -> Session:
    """Return an open session in the version that the server speaks.

    Raises Rejected or Retryable, see Session.open; within twice its time, as a server that refuses the one version is
    asked in the other at once. Cancelling leaves no socket behind.
    """
    server = settings.host, settings.port
    for _ in range(2):
        version = versions.next(server, now)
        session = Session(settings, client_id=client_id, login=login, activity=activity, tls=tls, version=version)
        try:
            await session.open()
        except OtherVersion:
            if not versions.refused(server, version, now):
                raise
        except ClosedAtOnce:
            versions.closed(server, version, now)
            raise
        else:
            versions.taken(server, version)
            return session
    raise Rejected(f"{settings.host}:{settings.port} speaks neither MQTT 5 nor MQTT 3.1.1")
