"""What the page needs of the gateway: the doors that the commands use too, handed in by the composition root.

Nothing here is a second way to do something: a change goes to the registry and is followed by `reload`, an order goes
to the order desk, a state comes from who has it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from edge.clock import Clock
from edge.config import Settings
from edge.logs.level import LevelDesk
from edge.logs.tail import LogTail
from edge.meters.library import Library
from edge.model import Meter, Record
from edge.store.registry import Registry

T = TypeVar("T")

Request = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""A handler of the control socket: the request's object in, the answer's out; EdgeError where it is refused."""


class Metrics(Protocol):
    """All metrics as text."""

    async def __call__(self, *, openmetrics: bool) -> str: ...


class NewestReading(Protocol):
    """A reading and how old it is."""

    @property
    def record(self) -> Record: ...
    @property
    def age_s(self) -> float: ...


class Enrolled(Protocol):
    """The registry as the daemon follows it."""

    @property
    def meters(self) -> tuple[Meter, ...]: ...
    @property
    def fault(self) -> str: ...
    async def ask(self, ask: Callable[[Registry], T]) -> T: ...
    async def reload(self) -> Any: ...


class PeerView(Protocol):
    """A radio peer as `halow.model.LinkState` has it."""

    @property
    def mac(self) -> str: ...
    @property
    def rssi_dbm(self) -> int | None: ...
    @property
    def samples(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Doors:
    """All of them."""

    in_force: Callable[[], Settings]                     # with the gateway's own name filled in
    clock: Clock
    status: Request
    enrolment: Enrolled
    library: Library
    order: Request
    order_state: Request
    alarms: Request
    acknowledge: Request
    reload_config: Request
    newest: Callable[[str], NewestReading | None]
    peers: Callable[[], Sequence[PeerView]]
    peer_of: Callable[[Meter], PeerView | None]          # the peer that a meter stands behind
    backlog: Callable[[], tuple[int, int, int]]          # records that wait: alarm, billing, instant
    bands: Sequence[tuple[str, float]]                   # grade -> lowest dBm, best first
    metrics: Metrics
    tail: LogTail
    levels: LevelDesk
    facts: Callable[[], Awaitable[Mapping[str, str]]]    # board and operating system, for the inventory
    certified: Callable[[str], object]                   # told the SHA-256 of the certificate in use, "" = no TLS

    @property
    def settings(self) -> Settings:
        """Return what is in force now."""
        return self.in_force()
