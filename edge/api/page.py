"""The page and API put together: what app starts where the settings want it, and nothing of which is loaded otherwise.

    Doors ─► routes ─► Table ─► Door ─► PageServer ◄── browsers, scripts
       └──► Watch ─► streams                Access ◄── `halow-gateway page code` by the control socket
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge import __version__
from edge.api import openapi, passwords, wire
from edge.api.access import CODE_LIFE_S, Access
from edge.api.accessroutes import AccessRoutes
from edge.api.alarmroutes import AlarmRoutes
from edge.api.assets import Assets
from edge.api.configroutes import ConfigRoutes
from edge.api.door import Door
from edge.api.doors import Doors
from edge.api.meterroutes import MeterRoutes
from edge.api.server import PageServer
from edge.api.table import Table
from edge.api.viewroutes import ViewRoutes
from edge.api.watch import Watch
from edge.credentials import page_certificate, page_fingerprint
from edge.errors import ConfigError, EdgeError


class Page:
    """All of it. Open it with `opened`; `server.run` and `watch.run` are its two workers."""

    def __init__(self, doors: Doors, *, scrypt_n: int = passwords.N) -> None:
        """`scrypt_n` is for tests."""
        settings = doors.settings
        self._state_dir = Path(settings.gateway.state_dir)
        self._settings = settings
        self.access = Access(self._state_dir, doors.clock, scrypt_n=scrypt_n)
        meters = MeterRoutes(doors)
        self.watch = Watch(doors, meters.rows)
        views = ViewRoutes(doors, self.watch, self.access, lambda: self.document)
        self.table = Table([*AccessRoutes(self.access, doors).routes(), *views.routes(), *meters.routes(),
                            *AlarmRoutes(doors).routes(), *ConfigRoutes(doors).routes()])
        self.document = openapi.document(self.table, __version__)
        door = Door(self.table, self.access, Assets(), tls=settings.api.tls,
                    metrics_open=settings.api.metrics_open)
        self.server = PageServer(door, settings.api.listen, settings.api.port, self._certificate,
                                 certified=doors.certified)
        self.workers = (("page", self.server.run), ("page watch", self.watch.run))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Page"]:
        """Read who gets in."""
        await self.access.open()
        try:
            yield self
        finally:
            self.access.close()

    def _certificate(self) -> Path | None:
        api = self._settings.api
        return page_certificate(self._state_dir, self._settings.gateway.name, api.listen) if api.tls else None

    async def control(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `page`: {"do": "code" | "tokens" | "add" | "remove"}. EdgeError: refused."""
        asked = _read(request)
        answer: dict[str, Any] = {"url": self._url(), "problem": self.server.problem}
        if asked.do == "code":
            answer |= {"code": self.access.new_code(), "minutes": CODE_LIFE_S / 60,
                       "first": self.access.setup_required, "fingerprint": await asyncio.to_thread(self._fingerprint)}
        elif asked.do == "add":
            answer["token"] = await self.access.add_token(asked.name, asked.role)
        elif asked.do == "remove":
            await self.access.remove_token(asked.name)
        else:
            answer["tokens"] = [{"name": each.name, "role": each.role, "made_ms": each.made_ms}
                                for each in self.access.tokens]
        return answer

    def _url(self) -> str:
        host, port = self.server.address or (self._settings.api.listen, self._settings.api.port)
        scheme = "https" if self._settings.api.tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    def _fingerprint(self) -> str:
        try:
            certificate = self._certificate()
            return "" if certificate is None else page_fingerprint(certificate)
        except EdgeError as error:
            return f"none: {error}"


class _Asked(wire.TokenBody, frozen=True, kw_only=True):
    """The control request `page`."""

    do: Literal["code", "tokens", "add", "remove"]
    name: wire.Label = "token"
    request: str = ""


def _read(request: dict[str, Any]) -> _Asked:
    try:
        return msgspec.convert(request, _Asked)
    except msgspec.ValidationError as wrong:
        raise ConfigError(f"no such request: {wrong}") from wrong
