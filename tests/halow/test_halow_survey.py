"""The survey of one peer, and echoes of a real loopback host."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.echo import Echo, NoEcho
from halow.model import Grade, LinkState
from halow.survey import CSV_HEADER, Survey

MAC = "02:00:00:00:00:01"
ALLOWED = Path("/proc/sys/net/ipv4/ping_group_range")


def state(average: float | None, **more: object) -> LinkState:
    return LinkState(MAC, Grade.FAIR if average is not None else Grade.LOST, rssi_avg_dbm=average, **more)


def test_the_best_is_kept_and_cues_lead_back_to_it() -> None:
    survey = Survey()
    cues = [survey.add(state(average), float(n)).cue for n, average in enumerate((-80.0, -78.0, -78.5, -85.0, -78.9, -70.0, None, -70.4))]
    assert cues == [0, 2, 1, 0, 1, 2, 0, 1]
    line = survey.add(state(-90.0, margin_db=2.0, trend_db=-3.0), 10.0, asked=True, rtt_ms=65.2)
    assert (line.best_dbm, line.best_age_s) == (-70.0, 5.0)
    assert line.text().startswith(" -90.0 dBm ▼ ██████·")
    assert "best -70.0 (5 s ago)  margin 2 dB  rtt 65 ms  loss 0 %  fair" in line.text()
    assert line.row("t") == ("t", MAC, "fair", "", "-90", "-3", "2", "-70", "65.2", "0", "")
    assert len(line.row("t")) == len(CSV_HEADER)
    lost = survey.add(state(None, lost_because="disassociated"), 11.0, asked=True)
    assert (lost.loss_pct, lost.text()) == (50.0, " no frame  disassociated")


@given(st.lists(st.one_of(st.none(), st.floats(-120, -20)), min_size=1, max_size=60))
def test_the_best_is_the_best_and_every_line_can_be_shown(averages: list[float | None]) -> None:
    survey, seen = Survey(), []
    for n, average in enumerate(averages):
        line = survey.add(state(average), float(n))
        seen += [] if average is None else [average]
        assert line.best_dbm == (max(seen) if seen else None)
        assert line.cue == 0 or average is not None
        assert line.text()


@pytest.fixture
def echoes_allowed() -> Iterator[None]:
    """As systemd sets it; put back afterwards. Without root it is as it is."""
    before = ALLOWED.read_text()
    try:
        ALLOWED.write_text("0 2147483647")
    except PermissionError:
        yield
        return
    yield
    ALLOWED.write_text(before)


@pytest.mark.usefixtures("echoes_allowed")
async def test_a_host_that_answers_and_one_that_does_not() -> None:
    try:
        echo = Echo("127.0.0.1")
    except NoEcho as why:
        pytest.skip(str(why))
    try:
        trips = [await echo.ask(5.0) for _ in range(3)]
        assert all(trip is not None and 0.0 < trip < 5_000.0 for trip in trips)
    finally:
        echo.close()
    silent = Echo("127.0.0.1")
    silent._sock.close()
    assert await asyncio.wait_for(silent.ask(0.2), 5) is None
