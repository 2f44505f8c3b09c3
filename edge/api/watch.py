"""What the page follows live: one look at the gateway for all who watch, and a short, bounded memory of it.

    tick ─► links, backlog ─► history (bounded)         nobody watches: a look at links and backlog, REST_S apart
        └─► status ─► what changed since the last tick ─► every stream            somebody watches: TICK_S apart

A stream begins with everything and goes on with what has changed. One that cannot keep up (a phone that went to sleep)
is ended; the browser comes back by itself and begins with everything again. Who opens more than its share loses its
oldest: that page is told `elsewhere`, rests, and goes on when it is looked at again.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge.api import wire
from edge.api.doors import Doors
from edge.api.problem import Problem
from edge.health.promise import Pulse

TICK_S = 2.0
REST_S = 10.0
SPARE_S = 30.0
STREAMS = 12
STREAMS_EACH = 3             # of one session or token; of the six connections of a browser some are left for its calls
BEHIND = 4                   # ticks that a stream may be behind
AT_A_TIME = 20               # rows written without a break
PEERS_KEPT = 64
RECENT_KEPT = 180            # samples per peer
BACKLOG_EVERY_S = 10.0
BACKLOG_KEPT = 360           # an hour

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Heard:
    samples: int = -1
    best_dbm: int | None = None
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RECENT_KEPT))


class Watch:
    """One worker, and the streams that hang on it."""

    def __init__(self, doors: Doors, rows: Callable[[dict[str, Any]], Awaitable[Sequence[wire.MeterRow]]],
                 ) -> None:
        """`rows` makes the meters' rows of a status."""
        self._doors = doors
        self._rows = rows
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._backlog: deque[tuple[int, int, int, int]] = deque(maxlen=BACKLOG_KEPT)
        self._backlog_due = 0.0
        self._streams: dict[asyncio.Queue[bytes | None], str] = {}      # oldest first -> whose it is
        self._sent: dict[str, wire.MeterRow] = {}
        self._wake = asyncio.Event()

    async def run(self, pulse: Pulse) -> None:
        """Look again and again until cancelled; then all streams end."""
        try:
            while True:
                pulse(REST_S + SPARE_S)
                self._wake.clear()
                self.sample()
                if self._streams:
                    await self._tell()
                    await asyncio.sleep(TICK_S)
                else:
                    with contextlib.suppress(TimeoutError):      # the first stream ends the rest
                        async with asyncio.timeout(REST_S):
                            await self._wake.wait()
        finally:
            for queue in self._streams:
                _end(queue)

    def sample(self) -> None:
        """Remember the peers' signal, each sample once, and every ten seconds the backlog."""
        now_ms = self._doors.clock.stamp().wall_ms
        for peer in self._doors.peers():
            heard = self._heard.setdefault(peer.mac, _Heard())
            if peer.rssi_dbm is None or peer.samples == heard.samples:
                continue
            heard.samples = peer.samples
            heard.best_dbm = peer.rssi_dbm if heard.best_dbm is None else max(heard.best_dbm, peer.rssi_dbm)
            heard.recent.append((now_ms, peer.rssi_dbm))
            self._heard.move_to_end(peer.mac)
        while len(self._heard) > PEERS_KEPT:
            self._heard.popitem(last=False)
        now = self._doors.clock.monotonic()
        if now >= self._backlog_due:
            self._backlog_due = now + BACKLOG_EVERY_S
            self._backlog.append((now_ms, *self._doors.backlog()))

    def recent(self, mac: str) -> tuple[tuple[int, int], ...]:
        """Return a peer's samples: (Unix ms, dBm), oldest first."""
        heard = self._heard.get(mac)
        return () if heard is None else tuple(heard.recent)

    def best_dbm(self, mac: str) -> int | None:
        """Return the best signal of a peer since it was first heard."""
        heard = self._heard.get(mac)
        return None if heard is None else heard.best_dbm

    def backlog(self) -> tuple[tuple[int, int, int, int], ...]:
        """Return how many records waited: (Unix ms, alarm, billing, instant), oldest first."""
        return tuple(self._backlog)

    async def stream(self, whose: str, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Return server-sent events, until the client goes, `still` is over, or the gateway stops.

        `whose` is the session or token that asks. Raises Problem 503 where there are too many streams of others.
        """
        first = _event("all", await self._everything())
        count = Counter(self._streams.values())
        if count[whose] >= STREAMS_EACH:
            self._drop(whose)
        elif len(self._streams) >= STREAMS:
            crowd, most = count.most_common(1)[0]
            if most == 1:
                raise Problem(503, f"{STREAMS} pages are open already; close one", retry_after_s=10.0)
            self._drop(crowd)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(BEHIND)
        self._streams[queue] = whose      # counted from now on, whenever its first event is fetched
        self._wake.set()
        return self._events(queue, still, first)

    async def _events(self, queue: asyncio.Queue[bytes | None], still: Callable[[], bool],
                      first: bytes) -> AsyncIterator[bytes]:
        try:
            yield first
            while (event := await queue.get()) is not None and still():
                yield event
        finally:
            self._streams.pop(queue, None)

    def _drop(self, whose: str) -> None:
        """End the oldest stream of somebody; it is told why, so that it does not come back by itself."""
        queue = next(queue for queue, owner in self._streams.items() if owner == whose)
        del self._streams[queue]
        _end(queue, _event("elsewhere", {}))

    async def _everything(self) -> dict[str, Any]:
        told = await self._doors.status({})
        rows = await self._rows(told)
        return await self._news(told, rows)

    async def _tell(self) -> None:
        told = await self._doors.status({})
        rows = {row.name: row for row in await self._rows(told)}
        changed = [row for name, row in rows.items() if self._sent.get(name) != row]
        gone = tuple(name for name in self._sent if name not in rows)
        self._sent = rows
        event = _event("news", await self._news(told, changed, gone))      # written once, for all streams
        for queue in tuple(self._streams):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:      # too far behind, or never begun: what waits is lost
                del self._streams[queue]
                _end(queue)

    async def _news(self, told: dict[str, Any], rows: Sequence[wire.MeterRow], gone: tuple[str, ...] = (),
                    ) -> dict[str, Any]:
        """Return an event's data; polls that are due go in between while rows are written."""
        written = []
        for number, row in enumerate(rows):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            written.append(msgspec.Raw(_encode(row)))
        return self._summary(told) | {"meters": written, "gone": gone}

    def _summary(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return what the overview shows: small, because it is sent at every tick."""
        gateway, radio = told["gateway"], told["radio"]
        return {
            "now_ms": self._doors.clock.stamp().wall_ms,
            "gateway": {key: gateway[key] for key in (
                "name", "id", "version", "uptime_s", "clock_synchronised", "registry", "overdue")},
            "uplink": {key: told["uplink"].get(key) for key in (
                "connected", "for_s", "last_error", "acked_records", "sent_records")} | {
                    "enabled": self._doors.settings.uplink.enabled},
            "ring": {key: told["ring"][key] for key in ("healthy", "problem", "backlog")},
            "radio": {key: radio.get(key) for key in (
                "present", "detail", "channel", "noise_dbm", "busy_pct", "duty_pct", "duty_limit_pct")},
            "peers": [{"mac": peer["mac"], "grade": peer["grade"], "rssi_dbm": peer["rssi_dbm"],
                       "best_dbm": self.best_dbm(peer["mac"]), "age_s": peer["age_s"],
                       "recent": self.recent(peer["mac"])[-3:]} for peer in radio.get("peers", ())],
            "alarms": told["alarms"],
        }


def _event(name: str, data: Any) -> bytes:
    """Write one server-sent event (HTML standard, clause 9.2)."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


def _end(queue: asyncio.Queue[bytes | None], last: bytes | None = None) -> None:
    """End a stream, with a last word in place of what waits."""
    while not queue.empty():
        queue.get_nowait()
    for word in (last, None) if last is not None else (None,):
        queue.put_nowait(word)
