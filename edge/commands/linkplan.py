"""`halow-gateway link plan`: how many meters at what interval this site can carry, and why."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from edge.commands.context import State, pass_state

if TYPE_CHECKING:
    from halow.airtime import Way
    from halow.model import RadioState
    from halow.plan import Load, Plan


@click.command(short_help="Say how many meters at what interval the air can carry.")
@click.option("--meters", type=click.IntRange(1, 100_000), help="So many meters alike, instead of the registered ones.")
@click.option("--interval", "interval_s", type=click.FloatRange(0.1, 86_400), help="One poll per meter in so many s.")
@click.option("--country", help="Whose rules hold, e.g. DE; without it no duty cycle is counted.")
@click.option("--width", "width_mhz", type=click.Choice(["1", "2", "4", "8"]), help="Channel width in MHz.")
@click.option("--rssi", "rssi_dbm", type=click.IntRange(-120, -20), help="Signal of meters that no radio sees, in dBm.")
@click.option("--retries", "retry_pct", type=click.FloatRange(0, 95), default=10.0, show_default=True,
              help="Repeated frames per 100, where the radio does not tell.")
@click.option("--bytes", "poll_bytes", type=click.IntRange(1, 65_536), nargs=2, metavar="OUT IN",
              help="What a poll sends and receives over TCP; 102 and 54 for nine values.")
@click.option("--busy", "busy_pct", type=click.FloatRange(0, 100), default=0.0, show_default=True,
              help="Of the channel's time, in percent, that others take: `status` shows it while nothing is polled.")
@click.option("--station", is_flag=True, help="The gateway is a station, not the access point: all goes twice.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def plan(state: State, /, **options: Any) -> int:
    """Work out what polling costs on the air. Status 1 when it does not fit.

    Without --meters the registered meters are planned, each with its own interval and, where the radio sees it, its
    own signal. Three limits are held against it: the channel, the gateway's duty cycle, and each meter's.
    """
    import msgspec

    from halow.plan import plan as make
    from halow.regions import region_of
    from halow.table import radio_line

    found = asyncio.run(_radio(state))
    loads = _loads(state, options, *found)
    if not loads:
        raise click.UsageError("no meter is registered; say how many: --meters 30 --interval 60")
    region = None
    if options["country"]:
        region = region_of(options["country"])
        if region is None:
            raise click.UsageError(f"no rules of {options['country']!r} are known; leave --country out to count none")
    made = make(loads, region, access_point=not options["station"], busy_pct=options["busy_pct"])
    facts = found[0].facts
    khz, width_mhz = (facts.s1g_khz, facts.width_mhz) if facts else (None, None)
    warnings = () if region is None else region.warnings(khz=khz, width_mhz=width_mhz)
    if options["as_json"]:
        click.echo(msgspec.json.format(msgspec.json.encode(_as_json(made, warnings))).decode())
    else:
        seen = [] if options["meters"] else [radio_line(found[0])]
        click.echo("\n".join([*seen, *_lines(made), *(f"warning: {line}" for line in warnings)]))
    return 0 if made.fits else 1


async def _radio(state: State) -> "tuple[RadioState, dict[str, tuple[float | None, float | None]]]":
    """Return the radio and, by MAC, each peer's (RSSI in dBm, retries per 100)."""
    from halow.look import look_once, radio_of

    settings = state.load().radio
    peers, found = await look_once(radio_of(settings), width_mhz=settings.width_mhz)
    return found, {peer.mac: (peer.rssi_avg_dbm, peer.retries_per_100) for peer in peers}


def _loads(state: State, options: dict[str, Any], found: "RadioState",
           peers: "dict[str, tuple[float | None, float | None]]") -> "list[Load]":
    from edge.meters.profile import load_profiles
    from edge.poll.addressing import poll_interval_s
    from halow.neighbours import canonical, neighbours
    from halow.plan import POLL_BYTES, Load

    settings = state.settings()
    facts = found.facts
    width = int(options["width_mhz"] or (facts.width_mhz if facts and facts.width_mhz else settings.radio.width_mhz))
    heard = [rssi for rssi, _ in peers.values() if rssi is not None]
    unseen_dbm = options["rssi_dbm"] or (min(heard) if heard else -85.0)
    size = tuple(options["poll_bytes"] or POLL_BYTES)

    def way(rssi_dbm: float | None, retry_pct: float | None) -> "Way":
        from halow.airtime import Way, way_for

        reached = way_for(unseen_dbm if rssi_dbm is None else rssi_dbm, width,
                          retry_pct=options["retry_pct"] if retry_pct is None else retry_pct)
        return Way(reached.width_mhz, reached.mcs, reached.retry_pct, hops=2 if options["station"] else 1)

    if options["meters"]:
        interval_s = options["interval_s"] or settings.poll.interval_s
        return [Load("each meter", way(None, None), interval_s, poll_bytes=size) for _ in range(options["meters"])]
    with state.registry(settings) as registry:
        meters = [meter for meter in registry.list() if not meter.paused]
    macs = asyncio.run(neighbours()).macs
    profiles = load_profiles()
    loads = []
    for meter in meters:
        profile = profiles.get(meter.profile)
        interval_s = options["interval_s"] or (
            poll_interval_s(meter, profile, settings.poll) if profile else settings.poll.interval_s)
        mac = meter.mac or macs.get(canonical(meter.host), "")
        loads.append(Load(meter.name, way(*peers.get(mac, (None, None))), interval_s, poll_bytes=size))
    return loads


def _lines(made: "Plan") -> list[str]:
    from halow.airtime import exchange

    one = made.loads[0]
    cost = exchange(*one.poll_bytes, one.way)
    same = all((load.way, load.poll_bytes) == (one.way, one.poll_bytes) for load in made.loads)
    link = f"{one.way.width_mhz} MHz, MCS {one.way.mcs}, {one.way.retry_pct:.0f} % repeated" if same else "each its own"
    per_min = sum(load.meters / load.interval_s for load in made.loads) * 60
    lines = [f"{len(made.loads)} meters, {per_min:.1f} polls a minute; link: {link}"]
    if same:
        lines.append(f"one poll takes the channel for {cost.channel_s * 1e3:.1f} ms "
                     f"(gateway sends {cost.near_s * 1e3:.1f} ms, meter {cost.far_s * 1e3:.1f} ms)")
    lines += [f"  {share.what}: {share.used_pct:.2f} % of {share.limit_pct:g} %" for share in made.shares]
    if made.fits:
        lines.append(f"It fits, {made.meters_most} meters like these would; the limit is {made.tightest.what}.")
    else:
        lines.append(f"It does not fit, the limit is {made.tightest.what}: poll {made.stretch:.1f} times less often, "
                     f"or {made.meters_most} meters like these.")
    return lines


def _as_json(made: "Plan", warnings: tuple[str, ...]) -> dict[str, Any]:
    return {
        "fits": made.fits, "meters": len(made.loads), "meters_most": made.meters_most, "stretch": made.stretch,
        "limits": [{"what": share.what, "used_pct": share.used_pct, "limit_pct": share.limit_pct}
                   for share in made.shares],
        "warnings": list(warnings),
    }
