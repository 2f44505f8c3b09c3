"""The composition root: what there is, in the order in which it opens, and who runs beside whom.

    settings ─► clock ─► ring ─┬─► fleet ◄── enrolment ◄── registry            resources open outermost first
                               ├─► links ◄── monitor ◄── radio                 and close in reverse, each within
                               ├─► pushes ◄── enrolment                        its own deadline
                               ├─► finder ◄── enrolment
                               ├─► vitals
                               ├─► upstream ─► uplink ─► ThingsBoard
                               ├─► status ◄── control socket
                               ├─► page (where the settings want it)
                               └─► storage

    one TaskGroup:  upstream*  enrolment*  ring*  watchdog*  vitals  pushes  links  radio  finder  page
                    (and one poller per meter, owned by the fleet)        * vital: keeps failing -> exit 1
                                                                          the others are parked and shown

Stopping is a task, not an exception: the first SIGTERM ends the group, the ring syncs last, exit status 0. What
hangs then is left behind: the end has a deadline.
"""

import asyncio
import functools
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from edge import __version__
from edge.clock import SystemClock
from edge.config import Settings
from edge.control import serve
from edge.daemon import storage
from edge.daemon.air import AirDesk
from edge.daemon.alarms import AlarmDesk, judges, supply_by
from edge.daemon.applying import Applying
from edge.daemon.applying import Parts as Told
from edge.daemon.backfill import BackfillDesk
from edge.daemon.box import Box
from edge.daemon.duties import standing
from edge.daemon.enrolment import Enrolment
from edge.daemon.errands import ErrandDesk
from edge.daemon.finder import Finder
from edge.daemon.images import ImageDesk
from edge.daemon.latest import Latest
from edge.daemon.lifesigns import LifeSigns
from edge.daemon.links import LinkDesk
from edge.daemon.metrics import MetricsDesk
from edge.daemon.nameplates import Nameplates
from edge.daemon.orders import OrderDesk
from edge.daemon.ota import OtaDesk
from edge.daemon.pushes import Pushes
from edge.daemon.radioinventory import RadioInventory
from edge.daemon.radiorecovery import RadioRecovery
from edge.daemon.radiowatch import RadioWatch
from edge.daemon.remote import Parts, RemoteDesk
from edge.daemon.remoteconfig import RemoteConfig
from edge.daemon.renewable import Renewable
from edge.daemon.settings import SettingsDesk
from edge.daemon.status import StatusDesk
from edge.daemon.updaters import running, updaters
from edge.daemon.upstream import Upstream
from edge.daemon.vitals import Vitals, figures_of
from edge.errands.image_store import ImageStore
from edge.errands.means import Means
from edge.errors import ConfigError, RingError, WorkerFailed
from edge.health import wear
from edge.health.deadline import Deadline
from edge.health.notify import Notifier, Watchdog
from edge.health.promise import Promises
from edge.health.signals import on_hangup, stop_signals
from edge.health.supervise import EXPENDABLE, VITAL, RestartPolicy, Worker, WorkerState, supervise
from edge.identity import identify
from edge.log import current
from edge.logs.level import LevelDesk
from edge.logs.tail import kept
from edge.meters.library import Library, own_directory
from edge.model import Record, Stream
from edge.poll.fleet import Fleet
from edge.ring.lane import Ticket
from edge.ring.store import Ring
from edge.store.registry import FILE_NAME
from edge.uplink.shared import SharedAttributes

if TYPE_CHECKING:
    from edge.api.page import Page

log = logging.getLogger(__name__)


def run(settings: Settings, path: Path | None) -> int:
    """Run the gateway until a stop signal; return the exit status (0 stopped, 1 a vital worker kept failing).

    `settings` were read from `path`, where a reload reads them again. Raises EdgeError where it cannot start: the one
    line says what to do.
    """
    deadline = Deadline()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(gateway(settings, path, deadline))
        deadline.closed(status)
        return status


async def gateway(settings: Settings, path: Path | None, deadline: Deadline) -> int:
    """Open everything, work until the stop signal, close everything. Cancelling is the same as the signal.

    `deadline` is started when the end begins, and runs on.
    """
    notifier, clock = Notifier(), SystemClock(trust_wall=settings.clock.trust_wall)
    state_dir = Path(settings.gateway.state_dir)
    identity = identify(state_dir)
    desk = SettingsDesk(path, settings, identity, clock, lambda record: _keep(ring, Stream.ALARM, record))
    settings = desk.in_force
    promises, workers = Promises(), dict[str, WorkerState]()
    profiles = Library(own_directory(settings.gateway))
    rng = random.Random()      # noqa: S311 - spreads retries, guards nothing
    enrolment = Enrolment(state_dir / FILE_NAME, profiles, lambda names: _forget((latest, alarms, backfill), names))

    async with AsyncExitStack() as resources:
        tail, levels = resources.enter_context(kept()), LevelDesk(current())
        stop = resources.enter_context(stop_signals(at_first=deadline.start))
        resources.enter_context(on_hangup(desk.hangup))
        ring = await resources.enter_async_context(
            Ring.open(state_dir / "ring", settings.ring, clock, hold_s=settings.clock.hold_s))
        resources.push_async_callback(enrolment.close)
        latest = Latest(clock)
        keep = functools.partial(_keep, ring, Stream.INSTANT)
        links = LinkDesk(lambda: enrolment.meters, keep, clock, settings.radio.record_interval_s,
                         tell=lambda record: alarms.hear(record),      # noqa: PLW0108 - made below, as the fleet
                         pollers=lambda: fleet.states())      # noqa: PLW0108 - the fleet is made below
        alarms = AlarmDesk(judges(settings.alarms, supply_by(profiles, enrolment.profile_of)),
                           functools.partial(_keep, ring, Stream.ALARM), enrolment, lambda: fleet.ages_s(), clock,      # noqa: PLW0108 - as above
                           links.alarms.stand)
        heard = functools.partial(_keep_heard, ring, alarms)
        means = Means(heard, enrolment.progress, enrolment.keep_progress, clock,
                      ring.meter_clock)
        air = AirDesk(links, lambda: enrolment.meters, settings.radio.width_mhz)
        images = ImageDesk(settings, ImageStore(state_dir), enrolment, means)
        backfill = BackfillDesk(settings, ring, enrolment, clock)
        resources.push_async_callback(backfill.ledgers.close)
        pushes = Pushes(settings.push, enrolment, profiles, functools.partial(_put_heard, ring, alarms), clock,
                        meters_zone=settings.clock.meters_zone)
        fleet = await resources.enter_async_context(Fleet(
            profiles, settings=settings.poll, sink=functools.partial(_accept, ring, latest, alarms),
            on_learned=enrolment.keep_learned, reserve=enrolment.reserve_counters, clock=clock, promises=promises,
            rng=rng, air=air, errands_of=ErrandDesk([standing(desk.now, means), backfill.of, images.of]).of,
            on_push=pushes.polled))
        images.nudge = fleet.nudge
        recovery = RadioRecovery(settings.recovery, lambda: links.radio, functools.partial(_keep, ring, Stream.ALARM),
                                 clock, state_dir)
        shared = SharedAttributes()
        ota = OtaDesk(settings.ota, state_dir, updaters(settings.ota), running(), shared, functools.partial(
            _keep, ring, Stream.ALARM), clock, settings.uplink.ack_timeout_s)
        upstream = Upstream(settings, ring, clock, rng, enrolment.profile_of,
                            functools.partial(_keep, ring, Stream.ALARM), talks=(shared, ota.chunks), keep=keep,
                            silent=LifeSigns(fleet, pushes.of, lambda: enrolment.enrolled is not None, clock,
                                             lambda: desk.in_force.uplink.silent_after_s).silent,
                            alarm=alarms.hear)
        vitals = Vitals(lambda: figures_of(ring, upstream.state(), pushes.figures(), wear.look(
            state_dir, settings.ring.flash_overwrites), clock), fleet.states, functools.partial(heard, Stream.INSTANT),
                        functools.partial(_keep, ring, Stream.ALARM), clock, state_dir,
                        settings.uplink.health_interval_s)
        status = StatusDesk(settings.gateway.name, identity, ring=ring, fleet=fleet, enrolment=enrolment, links=links,
                            pushes=pushes, uplink=upstream.state, workers=workers, promises=promises, clock=clock,
                            uptime_s=lambda: vitals.uptime_s, recovery=recovery.state, alarms=alarms.standing,
                            backfill=backfill.states)
        metrics, orders = (MetricsDesk(vitals, fleet, links, ring, upstream.state, clock),
                           OrderDesk(settings, profiles, enrolment, fleet.order, latest, means))
        remote = RemoteDesk(settings.remote, upstream.hands, state_dir, Parts(
            orders, enrolment, latest, means, status.answer, backfill.handlers(fleet.nudge)["backfill_again"],
            Box(lambda: desk.in_force, lambda: links.states, {
                "status": status.answer, "ota": ota.answer, "alarms": alarms.handlers["alarms"],
                "backfill": backfill.handlers(fleet.nudge)["backfill"], "logs": tail.answer},
                functools.partial(ring.append, Stream.ALARM), clock), levels))
        finder = Renewable(lambda: Finder(
            desk.in_force.discovery, enrolment, profiles, fleet.states, fleet.turnstile.gate,
            functools.partial(_keep, ring, Stream.ALARM), clock).run if desk.in_force.discovery.subnet else None)
        radio = RadioWatch(lambda: desk.in_force.radio, links.heard)
        desk.applying = Applying(Told(
            fleet=fleet, upstream=upstream, links=links, radio=radio, finder=finder, pushes=pushes, orders=orders,
            images=images, backfill=backfill, alarms=alarms, ota=ota, remote=remote, vitals=vitals, levels=levels,
            supply_of=supply_by(profiles, enrolment.profile_of)))
        page = await resources.enter_async_context(_page(
            desk.now, clock=clock, status=status, enrolment=enrolment, library=profiles, orders=orders, alarms=alarms,
            latest=latest, links=links, ring=ring, metrics=metrics, tail=tail, levels=levels,
            reload_config=desk.answer))
        await resources.enter_async_context(serve(Path(settings.gateway.runtime_dir), {
            "status": status.answer, "reload": _reload(enrolment), "order": orders.order, "page": page.control,
            "order_state": orders.state, "image": images.answer, "credentials": upstream.admission.answer,
            "claim": upstream.claiming.answer, "ota": ota.answer, "config_reload": desk.answer, "logs": tail.answer,
            "metrics": metrics.answer, "log_level": levels.answer, **alarms.handlers,
            **backfill.handlers(fleet.nudge)}))

        crew: list[tuple[str, Worker, RestartPolicy]] = [
            ("enrolment", functools.partial(enrolment.run, fleet), VITAL),
            ("ring", functools.partial(storage.watch, ring), VITAL),
            ("vitals", vitals.run, EXPENDABLE),
            ("alarms", alarms.run, EXPENDABLE),
            ("backfill", backfill.ledgers.run, EXPENDABLE),
            ("pushes", pushes.run, EXPENDABLE),
            ("settings", desk.run, EXPENDABLE),
            ("finder", finder.run, EXPENDABLE),
            ("watchdog", Watchdog(notifier, promises, status=status.line, monotonic=clock.monotonic).run, VITAL),
            *((name, worker, EXPENDABLE) for name, worker in page.workers),
        ]
        crew += [("upstream", upstream.run, VITAL),
                 ("nameplates", Nameplates(identity, enrolment, profiles, upstream.attributes).run, EXPENDABLE),
                 ("ota", ota.run, EXPENDABLE), ("remote", remote.run, EXPENDABLE),
                 ("remote configuration", RemoteConfig(desk, shared, upstream.proof, functools.partial(
                     upstream.attributes.tell, "")).run, EXPENDABLE)] if settings.uplink.enabled else []
        crew += _radio_crew(settings.radio.kind, radio, links, recovery, upstream)
        notifier.ready()
        status.ready()
        log.info("halow-gateway %s runs as %s", __version__, settings.gateway.name)
        exit_status = await _work(crew, stop, notifier, promises, workers)
        deadline.start()
        return exit_status


async def _work(crew: list[tuple[str, Worker, RestartPolicy]], stop: asyncio.Event, notifier: Notifier,
                promises: Promises, workers: dict[str, WorkerState]) -> int:
    """Run the crew until the stop event or until a vital worker has failed for good; return the exit status."""
    status = 0
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(supervise(name, worker, policy, promises=promises, states=workers), name=name)
                     for name, worker, policy in crew]
            await stop.wait()
            for task in tasks:
                task.cancel()
    except* WorkerFailed as failed:
        log.critical("ending: %s", "; ".join(str(error) for error in failed.exceptions))
        status = 1
    finally:
        notifier.stopping()
    return status


def _keep(ring: Ring, stream: Stream, record: Record) -> Ticket | None:
    """Give a record of the gateway's own to the ring; one that it refuses is told, and stops nobody."""
    try:
        return ring.put(stream, record)
    except RingError as error:
        log.warning("a record of the gateway itself is lost: %s", error)
        return None


def _put_heard(ring: Ring, alarms: AlarmDesk, stream: Stream, record: Record) -> Ticket:
    """Give the ring a record that alarms may come of. RingError where it is refused: then it is no ground for one."""
    ticket = ring.put(stream, record)
    alarms.hear(record)
    return ticket


def _keep_heard(ring: Ring, alarms: AlarmDesk, stream: Stream, record: Record) -> None:
    """Keep a record that alarms may come of. First the record: what it raises stands behind it in the ring."""
    _keep(ring, stream, record)
    alarms.hear(record)


def _forget(desks: Sequence[Latest | AlarmDesk | BackfillDesk], meters: frozenset[str]) -> None:
    """Have all who keep something of meters by their names forget these: others go by them now, or nobody."""
    for desk in desks:
        desk.forget(meters)


async def _accept(ring: Ring, latest: Latest, alarms: AlarmDesk, record: Record) -> int:
    """Give a poll's record to the ring without waiting for the flash: a commit window must not delay the next poll."""
    latest.heard(record)
    return _put_heard(ring, alarms, Stream.INSTANT, record).seq


@asynccontextmanager
async def _page(in_force: Callable[[], Settings], **desks: Any) -> AsyncIterator["Page | NoPage"]:
    """Yield the local page; where the settings want none, nothing of it is loaded."""
    if not in_force().api.enabled:
        yield NoPage()
        return
    from edge.daemon.page import opened  # noqa: PLC0415 - see above

    async with opened(in_force, **desks) as page:
        yield page


class NoPage:
    """What stands where no page is wanted."""

    workers: Sequence[tuple[str, Worker]] = ()

    async def control(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `page`."""
        raise ConfigError("the local page is switched off: set api.enabled = true in gateway.toml, "
                          "and start the gateway again")


def _radio_crew(kind: str, radio: Renewable, links: LinkDesk, recovery: RadioRecovery,
                upstream: Upstream) -> list[tuple[str, Worker, RestartPolicy]]:
    """Return who watches the radio, tells of it, and brings it back; nobody where there is none."""
    if kind == "none":
        return []
    inventory = RadioInventory(lambda: links.radio, functools.partial(upstream.attributes.tell, ""))
    crew: list[tuple[str, Worker, RestartPolicy]] = [
        ("links", links.run, EXPENDABLE), ("radio", radio.run, EXPENDABLE),
        ("radio inventory", inventory.run, EXPENDABLE)]
    return [*crew, ("radio recovery", recovery.run, EXPENDABLE)] if recovery.configured else crew


def _reload(enrolment: Enrolment) -> Callable[[dict[str, Any]], Any]:
    """Return the handler of the control request `reload`."""

    async def reload(_request: dict[str, Any]) -> dict[str, Any]:
        change = await enrolment.reload()
        return {"started": change.started, "stopped": change.stopped, "restarted": change.restarted,
                "refused": dict(change.refused)}

    return reload
