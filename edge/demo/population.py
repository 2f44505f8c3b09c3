"""Many simulated meters at once, and the registry rows by which a gateway finds them.

Everything about meter number n follows from (seed, n): framing, type, serial, password. Names are `sim-0001` and on.
"""

import csv
import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from edge.demo.bridge import Quirks
from edge.demo.linkprofile import PROFILES, Medium
from edge.demo.linkproxy import LinkProxy
from edge.demo.meter_apdu import MICROSTAR as MICROSTAR_CONFORMANCE
from edge.demo.meter_apdu import Manners
from edge.demo.meter_device import Fittings
from edge.demo.meter_model import MeterModel
from edge.demo.meter_objects import GENERIC, MICROSTAR
from edge.demo.meter_physics import SupplyData
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.model import Meter

Kind = Literal["wrapper", "hdlc", "microstar"]
Framing = Literal["wrapper", "hdlc", "microstar", "mixed"]
MIX: tuple[Kind, ...] = ("wrapper", "wrapper", "hdlc", "microstar")


@dataclass(frozen=True, slots=True)
class Member:
    """One meter of a population: the simulator, the link in front of it if any, and what the registry needs."""

    simulated: SimulatedMeter
    row: Meter
    password: bytes
    link: LinkProxy | None

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"Member({self.row!r})"


class Population:
    """Meters that start and stop together; those over one air share its medium."""

    def __init__(self, count: int, *, framing: Framing = "mixed", quirks: Callable[[], Quirks] = Quirks,
                 link: str = "none", shared_air: bool = False, seed: int = 1,
                 fittings: Callable[[], Fittings] = Fittings, now: Callable[[], float] = time.time) -> None:
        """`quirks` makes the line before each HDLC meter (before all, with framing "wrapper"); `link`: a profile.

        `fittings` makes what each meter is built with (profiles, zone, clock); `now` is their Unix time, so that a
        test can let days pass.
        """
        kinds = [_kind(n, framing) for n in range(1, count + 1)]
        self._plan = [
            _build(n, kind, quirks() if kind != "wrapper" or framing == "wrapper" else Quirks(), seed, fittings(), now)
            for n, kind in enumerate(kinds, 1)]
        self._profile = PROFILES[link]
        self._medium = Medium() if shared_air else None
        self._seed = seed
        self.members: list[Member] = []

    async def start(self, host: str = "127.0.0.1", port_base: int = 0) -> list[Member]:
        """Open every port: `port_base` + 0, 1, ..., or free ones for 0. OSError if one is taken; all close then."""
        try:
            for number, (simulated, row, password) in enumerate(self._plan):
                port = port_base + number if port_base else 0
                link: LinkProxy | None = None
                if self._profile.name == "none" and self._medium is None:
                    address = await simulated.start(host, port)
                else:
                    link = LinkProxy(self._profile, seed=self._seed * 100_003 + number, medium=self._medium)
                    address = await link.start(await simulated.start(host), host, port)
                reached = replace(row, host=address[0], port=address[1])
                self.members.append(Member(simulated, reached, password, link))
        except OSError:
            await self.close()
            raise
        return self.members

    async def close(self) -> None:
        """Close every port and connection."""
        for member in self.members:
            if member.link is not None:
                await member.link.close()
        for simulated, _, _ in self._plan:
            await simulated.close()

    def csv_text(self) -> str:
        """The registry's CSV with a password column: `halow-gateway meter import` takes it."""
        columns = ("name", "host", "port", "profile", "framing", "client_sap", "server_logical", "server_physical",
                   "address_bytes", "authentication")
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow([*columns, "password"])
        for member in self.members:
            cells = [getattr(member.row, column) for column in columns]
            writer.writerow(["" if cell is None else cell for cell in cells] + [member.password.decode()])
        return out.getvalue()


def _kind(number: int, framing: Framing) -> Kind:
    return MIX[(number - 1) % len(MIX)] if framing == "mixed" else framing


def _build(number: int, kind: Kind, quirks: Quirks, seed: int, fittings: Fittings,
           now: Callable[[], float]) -> tuple[SimulatedMeter, Meter, bytes]:
    rng = random.Random(seed * 1_000_003 + number)
    name, password = f"sim-{number:04d}", f"{rng.randrange(10**8):08d}".encode()
    serial = f"{rng.randrange(10**10):010d}"
    settings = _settings(kind, number, serial, password)
    american = kind == "microstar"
    supply = SupplyData(
        nominal_v=127.0 if american else 230.0, nominal_hz=60.0 if american else 50.0,
        mean_power_w=rng.uniform(200.0, 9_000.0), energy_wh=float(rng.randrange(10**8)))
    model = MeterModel(serial=serial, seed=rng.randrange(2**32), supply=supply,
                       registers=MICROSTAR if american else GENERIC, fittings=fittings)
    row = Meter(
        name=name, host="127.0.0.1", port=0, profile="microstar" if american else "generic-three-phase",
        framing=settings.framing, client_sap=1, server_logical=1,
        server_physical=settings.server_physical if kind == "hdlc" else None,
        address_bytes=4 if kind == "hdlc" else 1, authentication="lls")
    settings.manners.system_title = b"HGW" + int(serial).to_bytes(5, "big")
    return SimulatedMeter(name, model, settings, quirks, seed=rng.randrange(2**32), now=now), row, password


def _settings(kind: Kind, number: int, serial: str, password: bytes) -> MeterSettings:
    manners = Manners(passwords={16: None, 1: password})
    if kind == "wrapper":
        return MeterSettings(manners=manners)
    if kind == "hdlc":
        return MeterSettings(framing="hdlc", server_physical=1_000 + number, address_bytes=4, manners=manners)
    manners.conformance, manners.max_pdu, manners.announce_own_pdu = MICROSTAR_CONFORMANCE, 6_400, True
    # The last four digits of the serial number are its physical address; in the field it answers 0x03 as well.
    return MeterSettings(framing="hdlc", server_physical=int(serial[-4:]), address_bytes=4, also_one_byte=True,
                         manners=manners)
