"""`halow-gateway meter scan`: finds the meters on a net, and tells which of them are registered."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edge.commands import table
from edge.commands.context import State, pass_state
from edge.commands.discover import USUAL_PORTS, polled
from edge.errors import EdgeError
from edge.model import Learned, Meter
from edge.rights import as_started

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.discovery.pace import Pace
    from edge.discovery.scan import Progress, Spot

NAME_LIMIT = 48


class Known(NamedTuple):
    """A registered meter, and what was learned about it."""

    meter: Meter
    learned: Learned


@click.command(short_help="Find the meters on a net.")
@click.argument("nets", nargs=-1, required=True, metavar="NET...")
@click.option("--port", "ports", type=click.IntRange(1, 65_535), multiple=True, default=USUAL_PORTS, show_default=True,
              help="TCP port; again for more.")
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True,
              help="Hosts looked at side by side; the radio is one channel for all.")
@click.option("--answer", "answer_s", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, metavar="SECONDS",
              help="Wait so long for an answer.")
@click.option("--gap", "gap_s", type=click.FloatRange(0, 60), default=0.5, show_default=True, metavar="SECONDS",
              help="Rest after each host.")
@click.option("--csv", "csv_file", metavar="FILE", type=click.Path(path_type=Path),
              help="Write those that are not registered as CSV for `meter import`.")
@click.option("--yes", is_flag=True, help="Do not ask before looking at more than 1,024 addresses.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def scan(
    state: State, /, nets: tuple[str, ...], ports: tuple[int, ...], at_once: int, csv_file: Path | None,
    yes: bool, as_json: bool, **given: Any,
) -> int:
    """Find the meters on nets like 10.30.0.0/24, or at single addresses, also of IPv6.

    A meter is what answers DLMS to the public client, not any open port; no password is sent. What the running gateway
    polls is left alone. Exits with 0 when a meter was found, 1 when none was.
    """
    from edge.discovery.scan import Scan

    hosts = _hosts(nets, yes=yes)
    if csv_file is not None and csv_file.exists():
        raise EdgeError(f"{csv_file}: is there already")
    settings = state.settings()
    profiles = list(state.library(settings).values())
    with state.registry(settings) as registry:
        known = [Known(meter, registry.learned(meter.name)) for meter in registry.list()]
    busy = polled(settings, lambda line: click.echo(line, err=True))
    skip = {(each.meter.host, each.meter.port): each.meter.name for each in known if each.meter.name in busy}
    click.echo(f"looking at {len(hosts)} addresses, {at_once} at once"
               f"{f'; {len(skip)} places that the gateway polls are left alone' if skip else ''}", err=True)
    work = Scan(hosts, ports, profiles, _pace(settings, given), at_once=at_once, skip=skip, told=_tell)
    spots = asyncio.run(work.run())
    if work.own:
        click.echo(f"{', '.join(work.own)}: this machine's own, left alone", err=True)
    rows = [(spot, relation(spot, known)) for spot in spots]
    click.echo(_json(rows) if as_json else _table(rows))
    meters = [spot for spot in spots if spot.verdict == "meter"]
    if csv_file is not None:
        _write_csv(csv_file, [spot for spot, registered in rows if spot.verdict == "meter" and not registered], known)
    return 0 if meters else 1


def _hosts(nets: tuple[str, ...], *, yes: bool) -> list[str]:
    from edge.discovery.subnet import UNASKED, addresses

    try:
        hosts = addresses(nets)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if len(hosts) > UNASKED and not yes:
        raise click.UsageError(f"{len(hosts)} addresses are many for a radio link; --yes looks at them all the same")
    return hosts


def _pace(settings: "Settings", given: dict[str, Any]) -> "Pace":
    from edge.discovery.pace import Pace

    return Pace(connect_s=settings.poll.connect_timeout_s, answer_s=given["answer_s"], gap_s=given["gap_s"],
                settle_s=min(Pace().settle_s, given["answer_s"])).quicker()


def _tell(spot: "Spot", progress: "Progress") -> None:
    click.echo(f"{progress.looked_at} of {progress.of}: {spot.host}:{spot.port}: {spot.detail}", err=True)


def relation(spot: "Spot", known: Iterable[Known]) -> str:
    """Say how a place belongs to a registered meter: by its address or by who it is; "" where it does not."""
    at = [each.meter.name for each in known if (each.meter.host, each.meter.port) == (spot.host, spot.port)]
    who = [each for each in known if each.learned.identity and each.learned.identity in spot.identities]
    if who:
        names = ", ".join(each.meter.name for each in who)
        moved = "" if any(each.meter.name in at for each in who) else f", registered at {who[0].meter.host}"
        return f"{names}{moved}"
    if at and spot.identities:
        strangers = [each for each in known if each.meter.name in at and each.learned.identity]
        return ", ".join(at) + (", which is another meter" if strangers else "")
    return ", ".join(at)


def _table(rows: list[tuple["Spot", str]]) -> str:
    if not rows:
        return "Nothing answers there."
    columns = ("ADDRESS", "WHAT", "HOW", "NAME", "TYPE", "REGISTERED")
    return table.render(columns, [
        (f"{spot.host}:{spot.port}", spot.verdict.value, str(spot.door) if spot.door else None,
         spot.name or spot.serial, spot.fit.profile if spot.fit else None, registered) for spot, registered in rows])


def _json(rows: list[tuple["Spot", str]]) -> str:
    import msgspec

    told = [{"host": spot.host, "port": spot.port, "verdict": spot.verdict.value, "detail": spot.detail,
             "door": spot.door._asdict() if spot.door else None, "name": spot.name, "serial": spot.serial,
             "profile": spot.fit.profile if spot.fit else None, "public": spot.public, "registered": registered}
            for spot, registered in rows]
    return msgspec.json.format(msgspec.json.encode(told)).decode()


def _write_csv(path: Path, spots: list["Spot"], known: Iterable[Known]) -> None:
    from edge.durable import write_file
    from edge.store.csvio import render

    meters = proposed(spots, {each.meter.name for each in known})
    if not meters:
        click.echo("No CSV was written: there is no meter that is not registered.", err=True)
        return
    with as_started():
        write_file(path, render(meters).encode(), mode=0o644)
    paused = sum(meter.paused for meter in meters)
    click.echo(f"Wrote {len(meters)} meters to {path}"
               f"{f', {paused} of them paused: they want a password or keys' if paused else ''}. "
               f"Look it over, then: halow-gateway meter import {path}", err=True)


def proposed(spots: Iterable["Spot"], taken: Iterable[str]) -> list[Meter]:
    """Return registry rows for meters: as the public client where that is told the values, else paused."""
    names = set(taken)
    found = []
    for spot in spots:
        assert spot.door is not None
        words = re.sub(r"[^A-Za-z0-9]+", "-", spot.serial or spot.name or spot.host).strip("-")
        name, number = f"meter-{words[:NAME_LIMIT]}", 1
        while name in names:
            number += 1
            name = f"meter-{words[:NAME_LIMIT]}-{number}"
        names.add(name)
        door = spot.door
        meter = Meter(
            name, spot.host, spot.port, framing=door.framing, server_logical=door.logical,
            server_physical=door.physical, address_bytes=door.address_bytes if door.framing == "hdlc" else None,
            client_sap=door.client_sap if spot.public else None, authentication="none" if spot.public else None,
            paused=not spot.public)
        found.append(replace(meter, profile=spot.fit.profile) if spot.fit else meter)
    return found
