"""The ring's writer thread under the watchdog.

Appending never waits for the flash, so a card that hangs would be noticed by whoever happens to read next, and named
after it. This worker does nothing but go through the writer's queue and back: overdue means that the card, or the
writer, does not answer. A writer that is broken for good raises RingError here: only a new start mends that.
"""

import asyncio

from edge.health.promise import Pulse
from edge.model import Stream
from edge.ring.store import Ring

LOOK_S = 5.0
STALL_S = 10.0        # an SD card's own housekeeping, and slots that are being made, take seconds


async def watch(ring: Ring, pulse: Pulse) -> None:
    """Ask the writer for nothing every `LOOK_S`, until cancelled. Raises RingError when it will never answer again."""
    while True:
        pulse(LOOK_S + STALL_S)
        newest = ring.backlog(Stream.ALARM).newest_seq
        await ring.read(Stream.ALARM, after=newest, limit_records=1)
        await asyncio.sleep(LOOK_S)
