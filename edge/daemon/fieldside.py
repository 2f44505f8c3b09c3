"""The field side: the meters, the radio that they are behind, and whatever brings something of them into the ring.

    registry ─► enrolment ─► fleet ◄── errands: duties, backfill, images, orders
                   │           ▲ ▲
                   ├─► finder ─┘ └── air ◄── links ◄── radio ◄── recovery
                   └─► pushes ─────► intake ─► ring, alarms
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from edge.alarms.conditions import Supply
from edge.config import Settings
from edge.daemon.air import AirDesk
from edge.daemon.alarms import REGISTRY_UNUSABLE, AlarmDesk, judges, supply_by
from edge.daemon.backfill import BackfillDesk
from edge.daemon.duties import standing
from edge.daemon.errands import ErrandDesk
from edge.daemon.finder import Finder
from edge.daemon.ground import Ground
from edge.daemon.images import ImageDesk
from edge.daemon.latest import Latest
from edge.daemon.links import LinkDesk
from edge.daemon.lossesseen import LossesSeen
from edge.daemon.orders import OrderDesk
from edge.daemon.pushes import Pushes
from edge.daemon.radiorecovery import RadioRecovery
from edge.daemon.radioseen import RadioSeen
from edge.daemon.radiowatch import RadioWatch
from edge.daemon.renewable import Renewable
from edge.errands.image_store import ImageStore
from edge.errands.means import Means
from edge.health.linkalarms import NAMES as LINK_ALARMS
from edge.health.linkrecords import no_radio
from edge.health.supervise import Worker
from edge.model import Record, Stream
from edge.poll.fleet import Fleet
from edge.uplink.takeover import NAME as UPLINK_TAKEOVER


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSide:
    """Its parts. `supply_of` tells what a meter's type says of its supply, which limits of alarms are per cent of."""

    latest: Latest
    links: LinkDesk
    means: Means
    images: ImageDesk
    backfill: BackfillDesk
    pushes: Pushes
    fleet: Fleet
    supply_of: Callable[[str], Supply]
    alarms: AlarmDesk
    orders: OrderDesk
    finder: Renewable
    radio: RadioWatch
    recovery: RadioRecovery


async def field_side(ground: Ground, resources: AsyncExitStack) -> FieldSide:
    """Make the parts in the order in which they need each other; what has to be closed goes onto `resources`.

    Raises ConfigError for alarm conditions or recovery commands that cannot be taken.
    """
    settings, clock, intake, enrolment = ground.settings, ground.clock, ground.intake, ground.enrolment
    latest = Latest(clock)
    seen = RadioSeen(ground.state_dir, clock)
    links = LinkDesk(lambda: enrolment.meters, intake.telemetry, clock, settings.radio.record_interval_s,
                     tell=intake.alarm, seen=seen)
    if settings.radio.kind == "none" and seen.ever:
        intake.telemetry(no_radio(clock.stamp()))
    means = Means(intake.keep_judged, enrolment.progress, enrolment.keep_progress, clock, ground.ring.meter_clock)
    images = ImageDesk(settings, ImageStore(ground.state_dir), enrolment, means)
    backfill = BackfillDesk(settings, ground.ring, enrolment, clock, intake.telemetry)
    resources.push_async_callback(backfill.ledgers.close)
    pushes = Pushes(settings.push, enrolment, ground.profiles, intake.put_judged, clock,
                    meters_zone=settings.clock.meters_zone)

    async def sink(record: Record) -> int:
        """Take a poll's record without waiting for the flash: a commit window must not delay the next poll."""
        latest.heard(record)
        return intake.put_judged(Stream.INSTANT, record).seq

    fleet = await resources.enter_async_context(Fleet(
        ground.profiles, settings=settings.poll, sink=sink, on_learned=enrolment.keep_learned,
        reserve=enrolment.reserve_counters, clock=clock, promises=ground.promises, rng=ground.rng,
        air=AirDesk(links, lambda: enrolment.meters, settings.radio.width_mhz), on_push=pushes.polled,
        on_refusal=enrolment.keep_refusal,
        errands_of=ErrandDesk([standing(ground.desk.now, means), backfill.of, images.of]).of))
    images.nudge = fleet.nudge
    supply_of = supply_by(ground.profiles, enrolment.profile_of)
    alarms = AlarmDesk(judges(settings.alarms, supply_of), intake.event, enrolment, fleet.ages_s, clock,
                       links.alarms.stand, others=_judged_elsewhere(settings),
                       losses=LossesSeen(ground.state_dir, lambda: ground.ring.status().lost))
    intake.judged_by(alarms.hear)
    enrolment.when_parted(latest.forget, alarms.forget, backfill.forget)

    def finding() -> Worker | None:
        """Return the work of looking for meters that have moved, by the settings of now; None: there is none."""
        discovery = ground.desk.now().discovery
        if not discovery.subnet:
            return None
        return Finder(discovery, enrolment, ground.profiles, fleet.states, fleet.turnstile.gate, intake.event,
                      clock).run

    return FieldSide(
        latest=latest, links=links, means=means, images=images, backfill=backfill, pushes=pushes, fleet=fleet,
        supply_of=supply_of, alarms=alarms,
        orders=OrderDesk(settings, ground.profiles, enrolment, fleet.order, latest, means), finder=Renewable(finding),
        radio=RadioWatch(lambda: ground.desk.now().radio, links.heard),
        recovery=RadioRecovery(settings.recovery, lambda: links.radio, intake.event, clock, ground.state_dir))


def _judged_elsewhere(settings: Settings) -> frozenset[str]:
    """Return the names of the alarms that parts at work judge by themselves."""
    return ((LINK_ALARMS if settings.radio.kind != "none" else frozenset())
            | ({UPLINK_TAKEOVER} if settings.uplink.enabled else frozenset()) | {REGISTRY_UNUSABLE})
