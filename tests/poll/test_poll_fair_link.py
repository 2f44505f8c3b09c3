"""Many meters over fair links, five slots each: the benchmark of the README, shortened."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from poll_fair_link import run


@pytest.mark.slow
async def test_every_poll_over_fair_links_is_accounted_for() -> None:
    result = await run(50, 2.5, 13.0, "fair")
    assert result.good, result
    assert result.due >= 50 * 5
    assert result.readings >= 0.9 * result.due
    assert result.lateness_p99_s < 1.0


async def test_poor_links_make_failures_with_reasons_and_no_storm() -> None:
    result = await run(6, 0.5, 3.0, "poor", seed=3)
    assert result.unaccounted == 0
    assert result.wrong_values == 0
    assert result.readings + result.failed + result.skipped >= result.due
