"""The monitor with a radio that the test plays; time is the test's too."""

import asyncio
import logging
import random

import pytest

from halow.errors import AbsentReason, RadioAbsent
from halow.model import Change, Grade, LinkEvent, LinkSample, RadioFacts, RadioSample
from halow.monitor import EVENT_GAP_S, Monitor, MonitorSettings

A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
FACTS = RadioFacts("wlan1", "morse_sdio", "0c:bf:74:00:00:01", width_mhz=2, noise_dbm=-102, channel="S1G 32")


class PlayedRadio:
    """A radio whose peers, absence and events the test sets. `looked` counts samples."""

    def __init__(self):
        self.peers = {A: -66, B: -85}
        self.absent = self.no_open = None
        self.events = asyncio.Queue()
        self.opened = self.closed = self.looked = 0
        self.is_open = False
        self.more_looks = asyncio.Event()

    async def open(self):
        self.opened += 1
        self.more_looks.set()
        if self.no_open:
            raise self.no_open
        self.is_open = True

    async def close(self):
        self.closed += 1
        self.is_open = False

    async def sample(self):
        assert self.is_open
        self.looked += 1
        self.more_looks.set()
        if self.absent:
            raise self.absent
        return RadioSample(FACTS, tuple(LinkSample(mac, dbm, inactive_ms=0) for mac, dbm in self.peers.items()))

    async def wait_event(self):
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event


class House:
    """A monitor at work and what it told."""

    def __init__(self, **settings):
        self.radio = PlayedRadio()
        self.told = []
        self.news = asyncio.Event()
        self.pulses = []
        settings = {"interval_s": 0.01, "absent_max_s": 0.02, **settings}
        self.monitor = Monitor(self.radio, self.tell, MonitorSettings(**settings), rng=random.Random(1))

    def tell(self, states, radio):
        self.told.append((states, radio))
        self.news.set()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.monitor.run(self.pulses.append))
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.result()

    async def until(self, condition):
        """Wait until what was told last fulfils the condition; return it."""
        async with asyncio.timeout(5):
            while not (self.told and condition(*self.told[-1])):
                self.news.clear()
                news = asyncio.ensure_future(self.news.wait())
                await asyncio.wait({news, self.task}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self.task.done():
                    self.task.result()
        return self.told[-1]


async def test_peers_are_told_with_their_grades():
    async with House() as house:
        states, radio = await house.until(lambda states, radio: radio.present)
        assert [(state.mac, state.grade, state.changed) for state in states] == [
            (A, Grade.EXCELLENT, True), (B, Grade.FAIR, True)]
        assert states[0].snr_db == pytest.approx(36)
        assert radio.facts is FACTS
        states, _ = await house.until(lambda states, radio: len(house.told) >= 3)
        assert not any(state.changed for state in states), "a change is told once"
        assert not any(state.changed for state in house.monitor.states())


async def test_a_peer_that_leaves_and_comes_back():
    async with House() as house:
        await house.until(lambda states, radio: radio.present)
        del house.radio.peers[B]
        states, _ = await house.until(lambda states, _: states[1].grade is Grade.LOST)
        assert states[1].lost_because == "not associated any more"
        house.radio.peers[B] = -75
        states, _ = await house.until(lambda states, _: states[1].grade is Grade.GOOD)
        changes = [states[1].grade for states, _ in house.told if states and states[1].changed]
        assert changes == [Grade.FAIR, Grade.LOST, Grade.GOOD]


async def test_a_leaving_event_is_told_at_once_and_looked_after_soon():
    async with House(interval_s=60) as house:
        await house.until(lambda states, radio: radio.present)
        looked = house.radio.looked
        house.radio.events.put_nowait(LinkEvent(Change.PEER_REMOVED, A))
        states, _ = await house.until(lambda states, _: states[0].grade is Grade.LOST)
        assert states[0].lost_because == "disassociated"
        assert (states[0].changed, states[1].changed) == (True, False), "its neighbour's change was told before"
        assert house.radio.looked == looked, "without waiting for a look"
        states, _ = await house.until(lambda states, _: states[0].grade is Grade.EXCELLENT)
        assert house.radio.looked == looked + 1


async def test_a_burst_of_events_costs_one_look():
    async with House(interval_s=60) as house:
        await house.until(lambda states, radio: radio.present)
        looked, loop = house.radio.looked, asyncio.get_running_loop()
        began = loop.time()
        for _ in range(50):
            house.radio.events.put_nowait(LinkEvent(Change.RESYNC))
        house.radio.more_looks.clear()
        await house.radio.more_looks.wait()
        assert house.radio.looked == looked + 1
        assert loop.time() - began >= EVENT_GAP_S * 0.9
        assert house.radio.events.empty()


@pytest.mark.parametrize("reason", [AbsentReason.INTERFACE_GONE, AbsentReason.NO_INTERFACE])
async def test_a_driver_reload_is_survived_without_opening_anew(reason, caplog):
    caplog.set_level(logging.INFO, "halow")
    async with House() as house:
        await house.until(lambda states, radio: radio.present)
        house.radio.absent = RadioAbsent(reason, "wlan1 is gone")
        states, radio = await house.until(lambda states, radio: not radio.present)
        assert (radio.reason, radio.detail, radio.absences) == (reason.value, "wlan1 is gone", 1)
        assert {state.grade for state in states} == {Grade.LOST}
        assert states[0].lost_because == f"no radio: {reason.value}"
        seen = len(house.told)
        await house.until(lambda *_: len(house.told) > seen + 2)
        house.radio.absent = None
        states, radio = await house.until(lambda states, radio: radio.present)
        assert radio.absences == 1
        assert states[0].grade is Grade.EXCELLENT
        assert house.radio.opened == 1
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == ["no radio: wlan1 is gone"], "the first as a warning, once"


async def test_no_radio_from_the_start_is_a_state_and_is_tried_again():
    house = House()
    house.radio.no_open = RadioAbsent(AbsentReason.NO_NL80211, "this kernel has no Wi-Fi")
    async with house:
        _, radio = await house.until(lambda states, radio: radio.reason == "no_nl80211")
        assert (radio.present, radio.facts) == (False, None)
        since = radio.since
        await house.until(lambda *_: house.radio.opened >= 4)
        house.radio.no_open = RadioAbsent(AbsentReason.NOT_PERMITTED, "not permitted")
        _, radio = await house.until(lambda states, radio: radio.reason == "not_permitted")
        assert (radio.since, radio.absences) == (since, 0), "it was never there"
        house.radio.no_open = None
        states, radio = await house.until(lambda states, radio: radio.present)
        assert radio.since > since
        assert len(states) == 2


async def test_events_that_cannot_be_had_any_more_open_the_radio_anew():
    async with House() as house:
        await house.until(lambda states, radio: radio.present)
        house.radio.events.put_nowait(RadioAbsent(AbsentReason.FAULT, "events of nl80211: Input/output error"))
        await house.until(lambda states, radio: house.radio.opened == 2 and radio.present)
        assert house.radio.closed == 1


async def test_an_interface_that_appears_is_looked_at_before_the_next_tick():
    house = House(interval_s=60)
    house.radio.absent = RadioAbsent(AbsentReason.INTERFACE_GONE, "gone")
    async with house:
        await house.until(lambda states, radio: radio.reason == "interface_gone")
        house.radio.absent = None
        house.radio.events.put_nowait(LinkEvent(Change.INTERFACE_ADDED))
        await house.until(lambda states, radio: radio.present)


async def test_cancelling_closes_the_radio_and_its_waiting():
    async with House() as house:
        await house.until(lambda states, radio: radio.present)
    assert house.task.cancelled()
    assert not house.radio.is_open
    assert [task for task in asyncio.all_tasks() if "wait_event" in repr(task)] == []


async def test_every_silence_is_promised_with_room():
    async with House(interval_s=0.01) as house:
        await house.until(lambda *_: len(house.told) > 3)
    assert len(house.pulses) >= 3
    assert all(within_s > 0.01 for within_s in house.pulses)


async def test_a_bug_in_a_radio_gets_out():
    house = House()

    async def broken():
        raise ZeroDivisionError

    house.radio.sample = broken
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await house.monitor.run(lambda _within_s: None)
    assert not house.radio.is_open


async def test_memory_is_bounded():
    async with House(peers_max=10) as house:
        house.radio.peers = {f"02:00:00:00:0b:{n:02x}": -70 for n in range(10)}
        await house.until(lambda states, radio: radio.present)
        house.radio.peers = {f"02:00:00:00:0c:{n:02x}": -70 for n in range(10)}
        states, _ = await house.until(lambda states, _: any(":0c:" in state.mac for state in states))
        assert len(states) == 10
        assert all(":0c:" in state.mac for state in states), "those seen last stay"


async def test_lost_peers_are_forgotten_in_the_end():
    async with House(forget_s=0.05) as house:
        await house.until(lambda states, radio: radio.present)
        del house.radio.peers[B]
        states, _ = await house.until(lambda states, _: len(states) == 1)
        assert states[0].mac == A
