"""The cloud side: what takes records out of the ring, what ThingsBoard offers, and the gateway's own figures.

    ring ─► upstream ─► uplink ─► ThingsBoard ─► shared attributes ─► updates, remote configuration
              ▲                                └─► calls (edge/daemon/remote.py)
            vitals ─► intake ─► ring
"""

import functools
from dataclasses import dataclass

from edge.daemon.fieldside import FieldSide
from edge.daemon.ground import Ground
from edge.daemon.lifesigns import LifeSigns
from edge.daemon.ota import OtaDesk
from edge.daemon.updaters import running, updaters
from edge.daemon.upstream import Upstream
from edge.daemon.vitals import Vitals, figures_of
from edge.health import wear
from edge.model import Scalar, Stream
from edge.uplink.shared import SharedAttributes


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSide:
    """Its parts."""

    shared: SharedAttributes
    ota: OtaDesk
    upstream: Upstream
    vitals: Vitals


def cloud_side(ground: Ground, field: FieldSide) -> CloudSide:
    """Make the parts. Nothing is connected before `upstream` runs."""
    settings, clock, intake, enrolment = ground.settings, ground.clock, ground.intake, ground.enrolment
    shared = SharedAttributes()
    ota = OtaDesk(settings.ota, ground.state_dir, updaters(settings.ota), running(), shared, intake.event, clock,
                  settings.uplink.ack_timeout_s)
    signs = LifeSigns(field.fleet, field.pushes.of, lambda: enrolment.enrolled is not None, clock,
                      lambda: ground.desk.now().uplink.silent_after_s)
    upstream = Upstream(settings, ground.ring, clock, ground.rng, enrolment.profile_of, intake.event,
                        talks=(shared, ota.chunks), keep=intake.telemetry, silent=signs.silent, alarm=intake.alarm)

    async def figures() -> dict[str, Scalar]:
        storage = wear.look(ground.state_dir, settings.ring.flash_overwrites)
        return await figures_of(ground.ring, upstream.state(), field.pushes.figures(), storage, clock)

    return CloudSide(shared=shared, ota=ota, upstream=upstream, vitals=Vitals(
        figures, field.fleet.states, functools.partial(intake.keep_judged, Stream.INSTANT), intake.event, clock,
        ground.state_dir, settings.uplink.health_interval_s))
