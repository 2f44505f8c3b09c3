"""No wrong value, ever: lines that lie, cut, delay and repeat, and every value compared with what the meter held.

Each register holds its own number, changed before every poll to one that was never used, so a value that comes late,
from another register, from another session or out of a damaged frame shows itself.
"""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from poll_bench import QUICK, Bench, held, shown, simulated, slower

from edge.demo.bridge import Quirks
from edge.errors import FailReason
from edge.model import Meter

KEYS = ["voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "frequency", "active_power", "active_energy"]
SETTINGS = slower(QUICK, interval_s=0.02, exchange_timeout_s=0.08, backoff_first_s=0.005, backoff_max_s=0.01, breaker_failures=1000)

lines = st.builds(
    Quirks,
    second_client=st.sampled_from(["served", "refused", "silent"]),
    latency_s=st.sampled_from([(0.0, 0.0), (0.0, 0.01), (0.02, 0.1)]),
    tail_share=st.sampled_from([0.0, 0.2]), tail_s=st.just(0.2),
    chunk_bytes=st.sampled_from([0, 1, 7, 127]), chunk_gap_s=st.just(0.0005),
    join_share=st.sampled_from([0.0, 0.3]), join_s=st.just(0.03),
    noise_share=st.sampled_from([0.0, 0.3]),
    residue=st.booleans(), stale_first=st.booleans(),
    idle_close_s=st.sampled_from([None, 0.01]),
    after_requests=st.sampled_from([None, 2, 5]), then=st.sampled_from(["silent", "close", "reset"]))


async def drive(kind: str, quirks: Quirks, seed: int, polls: int, *, text: bytes = b"") -> tuple[int, int]:
    """Poll `polls` times; return how many readings and failures came. Raises AssertionError at a wrong value."""
    rng = random.Random(seed)
    offset = 0
    async with simulated(kind, quirks, seed=seed) as (meter, row):
        ever: dict[str, set[int]] = {key: set() for key in KEYS}

        def next_values() -> None:
            nonlocal offset
            offset += 1
            values = {key: 9 * offset + place for place, key in enumerate(KEYS)}
            for key, value in values.items():
                ever[key].add(value)
            held(meter, values)

        next_values()
        async with Bench(row, settings=SETTINGS).running() as bench:
            last = 0
            for n in range(1, polls + 1):
                await bench.sink.until(lambda records, n=n: len(records) >= n, 30)
                for record in bench.sink.records[last:]:
                    if record.schema.kind.name != "READING":
                        assert record.values[0] in set(FailReason) - {FailReason.INTERNAL, FailReason.WRONG_METER}
                        continue
                    for key, value in shown(record).items():
                        if key in ever and value is not None:
                            assert value in ever[key], f"{key} shows {value}: another register's or damaged"
                            assert value >= 9 * (offset - 1), f"{key} shows {value}: an answer to an old question"
                last = len(bench.sink.records)
                next_values()
                if text and rng.random() < 0.3:
                    meter.inject(text)
        return len(bench.sink.readings()), len(bench.sink.reasons())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(quirks=lines, kind=st.sampled_from(["wrapper", "hdlc", "microstar"]), seed=st.integers(0, 10_000))
def test_no_line_makes_a_wrong_value(quirks: Quirks, kind: str, seed: int) -> None:
    asyncio.run(drive(kind, quirks, seed, 8))


@pytest.mark.parametrize("text", [b"Closing socket due to inactivity (30 sec)\r\nCLOSE\r\n", b"\x7e\x7e\x7e", b"\x7e\xa0", bytes(range(256))])
async def test_bytes_injected_between_and_into_answers(text: bytes) -> None:
    readings, _ = await drive("hdlc", Quirks(latency_s=(0.0, 0.005)), 3, 25, text=text)
    assert readings >= 10


async def test_bits_flipped_on_a_serial_line_are_caught_by_the_frame_check() -> None:
    readings, failures = await drive("hdlc", Quirks(corrupt_share=0.3), 5, 40)
    assert readings >= 10
    assert readings + failures >= 40


@pytest.mark.parametrize("then", ["close", "reset", "silent"])
def test_the_loop_of_the_product_makes_no_difference(then: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    values = {key: place for place, key in enumerate(KEYS)}
    line = Quirks(latency_s=(0.0, 0.005), chunk_bytes=7, chunk_gap_s=0.0005, after_requests=5, then=then)

    async def poll(row: Meter) -> Bench:
        async with Bench(row, settings=SETTINGS).running() as bench:
            await bench.sink.until(lambda records: len(records) >= 15)
        return bench

    async def beside() -> Bench:
        """The meter on a plain loop here, the poller on the product's loop in a thread."""
        async with simulated("hdlc", line) as (meter, row):
            held(meter, values)

            def product() -> Bench:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    return runner.run(poll(row))

            return await asyncio.to_thread(product)

    bench = asyncio.run(beside())
    assert len(bench.sink.readings()) >= 8
    assert {tuple(record.values) for record in bench.sink.readings()} == {tuple(values.values())}
