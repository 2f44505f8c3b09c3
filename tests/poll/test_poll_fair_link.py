"""Many meters over fair links, five slots each: the benchmark of docs/figures.md, shortened."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from poll_fair_link import run


async def how_late(loop: asyncio.AbstractEventLoop, lags_s: list[float]) -> None:
    """Measure how late this machine, doing whatever else it does, calls anybody who waits for a moment."""
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        lags_s.append(loop.time() - due)


@pytest.mark.slow
async def test_every_poll_over_fair_links_is_accounted_for() -> None:
    lags_s: list[float] = []
    probe = asyncio.create_task(how_late(asyncio.get_running_loop(), lags_s))
    result = await run(50, 2.5, 13.0, "fair")
    probe.cancel()
    assert result.good, result
    assert result.due >= 50 * 5
    assert result.readings >= 0.9 * result.due
    lags_s.sort()
    machine_p99_s = lags_s[len(lags_s) * 99 // 100]
    assert result.lateness_p99_s < 1.0 + 10 * machine_p99_s, "a poll starts late because the machine is, and for no other reason"


async def test_poor_links_make_failures_with_reasons_and_no_storm() -> None:
    result = await run(6, 0.5, 3.0, "poor", seed=3)
    assert result.unaccounted == 0
    assert result.wrong_values == 0
    assert result.readings + result.failed + result.skipped >= result.due
