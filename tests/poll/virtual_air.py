"""Thirty meters on one radio channel without a socket and without waiting: an event loop whose time jumps, and a small TCP.

The TCP is what matters of Linux's here (RFC 6298, tcp(7)): one segment in flight each way, acknowledgements that ride on
data or come 40 ms later, a retransmission time-out of the smoothed round trip and four deviations, 0.2 s at least, doubled
each time. The meters are those of `edge.demo`, application layer and all.
"""

import asyncio
import random
import selectors
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from poll_bench import GENERIC_PROFILE, PASSWORD, meter_model, meter_settings

from edge.config import PollSettings
from edge.demo.linkprofile import PROFILES, LinkProfile, Medium
from edge.demo.meter_apdu import Counters
from edge.demo.meter_server import WrapperServer
from edge.errors import Unreachable
from edge.model import Kind, Learned, Meter, Record, Stamp
from edge.poll.inbox import Inbox
from edge.poll.poller import Poller
from edge.poll.turn import Turnstile

HEADERS_BYTES = 14 + 20 + 32
DELAYED_ACK_S, RTO_LEAST_S, RTO_FIRST_S = 0.04, 0.2, 1.0


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where nothing is ready, time is what it would have become."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever come"
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds pass as fast as what happens in them can be reckoned."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


class VirtualClock:
    """`edge.clock.Clock` over the loop's time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def stamp(self) -> Stamp:
        now_ms = round(self.monotonic() * 1000)
        return Stamp(boottime_ms=now_ms, wall_ms=now_ms, boot_id="virtual", synchronised=True)

    def synchronised(self) -> bool:
        return True


class Channel:
    """The air between all meters and the gateway: one at a time, with a delay, losses and outages."""

    def __init__(self, profile: LinkProfile, seed: int, outages: Iterable[tuple[float, float]] = ()) -> None:
        """`outages`: from when until when nothing gets through, in seconds."""
        self.profile = profile
        self.medium = Medium()
        self.rng = random.Random(seed)
        self.frames = 0
        self._outages = deque(outages)
        self._fading = {True: False, False: False}

    def down(self, now: float) -> bool:
        while self._outages and now >= self._outages[0][1]:
            self._outages.popleft()
        return bool(self._outages) and now >= self._outages[0][0]

    def carry(self, octets: int, up: bool, last_due: float) -> float | None:
        """Return when a segment of so many octets comes out; None: it does not. No two of a connection overtake."""
        profile, now = self.profile, asyncio.get_running_loop().time()
        self.frames += 1
        if self.down(now) or self.medium.wait_s(now) > profile.queue_s:
            return None
        sent = self.medium.reserve((octets + HEADERS_BYTES) * 8 / profile.rate_bps, now)
        if self._fades(up):
            return None
        jitter_s = self.rng.expovariate(1 / profile.jitter_s) if profile.jitter_s else 0.0
        return max(last_due, sent + self.rng.uniform(*profile.delay_range_s) + jitter_s)

    def _fades(self, up: bool) -> bool:
        profile, chance = self.profile, self.rng.random()
        if profile.burst <= 1:
            return chance < profile.loss
        begins = profile.loss / profile.burst / (1 - profile.loss)
        self._fading[up] = chance < (1 - 1 / profile.burst if self._fading[up] else begins)
        return self._fading[up]


class End:
    """One end of a connection."""

    def __init__(self, channel: Channel, *, up: bool, on_data: Callable[[bytes], None]) -> None:
        self.peer: End
        self.srtt_s = self.deviation_s = 0.0
        self.retransmitted = 0
        self._channel, self._up, self._on_data = channel, up, on_data
        self._queue: deque[bytes] = deque()
        self._sent = self._heard = 0
        self._backoff, self._probed = 1, False
        self._sent_at = 0.0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ack: asyncio.TimerHandle | None = None
        self._gone = False

    @property
    def rto_s(self) -> float:
        return max(RTO_LEAST_S, 4 * self.deviation_s) + self.srtt_s if self.srtt_s else RTO_FIRST_S

    def round_trip(self, took_s: float) -> None:
        if self.srtt_s:
            self.deviation_s += (abs(took_s - self.srtt_s) - self.deviation_s) / 4
            self.srtt_s += (took_s - self.srtt_s) / 8
        else:
            self.srtt_s, self.deviation_s = took_s, took_s / 2

    def send(self, data: bytes) -> None:
        self._queue.append(data)
        if len(self._queue) == 1:
            self._next()

    def end(self) -> None:
        self._gone = True
        for timer in (self._timer, self._ack):
            if timer is not None:
                timer.cancel()

    def _next(self) -> None:
        self._sent += 1
        self._backoff, self._probed = 1, False
        self._sent_at = asyncio.get_running_loop().time()
        self._transmit()

    def _transmit(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ack is not None:
            self._ack.cancel()
        self._put(self._sent, self._queue[0])
        self._timer = loop.call_later(self.rto_s * self._backoff, self._again)

    def _again(self) -> None:
        """Send it again: first as a tail loss probe (RFC 8985), which doubles nothing yet."""
        self._backoff *= 2 if self._probed else 1
        self._probed = True
        self.retransmitted += 1
        self._transmit()

    def _put(self, number: int, data: bytes) -> None:
        due = self._channel.carry(len(data), self._up, self._last_due)
        if due is not None:
            self._last_due = due
            asyncio.get_running_loop().call_at(due, self.peer.arrive, number, data, self._heard)

    def arrive(self, number: int, data: bytes, acknowledged: int) -> None:
        if self._gone:
            return
        loop = asyncio.get_running_loop()
        if acknowledged == self._sent and self._queue:
            assert self._timer is not None
            self._timer.cancel()
            if not self._probed:
                self.round_trip(loop.time() - self._sent_at)
            self._queue.popleft()
            if self._queue:
                self._next()
        if not data:
            return
        if self._ack is not None:
            self._ack.cancel()
        if number <= self._heard:      # again: our acknowledgement was lost
            self._put(0, b"")
        else:
            self._heard = number
            self._ack = loop.call_later(DELAYED_ACK_S, self._put, 0, b"")
            self._on_data(data)


class VirtualTransport:
    """`edge.poll.transport.Transport` over such a connection."""

    top_baud = None

    def __init__(self, where: str, channel: Channel, serve: Callable[[bytes, float], list[bytes]], round_trip_s: float) -> None:
        self._inbox = Inbox(where)
        self._near = End(channel, up=True, on_data=self._inbox.put)
        self._far = End(channel, up=False, on_data=self._answer)
        self._near.peer, self._far.peer = self._far, self._near
        self._serve = serve
        for end in (self._near, self._far):
            end.round_trip(round_trip_s)

    def _answer(self, data: bytes) -> None:
        for answer in self._serve(data, asyncio.get_running_loop().time()):
            self._far.send(answer)

    def write(self, data: bytes) -> None:
        self._near.send(data)

    def read(self, deadline: float | None) -> Awaitable[bytes]:
        return self._inbox.read(deadline)

    def waiting(self) -> bytes:
        return self._inbox.waiting()

    def ready(self, gap_s: float) -> Awaitable[None]:
        return self._inbox.rest(gap_s)

    def set_line(self, baud: int, shape: str | None = None) -> None:
        raise NotImplementedError

    async def close(self, within_s: float) -> None:
        self.abort()

    def abort(self) -> None:
        self._inbox.end("ended from here")
        self._near.end()
        self._far.end()


class Yard:
    """Meters, a channel, a turnstile, and what they brought."""

    def __init__(self, profile: str, *, meters: int = 30, seed: int = 1, outages: Iterable[tuple[float, float]] = (),
                 settings: PollSettings | None = None) -> None:
        self.settings = settings or PollSettings(interval_s=0.01, at_once=64)
        self.channel = Channel(PROFILES[profile], seed, outages)
        self.names = [f"m{number:02}" for number in range(meters)]
        self.dies_at: dict[str, float] = {}
        self.readings: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.at: dict[str, list[float]] = {name: [] for name in self.names}
        self.counting_from = 0.0
        self._rng = random.Random(seed)
        self._seed = seed

    async def sink(self, record: Record) -> int:
        now = asyncio.get_running_loop().time()
        if record.schema.kind is Kind.READING:
            self.at[record.device].append(now)
            self.readings[record.device] += now >= self.counting_from
        elif now >= self.counting_from:
            self.failures[str(record.values[0])] += not str(record.values[1]).startswith(("waiting before", "circuit open"))
        return 1

    def dead(self, name: str) -> bool:
        return asyncio.get_running_loop().time() >= self.dies_at.get(name, float("inf"))

    async def connect(self, name: str) -> VirtualTransport:
        """As the system does: SYN again after 1, 3, 7 s."""
        loop, channel = asyncio.get_running_loop(), self.channel
        began, wait_s = loop.time(), RTO_FIRST_S
        opened: asyncio.Future[None] = loop.create_future()

        def arrived() -> None:
            back = None if self.dead(name) else channel.carry(0, up=False, last_due=0.0)
            if back is not None:
                loop.call_at(back, lambda: opened.done() or opened.set_result(None))

        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                while not opened.done():
                    there = channel.carry(0, up=True, last_due=0.0)
                    if there is not None:
                        loop.call_at(there, arrived)
                    await asyncio.wait({opened}, timeout=wait_s)
                    wait_s *= 2
        except TimeoutError as error:
            raise Unreachable(f"{name}: no connection") from error
        meter = WrapperServer(meter_model(name, 1), meter_settings("wrapper"), Counters())
        return VirtualTransport(name, channel, lambda data, now: [] if self.dead(name) else meter.receive(data, now), loop.time() - began)

    async def run(self, seconds: float, *, warm_up_s: float = 0.0, at_once: int | None = None) -> None:
        """Poll so long; count what comes after the warm-up."""
        self.counting_from = warm_up_s
        clock = VirtualClock()
        self.turnstile = Turnstile(at_once or self.settings.at_once, clock, lambda name: pollers[name].forgive())
        pollers = {name: self._poller(name, clock) for name in self.names}
        self.pollers = list(pollers.values())
        tasks = [asyncio.create_task(poller.run()) for poller in self.pollers]
        try:
            async with asyncio.timeout(warm_up_s + seconds):
                await asyncio.gather(*tasks)
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _poller(self, name: str, clock: VirtualClock) -> Poller:
        async def forget(_name: str, _learned: Learned) -> None:
            pass

        row = Meter(name=name, host="127.0.0.1", port=1, profile=GENERIC_PROFILE.name, framing="wrapper", client_sap=1,
                    server_logical=1, authentication="lls")
        return Poller(row, PASSWORD, GENERIC_PROFILE, Learned(), settings=self.settings, gate=self.turnstile.gate, sink=self.sink,
                      on_learned=forget, clock=clock, promise=lambda _s: None, rng=self._rng,
                      connect=lambda: self.connect(name), crowd=self.turnstile)

    @property
    def fewest_of_mean(self) -> float:
        """What the worst meter got, as a share of the mean."""
        counts = [self.readings[name] for name in self.names]
        return min(counts) * len(counts) / max(sum(counts), 1)


def in_virtual_time(yard: Yard, seconds: float, **options: Any) -> Yard:
    """Run a yard on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(yard.run(seconds, **options))
    return yard
