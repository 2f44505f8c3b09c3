"""From settings to an open session: in which MQTT the server is spoken to is found out on the way."""

import asyncio
import ssl

from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import Rejected
from edge.uplink.arrivals import ClosedAtOnce, OtherVersion
from edge.uplink.dial import Dialer
from edge.uplink.dialect import Ceremony
from edge.uplink.mqtt import Session
from edge.uplink.pathwatch import PathWatch
from edge.uplink.versions import Versions
from edge.uplink.way import way_of


def versions_of(settings: UplinkSettings) -> Versions:
    """Return a memory of what servers speak. ThingsBoard says so, and closes while it starts: no guesses there."""
    return Versions(settings.mqtt, by_closing=settings.dialect != "thingsboard")


async def opened(settings: UplinkSettings, versions: Versions, now: float, *, client_id: str, login: Login,
                 activity: asyncio.Event, tls: ssl.SSLContext | None, paths: PathWatch | None = None,
                 ceremony: Ceremony | None = None) -> Session:
    """Return an open session over the path that is to be taken, in the version that the server speaks.

    Raises Rejected or Retryable, see Session.open; within twice its time, as a server that refuses the one version is
    asked in the other at once. Cancelling leaves no socket behind. `paths` None: as the settings say.
    """
    if paths is not None:
        paths.wanted()
    way, dialer = (paths.way, paths.dialer) if paths is not None else (way_of(settings), Dialer())
    clock = paths.clock if paths is not None else None
    server = way.host, way.port
    for _ in range(2):
        version = versions.next(server, now)
        session = Session(settings, client_id=client_id, login=login, activity=activity, tls=tls, version=version,
                          way=way, dialer=dialer, ceremony=ceremony, clock=clock)
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
        finally:
            if session.answered and paths is not None:
                paths.answered()
    raise Rejected(f"{way} speaks neither MQTT 5 nor MQTT 3.1.1")
