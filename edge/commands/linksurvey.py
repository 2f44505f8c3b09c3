"""`halow-gateway link survey`: one peer, second by second, for a person who turns an antenna."""

import asyncio
import contextlib
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands.context import State, pass_state, told_on_screen
from edge.commands.names import METER
from edge.commands.radio import chosen_radio, radio_options
from edge.errors import ConfigError, EdgeError
from edge.rights import as_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from halow.base import Radio
    from halow.model import LinkState, RadioState
    from halow.survey import Line


@click.command(short_help="Watch one peer second by second while an antenna is turned.")
@click.argument("peer", type=METER)
@radio_options
@click.option("--seconds", type=click.IntRange(1, 86_400), help="Stop by itself.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write a CSV file.")
@click.option("--sound", is_flag=True, help="Ring the terminal's bell: once near the best so far, twice at a new best.")
@pass_state
def survey(state: State, /, peer: str, seconds: int | None, csv_path: Path | None, sound: bool,
           **options: str | None) -> int:
    """Show one PEER (its MAC, or the name of a registered meter) every second: signal, trend, best so far, round trip.

    The round trip and the loss are of echoes (ping) to the meter's address; a bare MAC has none. Status 1 when the
    peer was never seen.
    """
    mac, host = asyncio.run(_who(state, peer))
    told_on_screen(state, "halow.monitor")
    radio, settings = chosen_radio(state, options)
    with contextlib.ExitStack() as opened:
        rows = None
        if csv_path is not None:
            try:
                rows = csv.writer(opened.enter_context(csv_path.open("w", newline="")))
            except OSError as error:
                raise EdgeError(f"{csv_path}: cannot be written: {error.strerror}") from error
        show = _printer(rows, sound=sound)
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(_watch(radio, settings.width_mhz, mac, host, seconds, show))
    return 0


async def _who(state: State, peer: str) -> tuple[str, str]:
    """Return (MAC, address or "") of a peer or a registered meter."""
    import re

    from halow.neighbours import neighbours

    if re.fullmatch(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", peer):
        return peer.lower(), ""
    settings = state.load()
    with as_owner(Path(settings.gateway.state_dir)), state.registry(settings) as registry:
        meter = registry.get(peer)
    mac = meter.mac.lower() or (await neighbours()).macs.get(meter.host, "")
    if not mac:
        raise ConfigError(f"meter {peer}: nobody tells which peer it is; ping {meter.host} once, or set its MAC: "
                          f"halow-gateway meter edit {peer} --mac ...")
    return mac, meter.host


def _printer(rows: Any, *, sound: bool) -> "Callable[[Line], None]":
    from datetime import datetime

    from halow.survey import CSV_HEADER

    if rows is not None:
        rows.writerow(CSV_HEADER)

    def show(line: "Line") -> None:
        now = datetime.now().astimezone()
        click.echo(f"{now:%H:%M:%S} {line.text()}" + "\a" * (line.cue if sound else 0))
        if rows is not None:
            rows.writerow(line.row(now.isoformat(timespec="milliseconds")))

    return show


async def _watch(radio: "Radio", width_mhz: int, mac: str, host: str, seconds: int | None,
                 show: "Callable[[Line], None]") -> int:
    from halow.echo import Echo, NoEcho
    from halow.errors import AbsentReason
    from halow.monitor import Monitor, MonitorSettings
    from halow.survey import Survey

    made, seen = Survey(), False
    looks: asyncio.Queue[tuple[tuple[LinkState, ...], RadioState]] = asyncio.Queue()
    monitor = Monitor(radio, lambda states, found: looks.put_nowait((states, found)),
                      MonitorSettings(interval_s=1.0, width_mhz=width_mhz))
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    echo: Echo | None = None
    if host:
        try:
            echo = Echo(host)
        except NoEcho as why:
            click.echo(f"{why}: round trip and loss are not shown", err=True)
    watching = asyncio.create_task(monitor.run(lambda _within_s: None), name="link survey")
    try:
        while end is None or loop.time() < end:
            look = asyncio.ensure_future(looks.get())
            await asyncio.wait({look, watching}, return_when=asyncio.FIRST_COMPLETED,
                               timeout=None if end is None else end - loop.time())
            if not look.done():
                look.cancel()
                if watching.done():
                    watching.result()
                break
            states, found = look.result()
            state = next((one for one in states if one.mac == mac), None)
            if state is None:
                click.echo(f"{mac} is not there: {found.detail or f'{len(states)} other peers are'}")
                if found.reason == AbsentReason.NO_TRACE.value:      # never comes by itself
                    break
                continue
            seen = True
            rtt_ms = None if echo is None else await echo.ask(0.9)
            show(made.add(state, loop.time(), asked=echo is not None, rtt_ms=rtt_ms))
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        if echo is not None:
            echo.close()
    return 0 if seen else 1
