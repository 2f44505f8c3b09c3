"""Polling over real packet loss, in network namespaces: nothing starves, an outage ends, a fixed number does no better."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import METERS, PROJECT, NoNamespaces, RadioSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def site() -> Iterator[RadioSite]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        with RadioSite("fair") as made:
            yield made
    except NoNamespaces as why:
        pytest.skip(f"no network namespaces here: {why}")


@pytest.fixture
def meters(site: RadioSite, tmp_path: Path) -> Iterator[Path]:
    """Twelve meters behind the link."""
    csv = tmp_path / "meters.csv"
    words = [sys.executable, "-m", "edge", "simulate", "--meters", "12", "--host", METERS, "--framing", "wrapper", "--csv", str(csv)]
    with subprocess.Popen(site.meters(*words), stdout=subprocess.PIPE, text=True, cwd=PROJECT) as simulate:
        assert simulate.stdout
        while "stop with" not in (line := simulate.stdout.readline()):
            assert line
        try:
            yield csv
        finally:
            simulate.kill()


def poller(site: RadioSite, csv: Path, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(PROJECT / "tools/netns/poll.py"), str(csv), *options]
    return subprocess.Popen(site.gateway(*words), stdout=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})


def told(process: subprocess.Popen[str]) -> dict:
    output, _ = process.communicate(timeout=120)
    return json.loads(output)


def test_a_fair_link_gives_more_than_one_at_a_time_and_no_meter_starves(site: RadioSite, meters: Path) -> None:
    found = told(poller(site, meters, "--seconds", "10", "--warm-up", "6"))
    single = told(poller(site, meters, "--seconds", "6", "--warm-up", "2", "--at-once", "1"))
    air = site.tell("stats")
    assert air["up"]["lost"] > 0, "packets were really lost"
    assert not found["failures"], found
    assert found["readings"] / 10 >= 2 * single["readings"] / 6, (found, single)
    assert found["fewest"] >= found["readings"] / 12 / 2, "the worst meter gets half of the mean at least"


def test_an_outage_fails_polls_with_their_reason_and_ends_by_itself(site: RadioSite, meters: Path) -> None:
    process = poller(site, meters, "--seconds", "15", "--warm-up", "0", "--interval", "0.5")
    site.tell("until up given 200")      # all are connected and polled
    site.tell("down")
    site.tell("until up lost 40")
    site.tell("up")
    found = told(process)
    assert found["readings"] >= 60, found
    assert set(found["failures"]) <= {"no_answer", "unreachable", "connection_lost", "circuit_open"}, found
    assert found["fewest"] >= 3, "every meter is read again"
