"""The alarm desk: records in, alarm records and kept alarms out, over restarts; own conditions from a file."""

import asyncio
import contextlib
import sqlite3
from importlib.resources import files
from itertools import chain, repeat
from types import SimpleNamespace

import msgspec
import pytest

from edge.alarms.conditions import Condition, Judgement
from edge.alarms.engine import SCHEMA
from edge.clock import SystemClock
from edge.config import AlarmSettings
from edge.daemon.alarms import REGISTRY_UNUSABLE, AlarmDesk, judges, supply_by
from edge.daemon.enrolment import Enrolment
from edge.daemon.lossesseen import LossesSeen
from edge.errors import EdgeError, RegistryError, RingError, SettingsError
from edge.health.linkalarms import NAMES
from edge.health.linkalarms import SCHEMA as LINK_ALARM
from edge.meters.library import Library
from edge.model import Field, Kind, Record, Schema, Stamp
from edge.store.registry import Registry

HIGH = Condition(name="high", device="meter", figures=("voltage_l1",), severity="major", above=253.0, latched=True)
RING_LOSS = Condition(name="ring_loss", device="gateway", figures=("ring_lost_records",), severity="major", rises=True, latched=True)
STAMP = Stamp(0, 0, "b", synchronised=True)


PLATE = Schema(Kind.READING, (Field("voltage_l1", 0, "V"),))


def NO_SUPPLY(_meter):
    return ()


class Durable:
    """The ticket of a record that is on flash."""

    def __await__(self):
        yield from ()
        return 1


class Ring:
    """What the desk sees of one: it takes records, or refuses them."""

    def __init__(self):
        self.kept, self.lost, self.full = [], 0, False

    def keep(self, record):
        if self.full:
            return None
        self.kept.append(record)
        return Durable()


class Site:
    """A desk over a registry on disk; `restart` makes another one over the same."""

    def __init__(self, path, *conditions):
        conditions = conditions or (HIGH,)
        by_device = (tuple(one for one in conditions if one.device == device) for device in ("meter", "gateway"))
        self.path, self.conditions, self.others = path, Judgement(*by_device), NAMES | {REGISTRY_UNUSABLE}
        self.ring, self.restored, self.meters = Ring(), [], ("m",)
        self.clock = SystemClock(trust_wall=True)
        self.start()

    @property
    def kept(self):
        return self.ring.kept

    def start(self):
        self.enrolment = Enrolment(self.path / "registry.db", Library(self.path / "meters"))
        self.desk = AlarmDesk(self.conditions, self.ring.keep, self.enrolment, dict, self.clock, self.restored.extend,
                              losses=LossesSeen(self.path, lambda: self.ring.lost), others=self.others)

    async def restart(self):
        await self.enrolment.close()
        self.start()

    async def look(self):
        """One look of the worker's, with the registry read by then."""
        self.enrolment.enrolled, self.enrolment.meters = (), tuple(SimpleNamespace(name=name) for name in self.meters)
        await self.desk.look()

    def volts(self, volts):
        self.desk.hear(Record(PLATE, "m", STAMP, (volts,)))

    def told(self):
        told, self.kept[:] = [record.values[:2] for record in self.kept if record.values[0]], []
        return told

    def roll(self):
        """What stands where, by the last record of each device."""
        return {record.device: record.values[5:] for record in self.kept if record.schema is SCHEMA}


async def test_an_alarm_is_raised_once_kept_over_a_restart_acknowledged_and_cleared(tmp_path):
    site = Site(tmp_path)
    site.volts(260)
    assert site.told() == [], "not before it is known what stood"
    answer = await site.desk.answer({})
    assert [alarm["name"] for alarm in answer["standing"]] == ["high"]
    assert site.told() == [("high", "raised")]
    await site.restart()
    site.volts(261)
    answer = await site.desk.answer({})
    assert site.told() == [], "it stood already"
    assert [change["state"] for change in answer["history"]] == ["raised"]
    site.volts(230)
    assert site.told() == [], "latched"
    with pytest.raises(EdgeError, match="no alarm 'hihg' stands"):
        await site.desk.acknowledge({"device": "m", "name": "hihg", "by": "ana"})
    answer = await site.desk.acknowledge({"device": "m", "name": "high", "by": "ana"})
    assert answer == {"changes": ["acknowledged", "cleared"], "standing": []}
    assert [record.values[4:] for record in site.kept] == [("ana", 1, "high"), ("ana", 0, "none")]
    assert [change["state"] for change in (await site.desk.answer({}))["history"]] == ["cleared", "acknowledged", "raised"]
    await site.restart()
    assert (await site.desk.answer({}))["standing"] == []
    await site.enrolment.close()


async def test_a_change_is_kept_once_although_two_save_at_the_same_time(tmp_path):
    site = Site(tmp_path)
    await site.desk.answer({})
    site.volts(260)
    await asyncio.gather(site.desk.answer({}), site.desk.answer({}), site.desk.acknowledge({"device": "m", "name": "high", "by": "ana"}))
    assert [change["state"] for change in (await site.desk.answer({}))["history"]] == ["acknowledged", "raised"]
    await site.enrolment.close()


async def test_link_alarms_are_kept_too_and_the_link_desk_learns_which_stood(tmp_path):
    site = Site(tmp_path)
    link = [Record(LINK_ALARM, "m", STAMP, ("link_poor", state, "minor", "-93 dBm")) for state in ("raised", "cleared")]
    site.desk.hear(link[0])
    await site.desk.answer({})
    await site.restart()
    await site.desk.answer({})
    assert site.restored == [("m", "link_poor")]
    site.desk.hear(link[0])
    site.desk.hear(link[1])
    assert site.told() == [("link_poor", "raised"), ("link_poor", "cleared")]
    await site.enrolment.close()


async def test_polls_go_in_between_while_a_hundred_meters_are_judged(tmp_path):
    silent = Condition(name="silent", device="meter", figures=("silent_s",), severity="major", above=900.0)
    kept, enrolment = [], Enrolment(tmp_path / "registry.db", Library(tmp_path / "meters"))
    desk = AlarmDesk(Judgement((silent,), ()), kept.append, enrolment, lambda: {f"m{number}": 1000.0 for number in range(100)},
                     SystemClock(trust_wall=True), list, losses=LossesSeen(tmp_path, lambda: 0), others=())
    look = asyncio.ensure_future(desk._look(await desk._ready()))
    turns = 0
    while not look.done():
        turns += 1
        await asyncio.sleep(0)
    await look
    assert turns >= 10
    assert sum(record.values[1] == "raised" for record in kept) == 100
    await enrolment.close()


class Flash:
    """A record's ticket; what it comes to is the worst."""

    def __init__(self):
        self.answers = asyncio.Event()

    def __await__(self):
        yield from self.answers.wait().__await__()
        raise RingError("lost: memory full")


async def test_an_alarm_is_kept_only_once_the_ring_has_it_on_flash(tmp_path, monkeypatch):
    """A power cut in between raises it once more; kept first, it would stand and never be told upstream."""
    monkeypatch.setattr("edge.daemon.alarms.FLASH_S", 0.05)
    flash, kept = Flash(), []
    enrolment = Enrolment(tmp_path / "registry.db", Library(tmp_path / "meters"))
    desk = AlarmDesk(Judgement((HIGH,), ()), lambda record: kept.append(record) or flash, enrolment, dict, SystemClock(trust_wall=True), list,
                     losses=LossesSeen(tmp_path, lambda: 0), others=())
    desk.hear(Record(PLATE, "m", STAMP, (260,)))
    assert (await desk.answer({}))["history"] == []
    assert await enrolment.ask(lambda registry: registry.alarms(9)) == ((), ())
    flash.answers.set()
    assert [change["state"] for change in (await desk.answer({}))["history"]] == ["raised"]
    assert len((await enrolment.ask(lambda registry: registry.alarms(9)))[0]) == len(kept) == 1
    await enrolment.close()


async def test_who_was_silent_before_a_restart_is_silent_still_and_who_is_new_is_not(tmp_path):
    silent = Condition(name="meter_silent", device="meter", figures=("silent_s",), severity="major", above=900.0, clear_at=60.0)
    clock, ages_s, kept = SimpleNamespace(monotonic=lambda: clock.now, stamp=lambda: STAMP, now=0.0), {"m": None}, []
    enrolment = Enrolment(tmp_path / "registry.db", Library(tmp_path / "meters"))

    async def look(now: float, **told: float | None) -> list[tuple[str, str]]:
        clock.now = now
        ages_s.clear()
        ages_s.update(told)
        kept.clear()
        await desk._look(await desk._ready())
        await desk._save(await desk._ready())
        return [(record.device, record.values[1]) for record in kept if record.values[0]]

    def made():
        return AlarmDesk(Judgement((silent,), ()), kept.append, enrolment, lambda: ages_s, clock, list,
                         losses=LossesSeen(tmp_path, lambda: 0), others=())

    desk = made()
    assert await look(0, m=None) == []
    assert await look(901, m=None) == [("m", "raised")]
    desk = made()
    assert await look(1000, m=None) == await look(1010, m=None) == [], "since when is not known; not cleared, not raised again"
    assert await look(1020, m=2.0) == [("m", "cleared")]
    assert await look(5000, m=2.0, new=None) == [], "registered late: not silent since the start"
    assert await look(5010, m=None, new=None) == [], "its poller began anew; it was read 12 s ago"
    assert await look(5906, m=None, new=None) == [("m", "raised"), ("new", "raised")]
    await enrolment.close()


async def test_without_the_registry_alarms_are_judged_all_the_same_and_what_stood_is_taken_up_later(tmp_path, monkeypatch):
    path, clock = tmp_path / "registry.db", SystemClock(trust_wall=True)
    site = Site(tmp_path)
    site.desk.hear(Record(LINK_ALARM, "m", STAMP, ("link_lost", "raised", "major", "")))
    await site.desk.answer({})
    await site.restart()
    good = path.read_bytes()
    path.write_bytes(b"x" * 5_000)
    site.told()
    monkeypatch.setattr("edge.daemon.alarms.KEEP_EVERY_S", 0.0)
    now = chain((0.0, 59.0), repeat(60.0))
    monkeypatch.setattr(clock, "monotonic", lambda: next(now))
    site.desk._clock = clock
    fleet = SimpleNamespace(apply=lambda _enrolled: asyncio.sleep(0, SimpleNamespace(started=(), stopped=(), restarted=())))
    following = asyncio.create_task(site.enrolment.run(fleet, lambda _within_s: None))
    with pytest.raises(RegistryError):
        await site.enrolment.reload()
    site.desk.hear(Record(LINK_ALARM, "", STAMP, ("radio_deaf", "raised", "critical", "")))
    for _ in range(2):      # for a minute it may be another program that holds it
        with pytest.raises(RegistryError, match="not a usable registry"):
            await site.desk.answer({})
    running = asyncio.create_task(site.desk.run(lambda _within_s: None))
    async with asyncio.timeout(5):
        while len(site.kept) < 2:
            await asyncio.sleep(0.01)
    [deaf, registry] = [record.values for record in site.kept if record.values[0]]
    assert (deaf[:2], registry[:3]) == (("radio_deaf", "raised"), ("registry_unusable", "raised", "critical"))
    assert "registry.db: is not a usable registry" in registry[3]
    answer = await site.desk.answer({})
    assert ([alarm["name"] for alarm in answer["standing"]], answer["history"]) == (["radio_deaf", "registry_unusable"], [])
    site.told()
    path.write_bytes(good)
    await site.enrolment.reload()
    await site.desk.answer({})
    site.desk._news.set()
    async with asyncio.timeout(5):
        while ("registry_unusable", "cleared") not in [record.values[:2] for record in site.kept]:
            await asyncio.sleep(0.01)
    assert site.restored == [("m", "link_lost")]
    for task in (running, following):
        task.cancel()
        await asyncio.wait({task})
    assert {change["alarm"]["name"] for change in (await site.desk.answer({}))["history"]} == {"link_lost", "radio_deaf", "registry_unusable"}
    await site.enrolment.close()


async def test_with_a_full_disk_alarms_are_shown_and_acknowledged_all_the_same(tmp_path, monkeypatch, caplog):
    site = Site(tmp_path)
    await site.desk.answer({})

    def full(*_):
        raise RegistryError("the disk is full")

    with monkeypatch.context() as while_full:
        while_full.setattr(Registry, "keep_alarms", full)
        site.volts(260)
        answers = [await site.desk.answer({}) for _ in range(2)]
        assert answers[0] == answers[1]
        assert ([alarm["name"] for alarm in answers[0]["standing"]], [change["state"] for change in answers[0]["history"]]) == (["high"], ["raised"])
        acknowledged = await site.desk.acknowledge({"device": "m", "name": "high", "by": "ana"})
        assert acknowledged["changes"] == ["acknowledged"]
    assert caplog.text.count("alarms are not kept over a restart: the disk is full") == 1
    history = (await site.desk.answer({}))["history"]
    await site.restart()
    answer = await site.desk.answer({})
    assert (answer["standing"][0]["acknowledged_by"], answer["history"]) == ("ana", history)
    assert [change["state"] for change in history] == ["acknowledged", "raised"]
    await site.enrolment.close()


async def test_an_alarm_whose_row_is_damaged_is_left_out_and_the_others_go_on(tmp_path, caplog):
    site = Site(tmp_path)
    site.volts(260)
    await site.desk.answer({})
    with Registry.open(tmp_path / "registry.db") as registry:
        (line,), changes = registry.alarms()
        in_no_year = line.replace('"raised_ms":', '"raised_ms":9999').replace("high", "late")
        registry.keep_alarms([line, '{"device":"m"', '{"device":7}', in_no_year], [*changes, "\x00"])
    await site.restart()
    answer = await site.desk.answer({})
    assert [alarm["name"] for alarm in answer["standing"]] == ["high"]
    assert [change["state"] for change in answer["history"]] == ["raised", "raised"]
    assert caplog.text.count("what was kept of an alarm cannot be read") == 4
    await site.enrolment.close()


async def test_an_alarm_that_could_not_be_kept_is_over_at_the_server_too_after_a_restart(tmp_path, monkeypatch):
    site = Site(tmp_path)
    await site.look()
    assert site.roll() == {"": (0, "none")}, "the gateway at once; a meter once it is heard"
    site.kept.clear()

    def full(*_):
        raise RegistryError("the disk is full")

    with monkeypatch.context() as while_full:
        while_full.setattr(Registry, "keep_alarms", full)
        site.volts(260)
        await site.look()
    assert site.roll() == {"m": (1, "high")}
    await site.restart()
    site.kept.clear()
    await site.look()
    assert "m" not in site.roll(), "whatever comes for a silent meter makes it active at the server"
    site.volts(230)
    await site.look()
    assert site.roll()["m"] == (0, "none")
    assert site.told() == [], "nothing has changed that the gateway knows of"
    site.volts(231)
    await site.look()
    assert site.kept == [], "told once"
    await site.enrolment.close()


async def test_what_a_full_ring_refused_is_told_as_it_is_then_once_it_takes_records_again(tmp_path):
    site, now = Site(tmp_path), [1_000.0]
    site.clock.monotonic = lambda: now[0]
    await site.look()
    site.volts(260)
    await site.look()
    site.ring.full = True
    site.volts(230)
    await site.desk.acknowledge({"device": "m", "name": "high", "by": "ana"})
    site.ring.full = False
    site.kept.clear()
    await site.look()
    assert site.kept == [], "each refusal is counted as a loss: not asked again at once"
    now[0] += 301.0
    await site.look()
    assert site.roll() == {"m": (0, "none")}
    await site.enrolment.close()


async def test_a_loss_that_is_found_while_the_ring_opens_is_an_alarm_once(tmp_path):
    site = Site(tmp_path, RING_LOSS)
    site.ring.lost = 7
    await site.look()
    assert site.told() == [], "nobody knows when: as after an update"
    await site.restart()
    site.ring.lost = 9
    await site.look()
    assert site.told() == [("ring_loss", "raised")]
    await site.desk.acknowledge({"device": "", "name": "ring_loss", "by": "ana"})
    assert site.told() == [("ring_loss", "acknowledged"), ("ring_loss", "cleared")]
    await site.restart()
    await site.look()
    assert site.told() == []
    await site.restart()
    site.ring.lost = 2      # it was made anew, and has lost some since
    await site.look()
    assert site.told() == [("ring_loss", "raised")]
    await site.enrolment.close()


async def test_the_alarm_of_a_meter_that_is_removed_or_renamed_is_over_at_the_server_too(tmp_path):
    site = Site(tmp_path)
    site.volts(260)
    await site.look()
    site.kept.clear()
    site.meters = ("renamed",)
    await site.look()
    assert (site.told(), site.desk.standing()) == ([("high", "cleared")], [])
    site.meters = ("m",)      # back again: told of when it is heard, as a new one
    site.volts(230)
    await site.look()
    assert site.roll() == {"m": (0, "none")}
    await site.enrolment.close()


async def test_alarms_that_nobody_judges_after_a_restart_are_cleared(tmp_path):
    """A condition that was taken out of the file meanwhile, a radio that the settings want no longer."""
    site = Site(tmp_path)
    site.volts(260)
    for name in ("radio_absent", "uplink_takeover"):
        site.desk.hear(Record(LINK_ALARM, "", STAMP, (name, "raised", "critical", "")))
    await site.look()
    assert len(site.desk.standing()) == 3, "who told of it is at work"
    await site.restart()
    await site.look()
    assert {alarm["name"] for alarm in site.desk.standing()} == {"high", "radio_absent"}
    site.conditions, site.others = Judgement((), ()), {REGISTRY_UNUSABLE}
    await site.restart()
    site.kept.clear()
    await site.look()
    assert site.told() == [("high", "cleared"), ("radio_absent", "cleared")]
    await site.restart()
    await site.look()
    assert site.desk.standing() == []
    await site.enrolment.close()


async def test_readings_push_no_alarm_or_event_out_while_it_is_not_known_what_stood(tmp_path):
    tamper = Condition(name="tamper", device="meter", figures=("event",), severity="critical", one_of=("cover",), latched=True)
    site = Site(tmp_path, HIGH, tamper)
    site.desk.hear(Record(LINK_ALARM, "m", STAMP, ("link_lost", "raised", "major", "")))
    site.desk.hear(Record(Schema(Kind.EVENT, (Field("event"),)), "m", STAMP, ("cover",)))
    for volts in (*range(230, 250), *[260] * 1_000):
        site.volts(volts)
    await site.look()
    assert {alarm["name"] for alarm in site.desk.standing()} == {"link_lost", "tamper", "high"}
    await site.enrolment.close()


async def test_alarms_are_judged_although_only_their_own_table_is_damaged(tmp_path):
    site, now = Site(tmp_path), [0.0]
    await site.look()
    await site.restart()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("DROP TABLE alarms_standing")
    site.clock.monotonic = lambda: now[0]
    site.kept.clear()
    site.volts(260)
    with pytest.raises(RegistryError, match="alarms_standing"):
        await site.look()
    now[0] = 60.0
    await site.look()
    assert site.told() == [("high", "raised"), ("registry_unusable", "raised")]
    await site.enrolment.close()


async def test_a_row_that_is_no_text_hides_no_other_alarm(tmp_path):
    site = Site(tmp_path)
    site.volts(260)
    await site.look()
    await site.restart()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        for table in ("alarms_standing", "alarm_changes"):
            connection.execute(f"INSERT INTO {table} (data) VALUES (CAST(x'ff00fe' AS TEXT))")
    assert [alarm["name"] for alarm in (await site.desk.answer({}))["standing"]] == ["high"]
    await site.enrolment.close()


async def test_a_wall_clock_that_steps_while_an_alarm_is_pending_raises_it_neither_early_nor_twice(tmp_path):
    slow, now, steps = msgspec.structs.replace(HIGH, for_s=60.0), [0.0], iter((0, 10**12, -10**12, 5, 0, 86_400_000))
    site = Site(tmp_path, slow)
    stamp = site.clock.stamp
    site.clock.monotonic = lambda: now[0]
    for at in (0.0, 20.0, 40.0, 59.0, 61.0, 70.0):
        now[0], step = at, next(steps)
        site.clock.stamp = lambda step=step: msgspec.structs.replace(stamp(), wall_ms=stamp().wall_ms + step)
        site.volts(260)
        await site.look()
        assert site.told() == ([("high", "raised")] if at == 61.0 else [])
    await site.enrolment.close()


async def test_a_storm_of_alarms_is_told_whole_and_rewrites_the_registry_now_and_then(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.meters = tuple(f"m{number}" for number in range(500))
    writes = []
    keep = Registry.keep_alarms
    monkeypatch.setattr(Registry, "keep_alarms", lambda self, *args: writes.append(len(args[0])) or keep(self, *args))
    await site.look()
    running = asyncio.create_task(site.desk.run(lambda _within_s: None))
    for volts in (260, 230) * 5:
        for meter in site.meters:
            site.desk.hear(Record(PLATE, meter, STAMP, (volts,)))
            if volts == 230:
                with contextlib.suppress(EdgeError):
                    site.desk._tell((await site.desk._ready()).acknowledge(meter, "high", "ana", 0))
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    await site.look()
    states = [record.values[1] for record in site.kept if record.values[0]]
    assert (states.count("raised"), states.count("cleared")) == (2_500, 2_500)
    assert site.desk.standing() == []
    assert len(writes) <= 3
    assert len((await site.desk.answer({}))["history"]) == 50
    await site.enrolment.close()


def test_own_conditions_replace_shipped_ones_and_a_wrong_file_is_named(tmp_path):
    own = tmp_path / "alarms.toml"
    own.write_text('[[alarm]]\nname = "board_hot"\ndevice = "gateway"\nfigures = ["soc_temperature_c"]\nabove = 70.0\n'
                   'severity = "minor"\n[[alarm]]\nname = "tamper"\ndevice = "meter"\nfigures = ["event"]\none_of = ["x"]\n'
                   'severity = "minor"\nlatched = true\nenabled = false\n')
    force = judges(AlarmSettings(file=str(own)), NO_SUPPLY)
    assert [one.above for one in force.of("") if one.name == "board_hot"] == [70.0]
    assert "tamper" not in {one.name for one in force.of("m")}
    assert judges(AlarmSettings(enabled=False), NO_SUPPLY) == Judgement((), ())
    with pytest.raises(SettingsError, match=r"alarms\.file"):
        judges(AlarmSettings(file=str(tmp_path / "none.toml")), NO_SUPPLY)


@pytest.mark.parametrize(("text", "why"), [
    ("#" * 262_145, "is larger than 262144 bytes"),      # cut there, the rest would be missing without a word
    ("a = " + "[" * 100_000, "is no file of"),
    ("a = 1" + "0" * 5_000, "is no file of"),
])
def test_a_file_of_conditions_that_no_parser_takes_is_told_in_a_line(tmp_path, text, why):
    own = tmp_path / "alarms.toml"
    own.write_text(text)
    with pytest.raises(SettingsError, match=why):
        judges(AlarmSettings(file=str(own)), NO_SUPPLY)


def test_a_meter_is_judged_by_the_supply_of_its_type(tmp_path):
    """Colombia has 120 V at 60 Hz behind one meter and 208 V behind the next; the site's own is what the settings say."""
    text = (files("edge.meters") / "profiles" / "generic-three-phase.toml").read_text()
    own = tmp_path / "us.toml"
    own.write_text(text.replace('name = "generic-three-phase"', 'name = "us"').replace("[association]", "[supply]\nnominal_voltage_v = 120.0\nmax_power_w = 2000.0\n\n[association]", 1))
    library = Library(tmp_path)
    assert library.problems == {}
    force = judges(AlarmSettings(nominal_frequency_hz=60.0), supply_by(library, {"a": "us", "b": "generic-three-phase"}.get))
    limits = {meter: {one.name: one.above or one.below for one in force.of(meter)} for meter in ("a", "b")}
    assert (limits["a"]["over_voltage"], limits["a"]["under_voltage"], limits["a"]["over_power"]) == (132.0, 108.0, 2000.0)
    assert (limits["b"]["over_voltage"], limits["b"]["under_voltage"], limits["b"].get("over_power")) == (253.0, 207.0, None)
    assert limits["a"]["under_frequency"] == limits["b"]["under_frequency"] == 59.4
