"""A radio that is watched by other settings: the same radio goes on with what is known, another one is opened."""

import asyncio

from edge.config import RadioSettings
from edge.daemon.radiowatch import RadioWatch
from edge.daemon.renewable import Renewable

TRACE = "t_s,mac,signal_dbm\n0,{mac},-71\n600,{mac},-71\n"
ONE, TWO = "02:00:00:00:00:01", "02:00:00:00:00:02"


async def test_another_interval_keeps_the_radio_and_the_peers_and_another_trace_is_another_radio(tmp_path):
    for name, mac in (("one", ONE), ("two", TWO)):
        (tmp_path / name).write_text(TRACE.format(mac=mac))
    settings = RadioSettings(kind="simulated", trace=str(tmp_path / "one"), interval_s=3_600.0, record_interval_s=3_600.0)
    looks = asyncio.Queue()
    watch = RadioWatch(lambda: settings, lambda states, radio: looks.put_nowait(({state.mac for state in states}, sum(state.samples for state in states), radio)))

    async def until(macs):
        async with asyncio.timeout(10):
            while (seen := await looks.get())[0] != macs or not seen[2].present:
                pass
            return seen[1]

    task = asyncio.create_task(watch.run(lambda _s: None))
    try:
        samples = await until({ONE})
        settings = RadioSettings(kind="simulated", trace=str(tmp_path / "one"), interval_s=0.02, record_interval_s=3_600.0)
        watch.renew()
        while await until({ONE}) < samples + 3:      # counted on, and an hour has not passed
            pass
        settings = RadioSettings(kind="simulated", trace=str(tmp_path / "two"), interval_s=0.02, record_interval_s=3_600.0)
        watch.renew()
        await until({ONE, TWO})      # the first is lost, and shown for a day
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()


async def test_what_wants_no_worker_rests_until_it_does_and_what_leaves_a_worker_is_raised():
    wanted, began = None, asyncio.Event()

    async def working(_pulse):
        began.set()
        await asyncio.Event().wait()

    async def failing(_pulse):
        raise ZeroDivisionError

    pulses = []
    renewable = Renewable(lambda: wanted)
    task = asyncio.create_task(renewable.run(pulses.append))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(pulses), began.is_set()) == (1, False)
    wanted = working
    renewable.renew()
    async with asyncio.timeout(10):
        await began.wait()
        wanted = failing
        renewable.renew()
        await asyncio.wait({task})
    assert isinstance(task.exception(), ZeroDivisionError)
