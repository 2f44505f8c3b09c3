"""The stores of the ring's benchmark, all given the same records in the same batches, all durable when a batch returns.

ring            as the gateway uses it: through the event loop (uvloop) and the writer thread
encrypted       the same with ring.encrypt
engine          the ring without loop and thread
sqlite          WAL, synchronous=FULL, one connection, called directly
sqlite-thread   the same as a gateway would have to use it: behind the same event loop and a thread like the ring's
lmdb            one transaction for each batch
persist-queue   SQLiteAckQueue, which commits each record by itself: it has no batches
"""

import os
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import msgpack

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.engine import Engine
from edge.ring.fs import OsFileSystem
from edge.ring.lane import Lane
from edge.ring.reserve import reserve
from edge.ring.store import Ring
from edge.ring.writer import Writer

FIELDS = tuple(Field(key, -1, unit, obis) for key, unit, obis in (
    ("voltage_l1", "V", "1-0:32.7.0"), ("voltage_l2", "V", "1-0:52.7.0"), ("voltage_l3", "V", "1-0:72.7.0"),
    ("current_l1", "A", "1-0:31.7.0"), ("current_l2", "A", "1-0:51.7.0"), ("current_l3", "A", "1-0:71.7.0"),
    ("frequency", "Hz", "1-0:14.7.0"), ("active_power", "W", "1-0:1.7.0"), ("active_energy", "Wh", "1-0:1.8.0")))
SCHEMA = Schema(Kind.READING, FIELDS, "generic-three-phase")
CLOCK = SystemClock(trust_wall=True)
S = Stream.INSTANT
CHUNK = 500                         # records per drain, acknowledged together


def records(count: int) -> list[Record]:
    """Nine values each, of twenty meters; about 40 bytes packed."""
    stamp = CLOCK.stamp()
    return [Record(SCHEMA, f"meter-{n % 20:03d}", stamp, (
        2301 + n % 40, 2299 + n % 37, 2310 + n % 31, 512 + n % 900, 498 + n % 800, 505 + n % 700, 5000 + n % 7,
        353_212 + n % 9000, 123_456_789 + 97 * n)) for n in range(count)]


def packed(pack, record: Record) -> bytes:
    return pack([0, record.device, record.stamp.boottime_ms, *record.values])


def unpacked(seq: int, row: bytes) -> Stored:
    """The same object that the ring gives back."""
    schema, device, boottime_ms, *rest = msgpack.unpackb(row)
    assert schema == 0
    return Stored(S, seq, Record(SCHEMA, device, Stamp(boottime_ms, boottime_ms + 7, "boot", True), tuple(rest)))


class Store(Protocol):
    """What the benchmark asks. `append` returns when the batch is durable; `drain` reads all and lets go of all."""

    async def append(self, batch: Sequence[Record]) -> None: ...
    async def drain(self) -> int: ...
    async def close(self) -> None: ...


class Sqlite:
    """A table; one connection, used from one thread."""

    def __init__(self, place: Path, *, threads: bool = False) -> None:
        self._db = sqlite3.connect(place / "store.db", isolation_level=None, check_same_thread=not threads)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB)")
        self._pack = msgpack.Packer().pack
        self._after = 0

    def put(self, batch: Sequence[Record]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO r (row) VALUES (?)", [(packed(self._pack, one),) for one in batch])
        self._db.execute("COMMIT")

    def take(self) -> int:
        chunk = self._db.execute("SELECT seq, row FROM r WHERE seq > ? ORDER BY seq LIMIT ?", (self._after, CHUNK))
        found = [unpacked(seq, row) for seq, row in chunk]
        if found:
            self._after = found[-1].seq
            self._db.execute("DELETE FROM r WHERE seq <= ?", (self._after,))
        return len(found)

    async def append(self, batch: Sequence[Record]) -> None:
        self.put(batch)

    async def drain(self) -> int:
        seen = 0
        while count := self.take():
            seen += count
        return seen

    async def close(self) -> None:
        self._db.close()


class SqliteThread:
    """The same, asked from the loop."""

    def __init__(self, place: Path) -> None:
        self._store, self._writer = Sqlite(place, threads=True), Writer()

    async def append(self, batch: Sequence[Record]) -> None:
        await self._writer.call(self._store.put, batch)

    async def drain(self) -> int:
        seen = 0
        while count := await self._writer.call(self._store.take):
            seen += count
        return seen

    async def close(self) -> None:
        await self._store.close()
        self._writer.stop()


class Lmdb:
    """One database, numbers as keys."""

    def __init__(self, place: Path) -> None:
        import lmdb

        self._env = lmdb.open(str(place / "lmdb"), map_size=1 << 28)
        self._pack, self._next = msgpack.Packer().pack, 1

    async def append(self, batch: Sequence[Record]) -> None:
        with self._env.begin(write=True) as transaction:
            for record in batch:
                transaction.put(self._next.to_bytes(8, "big"), packed(self._pack, record), append=True)
                self._next += 1

    async def drain(self) -> int:
        seen = 0
        while count := self._take():
            seen += count
        return seen

    def _take(self) -> int:
        with self._env.begin(write=True) as transaction:
            rows = []
            cursor = transaction.cursor()
            for key, row in cursor:
                rows.append(unpacked(int.from_bytes(key, "big"), row))
                if len(rows) == CHUNK:
                    break
            for stored in rows:
                transaction.delete(stored.seq.to_bytes(8, "big"))
        return len(rows)

    async def close(self) -> None:
        self._env.close()


class PersistQueue:
    """Each put and each acknowledgement is a commit of its own."""

    def __init__(self, place: Path) -> None:
        import persistqueue

        self._queue = persistqueue.SQLiteAckQueue(str(place / "queue"), auto_commit=True)
        self._pack = msgpack.Packer().pack

    async def append(self, batch: Sequence[Record]) -> None:
        for record in batch:
            self._queue.put(packed(self._pack, record))

    async def drain(self) -> int:
        seen = 0
        while self._queue.size:
            row = self._queue.get(block=False)
            unpacked(seen, row)
            self._queue.ack(row)
            seen += 1
        self._queue.clear_acked_data(keep_latest=0)
        return seen

    async def close(self) -> None:
        self._queue.close()


class RingEngine:
    """The ring's engine, called directly."""

    def __init__(self, place: Path) -> None:
        settings = RingSettings(size_mib=64, slot_mib=4, instant_commit_window_s=3600, ack_commit_s=3600)
        reserve(place / "ring", settings)
        self._engine = Engine(OsFileSystem(), place / "ring", settings, CLOCK.stamp, os.urandom)
        self._lane = Lane(self._engine.logs[S], 1.0, 65536, CLOCK.boot_id)

    async def append(self, batch: Sequence[Record]) -> None:
        for record in batch:
            self._lane.put(record)
        self._lane.done(self._engine.commit(S, self._lane.take(len(self._lane.pending), state_due=False)).end)

    async def drain(self) -> int:
        first = seen = 0
        while chunk := self._engine.read(S, first, CHUNK, 1 << 20):
            seen += len(chunk)
            end = (chunk[-1].seq & ORDINAL_MASK) + 1
            self._engine.logs[S].ack(chunk[0].seq & ORDINAL_MASK, end - 1, end)
            self._lane.done(self._engine.commit(S, self._lane.take(0, state_due=True)).end)
            first = end
        return seen

    async def close(self) -> None:
        self._engine.close()


class WholeRing:
    """The ring as the gateway uses it."""

    def __init__(self, place: Path, *, encrypt: bool = False) -> None:
        # nothing elided: each batch has to be durable
        settings = RingSettings(size_mib=64, slot_mib=4, instant_commit_window_s=0.0, ack_commit_s=0.0, elide=False,
                                encrypt=encrypt)
        reserve(place / "ring", settings)          # as `halow-gateway init` does on a board
        self._context = Ring.open(place / "ring", settings, CLOCK)
        self._ring: Ring | None = None
        self._after = 0

    async def append(self, batch: Sequence[Record]) -> None:
        if self._ring is None:
            self._ring = await self._context.__aenter__()
        for record in batch:
            ticket = self._ring.put(S, record)
        await ticket

    async def drain(self) -> int:
        assert self._ring is not None
        seen = 0
        while chunk := await self._ring.read(S, after=self._after, limit_records=CHUNK, limit_bytes=1 << 20):
            seen += len(chunk)
            self._after = chunk[-1].seq
            self._ring.ack(SeqSpan(S, chunk[0].seq, self._after))
        return seen

    async def close(self) -> None:
        await self._context.__aexit__(None, None, None)


STORES = {"sqlite": Sqlite, "sqlite-thread": SqliteThread, "lmdb": Lmdb, "persist-queue": PersistQueue,
          "engine": RingEngine, "ring": WholeRing, "encrypted": partial(WholeRing, encrypt=True)}
WITHOUT_BATCHES = ("persist-queue",)
