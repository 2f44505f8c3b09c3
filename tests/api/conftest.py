import os
import signal
import subprocess
import time

import pytest
from api_site import PASSWORD, Site
from gateway_process import EDGE


@pytest.fixture(scope="module")
def meters(tmp_path_factory):
    """Two simulated meters as a process; the CSV file that `meter import` takes."""
    path = tmp_path_factory.mktemp("meters") / "meters.csv"
    process = subprocess.Popen([*EDGE, "simulate", "--meters", "2", "--port-base", "0", "--framing", "wrapper", "--csv", str(path)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    while (line := process.stdout.readline()) and b"stop with" not in line:
        pass
    assert line, "the simulated meters did not start"
    yield path.read_text()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One gateway with its page for a module's tests."""
    there = Site(tmp_path_factory.mktemp("site"), poll={"interval_s": 1.0})
    with there.gateway:
        there.start()
        yield there
        assert there.gateway.stop() == 0, there.gateway.tail()


@pytest.fixture(scope="module")
def admin(site):
    return site.admin()


@pytest.fixture(scope="module")
def viewer(site, admin):
    client = site.client()
    client.token = admin.call("POST", "tokens", {"name": "viewer"}).json["token"]
    return client


@pytest.fixture
def until():
    """Ask again until it holds: there is no event that crosses a process border for every condition."""
    def ask(condition, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {timeout_s} s"
            time.sleep(0.1)
        return found
    return ask


__all__ = ["PASSWORD"]
