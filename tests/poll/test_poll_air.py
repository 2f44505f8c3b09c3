"""Polling keeps to the air it is given: slots are delayed or given up, counted, and what was carried is told."""

import asyncio

from poll_bench import GENERIC_PROFILE, Bench, brisk, simulated, slower

from edge.poll.air import FreeAir


class Rationed(FreeAir):
    """So many exchanges, then none before `again`."""

    def __init__(self, exchanges: int, again_s: float) -> None:
        self.left = exchanges
        self.again_s = again_s
        self.told: list[tuple[str, int, int]] = []
        self.connections: list[int] = []
        self._not_before = 0.0

    def ready_at(self, meter: str, now: float) -> float:
        if self.left > 0:
            return now
        if not self._not_before:
            self._not_before = now + self.again_s
        return max(now, self._not_before)

    def spent(self, meter: str, out_bytes: int, in_bytes: int, now: float, *, connections: int = 0) -> None:
        self.told.append((meter, out_bytes, in_bytes))
        self.connections.append(connections)
        self.left -= 1


async def test_slots_without_air_are_given_up_and_counted_and_none_is_lost_track_of() -> None:
    air = Rationed(3, again_s=0.6)
    async with simulated() as (_, row), Bench(row, settings=slower(interval_s=0.05), air=air).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 8)
        state = bench.poller.state()
    assert bench.sink.reasons() == []
    assert state.held >= 5, "most of 0.6 s of slots"
    assert state.skipped >= state.held
    assert state.due - (state.slots + state.skipped) in (0, 1), "every slot is accounted for"


async def test_what_was_carried_is_told_after_each_exchange() -> None:
    air = Rationed(10**6, again_s=0.0)
    async with simulated() as (_, row), Bench(row, air=air).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 4)
    assert air.told[0][0] == "m1"
    assert air.told[0][1] > air.told[2][1], "the first one associates and asks for the scalers"
    assert air.told[2] == ("m1", 102, 54), "nine values over the wrapper, with-list"
    assert air.connections[:3] == [1, 0, 0]


async def test_a_short_delay_is_waited_for_within_the_slot() -> None:
    air = Rationed(1, again_s=0.3)
    async with simulated() as (_, row), Bench(row, settings=slower(interval_s=2.0), air=air).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 2)
        await asyncio.sleep(0)
        assert bench.poller.state().held == 0
    assert bench.sink.reasons() == []


async def test_keep_alives_wait_for_air_as_polls_do_and_are_told() -> None:
    air = Rationed(1, again_s=1.0)
    profile = brisk(GENERIC_PROFILE, inactivity_s=0.6, keep_alive_s=0.3)
    async with simulated() as (_, row), Bench(row, profile=profile, settings=slower(interval_s=1.1), air=air).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 2)
        assert bench.poller.state().keep_alives <= 1, "without air three would have come in between"
        air.left = 10**6
        await bench.sink.until(lambda records: len(records) >= 3)
        assert len(air.told) == 3 + bench.poller.state().keep_alives
