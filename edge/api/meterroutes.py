"""Routes about meters: the registry's own checks decide what is right, the running pollers take it up at once."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from edge.api import readings, wire
from edge.api.doors import Doors
from edge.api.problem import Problem, refused
from edge.api.sessions import Role
from edge.api.table import BASE, CSV_LIMIT_BYTES, Call, Reply, Route
from edge.errors import ConfigError, EdgeError, OrderRefused, RegistryError
from edge.meters.profile import Profile
from edge.meters.registering import changed_meter, new_meter, wanting
from edge.model import Keys, Meter
from edge.store.registry import Registry
from edge.store.validate import PASSWORD_LIMIT_BYTES

FIELDS = (*(field.name for field in msgspec.structs.fields(wire.MeterSettings)), "password")
PROBLEMS_SHOWN = 50
AT_A_TIME = 5      # meters made rows of without a break


class MeterRoutes:
    """The handlers. Every change is told to the pollers before the answer is given."""

    def __init__(self, doors: Doors) -> None:
        """`doors` lead into the gateway."""
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the rows of the table."""
        one, view, admin = f"{BASE}/meters/{{name}}", Role.VIEW, Role.ADMIN
        return [
            Route("GET", f"{BASE}/meters", view, self.all, "All meters and how they are doing.", wire.Meters),
            Route("POST", f"{BASE}/meters", admin, self.add, "Register a meter.", wire.Done, wire.MeterSettings,
                  status=201, fails=(409, 422, 503)),
            Route("GET", one, view, self.show, "One meter: its settings, and how it is doing.", wire.MeterShown,
                  fails=(503,)),
            Route("PATCH", one, admin, self.edit, "Change settings of a meter; null = back to the profile.", wire.Done,
                  wire.MeterChange, fails=(422, 503)),
            Route("DELETE", one, admin, self.remove, "Remove a meter with its secrets.", wire.Done, fails=(503,)),
            Route("POST", f"{one}/pause", admin, self.pause, "Stop polling a meter.", wire.Done, fails=(503,)),
            Route("POST", f"{one}/resume", admin, self.resume, "Poll a paused meter again.", wire.Done, fails=(503,)),
            Route("PUT", f"{one}/secrets", admin, self.secrets, "Set a meter's password or keys.", wire.Done,
                  wire.SecretsBody, fails=(422, 503)),
            Route("POST", f"{one}/read", admin, self.read, "Have a meter read now, all values of its profile.",
                  wire.OrderGiven, status=202, fails=(409, 422)),
            Route("GET", f"{one}/read/{{order}}", admin, self.came, "What came of a reading.", wire.OrderState,
                  query=wire.WaitQuery),
            Route("GET", f"{BASE}/meters.csv", view, self.export, "All meters as CSV, without secrets.",
                  media="text/csv", fails=(503,)),
            Route("POST", f"{BASE}/meters.csv", admin, self.take, "Register the meters of a CSV file, all or none.",
                  wire.Imported, str, wire.ImportQuery, takes_media="text/csv", fails=(422, 503),
                  limit_bytes=CSV_LIMIT_BYTES),
            Route("GET", f"{BASE}/profiles", view, self.profiles, "The meter types that can be chosen.", wire.Profiles),
        ]

    async def all(self, _call: Call) -> wire.Meters:
        """Return all meters."""
        return wire.Meters(tuple(await self.rows()), self._doors.clock.stamp().wall_ms)

    async def rows(self, told: Mapping[str, Any] | None = None) -> list[wire.MeterRow]:
        """Return all meters' rows, of a status that was asked for already; polls that are due go in between."""
        rows = []
        for number, each in enumerate((told or await self._doors.status({}))["meters"]):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            newest = self._doors.newest(each["name"])
            rows.append(readings.row(each, None if newest is None else newest.record))
        return rows

    async def show(self, call: Call) -> wire.MeterShown:
        """Return one meter."""
        name = call.path["name"]

        def look(registry: Registry) -> tuple[Meter, bool, frozenset[str], str]:
            meter = _known(registry, name)
            return (meter, name in registry.with_password(), registry.with_keys().get(name, frozenset()),
                    registry.learned(name).identity)

        meter, password, keys, identity = await self._ask(look)
        row = next((row for row in await self.rows() if row.name == name), None)
        profile = self._doors.library.get(meter.profile)
        return wire.MeterShown(
            msgspec.to_builtins(meter), {} if profile is None else msgspec.to_builtins(profile.association), password,
            tuple(sorted(keys)), identity,
            row or wire.MeterRow(name=name, address=meter.host, profile=meter.profile, state="starting"))

    async def add(self, call: Call) -> wire.Done:
        """Register a meter."""
        said = _told(call.body)
        password = said.pop("password", "").encode()

        def change(registry: Registry) -> Profile:
            meter, profile = new_meter(said, self._doors.library.find)
            if any(known.name == meter.name for known in registry.list()):
                raise Problem(409, f"a meter is named {meter.name} already", [("name", "is taken")])
            registry.add(meter, password)
            return profile

        profile = await self._ask(change)
        meter = new_meter(said, self._doors.library.find)[0]
        notes = [f"{meter.name} wants a {want if want in ('password', 'secret') else f'key: {want}'}"
                 for want in wanting(meter, profile, Keys(), password=bool(password))]
        return await self._taken_up(meter.name, notes)

    async def edit(self, call: Call) -> wire.Done:
        """Change a meter."""
        name, changes = call.path["name"], _told(call.body)
        await self._ask(lambda registry: registry.update(
            changed_meter(_known(registry, name), changes, self._doors.library.find)))
        return await self._taken_up(name)

    async def remove(self, call: Call) -> wire.Done:
        """Remove a meter."""
        name = call.path["name"]
        await self._ask(lambda registry: registry.remove(_known(registry, name).name))
        return await self._taken_up(name)

    async def pause(self, call: Call) -> wire.Done:
        """Stop polling a meter."""
        return await self._set_paused(call.path["name"], paused=True)

    async def resume(self, call: Call) -> wire.Done:
        """Poll it again."""
        return await self._set_paused(call.path["name"], paused=False)

    async def secrets(self, call: Call) -> wire.Done:
        """Set a password or keys. What is said is never repeated."""
        name, body = call.path["name"], call.body
        keys: dict[str, bytes] = {}
        for kind in ("encryption", "authentication"):
            text = getattr(body, f"{kind}_key")
            if text is not UNSET:
                try:
                    keys[kind] = bytes.fromhex(text)
                except ValueError:
                    raise Problem(422, f"{kind}_key: is not hexadecimal",
                                  [(f"{kind}_key", "must be hexadecimal digits")]) from None
        if body.password is not UNSET and len(body.password.encode()) > PASSWORD_LIMIT_BYTES:
            text = f"has {len(body.password.encode())} bytes; at most {PASSWORD_LIMIT_BYTES}"
            raise Problem(422, f"password: {text}", [("password", text)])

        def change(registry: Registry) -> None:
            _known(registry, name)
            if keys:
                registry.set_keys(name, **keys)
            if body.password is not UNSET:
                registry.set_password(name, body.password.encode())

        await self._ask(change)
        return await self._taken_up(name)

    async def read(self, call: Call) -> Any:
        """Order a reading; the meter's own poller does it, on the connection that it has."""
        meter, profile = self._meter(call.path["name"])
        if meter.paused:
            raise Problem(409, f"{meter.name} is paused; resume it, then it is read")
        try:
            given = await self._doors.order({"meter": meter.name, "by": f"{call.who.name} at {call.address}",
                                             "ask": {"kind": "get", "targets": readings.targets(profile)}})
        except (OrderRefused, EdgeError) as error:
            raise refused(error, FIELDS) from error
        return wire.OrderGiven(given["order"])

    async def came(self, call: Call) -> wire.OrderState:
        """Tell what came of it."""
        _, profile = self._meter(call.path["name"])
        number = call.path["order"]
        try:
            told = await self._doors.order_state({"order": int(number) if number.isascii() and number.isdigit() and
                                                  len(number) < 10 else 0, "wait_s": call.query.wait_s})
        except ConfigError as error:
            raise Problem(404, str(error)) from error
        brought = (told.get("result") or {}).get("values", ())
        return wire.OrderState(told["phase"], tuple(readings.answered(brought, profile)), told.get("error") or "")

    async def export(self, _call: Call) -> Reply:
        """Return the CSV file."""
        return Reply(await self._ask(Registry.export_csv), download="meters.csv")

    async def take(self, call: Call) -> wire.Imported:
        """Take a CSV file, all of it or nothing."""
        try:
            done = await self._doors.enrolment.ask(lambda registry: registry.import_csv(
                call.body, update=call.query.update, profiles=self._doors.library))
        except RegistryError as error:
            lines = str(error).splitlines()
            more = [f"and {len(lines) - PROBLEMS_SHOWN} problems more"] if len(lines) > PROBLEMS_SHOWN else []
            raise Problem(503 if self._doors.enrolment.fault else 422, "nothing was taken from the file",
                          [("", line) for line in (*lines[:PROBLEMS_SHOWN], *more)]) from error
        await self._doors.enrolment.reload()
        return wire.Imported(done.added, done.updated)

    async def profiles(self, _call: Call) -> wire.Profiles:
        """Return the meter types."""
        return wire.Profiles({name: {"vendor": profile.vendor, "objects": len(profile.objects)}
                              | msgspec.to_builtins(profile.association)
                              for name, profile in sorted(self._doors.library.items())})

    def _meter(self, name: str) -> tuple[Meter, Profile]:
        meter = next((meter for meter in self._doors.enrolment.meters if meter.name == name), None)
        if meter is None:
            raise Problem(404, f"no meter is named {name[:64]}")
        try:
            return meter, self._doors.library.find(meter.profile)
        except ConfigError as error:
            raise refused(error, FIELDS) from error

    async def _set_paused(self, name: str, *, paused: bool) -> wire.Done:
        await self._ask(lambda registry: registry.set_paused(_known(registry, name).name, paused))
        return await self._taken_up(name)

    async def _taken_up(self, name: str, notes: list[str] | None = None) -> wire.Done:
        """Let the pollers follow, and say what they refuse."""
        try:
            change = await self._doors.enrolment.reload()
        except RegistryError as error:
            return wire.Done(notes=(*(notes or ()), f"kept, and not taken up yet: {error}"))
        return wire.Done(notes=(*(notes or ()), *(why for meter, why in dict(change.refused).items() if meter == name)))

    async def _ask(self, ask: Callable[[Registry], Any]) -> Any:
        """Ask the registry; what it refuses is told at the field that is meant."""
        try:
            return await self._doors.enrolment.ask(ask)
        except Problem:
            raise
        except RegistryError as error:
            raise refused(error, FIELDS, 503 if self._doors.enrolment.fault else 422) from error
        except ConfigError as error:      # no such profile
            raise Problem(422, str(error), [("profile", str(error))]) from error


def _known(registry: Registry, name: str) -> Meter:
    meter = next((meter for meter in registry.list() if meter.name == name), None)
    if meter is None:
        raise Problem(404, f"no meter is named {name[:64]}")
    return meter


def _told(body: Any) -> dict[str, Any]:
    """Return what a body says, without what it leaves out."""
    return {field: value for field in body.__struct_fields__ if (value := getattr(body, field)) is not UNSET}


