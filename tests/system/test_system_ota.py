"""The whole gateway takes an update in spite of a kill -9, and loses no poll: benchmarks/ota_fair_link.py in small."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ota_fair_link import Run


@pytest.mark.timeout(120)
async def test_an_update_comes_through_a_kill(tmp_path: Path) -> None:
    result = await Run(tmp_path, size_bytes=400_000, meters=2, interval_s=1.0, link="none", before_s=0.5, link_share=1.0,
                       chunk_bytes=8_192, cuts=("kill",)).run()
    assert result.installed
    assert result.polls_missing == 0
    assert result.polls_meanwhile > 0
