"""The composition root: what there is, in the order in which it opens, and who runs beside whom.

    settings ─► clock ─► registry, ring, intake     the ground: opened first, closed last, each within its deadline
                           │
                           ├─► field side           fleet, pushes, radio, alarms: put records into the ring
                           ├─► cloud side           uplink, updates, vitals: take them to ThingsBoard
                           └─► people's side        status, metrics, calls: ask the other two
                                 └─► page (where the settings want it), control socket

    one TaskGroup:  upstream*  enrolment*  ring*  watchdog*  vitals  alarms  pushes  links  radio  finder  page  ...
                    (and one poller per meter, owned by the fleet)        * vital: keeps failing -> exit 1
                                                                          the others are parked and shown

Stopping is a task, not an exception: the first SIGTERM ends the group, the ring syncs last, exit status 0. What
hangs then is left behind: the end has a deadline.
"""

import asyncio
import functools
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from edge import __version__
from edge.clock import SystemClock
from edge.config import Settings
from edge.control import serve
from edge.daemon import storage
from edge.daemon.applying import Applying
from edge.daemon.cloudside import CloudSide, cloud_side
from edge.daemon.enrolment import Enrolment
from edge.daemon.fieldside import FieldSide, field_side
from edge.daemon.ground import Ground
from edge.daemon.intake import Intake
from edge.daemon.nameplates import Nameplates
from edge.daemon.peopleside import PeopleSide, page_of, people_side
from edge.daemon.radioinventory import RadioInventory
from edge.daemon.remoteconfig import RemoteConfig
from edge.daemon.settings import SettingsDesk
from edge.errors import WorkerFailed
from edge.health.deadline import Deadline
from edge.health.notify import Notifier, Watchdog
from edge.health.promise import Promises
from edge.health.signals import on_hangup, stop_signals
from edge.health.supervise import EXPENDABLE, VITAL, RestartPolicy, Worker, WorkerState, supervise
from edge.identity import identify
from edge.logs.level import LevelDesk
from edge.logs.output import current
from edge.logs.tail import kept
from edge.meters.library import Library, own_directory
from edge.ring.store import Ring
from edge.store.registry import FILE_NAME

log = logging.getLogger(__name__)

Crew = list[tuple[str, Worker, RestartPolicy]]
"""Who works: a name for logs and status, the work, and what follows when it fails."""


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
    desk = SettingsDesk(path, settings, identity, clock)
    settings = desk.in_force
    profiles = Library(own_directory(settings.gateway))
    enrolment = Enrolment(state_dir / FILE_NAME, profiles)

    async with AsyncExitStack() as resources:
        tail, levels = resources.enter_context(kept()), LevelDesk(current())
        stop = resources.enter_context(stop_signals(at_first=deadline.start))
        resources.enter_context(on_hangup(desk.hangup))
        ring = await resources.enter_async_context(
            Ring.open(state_dir / "ring", settings.ring, clock, hold_s=settings.clock.hold_s))
        resources.push_async_callback(enrolment.close)
        ground = Ground(settings=settings, desk=desk, identity=identity, state_dir=state_dir, clock=clock,
                        profiles=profiles, enrolment=enrolment, ring=ring, intake=Intake(ring), tail=tail,
                        levels=levels)
        field = await field_side(ground, resources)
        cloud = cloud_side(ground, field)
        people = people_side(ground, field, cloud)
        desk.govern(Applying(field, cloud, people.remote, levels), ground.intake.event)
        page = await resources.enter_async_context(page_of(ground, field, cloud, people))
        await resources.enter_async_context(
            serve(Path(settings.gateway.runtime_dir), {**people.requests, "page": page.control}))

        watchdog = Watchdog(notifier, ground.promises, status=people.status.line, monotonic=clock.monotonic)
        crew: Crew = [
            ("enrolment", functools.partial(enrolment.run, field.fleet), VITAL),
            ("ring", functools.partial(storage.watch, ring), VITAL),
            ("vitals", cloud.vitals.run, EXPENDABLE),
            ("alarms", field.alarms.run, EXPENDABLE),
            ("backfill", field.backfill.ledgers.run, EXPENDABLE),
            ("pushes", field.pushes.run, EXPENDABLE),
            ("settings", desk.run, EXPENDABLE),
            ("finder", field.finder.run, EXPENDABLE),
            ("watchdog", watchdog.run, VITAL),
            *((name, worker, EXPENDABLE) for name, worker in page.workers),
            *_uplink_crew(ground, cloud, people),
            *_radio_crew(ground, field, cloud),
        ]
        notifier.ready()
        people.status.ready()
        log.info("halow-gateway %s runs as %s", __version__, settings.gateway.name)
        exit_status = await _work(crew, stop, notifier, ground.promises, ground.workers)
        deadline.start()
        return exit_status


def _uplink_crew(ground: Ground, cloud: CloudSide, people: PeopleSide) -> Crew:
    """Return who sends to ThingsBoard and takes what it offers; nobody where nothing is sent."""
    if not ground.settings.uplink.enabled:
        return []
    board = cloud.upstream.attributes
    nameplates = Nameplates(ground.identity, ground.enrolment, ground.profiles, board)
    configuration = RemoteConfig(ground.desk, cloud.shared, cloud.upstream.proof, functools.partial(board.tell, ""))
    return [("upstream", cloud.upstream.run, VITAL), ("nameplates", nameplates.run, EXPENDABLE),
            ("ota", cloud.ota.run, EXPENDABLE), ("remote", people.remote.run, EXPENDABLE),
            ("remote configuration", configuration.run, EXPENDABLE)]


def _radio_crew(ground: Ground, field: FieldSide, cloud: CloudSide) -> Crew:
    """Return who watches the radio, tells of it, and brings it back; nobody where there is none."""
    if ground.settings.radio.kind == "none":
        return []
    links = field.links
    inventory = RadioInventory(lambda: links.radio, functools.partial(cloud.upstream.attributes.tell, ""))
    crew: Crew = [("links", functools.partial(links.run, field.fleet.states), EXPENDABLE),
                  ("radio", field.radio.run, EXPENDABLE), ("radio inventory", inventory.run, EXPENDABLE)]
    return [*crew, ("radio recovery", field.recovery.run, EXPENDABLE)] if field.recovery.configured else crew


async def _work(crew: Crew, stop: asyncio.Event, notifier: Notifier,
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
