"""The line between a simulated meter and its client: a bridge's habits and a network's moods as data (sans-IO).

`Quirks` holds every switch; `Line` turns each answer into timed pieces. Both are deterministic from a seed, and every
switch may be changed while connections are open. Where the habits come from: the ESP32 and ser2net bridges of the
predecessor system, and the meters behind them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

IDLE_TEXT = b"Closing socket due to inactivity (30 sec)\r\nCLOSE\r\n"
REFUSAL_TEXT = b"Port already in use\r\n"
ESP32_CHUNK_BYTES = 127


@dataclass(slots=True)
class Quirks:
    """Switches of one meter's line. Times in seconds, shares from 0 to 1. The default is a perfect line."""

    # who is served
    second_client: Literal["served", "refused", "silent"] = "served"   # refused: ser2net's text; silent: ESP32
    idle_close_s: float | None = None         # the bridge closes an idle connection (ESP32: 30 s) ...
    idle_text: bytes = IDLE_TEXT              # ... and first says so, in the meter's stream
    # when answers come
    latency_s: tuple[float, float] = (0.0, 0.0)   # evenly spread turnaround of each answer
    tail_share: float = 0.0                   # share of answers that take up to `tail_s` instead
    tail_s: float = 6.7
    # how bytes come
    chunk_bytes: int = 0                      # pieces of this size (ESP32: 127; 1 = byte by byte); 0 = whole
    chunk_gap_s: float = 0.02                 # between pieces, so that they are separate segments
    join_share: float = 0.0                   # share of answers held back for `join_s`, to come with what follows
    join_s: float = 0.3
    noise_share: float = 0.0                  # share of answers with up to 8 stray bytes in front
    corrupt_share: float = 0.0                # share of answers with one flipped bit
    # what is left from before
    residue: bool = False                     # bytes that came too late reach the next client
    stale_first: bool = False                 # each new client first gets the first answer of the session before
    # how it ends
    after_requests: int | None = None         # with this request of a connection, instead of answering it ...
    then: Literal["silent", "close", "reset", "half-open"] = "silent"
    meter_silent: bool = False                # the meter does not answer; the bridge lives on
    half_open: bool = False                   # nothing comes any more, and nobody closes


def esp32(latency_s: tuple[float, float] = (0.2, 0.4)) -> Quirks:
    """The ESP32 RS-485 bridge: one client, 30 s, 127-byte pieces, residue; 0.2 to 0.4 s per answer with rare tails."""
    return Quirks(second_client="silent", idle_close_s=30.0, latency_s=latency_s, tail_share=0.005,
                  chunk_bytes=ESP32_CHUNK_BYTES, residue=True)


def ser2net(latency_s: tuple[float, float] = (0.1, 0.2)) -> Quirks:
    """ser2net before a 9600-baud line: one client, the second is told so; transparent otherwise."""
    return Quirks(second_client="refused", latency_s=latency_s, residue=True)


PRESETS: dict[str, Callable[[], Quirks]] = {"none": Quirks, "esp32": esp32, "ser2net": ser2net}


class Line:
    """Plans when which bytes of an answer arrive. Order is kept: no piece is due before one planned earlier."""

    def __init__(self, quirks: Quirks, seed: int) -> None:
        """Everything that happens by chance here follows from `seed`."""
        self.quirks = quirks
        self._rng = random.Random(seed)
        self._last_due = 0.0

    @property
    def transparent(self) -> bool:
        """True where answers pass at once and whole, so that planning can be skipped."""
        q = self.quirks
        return not (q.latency_s[1] or q.tail_share or q.chunk_bytes or q.join_share or q.noise_share or q.corrupt_share)

    def plan(self, answer: bytes, now: float) -> list[tuple[float, bytes]]:
        """Split one answer into (due time, bytes); `now` is in the seconds of the same clock as the due times."""
        q, rng = self.quirks, self._rng
        data = self._damage(answer)
        delay = rng.uniform(*q.latency_s)
        if q.tail_share and rng.random() < q.tail_share:
            delay = rng.uniform(q.latency_s[1], q.tail_s)
        if q.join_share and rng.random() < q.join_share:
            delay += q.join_s
        due = max(now + delay, self._last_due)
        size = q.chunk_bytes or len(data)
        parts = [data[start:start + size] for start in range(0, len(data), size)]
        self._last_due = due + (len(parts) - 1) * q.chunk_gap_s
        return [(due + n * q.chunk_gap_s, part) for n, part in enumerate(parts)]

    def _damage(self, answer: bytes) -> bytes:
        q, rng = self.quirks, self._rng
        if q.noise_share and rng.random() < q.noise_share:
            answer = rng.randbytes(rng.randint(1, 8)) + answer
        if q.corrupt_share and rng.random() < q.corrupt_share:
            damaged = bytearray(answer)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            answer = bytes(damaged)
        return answer
