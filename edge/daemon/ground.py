"""What every side of the daemon stands on: the settings, the time, the meters' registry, the ring."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from edge.clock import Clock
from edge.config import Settings
from edge.daemon.enrolment import Enrolment
from edge.daemon.intake import Intake
from edge.daemon.settings import SettingsDesk
from edge.health.promise import Promises
from edge.health.supervise import WorkerState
from edge.logs.level import LevelDesk
from edge.logs.tail import LogTail
from edge.meters.library import Library
from edge.ring.store import Ring


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`settings` are those at the start, `desk.now()` gives those in force; `rng` spreads retries, guards nothing."""

    settings: Settings
    desk: SettingsDesk
    identity: str
    state_dir: Path
    clock: Clock
    profiles: Library
    enrolment: Enrolment
    ring: Ring
    intake: Intake
    tail: LogTail
    levels: LevelDesk
    promises: Promises = field(default_factory=Promises)
    workers: dict[str, WorkerState] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.Random)
