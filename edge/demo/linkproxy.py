"""A TCP path through a simulated HaLow link: delay, jitter, rate, loss bursts, sleep, outages (I/O edge).

The proxy works on the byte stream, so loss shows as TCP shows it: the segment and all behind it stall for 0.2, 0.4,
0.8 ... s until a retransmission gets through. Several proxies may share one `Medium`: then they share its air time.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from dataclasses import dataclass
from typing import cast

from edge.demo.linkprofile import LinkProfile, LossModel, Medium, next_retransmission

SEGMENT_BYTES = 1_448
SEGMENT_OVERHEAD_BYTES = 52          # IPv4, TCP with time stamps
BUFFER_LIMIT_BYTES = 131_072         # per direction; above it the sender is not read
BUFFER_RESUME_BYTES = 32_768
RESET_ON_CLOSE = struct.pack("ii", 1, 0)     # SO_LINGER with 0 s: closing sends RST


def send_reset(transport: asyncio.Transport) -> None:
    """Drop a TCP connection so that the other side sees RST, not FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


@dataclass(slots=True)
class LinkCounters:
    """What one proxy carried. Bytes are application bytes; `up` is from client to server."""

    connections: int = 0
    failed_connections: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
    segments: int = 0
    lost_segments: int = 0
    stall_s: float = 0.0
    resets: int = 0


class _Lane(asyncio.Protocol):
    """One end of a connection, and the queue of what came in at it for the other end."""

    def __init__(self, path: "_Path", *, upward: bool) -> None:
        self._path = path
        self._upward = upward
        self.transport: asyncio.Transport | None = None
        self.other: _Lane | None = None
        self._queue: deque[tuple[float, bytes | None]] = deque()      # due time, bytes or None for FIN
        self._queued_bytes = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)      # uvloop's is no subclass of it
        if self._upward:
            self._path.client_connected()

    def data_received(self, data: bytes) -> None:
        link, counters = self._path.link, self._path.link.counters
        if self._upward:
            counters.up_bytes += len(data)
        else:
            counters.down_bytes += len(data)
        now = link.loop.time()
        for start in range(0, len(data), SEGMENT_BYTES):
            piece = data[start:start + SEGMENT_BYTES]
            # TCP hands out in order: what is behind a stalled segment waits for it.
            self._last_due = max(self._last_due, link.due(len(piece), now))
            self._queue.append((self._last_due, piece))
        self._queued_bytes += len(data)
        if self._queued_bytes > BUFFER_LIMIT_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self.pump()

    def eof_received(self) -> bool:
        self._end()
        return True        # keep the way back open

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if exc is not None and self._path.link.up:
            self._path.abort()
        else:
            self._end()
        self._path.lost()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._last_due = max(self._last_due, self._path.link.loop.time() + self._path.link.profile.delay_s)
            self._queue.append((self._last_due, None))
            self.pump()

    def pump(self) -> None:
        """Hand over what is due; wake again for the rest. While the link is down nothing moves."""
        link = self._path.link
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not link.up or self.other is None or self.other.transport is None:
            return
        now = link.loop.time()
        while self._queue and max(self._queue[0][0], link.held_until) <= now:
            piece = self._queue.popleft()[1]
            if piece is None:
                self._path.ended(self.other)
                return
            self._queued_bytes -= len(piece)
            self.other.transport.write(piece)
        if self.transport is not None and self._queued_bytes < BUFFER_RESUME_BYTES:
            self.transport.resume_reading()
        if self._queue:
            self._timer = link.loop.call_at(max(self._queue[0][0], link.held_until), self.pump)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()


class _Path:
    """One client connection and its counterpart to the server."""

    def __init__(self, link: "LinkProxy") -> None:
        self.link = link
        self.lanes = (_Lane(self, upward=True), _Lane(self, upward=False))
        self._opening: asyncio.Task[None] | None = None
        self._ended = 0

    def client_connected(self) -> None:
        self.link.paths.add(self)
        self.link.counters.connections += 1
        self._opening = self.link.loop.create_task(self._open(), name="link-open")

    async def _open(self) -> None:
        """Connect to the server as late as the handshake would take; refused there means reset here."""
        link = self.link
        for _ in ("SYN", "SYN-ACK"):
            await asyncio.sleep(link.due(0, link.loop.time()) - link.loop.time())
        await link.is_up.wait()
        client, server = self.lanes
        if client.transport is None:
            return
        try:
            await link.loop.create_connection(lambda: server, *link.target)
        except OSError:
            link.counters.failed_connections += 1
            self.abort()
            return
        client.other, server.other = server, client
        client.pump()

    def ended(self, receiver: _Lane) -> None:
        """Pass a FIN on; once both directions have ended, nothing is left to wait for."""
        self._ended += 1
        if receiver.transport is not None and receiver.transport.can_write_eof():
            with contextlib.suppress(OSError):      # reset meanwhile: there is nobody to tell
                receiver.transport.write_eof()
        if self._ended == 2:
            for lane in self.lanes:
                if lane.transport is not None:
                    lane.transport.close()

    def lost(self) -> None:
        if all(lane.transport is None for lane in self.lanes):
            self.stop()

    def abort(self) -> None:
        """RST both ends."""
        self.link.counters.resets += 1
        for lane in self.lanes:
            lane.stop()
            if lane.transport is not None:
                send_reset(lane.transport)

    def stop(self) -> None:
        self.link.paths.discard(self)
        for lane in self.lanes:
            lane.stop()
        if self._opening is not None:
            self._opening.cancel()

    def pump(self) -> None:
        for lane in self.lanes:
            lane.pump()


class LinkProxy:
    """One link. `profile` may be changed at any time; `down()` is a black hole without FIN, `reset()` sends RST."""

    def __init__(self, profile: LinkProfile, *, seed: int = 0, medium: Medium | None = None) -> None:
        """`medium`: the air shared with other links; by default this link has its own of `profile.rate_bps`."""
        self.profile = profile
        self.counters = LinkCounters()
        self.target = ("127.0.0.1", 0)
        self.paths: set[_Path] = set()
        self.is_up = asyncio.Event()
        self.is_up.set()
        self.held_until = 0.0              # after an outage nothing moves before TCP's next retransmission
        self.loop: asyncio.AbstractEventLoop
        self._medium = medium or Medium()
        self._rng = random.Random(seed)
        self._loss = LossModel(self._rng)
        self._server: asyncio.Server | None = None
        self._down_since = 0.0

    @property
    def up(self) -> bool:
        """False while the link is a black hole."""
        return self.is_up.is_set()

    async def start(self, target: tuple[str, int], host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen and forward to `target`; return the address listened on. OSError if it cannot."""
        self.loop = asyncio.get_running_loop()
        self.target = target
        self._server = await self.loop.create_server(lambda: _Path(self).lanes[0], host, port, reuse_address=True)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    async def close(self) -> None:
        """Stop listening, reset every connection."""
        if self._server is not None:
            self._server.close()
        for path in list(self.paths):
            path.abort()
            path.stop()
        if self._server is not None:
            await self._server.wait_closed()

    def down(self) -> None:
        """Fade out: bytes and FINs vanish into the queue, new connections get no answer. Nobody is told."""
        if self.up:
            self.is_up.clear()
            self._down_since = self.loop.time()

    def restore(self) -> None:
        """Come back: TCP goes on at its next retransmission, which is later the longer the outage was."""
        if not self.up:
            now = self.loop.time()
            self.held_until = self._down_since + next_retransmission(now - self._down_since)
            self.is_up.set()
            for path in list(self.paths):
                path.pump()

    def reset(self) -> None:
        """RST every connection."""
        for path in list(self.paths):
            path.abort()

    def due(self, size_bytes: int, now: float) -> float:
        """When a segment sent `now` is through: air time, delay, jitter, sleep, and stalls for what is lost."""
        profile = self.profile
        self.counters.segments += 1
        sent = self._medium.reserve((size_bytes + SEGMENT_OVERHEAD_BYTES) * 8 / profile.rate_bps, now)
        stall = self._loss.stall_s(profile, sent, queueing_s=sent - now)
        if stall:
            self.counters.lost_segments += 1
            self.counters.stall_s += stall
        return sent + stall + self._rng.uniform(*profile.delay_range_s) + self._rng.uniform(0.0, profile.jitter_s)
