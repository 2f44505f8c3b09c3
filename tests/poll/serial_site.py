"""Simulated meters on a serial line, and their registry rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from poll_bench import PASSWORD, meter_model, moved, slower

from edge.demo.meter_manners import Manners
from edge.demo.meter_settings import MeterSettings, SignOn
from edge.demo.meter_tty import SerialMeters
from edge.model import Meter

ENERGY = 0x7E7E7E      # flags inside the frame
PATIENT = slower(interval_s=0.3, exchange_timeout_s=2.0)


@contextmanager
def serial_line(
    physical: Sequence[int] = (17,), *, sign_ons: Sequence[SignOn | None] = (), name: Path | None = None, baud: int = 9600, query: str = "",
) -> Iterator[tuple[SerialMeters, list[Meter]]]:
    """A line with one meter per physical address (m17 holds ENERGY + 17); `query` follows the device in their rows."""
    opened = [*sign_ons, *[None] * len(physical)]
    meters, rows = [], []
    for number, sign_on in zip(physical, opened, strict=False):
        model = meter_model(f"SN{number}", number)
        spec = next(spec for spec in model.registers.specs if spec.key == "active_energy")
        model.hold(model.registers.obis(spec), ENERGY + number)
        meters.append((model, MeterSettings(
            framing="hdlc", server_physical=number, address_bytes=4, sign_on=sign_on,
            manners=Manners(passwords={16: None, 1: PASSWORD}))))
        rows.append(Meter(
            f"m{number}", "serial:", 0, client_sap=1, server_logical=1, server_physical=number, address_bytes=4, authentication="lls",
            opening=None if sign_on is None else "mode-e", device_address="" if sign_on is None else sign_on.address.decode()))
    line = SerialMeters(meters, baud=baud)
    device = line.plug_in(name)
    try:
        yield line, [moved(row, host=f"serial:{device}{query}") for row in rows]
    finally:
        line.unplug()
