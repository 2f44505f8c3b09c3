"""What a newcomer sees: the demo runs through and its account balances, in plain lines where there is no terminal."""

import re
import subprocess
import time

import pytest
from gateway_process import EDGE

pytestmark = [pytest.mark.system, pytest.mark.slow]


def test_the_demo_plays_to_its_end_within_two_minutes():
    began = time.monotonic()
    done = subprocess.run([*EDGE, "demo"], check=False, capture_output=True, text=True, timeout=118)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 120
    counts = {name: int(count) for name, count in re.findall(r"^(readings taken|acknowledged|received|lost|duplicated) +(\d+)", done.stdout, re.MULTILINE)}
    assert counts["readings taken"] == counts["acknowledged"] == counts["received"] > 150
    assert counts["lost"] == 0
    assert "kill -9 of the gateway" in done.stdout
    assert "Nothing was lost." in done.stdout
    assert "\x1b" not in done.stdout, "no terminal, no escape sequences"
    assert done.stderr == ""
