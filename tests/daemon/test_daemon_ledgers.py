"""Rows on their way through a real ring, ledgers on theirs through a real registry, and what an operator asks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.clock import SystemClock
from edge.config import BackfillSettings, ClockSettings, RingSettings, Settings
from edge.daemon import ledgers as module
from edge.daemon.backfill import BackfillDesk
from edge.daemon.enrolment import Enrolment
from edge.daemon.ledgers import DUTY, Ledgers
from edge.errors import LocalStateError, RegistryError
from edge.meters.dutyspec import ClockSpec, reckoning
from edge.meters.ledger import Ledger
from edge.meters.library import Library
from edge.meters.localtime import Reckoning, Zone
from edge.meters.profile import load_profiles
from edge.meters.ranges import Ranges
from edge.model import Field, Kind, Meter, Record, Schema, SeqSpan, Stream
from edge.ring.store import Ring
from edge.store.registry import FILE_NAME, Registry

ROW = Schema(Kind.INTERVAL, (Field("active_energy", unit="Wh"),), "generic-three-phase")
M1 = Meter("m1", "10.0.0.1", 4059)
GENERIC = load_profiles()["generic-three-phase"]


class Site:
    def __init__(self, directory: Path, ring: Ring, clock: SystemClock, enrolment: Enrolment) -> None:
        self.directory, self.ring, self.clock, self.enrolment = directory, ring, clock, enrolment
        self.looks = 0
        self.ledgers = Ledgers(ring, enrolment, clock, self._looked)

    def _looked(self) -> None:
        self.looks += 1

    def rows(self, *ends: int) -> list[Record]:
        return [Record(ROW, "m1", self.clock.stamp().dated_by_meter(end * 1000), (end,)) for end in ends]

    def kept(self) -> Any:
        with Registry.open(self.directory / FILE_NAME) as registry:
            text = registry.progress("m1", DUTY)
        return msgspec.json.decode(text) if text else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        worker = asyncio.create_task(self.ledgers.run(lambda _within_s: None))
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.wait({worker})
            assert worker.cancelled()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    with Registry.open(tmp_path / FILE_NAME) as registry:
        registry.add(M1)
    clock = SystemClock(trust_wall=True)
    enrolment = Enrolment(tmp_path / FILE_NAME, Library(tmp_path / "profiles"))
    async with Ring.open(tmp_path / "ring", RingSettings(size_mib=1, slot_mib=0.03125, billing_commit_window_s=0.05, instant_commit_window_s=0.05), clock) as ring:
        yield Site(tmp_path, ring, clock, enrolment)
        await enrolment.close()


async def test_a_ledger_follows_the_flash_and_never_runs_ahead_of_it(site: Site) -> None:
    book = site.ledgers.open("m1", Stream.BILLING)
    await book.load()
    book.ledger.look(0, 100, 10)
    book.keep(site.rows(10, 20), Ranges.of((0, 30)), Ranges.of((0, 20)))
    assert (book.ledger.counts().missing, book.ledger.on_way.pairs) == (10, ((0, 30),))
    async with site.running():
        await site.until(lambda: not book.ledger.on_way)
        assert site.ring.backlog(Stream.BILLING).records == 2
        assert book.ledger.counts().missing == 7
        assert site.kept() is None, "not worth a write yet"
    await site.ledgers.close()
    assert site.kept()["known"] == [0, 30]
    again = site.ledgers.open("m1", Stream.BILLING)
    await again.load()
    assert (again.ledger.known, again.ledger.held) == (book.ledger.known, book.ledger.held)


async def test_ledgers_are_kept_after_so_many_rows_and_the_registry_may_fail_meanwhile(
        site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "KEEP_ROWS", 2)
    monkeypatch.setattr(module, "KEEP_LEAST_S", 0.05)
    book = site.ledgers.open("m1", Stream.BILLING)
    await book.load()
    book.ledger.look(0, 100, 10)

    async def fails(_duty: str, _data: Any) -> None:
        raise RegistryError("the disk is full")

    whole = site.enrolment.keep_all_progress
    monkeypatch.setattr(site.enrolment, "keep_all_progress", fails)
    async with site.running():
        book.keep(site.rows(10, 20), Ranges.of((0, 20)), Ranges.of((0, 20)))
        await site.until(lambda: "not kept: the disk is full" in caplog.text)
        monkeypatch.setattr(site.enrolment, "keep_all_progress", whole)
        book.keep(site.rows(30, 40), Ranges.of((20, 40)), Ranges.of((20, 40)))
        await site.until(lambda: (site.kept() or {}).get("known") == [0, 40])


async def test_what_is_unreadable_or_of_a_closed_book_is_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for bad in ("{", "[]", '{"known":[1]}'):
        await site.enrolment.keep_progress("m1", DUTY, bad)
        assert await site.ledgers.kept("m1") == Ledger()
    assert caplog.text.count("unreadable") == 3
    old = site.ledgers.open("m1", Stream.BILLING)
    await old.load()
    old.ledger.taken(Ranges.of((0, 10)), Ranges())
    site.ledgers.open("m1", Stream.BILLING)
    await site.ledgers.keep()
    assert site.kept() == {"known": [1]}, "what the old book knew may be another meter's"


async def test_rows_wait_in_the_meter_while_the_ring_is_half_full_and_while_much_is_on_its_way(
        site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    book = site.ledgers.open("m1", Stream.BILLING)
    await book.load()
    book.ledger.look(0, 10**6, 10)
    monkeypatch.setattr(module, "ROWS_ON_WAY", 5)
    book.keep(site.rows(10, 20, 30, 40, 50), Ranges.of((0, 50)), Ranges.of((0, 50)))
    assert not book.room()
    async with site.running():
        await site.until(book.room)
        monkeypatch.setattr(module, "ROW_BYTES", 10**9)
        await site.until(lambda: not book.room())
        monkeypatch.setattr(module, "ROW_BYTES", 100)
        await site.until(book.room)


async def test_what_the_ring_lost_is_read_again_and_what_was_delivered_is_not(site: Site) -> None:
    book = site.ledgers.open("m1", Stream.BILLING)
    await book.load()
    book.ledger.look(0, 100, 10)
    lost = 0
    real = site.ring.status

    def status() -> Any:
        told = real()
        return replace(told, streams={**told.streams, "billing": replace(told.streams["billing"], lost=lost)})

    site.ring.status = status
    async with site.running():
        book.keep(site.rows(10, 20), Ranges.of((0, 20)), Ranges.of((0, 20)))
        await site.until(lambda: book.ledger.held.seconds == 20)
        newest = site.ring.backlog(Stream.BILLING).newest_seq
        site.ring.ack(SeqSpan(Stream.BILLING, newest - 1, newest))
        await site.until(lambda: not book.ledger.undelivered)
        book.keep(site.rows(30, 40), Ranges.of((20, 40)), Ranges.of((20, 40)))
        await site.until(lambda: book.ledger.held.seconds == 40)
        lost = 2
        await site.until(lambda: book.ledger.missing().pairs == ((20, 100),))


# -- the desk ------------------------------------------------------------------------------------------------------


def desk_of(site: Site, keep: Callable[[Record], object] = print, **changes: Any) -> BackfillDesk:
    site.enrolment.meters = (M1,)
    return BackfillDesk(Settings(**changes), site.ring, site.enrolment, site.clock, keep)


async def test_each_meter_whose_type_names_a_load_profile_has_a_backfill(site: Site) -> None:
    desk = desk_of(site)
    [errand] = desk.of(M1, GENERIC)
    assert (errand.name, list(desk.states())) == ("backfill", ["m1"])
    assert list(desk_of(site, backfill=BackfillSettings(enabled=False)).of(M1, GENERIC)) == []
    assert list(desk.of(M1, msgspec.structs.replace(GENERIC, load_profile=None))) == []
    assert desk.states() == {}


async def test_what_an_operator_asks(site: Site) -> None:
    desk, nudged = desk_of(site), list[str]()
    list(desk.of(M1, GENERIC))
    handlers = desk.handlers(nudged.append)
    with pytest.raises(LocalStateError, match="not been asked for its time yet"):
        await handlers["backfill_again"]({"meter": "m1", "from_s": 0, "to_s": 10})
    book, _ = desk._meters["m1"]
    await book.load()
    book.ledger.look(0, 9_000, 900)
    book.ledger.taken(Ranges.of((0, 9_000)), Ranges.of((0, 9_000)))
    assert (await handlers["backfill"]({}))["meters"][0]["present"] == 10
    assert await handlers["backfill_again"]({"meter": "m1", "from_s": 900, "to_s": 2_700}) == {"meter": "m1", "intervals": 2}
    assert nudged == ["m1"]
    assert (await handlers["backfill"]({"meter": "m1"}))["meters"][0]["missing"] == 2
    for bad in ({"meter": "m2"}, {"meter": 5}, {}, {"meter": "m1"}, {"meter": "m1", "from_s": 5, "to_s": 5}, {"meter": "m1", "from_s": "x", "to_s": 5}):
        with pytest.raises(LocalStateError):
            await handlers["backfill_again"](dict(bad))


async def test_a_meters_missing_intervals_are_told_until_there_are_none(site: Site) -> None:
    kept: list[Record] = []
    desk = desk_of(site, kept.append)
    list(desk.of(M1, GENERIC))
    book, _ = desk._meters["m1"]
    await book.load()

    def told() -> list[tuple[Any, ...]]:
        kept.clear()
        desk._tell_at = 0.0
        desk._tell()
        return [record.values for record in kept]

    assert told() == [], "nothing is known of it yet"
    book.ledger.look(0, 9_000, 900)
    assert told() == [(10, 0, 8_100)]
    assert told() == [(10, 0, 8_100)], "while something is missing"
    book.ledger.taken(Ranges.of((0, 9_000)), Ranges.of((900, 9_000)))
    assert told() == [(0, 1, None)]
    assert told() == []
    book.ledger.look(0, 9_900, 900)
    desk.forget(["m1"])
    assert told() == [(1, 1, 0)], "the name is registered: another meter has its errand by now"
    site.enrolment.meters = ()
    desk.forget(["m1"])
    assert told() == [], "removed"


@pytest.mark.parametrize(("spec", "zone", "expected"), [
    (None, "", Reckoning()), (None, "+01:00 eu", Reckoning(zone=Zone(3600, daylight_saving=True))),
    (ClockSpec(deviation="reversed"), "-05:00", Reckoning("reversed", Zone(-18_000))),
    (ClockSpec(utc_offset_minutes=-300), "+01:00", Reckoning(zone=Zone(-18_000))),
    (ClockSpec(utc_offset_minutes=60, daylight_saving="eu"), "", Reckoning(zone=Zone(3600, daylight_saving=True)))])
def test_the_zone_is_the_meter_types_else_the_settings(spec: ClockSpec | None, zone: str, expected: Reckoning) -> None:
    assert reckoning(spec, zone) == expected
    assert ClockSettings(meters_zone=zone).meters_zone == zone

