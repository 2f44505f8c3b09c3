"""The meters' interval ledgers between the ring, which takes the rows, and the registry, which keeps what is known.

    Backfill.step ─► Book.keep ─► ring.put ─► handed over ─► run: on flash? ─► ledger ─► registry, KEEP_S apart

A step never waits for the flash, and a ledger never runs ahead of it. What the power takes before a ledger is kept is
read again: the meter gives the same rows, ThingsBoard overwrites the same device, key and time.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from edge.clock import Clock
from edge.daemon.enrolment import Enrolment
from edge.errors import RegistryError, RingError
from edge.health.promise import Pulse
from edge.meters.ledger import Ledger
from edge.meters.ranges import Ranges
from edge.model import Record, Stream
from edge.ring.lane import Ticket
from edge.ring.store import Ring

log = logging.getLogger(__name__)

DUTY = "backfill"

CHECK_S = 2.0
"""How often the ring is looked at: has it room, has it lost anything, is it drained."""

KEEP_S = 120.0
KEEP_ROWS, KEEP_LEAST_S = 500, 2.0
"""Ledgers that have changed go to flash together after KEEP_S, or after so many rows, but never closer together than
KEEP_LEAST_S. So much is read again after a power cut; a live system writes once or twice per capture period."""

PULSE_S = 30.0
SPARE_S = 30.0
CLOSE_S = 1.0

ROWS_ON_WAY = 2_000
"""Rows that were handed to the ring and are not on flash yet: beyond, nothing more is read."""

ROW_BYTES = 100
"""What a row takes in the ring, about. Half of a stream's quota is left to what cannot wait in a meter."""

RECLAIM_BELOW = 1_000
"""Records waiting for upstream, below which what the ring has lost is read again: never into a ring that is full."""


class Book:
    """One meter's ledger for one life of its poller: what `edge.errands.backfill.Book` asks for."""

    def __init__(self, ledgers: "Ledgers", meter: str, stream: Stream) -> None:
        """Made by `Ledgers.open`. `stream` of the ring takes the rows."""
        self.ledger = Ledger()
        self.meter = meter
        self.stream = stream
        self.loaded = False
        self._ledgers = ledgers

    async def load(self) -> None:
        """Read the ledger that was kept. Raises RegistryError."""
        self.ledger = await self._ledgers.kept(self.meter)
        self.loaded = True

    def room(self) -> bool:
        """Tell whether more may be read."""
        return self._ledgers.room(self.stream)

    def keep(self, records: Sequence[Record], known: Ranges, held: Ranges) -> None:
        """Put rows into the ring; their intervals are known once that is durable. Raises RingError."""
        self._ledgers.hand_over(self, records, known, held)


class _Handed(NamedTuple):
    """Rows on their way to flash; `last` is the last one's ticket."""

    book: Book
    last: Ticket
    rows: int
    known: Ranges
    held: Ranges


class Ledgers:
    """All of them. `run` is one task; the rest belongs to the same loop."""

    def __init__(self, ring: Ring, enrolment: Enrolment, clock: Clock, looked: Callable[[], None]) -> None:
        """`looked` is called after each look at the ring, every CHECK_S or so."""
        self._ring = ring
        self._enrolment = enrolment
        self._clock = clock
        self._looked = looked
        self._books: dict[str, Book] = {}
        self._handed: deque[_Handed] = deque()
        self._rows = 0
        self._news = asyncio.Event()
        self._room: dict[Stream, bool] = dict.fromkeys(Stream, True)
        self._kept_at = clock.monotonic()
        self._unkept = 0                      # rows on flash that no kept ledger knows of
        self._fault = ""

    def open(self, meter: str, stream: Stream) -> Book:
        """Begin a meter's book. An older one of the name is no longer kept: it may have been another meter's."""
        self._books[meter] = Book(self, meter, stream)
        return self._books[meter]

    def forget(self, meter: str) -> None:
        """End a meter's book. Unknown names are fine."""
        self._books.pop(meter, None)

    # -- for the books ---------------------------------------------------------------------------------------------

    async def kept(self, meter: str) -> Ledger:
        """Return the ledger that was kept for a meter, an empty one where none was or none can be read."""
        text = await self._enrolment.progress(meter, DUTY)
        if not text:
            return Ledger()
        try:
            return Ledger.decode(msgspec.json.decode(text))
        except (ValueError, msgspec.DecodeError):
            log.warning("meter %s: what was known of its intervals is unreadable: they are read again", meter)
            return Ledger()

    def room(self, stream: Stream) -> bool:
        """Tell whether a stream of the ring may get more rows: while not, they wait in the meter."""
        return self._room[stream] and self._rows < ROWS_ON_WAY

    def hand_over(self, book: Book, records: Sequence[Record], known: Ranges, held: Ranges) -> None:
        """See `Book.keep`. What the ring took before it refused is there twice when it is read again: the same rows."""
        last = None
        for record in records:
            last = self._ring.put(book.stream, record)
        if last is None:
            book.ledger.taken(known, held)
            return
        book.ledger.on_way |= known
        self._rows += len(records)
        self._handed.append(_Handed(book, last, len(records), known, held))
        self._news.set()

    # -- the worker ------------------------------------------------------------------------------------------------

    async def run(self, pulse: Pulse) -> None:
        """Follow what was handed over to flash, keep ledgers, look at the ring. Until cancelled."""
        while True:
            pulse(CHECK_S + SPARE_S)
            self._look()
            waited_s = self._clock.monotonic() - self._kept_at
            if waited_s >= KEEP_S or (self._unkept >= KEEP_ROWS and waited_s >= KEEP_LEAST_S):
                pulse(SPARE_S * 2)
                await self.keep()
            if self._handed:
                await self._follow(self._handed[0], pulse)
                self._rows -= self._handed.popleft().rows
                continue
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()

    async def keep(self) -> None:
        """Keep every ledger that has changed. What cannot be kept now is tried again with the next."""
        self._kept_at, self._unkept = self._clock.monotonic(), 0
        changed = [book for book in self._books.values() if book.loaded and book.ledger.changed]
        data = {book.meter: msgspec.json.encode(book.ledger.encode()).decode() for book in changed}
        for book in changed:
            book.ledger.changed = False
        try:
            if data:
                await self._enrolment.keep_all_progress(DUTY, data)
        except RegistryError as error:
            for book in changed:
                book.ledger.changed = True
            log.log(logging.DEBUG if self._fault == str(error) else logging.WARNING,
                    "what is known of the meters' intervals is not kept: %s", error)
            self._fault = str(error)

    async def close(self) -> None:
        """Keep what is known, within a deadline; the registry must still be open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.keep()

    def _look(self) -> None:
        """Look at the ring: has a stream room, has it lost anything, has upstream got everything."""
        ring = self._ring.status()
        for stream in Stream:
            state, backlog = ring.streams[stream.name.lower()], self._ring.backlog(stream).records
            self._room[stream] = ring.healthy and backlog + state.in_memory < state.quota_bytes / ROW_BYTES / 2
            for book in self._books.values():
                if book.stream is not stream or not book.loaded:
                    continue
                book.ledger.look_at_ring(state.lost)
                if not backlog and not state.in_memory and not book.ledger.on_way:
                    book.ledger.drained()
                if backlog < RECLAIM_BELOW:
                    book.ledger.reclaim()
        self._looked()

    async def _follow(self, handed: _Handed, pulse: Pulse) -> None:
        """Wait until rows are on flash, however long that takes, and note it in their ledger."""
        waiting = asyncio.ensure_future(_durable(handed.last))
        try:
            while not waiting.done():
                pulse(PULSE_S + SPARE_S)
                await asyncio.wait({waiting}, timeout=PULSE_S)
            waiting.result()
        except RingError as error:
            log.warning("meter %s: rows of its load profile are read again: %s", handed.book.meter, error)
            handed.book.ledger.on_way -= handed.known
        else:
            handed.book.ledger.taken(handed.known, handed.held)
            self._unkept += handed.rows
        finally:
            waiting.cancel()


async def _durable(ticket: Ticket) -> None:
    await ticket
