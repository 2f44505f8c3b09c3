"""Routes to look at things: status, radio, ring, logs, inventory, and the stream of events."""

import platform
from collections.abc import Callable
from typing import Any

import msgspec

from edge import __build__, __version__
from edge.api import wire
from edge.api.access import Access
from edge.api.doors import Doors
from edge.api.sessions import Role
from edge.api.table import BASE, METRICS, Call, Reply, Route
from edge.api.watch import Watch
from edge.health.openmetrics import OPENMETRICS_TYPE, TEXT_TYPE, wants_openmetrics


class ViewRoutes:
    """The handlers."""

    def __init__(self, doors: Doors, watch: Watch, access: Access, document: Callable[[], dict[str, Any]]) -> None:
        """`document` gives the OpenAPI document, once all routes are known."""
        self._doors = doors
        self._watch = watch
        self._access = access
        self._document = document

    def routes(self) -> list[Route]:
        """Return the rows of the table."""
        view = Role.VIEW
        return [
            Route("GET", f"{BASE}/status", view, self.status, "What `status --json` prints.", wire.Status),
            Route("GET", f"{BASE}/links", view, self.links, "The radio and its peers, with recent signal.", wire.Links),
            Route("GET", f"{BASE}/ring", view, self.ring, "Ring and uplink, with the backlog of the last hour.",
                  wire.RingShown),
            Route("GET", f"{BASE}/logs", view, self.logs, "The newest log lines.", wire.Logs, query=wire.LogQuery),
            Route("PUT", f"{BASE}/logs/level", Role.ADMIN, self.level, "Change how much the log says.", wire.LogLevel,
                  wire.LevelBody),
            Route("GET", METRICS, view, self.metrics, "For Prometheus: text, or OpenMetrics where it is asked for.",
                  media="text/plain"),
            Route("GET", f"{BASE}/inventory", view, self.inventory, "Software, board, radio, meters.", wire.Inventory),
            Route("GET", f"{BASE}/events", view, self.events, "Live status as server-sent events: `all`, then `news`.",
                  media="text/event-stream", fails=(503,)),
            Route("GET", f"{BASE}/openapi.json", view, self.openapi, "This document.", dict[str, Any]),
        ]

    async def status(self, _call: Call) -> dict[str, Any]:
        """Return everything."""
        return await self._doors.status({})

    async def links(self, _call: Call) -> wire.Links:
        """Return the radio, and each peer with its samples."""
        radio = (await self._doors.status({}))["radio"]
        behind: dict[str, list[str]] = {}
        for meter in self._doors.enrolment.meters:
            if (link := self._doors.peer_of(meter)) is not None:
                behind.setdefault(link.mac, []).append(meter.name)
        peers = tuple(
            wire.Peer(
                mac=peer["mac"], meters=tuple(behind.get(peer["mac"], ())), grade=peer["grade"],
                rssi_dbm=peer["rssi_dbm"], rssi_avg_dbm=peer["rssi_avg_dbm"],
                best_dbm=self._watch.best_dbm(peer["mac"]), snr_db=peer["snr_db"],
                margin_db=peer["margin_db"], age_s=peer["age_s"],
                lost_because=peer["lost_because"], recent=self._watch.recent(peer["mac"]))
            for peer in radio.pop("peers", ()))
        return wire.Links(radio, peers, tuple(wire.Band(*band) for band in self._doors.bands))

    async def ring(self, _call: Call) -> wire.RingShown:
        """Return ring and uplink."""
        told = await self._doors.status({})
        return wire.RingShown(told["ring"], told["uplink"], self._watch.backlog())

    async def logs(self, call: Call) -> wire.Logs:
        """Return the newest lines."""
        asked = call.query
        lines = self._doors.tail.lines(asked.level, asked.most, meter=asked.meter)
        return wire.Logs(lines, self._level())

    def _level(self) -> wire.LogLevel:
        return msgspec.convert(self._doors.levels.state(), wire.LogLevel)

    async def metrics(self, call: Call) -> Reply:
        """Return all metrics in the form that is preferred."""
        openmetrics = wants_openmetrics(call.accept)
        text = await self._doors.metrics(openmetrics=openmetrics)
        return Reply(text, media=OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)

    async def level(self, call: Call) -> wire.LogLevel:
        """Change the log's level."""
        self._doors.levels.change(call.body.level, f"{call.who.name} of the page", call.body.for_s, call.body.part)
        return self._level()

    async def inventory(self, _call: Call) -> wire.Inventory:
        """Return what there is."""
        told = await self._doors.status({})
        gateway = told["gateway"]

        def identities(registry: Any) -> dict[str, str]:
            return {meter.name: registry.learned(meter.name).identity for meter in registry.list()}

        known = await self._doors.enrolment.ask(identities)
        radio = {key: told["radio"].get(key) for key in ("present", "detail", "channel")}
        return wire.Inventory(
            {"gateway": gateway["name"], "version": __version__, "build": __build__,
             "python": platform.python_version()},
            {"id": gateway["id"], "machine": platform.machine(), "kernel": platform.release(),
             **await self._doors.facts()},
            radio,
            tuple({"name": each["name"], "address": each["address"], "profile": each["profile"],
                   "identity": known.get(each["name"], "")} for each in told["meters"]))

    async def events(self, call: Call) -> Reply:
        """Begin a stream."""
        return Reply(None, stream=await self._watch.stream(call.who.key, lambda: self._access.still(call.who)))

    async def openapi(self, _call: Call) -> dict[str, Any]:
        """Return the document."""
        return self._document()
