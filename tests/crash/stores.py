"""The stores that the rig cuts: the ring as the gateway uses it, SQLite as the reference, and both with a guard taken away.

Each takes the same records and says in marks what it has promised. `work` runs on the recorded disk, `check` on what a cut left.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from promises import OWN, Finding, Promises, compare

from edge.clock import Clock, SystemClock
from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.lane import Ticket
from edge.ring.store import Ring

Mark = Callable[[dict], None]
SCHEMA = Schema(Kind.READING, (Field("n"), Field("energy", -3, "Wh", "1-0:1.8.0"), Field("text")))
CLOCK = SystemClock(trust_wall=True)
RETRY_S = 0.05                      # after an error of storage; thirty seconds on a product
COMMIT_WITHIN_S = 60.0              # a ring on a disk that answers with errors would wait for it for ever


def contents(n: int) -> tuple[int, int, str]:
    """The values of record `n`; every fiftieth is larger than a page."""
    return n, 123_456_789 + 97 * n, "x" * (6_000 if n % 50 == 7 else n % 60)


def number_of(values: tuple) -> int | None:
    """Return which record these values are, None when they are no record's."""
    n = values[0]
    return n if isinstance(n, int) and tuple(values) == contents(n) else None


class SimulatedLie(OsFileSystem):
    """The machine's file system without the one call that the promise hangs on."""

    def sync(self, path: Path) -> None:
        """Say that it is durable, as a store without fsync does."""


class RingStore:
    """The ring. `pressure` says how the workload treats it.

    grow   nothing is acknowledged: slots are made all the time, shared out as the workload needs them, and never run out
    wrap   acknowledged slots are written again and again, over a ring of one MiB
    full   nothing is acknowledged and there is no room

    With `evicts` the oldest may be missing as far as the ring itself counts them as lost; a long life on a small ring comes to that.
    """

    def __init__(self, name: str, pressure: str, fs: Callable[[], OsFileSystem] = OsFileSystem, *, clock: Clock = CLOCK,
                 evicts: bool = False, encrypt: bool = False) -> None:
        self.name, self._pressure, self._fs, self._clock, self._evicts = name, pressure, fs, clock, evicts
        self.settings = RingSettings(
            size_mib=11 if pressure == "grow" else 1, slot_mib=0.0625, alarm_share=0.1 if pressure == "grow" else 0.25,
            billing_share=0.2 if pressure == "grow" else 0.25, ack_commit_s=0.02,
            instant_commit_window_s=0, billing_commit_window_s=0, alarm_commit_window_s=0, encrypt=encrypt)

    def work(self, place: Path, mark: Mark, commits: int, rng: random.Random, first: int) -> int:
        """Commit `commits` times, from record `first` on; return the record after the last."""
        return asyncio.run(self._work(place, mark, commits, rng, first))

    async def _work(self, place: Path, mark: Mark, commits: int, rng: random.Random, n: int) -> int:
        streams = [Stream.INSTANT] * 7 + [Stream.BILLING] * 2 + [Stream.ALARM]
        async with Ring.open(place / "ring", self.settings, self._clock, self._fs(), retry_first_s=RETRY_S) as ring:
            for _ in range(commits):
                stream = rng.choice(streams)
                tickets = []
                for _ in range(rng.choice((1, 1, 1, 2, 10, 40))):
                    tickets.append((n, ring.put(stream, Record(SCHEMA, f"m{n % 5}", self._clock.stamp(), contents(n)))))
                    n += 1
                await self._commit([ticket for _, ticket in tickets])
                mark({"put": [[stream.name, ticket.seq, number] for number, ticket in tickets]})
                while self._pressure == "wrap" and ring.backlog(stream).records > rng.randrange(30):
                    await self._acknowledge(ring, mark, stream, rng)
            if self._pressure == "grow" and ring.status().lost:      # it would be taken for a broken promise
                raise RuntimeError("the workload has outgrown its ring: fewer commits or generations, or a larger size_mib")
        return n

    async def _commit(self, tickets: list[Ticket]) -> None:
        async with asyncio.timeout(COMMIT_WITHIN_S):
            for ticket in tickets:
                await ticket

    async def _acknowledge(self, ring: Ring, mark: Mark, stream: Stream, rng: random.Random) -> None:
        batch = await (ring.read if rng.random() < 0.7 else ring.read_newest)(stream, limit_records=rng.choice((1, 20, 200)))
        mark({"ack": [[stream.name, stored.seq] for stored in batch]})
        ring.ack(SeqSpan(stream, batch[0].seq, batch[-1].seq))

    def check(self, place: Path, promises: Promises) -> Finding:
        """Open what is there, compare it with the promises, and see that it works on."""
        return asyncio.run(self._check(place, promises))

    async def _check(self, place: Path, promises: Promises) -> Finding:
        async with asyncio.timeout(COMMIT_WITHIN_S), Ring.open(place / "ring", self.settings, self._clock) as ring:
            found = {stream.name: await everything(ring, stream) for stream in Stream}
            status = ring.status()
            lost = {name.upper(): stream.lost for name, stream in status.streams.items()}
            finding = compare(promises, found, lost if self._evicts else None)
            finding.counted = status.lost
            if not status.healthy:
                finding.failed = status.problem
            fresh = await ring.append(Stream.INSTANT, Record(SCHEMA, "after", self._clock.stamp(), contents(1)))
            before = {("INSTANT", number) for number, _ in found["INSTANT"]} | promises.kept.keys() | promises.acked
            finding.reused = ("INSTANT", fresh) in before
        return finding


async def everything(ring: Ring, stream: Stream) -> list[tuple[int, int | None]]:
    """All that waits in a stream, as the uplink would read it."""
    rows: list[tuple[int, int | None]] = []
    after = 0
    while batch := await ring.read(stream, after=after, limit_records=500):
        after = batch[-1].seq
        rows += [(stored.seq, OWN if stored.record.schema.kind is Kind.GAP else number_of(stored.record.values)) for stored in batch]
    return rows


class SqliteStore:
    """A table in SQLite, write-ahead log, one connection; FULL is the reference, NORMAL syncs at checkpoints only."""

    def __init__(self, name: str, synchronous: str) -> None:
        self.name, self._synchronous = name, synchronous

    def _open(self, place: Path) -> sqlite3.Connection:
        db = sqlite3.connect(place / "store.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={self._synchronous}")
        db.execute("CREATE TABLE IF NOT EXISTS r (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER, energy INTEGER, text TEXT)")
        return db

    def work(self, place: Path, mark: Mark, commits: int, rng: random.Random, n: int) -> int:
        with closing(self._open(place)) as db:
            for _ in range(commits):
                numbers = range(n, n + rng.choice((1, 1, 1, 2, 10, 40)))
                n = numbers.stop
                db.execute("BEGIN")
                ids = [db.execute("INSERT INTO r (n, energy, text) VALUES (?, ?, ?)", contents(one)).lastrowid for one in numbers]
                db.execute("COMMIT")
                mark({"put": [["INSTANT", number, one] for number, one in zip(ids, numbers, strict=True)]})
                if rng.random() < 0.1:
                    gone = [row[0] for row in db.execute("SELECT id FROM r ORDER BY id LIMIT 20")]
                    mark({"ack": [["INSTANT", number] for number in gone]})
                    db.execute("DELETE FROM r WHERE id <= ?", (gone[-1],))
        return n

    def check(self, place: Path, promises: Promises) -> Finding:
        with closing(self._open(place)) as db:
            rows = [(number, number_of(values)) for number, *values in db.execute("SELECT id, n, energy, text FROM r ORDER BY id")]
            finding = compare(promises, {"INSTANT": rows})
            db.execute("INSERT INTO r (n, energy, text) VALUES (?, ?, ?)", contents(1))
            if (problem := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                finding.failed = problem
        return finding


STORES = {store.name: store for store in (
    RingStore("ring-grow", "grow"), RingStore("ring-wrap", "wrap"), RingStore("ring-full", "full", evicts=True),
    RingStore("ring-sealed", "wrap", encrypt=True),
    SqliteStore("sqlite-full", "FULL"), SqliteStore("sqlite-normal", "NORMAL"),
    RingStore("ring-without-sync", "grow", SimulatedLie))}
KEEP_THEIR_WORD = ("ring-grow", "ring-wrap", "ring-full", "ring-sealed", "sqlite-full")
