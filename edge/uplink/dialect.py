"""What a server wants to be told, and how (pure): the port between the drain and the kinds of servers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edge.model import Batch, Publish, Stored
from edge.uplink.talk import Talk


@dataclass(frozen=True, slots=True)
class Part:
    """One publication of a batch. `own`: of the gateway itself, not of its meters.

    `entries` and `points` are device entries and values, which are telemetry messages and data points in ThingsBoard's
    books (DefaultTransportRateLimitService).
    """

    publish: Publish
    own: bool
    entries: int
    points: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch and what it becomes on the wire. `parts` is empty where no record of it has anything to say.

    `connects` announces the meters that the server must have heard of before the batch comes.
    """

    batch: Batch
    parts: tuple[Part, ...]
    connects: Mapping[str, Publish] = field(default_factory=dict)


class Ceremony(Talk, Protocol):
    """What stands around telemetry where publications are counted and go at QoS 0: Sparkplug's births and deaths.

    It outlives connections, and is one of the uplink's talks, which tell it of each. A publication of such a
    connection counts as taken once a ping that was sent after it is answered (edge.uplink.settling).
    """

    @property
    def admitted(self) -> bool:
        """Whether telemetry may go: everything is declared, and whoever must be there is."""

    @property
    def over(self) -> str:
        """Why the connection must end in good order; "" while it need not."""

    @property
    def waits_for(self) -> str:
        """Why nothing is sent, for people; "" while there is no reason."""

    async def will(self) -> Publish:
        """Return the will of the next CONNECT."""

    def certificate(self) -> Publish | None:
        """Return what must be said next, before any telemetry; the same until it was `finished`."""

    def finished(self, publish: Publish) -> Publish:
        """Return a publication as it goes out, with time and number; called in the order of sending, once for each."""

    def farewell(self) -> Publish:
        """Return what is said last, unless the link breaks."""


class Dialect(Protocol):
    """One kind of server.

    All is a function of the records and the settings: the same bytes at every delivery. Only with a `ceremony` do
    publications tell as well whether they are current, and are numbered.
    """

    @property
    def limits_request(self) -> Publish | None:
        """What asks for the session's limits; None: nobody is asked, and what the settings say stands."""

    @property
    def announces(self) -> bool:
        """Whether the server must hear of a meter before anything else about it, and keeps who is connected."""

    @property
    def ceremony(self) -> Ceremony | None:
        """What stands around telemetry; None: nothing, and it goes at QoS 1."""

    def pack(self, records: Iterable[Stored], limit_bytes: int, limit_points: int | None = None,
             limit_parts: int = 2) -> Packed:
        """Take as many of `records` (at least one; neighbours of one stream, ascending) as fit.

        Each payload stays within `limit_bytes`, all of them together within `limit_points` and, where the server's
        form leaves the choice, within `limit_parts` publications; unless the first record alone is larger: it is then
        the whole batch.
        """

    def disconnect(self, device: str) -> Publish:
        """Return what tells that a meter is silent or gone; only where the server keeps who is connected."""

    def attributes(self, device: str, body: bytes) -> Publish | None:
        """Return the publication of a meter's attributes, of the gateway's for ""; None: this server gets none."""
