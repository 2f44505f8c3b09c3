"""The backfill errand on simulated meters over real TCP; days pass in a moment."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from errands_site import SetClock, Site

from edge.demo import meter_objects as objects
from edge.demo.meter_device import Fittings, central_europe
from edge.demo.meter_model import key
from edge.demo.meter_rows import TimedProfile
from edge.demo.meter_zone import TimeStyle
from edge.dlms.cosem import Obis
from edge.errands.backfill import Backfill
from edge.errands.pace import Pace
from edge.errors import NoAnswer, RegistryError, RingError, Violation
from edge.meters.ledger import Ledger, Order
from edge.meters.localtime import Reckoning, Zone
from edge.meters.ranges import Ranges
from edge.model import Kind, Meter, Record

QUARTER, DAY = 900, 86_400
NOW = 1_772_368_505                  # 2026-03-01 12:35:05 UTC
AUTUMN = 1_792_890_000               # 2026-10-25, 01:00 UTC: the hour is put back
EUROPE = Zone(3600, daylight_saving=True)


class Book:
    """One meter's ledger; everything is durable at once, unless a test holds it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.records: list[Record] = []
        self.has_room = True
        self.refuses = False
        self.unreadable = False
        self.holds = False
        self.held: list[tuple[Ranges, Ranges]] = []

    async def load(self) -> None:
        if self.unreadable:
            raise RegistryError("the registry is locked")

    def room(self) -> bool:
        return self.has_room

    def keep(self, records: Sequence[Record], known: Ranges, held: Ranges) -> None:
        if self.refuses:
            raise RingError("memory is full")
        self.records += records
        self.ledger.on_way |= known
        self.held.append((known, held))
        if not self.holds:
            self.durable()

    def durable(self) -> None:
        for known, held in self.held:
            self.ledger.taken(known, held)
        self.held.clear()


class Yard:
    """A site with a backfill on its meter."""

    def __init__(self, kind: str = "wrapper", *, now: float = NOW, days: float = 3.0, order: Order = "newest",
                 reckoning: Reckoning | None = None, **fittings: Any) -> None:
        self.site = Site(kind, Fittings(**fittings), clock=SetClock(now))
        self.book = Book()
        self.days, self.order, self.reckoning = days, order, reckoning or Reckoning()
        self.backfill = self.begin()

    def begin(self) -> Backfill:
        """Another errand with the same book, as after a restart."""
        site = self.site
        self.backfill = Backfill(Meter("m1", "127.0.0.1", 1), site.profile, self.book, clock=site.clock, reckoning=self.reckoning,
                                 pace=Pace(4.0, 1.0), order=self.order, history_s=int(self.days * DAY), share=0.0)
        return self.backfill

    @property
    def clock(self) -> SetClock:
        return self.site.clock

    async def until_quiet(self, *, steps: int = 400) -> int:
        """Take steps while one is due now; return how many. What a step raises is given to `failed`."""
        taken = 0
        async with self.site.session() as session:
            while (due := self.backfill.due(self.clock.monotonic())) is not None and due <= self.clock.monotonic():
                assert taken < steps, f"no end of steps: {self.backfill.state()}"
                await self.backfill.step(session)
                taken += 1
        return taken

    async def later(self, seconds: float) -> None:
        self.clock.pass_s(seconds)
        await self.until_quiet()

    def at(self) -> list[float]:
        """When the rows were, in seconds; milliseconds tell the doubled ones."""
        return [record.stamp.wall_ms / 1000 for record in self.book.records]

    def truth(self) -> list[float]:
        """When the meter captured within the window of the ledger."""
        start, end = self.book.ledger.window
        profile: Any = self.site.meter.model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
        oldest, total = profile._ring(self.clock.wall())
        return [capture.shown for capture, _ in profile.rows(oldest, total - 1, self.clock.wall()) if start < capture.shown <= end]

    def check_values(self) -> None:
        """Each row carries the registers' values of its instant."""
        model = self.site.meter.model
        for record in self.book.records[::7]:
            told = {field.obis: value for field, value in zip(record.schema.fields, record.values, strict=True)}
            raw = model.raw_values(record.stamp.wall_ms // 1000)
            for obis, value in raw.items():
                assert told[f"{obis[0]}-{obis[1]}:{obis[2]}.{obis[3]}.{obis[4]}.{obis[5]}"] == value


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("kind", ["wrapper", "hdlc", "ciphered", "microstar"])
async def test_three_days_come_once_each_in_the_order_of_the_settings(kind: str, order: Order) -> None:
    yard = Yard(kind, order=order)
    async with yard.site.running():
        await yard.until_quiet()
        counts = yard.book.ledger.counts()
        assert (counts.expected, counts.present, counts.missing, counts.absent) == (288, 288, 0, 0)
        assert sorted(yard.at()) == yard.truth()
        yard.check_values()
        firsts = yard.at()[0], yard.at()[-1]
        assert firsts[0] > firsts[1] - DAY if order == "newest" else firsts[0] < firsts[1]
    assert {record.schema.kind for record in yard.book.records} == {Kind.INTERVAL}
    assert yard.backfill.state().state == "complete"


async def test_a_live_meter_gets_each_row_soon_after_its_interval() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        for _ in range(5):
            seen = len(yard.book.records)
            due = yard.backfill.due(yard.clock.monotonic())
            assert due is not None
            await yard.later(due - yard.clock.monotonic())
            assert len(yard.book.records) == seen + 1
            assert yard.clock.wall() - yard.at()[-1] < 10
    assert yard.book.ledger.counts().missing == 0


async def test_a_meter_that_was_off_has_no_rows_and_is_not_asked_for_them_again() -> None:
    yard = Yard(days=2, load_status=True)
    yard.site.meter.model.device.power(NOW - 30_000, on=False)
    yard.site.meter.model.device.power(NOW - 20_000, on=True)
    async with yard.site.running():
        await yard.until_quiet()
        counts = yard.book.ledger.counts()
        assert counts.missing == 0
        assert counts.absent == 11
        assert sorted(yard.at()) == yard.truth()
        assert await yard.until_quiet() == 0
        asked = yard.site.meter.counters.requests
        await yard.later(QUARTER)
        assert yard.site.meter.counters.requests - asked <= 3, "a look, and the one new row"
    [status] = {value for record in yard.book.records for field, value in zip(record.schema.fields, record.values, strict=True)
                if field.key == "status"} - {0}
    assert status == 0x80


async def test_the_gateway_was_off_and_only_what_is_missing_is_read() -> None:
    yard = Yard(days=5)
    async with yard.site.running():
        await yard.until_quiet()
        before = len(yard.book.records)
        kept = yard.book.ledger.encode()
        yard.clock.pass_s(3 * DAY)
        yard.book.ledger = Ledger.decode(kept)
        yard.begin()
        await yard.until_quiet()
        assert len(yard.book.records) == before + 288
        assert Counter(yard.at()).most_common(1)[0][1] == 1
        assert set(yard.at()) >= set(yard.truth())


async def test_what_was_not_durable_at_a_power_cut_is_read_again() -> None:
    yard = Yard(days=1)
    yard.book.holds = True
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.book.ledger.counts().missing == 96, "nothing has come to flash"
        lost, yard.book = yard.book, Book()
        yard.book.ledger = Ledger.decode(lost.ledger.encode())
        yard.begin()
        await yard.until_quiet()
        assert sorted(yard.at()) == yard.truth()
        again = {record.stamp.wall_ms: record.values for record in yard.book.records}
        assert {record.stamp.wall_ms: record.values for record in lost.records} == again, "the same at every reading"


@pytest.mark.parametrize(("style", "reckoning"), [
    (TimeStyle(), Reckoning()),
    (TimeStyle(deviation="reversed"), Reckoning("reversed")),
    (TimeStyle(deviation="unspecified"), Reckoning(zone=Zone(3600))),
    (TimeStyle(deviation="unspecified", status=False), Reckoning(zone=EUROPE)),
    (TimeStyle(deviation="unspecified"), Reckoning()),
], ids=["standard", "reversed", "zone and status", "zone and rule", "the meter's own zone"])
@pytest.mark.parametrize("change", [1_774_746_000, AUTUMN], ids=["spring", "autumn"])
async def test_over_the_change_of_the_hour_every_interval_comes_once(change: int, style: TimeStyle, reckoning: Reckoning) -> None:
    told = style.status or style.deviation != "unspecified"      # else null-data would hide which of the two hours it is
    yard = Yard(now=change - 5 * 3600, days=1, reckoning=reckoning, zone=central_europe(), style=style, null_time=told, null_same=True)
    async with yard.site.running():
        await yard.until_quiet()
        for _ in range(5):
            await yard.later(7_000)
        assert yard.book.ledger.counts().missing == 0
        assert yard.book.ledger.counts().absent == 0
        start, end = yard.book.ledger.window
        assert sorted(at for at in yard.at() if at > start) == [float(at) for at in range(start + QUARTER, end + 1, QUARTER)]
    assert {record.schema.fields[-1].key for record in yard.book.records} == {"active_energy"}, "no doubt about any time"


async def test_a_clock_set_back_is_noticed_and_its_intervals_read_again() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        yard.clock.pass_s(60)
        device = yard.site.meter.model.device
        device.set_clock(yard.clock.wall(), device.shown(yard.clock.wall()) - 2 * QUARTER)
        await yard.later(4 * QUARTER)
        start, end = yard.book.ledger.window
        assert {round(at) for at in yard.at() if start < at <= end} == {round(at) for at in yard.truth()}
        doubled = [at for at in yard.at() if at % 1]
        assert len(doubled) == 2, "what was captured twice is upstream twice"
        assert yard.backfill.state().repeated == 2


async def test_a_clock_far_ahead_and_back_leaves_no_hole() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        device = yard.site.meter.model.device
        device.set_clock(yard.clock.wall(), yard.clock.wall() + DAY)
        await yard.until_quiet()
        await yard.later(2 * QUARTER)
        device.set_clock(yard.clock.wall(), yard.clock.wall())
        await yard.later(QUARTER)
        await yard.later(8 * QUARTER)
        start, end = yard.book.ledger.window
        assert end <= yard.clock.wall()
        assert {at for at in yard.at() if start < at <= end} >= set(yard.truth())
        assert yard.book.ledger.counts().missing == 0


# -- other ways of access ------------------------------------------------------------------------------------------


def only(yard: Yard, *selectors: int) -> None:
    """Let the meter refuse other selective access than this."""
    profile: Any = yard.site.meter.model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
    plain = type(profile).select

    class Narrow(type(profile)):
        __slots__ = ()

        def select(self, attribute: int, selection: Any, now: float) -> Any:
            return plain(self, attribute, selection, now) if selection.selector in selectors else 250

    profile.__class__ = Narrow


@pytest.mark.parametrize("gap", [None, (50_000, 20_000), (30_000, 29_000)], ids=str)
@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_meter_without_access_by_time_is_read_by_entry(order: Order, gap: tuple[int, int] | None) -> None:
    yard = Yard(order=order, load_entries=200)
    only(yard, 2)
    if gap is not None:
        yard.site.meter.model.device.power(NOW - gap[0], on=False)
        yard.site.meter.model.device.power(NOW - gap[1], on=True)
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.backfill.state().access == "entry"
        assert sorted(yard.at()) == yard.truth()
        assert yard.book.ledger.counts().missing == 0
        await yard.later(QUARTER)
        await yard.later(5 * QUARTER)
        assert set(yard.at()) >= set(yard.truth())
        assert max(Counter(yard.at()).values()) == 1


@pytest.mark.parametrize("deaf", [(1,), (1, 2)], ids=["by time", "by both"])
async def test_a_meter_that_does_not_listen_to_what_is_asked_is_read_in_another_way(deaf: tuple[int, ...]) -> None:
    """It answers every selection of a kind with its whole buffer."""
    yard = Yard(load_entries=150)
    profile: Any = yard.site.meter.model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]

    class Deaf(type(profile)):
        __slots__ = ()

        def select(self, attribute: int, selection: Any, now: float) -> Any:
            return self.value(2, now) if selection.selector in deaf else super().select(attribute, selection, now)

    profile.__class__ = Deaf
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.backfill.state().access == ("whole" if 2 in deaf else "entry")
        assert sorted(yard.at()) == yard.truth()
        assert yard.book.ledger.counts().missing == 0


async def test_scalers_that_cannot_be_told_now_are_asked_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard(days=1)
    model = yard.site.meter.model
    plain, busy = type(model).read, [True]

    def read(self: Any, descriptor: bytes, now: float, *, public: bool) -> Any:
        refused = busy[0] and descriptor[:2] == b"\x00\x03" and descriptor[8] == 3
        return 2 if refused else plain(self, descriptor, now, public=public)

    monkeypatch.setattr(type(model), "read", read)
    async with yard.site.running():
        assert await yard.until_quiet() < 5
        assert yard.backfill.state().problem == "the meter cannot tell its scalers now"
        busy[0] = False
        await yard.later(20)
        assert sorted(yard.at()) == yard.truth()


async def test_a_meter_without_selective_access_is_read_whole_while_its_buffer_is_short() -> None:
    yard = Yard(load_entries=96)
    only(yard)
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.backfill.state().access == "whole"
        assert sorted(yard.at()) == yard.truth()
        await yard.later(3 * QUARTER)
        assert set(yard.at()) >= set(yard.truth())


async def test_a_long_buffer_that_comes_only_whole_is_left_alone_and_told() -> None:
    yard = Yard(load_entries=2_000)
    only(yard)
    async with yard.site.running():
        await yard.until_quiet()
    assert yard.book.records == []
    assert "come only all at once" in yard.backfill.state().problem


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def test_without_a_load_profile_it_is_told_once_and_asked_for_again_next_day(caplog: pytest.LogCaptureFixture) -> None:
    yard = Yard()
    del yard.site.meter.model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.backfill.state().state == "none"
        assert "the load profile 1-0:99.1.0 is not there: object undefined (4)" in yard.backfill.state().problem
        yard.clock.pass_s(DAY + 1)
        assert await yard.until_quiet() == 1
    assert caplog.text.count("is not there") == 1


async def test_a_ring_without_room_waits_and_one_that_refuses_is_asked_again() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        yard.book.has_room = False
        await yard.until_quiet()
        assert yard.book.records == []
        assert yard.backfill.state().state == "waiting for the ring"
        yard.book.has_room, yard.book.refuses = True, True
        await yard.until_quiet()
        assert yard.backfill.state().problem == "memory is full"
        assert yard.book.ledger.counts().missing == 96
        yard.book.refuses = False
        await yard.later(60)
        assert sorted(yard.at()) == yard.truth()


async def test_a_registry_that_cannot_be_read_waits_and_costs_no_association() -> None:
    yard = Yard(days=1)
    yard.book.unreadable = True
    async with yard.site.running():
        assert await yard.until_quiet() == 1
        assert yard.backfill.state().problem == "the registry is locked"
        assert yard.site.meter.counters.requests <= 2
        yard.book.unreadable = False
        await yard.later(20)
        assert yard.book.ledger.counts().present == 96


async def test_another_meter_at_the_address_begins_anew() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        assert yard.book.ledger.basis == "HGW1234567890, standard deviation, +0 s"
        yard.site.meter.model.become("42")
        yard.begin()
        await yard.until_quiet()
        assert yard.book.ledger.basis.startswith("HGW42,")
        assert len(yard.book.records) == 2 * 96


def recapture(yard: Yard, *, width: int) -> Any:
    """Give the meter's load profile other capture objects, which empties its buffer (IEC 62056-6-2, 4.3.6)."""
    profile: Any = yard.site.meter.model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
    clock, *registers = profile.columns
    cells = profile._cells
    profile.columns = (clock, *registers[::-1][:width])
    profile._cells = lambda capture: cells(capture)[::-1][:width]
    profile.clear(yard.clock.wall())
    return profile


@pytest.mark.parametrize("width", [99, 2])
async def test_capture_objects_that_are_changed_while_it_is_read_are_taken_up_at_once(width: int) -> None:
    """As many columns as before in another order would bring one register's values under another's name."""
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        assert len(yard.book.records) == 96
        profile = recapture(yard, width=width)
        for _ in range(8):
            await yard.later(QUARTER)
        model = yard.site.meter.model
        fresh = yard.book.records[96:]
        assert len(fresh) == 8
        for record in fresh:
            raw = model.raw_values(record.stamp.wall_ms // 1000)
            told = {field.obis: value for field, value in zip(record.schema.fields, record.values, strict=True)}
            assert len(told) == len(profile.columns) - 1
            for obis, value in told.items():
                assert raw[Obis.parse(obis).to_bytes()] == value


async def test_rows_of_another_width_are_looked_into_within_the_hour_where_the_meter_tells_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each try would fail, and cost the polls their association, until the next day."""
    told = TimedProfile.value
    monkeypatch.setattr(TimedProfile, "value", lambda self, number, now: 3 if number == 7 else told(self, number, now))
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        recapture(yard, width=2)
        failures = 0
        for _ in range(8):
            try:
                await yard.later(QUARTER)
            except Violation as misfit:
                failures += 1
                yard.backfill.failed(misfit, yard.clock.monotonic())
        assert failures == 3
        assert {len(record.values) for record in yard.book.records[96:]} == {2}
        assert len(yard.book.records) == 96 + 8


async def test_another_zone_means_other_times_and_begins_anew() -> None:
    yard = Yard(days=1, style=TimeStyle(deviation="unspecified"), reckoning=Reckoning(zone=Zone(0)))
    async with yard.site.running():
        await yard.until_quiet()
        yard.reckoning = Reckoning(zone=Zone(-18_000))
        yard.begin()
        await yard.until_quiet()
        assert yard.at()[96:] == [at + 18_000 for at in yard.at()[:96]]


async def test_failures_rest_longer_each_time_and_ask_for_less() -> None:
    yard, rests = Yard(days=1), []
    for _ in range(8):
        yard.backfill.failed(NoAnswer("silence"), yard.clock.monotonic())
        due = yard.backfill.due(yard.clock.monotonic())
        assert due is not None
        rests.append(due - yard.clock.monotonic())
    assert rests == [15, 30, 60, 120, 240, 480, 900, 900]
    assert yard.backfill.state().problem == "silence"


async def test_a_meter_without_a_date_is_left_alone() -> None:
    yard = Yard(style=TimeStyle(year=False))
    async with yard.site.running():
        await yard.until_quiet()
    assert yard.book.records == []
    assert yard.backfill.state().problem == "the meter's clock shows no date"


async def test_doubtful_rows_go_upstream_marked() -> None:
    yard = Yard(days=1, clock_status=0x02)
    async with yard.site.running():
        await yard.until_quiet()
    assert len(yard.book.records) == 96
    assert {record.values[-1] for record in yard.book.records} == {"doubtful"}
    assert not any(record.stamp.synchronised for record in yard.book.records)


async def test_forgetting_a_range_reads_it_again() -> None:
    yard = Yard(days=1)
    async with yard.site.running():
        await yard.until_quiet()
        seen = len(yard.book.records)
        end = yard.book.ledger.window[1]
        yard.book.ledger.again(end - 3600, end)
        await yard.until_quiet()
        assert len(yard.book.records) == seen + 4


def test_dates_of_this_test_are_right() -> None:
    assert dt.datetime.fromtimestamp(NOW, dt.UTC).isoformat() == "2026-03-01T12:35:05+00:00"
