"""`halow-gateway simulate`: many meters on TCP ports, for load tests and for trying the gateway without hardware."""

import asyncio
import contextlib
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.demo.population import Framing, Population

FRAMINGS = ("mixed", "wrapper", "hdlc", "microstar")
QUIRKS = ("none", "esp32", "ser2net")
LINKS = ("none", "good", "fair", "poor", "eu-duty", "sleepy")


@click.command()
@click.option("--meters", default=10, show_default=True, type=click.IntRange(1, 2_000), help="How many.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port-base", default=4059, show_default=True, type=click.IntRange(0, 65_000),
              help="First port, one per meter; 0 takes free ones.")
@click.option("--framing", default="mixed", show_default=True, type=click.Choice(FRAMINGS), help="Kind of meter.")
@click.option("--quirks", default="none", show_default=True, type=click.Choice(QUIRKS), help="The bridge before each.")
@click.option("--link", default="none", show_default=True, type=click.Choice(LINKS), help="Radio link before each.")
@click.option("--shared-air", is_flag=True, help="All links share the air of one channel.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the meters, with passwords, as a file for `meter import`.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same meters.")
@click.option("--for", "for_s", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds.")
def simulate(*, meters: int, host: str, port_base: int, framing: "Framing", quirks: str, link: str, shared_air: bool,
             csv_path: Path | None, seed: int, for_s: float | None) -> None:
    """Be simulated DLMS/COSEM meters until interrupted; then say what they were asked."""
    if port_base and port_base + meters > 65_536:
        raise click.UsageError(f"--port-base {port_base}: there are no {meters} ports from there to 65535")
    from edge.demo.bridge import PRESETS
    from edge.demo.population import Population

    # A listening socket, a link and both ends of it per meter; the limit is the process's own to raise.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    population = Population(
        meters, framing=framing, quirks=PRESETS[quirks], link=link, shared_air=shared_air, seed=seed)
    try:
        asyncio.run(_serve(population, host, port_base, csv_path, for_s))
    except OSError as error:
        what = f"cannot simulate {meters} meters on {host} with ports from {port_base}"
        raise EdgeError(f"{what}: {error.strerror or error}; another --port-base may be free") from error
    _report(population)


async def _serve(population: "Population", host: str, port_base: int, csv_path: Path | None,
                 for_s: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    members = await population.start(host, port_base)
    try:
        for member in members:
            row = member.row
            click.echo(f"{row.name}  {row.host}:{row.port}  {row.framing}  {row.profile}")
        if csv_path is not None:
            _write_private(csv_path, population.csv_text())
        click.echo(f"{len(members)} meters; stop with Ctrl-C")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), for_s)
    finally:
        await population.close()


def _write_private(path: Path, text: str) -> None:
    """Write a file that holds passwords: for its owner's eyes, also where it was there before."""
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, newline="")
    except OSError as error:
        raise EdgeError(f"{path}: cannot be written: {error.strerror}") from error


def _report(population: "Population") -> None:
    click.echo("meter     connections  refused  associations  rejected  requests  gets  attributes")
    total = [0] * 7
    for member in population.members:
        c = member.simulated.counters
        row = [c.connections, c.refused_connections, c.associations, c.rejected, c.requests, c.gets, c.attributes]
        total = [a + b for a, b in zip(total, row, strict=True)]
        click.echo(_line(member.row.name, row))
    click.echo(_line("all", total))


def _line(name: str, counts: list[int]) -> str:
    widths = (11, 7, 12, 8, 8, 4, 10)
    return f"{name:8}  " + "  ".join(f"{count:>{width}}" for count, width in zip(counts, widths, strict=True))
