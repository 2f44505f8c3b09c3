"""Thirty meters over a shared radio link with real packet loss: what finding out how many to ask at once is worth.

    sudo python benchmarks/poll_radio_links.py [--meters 30] [--seconds 30] [--profiles fair] [--fixed 1,4,16] [--json]

Two network namespaces with an emulated HaLow channel between (tools/netns): real TCP, half duplex, one channel for all.
Each profile is polled as fast as it lets by the gateway as shipped, and by the same with 1, 4 and 16 meters at once,
fixed. "outage" is the fair link, gone for 5 s in every 15. "Ideal" is what the channel carries without a lost frame:
bytes of request and answer at its rate, or all meters asked one thing at a time all the time, whichever is less, while
there is a link. Status 1 where the gateway gets less than a fixed number does (beyond 10 % of chance), or where a meter
gets less than half of the mean. On "eu-duty" the last columns say how much of the hour the gateway and each meter would
be on the air as European access point and stations (halow/airtime.py, over all frames that the emulator took, repeated
ones included); a fixed number that breaks that rule is no measure for one that keeps it. A machine at work for more
than 95 % measures itself and not the link: the column says.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).resolve().parent.parent / place) for place in ("tools/netns", ""))

from namespaces import METERS, RadioSite

from edge.demo.linkprofile import PROFILES
from halow.airtime import LLC_BYTES, PREAMBLE_US, frame_s, way_for
from halow.regions import region_of

PROJECT = Path(__file__).resolve().parent.parent
ORDER = ("good", "fair", "poor", "eu-duty", "sleepy", "outage")
OUTAGE_S, PERIOD_S = 5.0, 15.0        # of "outage": gone for so long in each period
HEADERS_BYTES = 14 + 20 + 32          # Ethernet, IPv4, TCP with time stamps
POLL_BYTES = 102 + 54 + 2 * HEADERS_BYTES
CHANCE = 0.9
ETHERNET_BYTES = 14
EU_WIDTH_MHZ = 1


def ideal_per_min(name: str, meters: int) -> float:
    """Return the polls a minute that a loss-free channel would carry."""
    link = PROFILES["fair" if name == "outage" else name]
    there = 1 - OUTAGE_S / PERIOD_S if name == "outage" else 1.0
    air_s = POLL_BYTES * 8 / link.rate_bps
    round_trip_s = sum(link.delay_range_s) + 2 * link.jitter_s + air_s
    return 60 * min(1 / air_s, meters / round_trip_s) * there


@dataclass(frozen=True)
class Duty:
    """Percent of the time that the gateway sends, and each of the meters on average, against what they may."""

    near_pct: float
    far_pct: float
    near_limit_pct: float
    far_limit_pct: float

    @property
    def kept(self) -> bool:
        return self.near_pct <= self.near_limit_pct and self.far_pct <= self.far_limit_pct

    def __str__(self) -> str:
        return (f"  on the air: gateway {self.near_pct:.1f} of {self.near_limit_pct:g} %, "
                f"a meter {self.far_pct:.2f} of {self.far_limit_pct:g} %")


def duty(name: str, air: dict[str, Any], lasted_s: float, meters: int) -> Duty | None:
    """Return what a run would have taken of Europe's duty cycle; None on the other profiles."""
    region = region_of("DE")
    if name != "eu-duty" or region is None:
        return None
    way, ack_s = way_for(PROFILES[name].rssi_dbm, EU_WIDTH_MHZ), PREAMBLE_US[EU_WIDTH_MHZ] / 1e6

    def sends_s(sent: dict[str, int], heard: dict[str, int]) -> float:
        body_bytes = sent["taken_bytes"] // max(sent["taken"], 1) - ETHERNET_BYTES + LLC_BYTES
        return sent["taken"] * frame_s(body_bytes, way) + heard["taken"] * ack_s

    near_s, far_s = sends_s(air["up"], air["down"]), sends_s(air["down"], air["up"])
    return Duty(100 * near_s / lasted_s, 100 * far_s / lasted_s / meters,
                region.duty_pct(access_point=True), region.duty_pct(access_point=False))


@contextmanager
def outages(site: RadioSite) -> Iterator[None]:
    """Take the link away again and again while the block runs."""
    over = threading.Event()

    def come_and_go() -> None:
        while not over.wait(PERIOD_S - OUTAGE_S):
            site.tell("down")
            over.wait(OUTAGE_S)
            site.tell("up")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(name: str, *, meters: int, at_once: int | None, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Poll one profile in one way; return what poll.py says."""
    with RadioSite("fair" if name == "outage" else name) as site, tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "meters.csv"
        simulate = subprocess.Popen(
            site.meters(sys.executable, "-m", "edge", "simulate", "--meters", str(meters), "--host", METERS,
                        "--framing", "wrapper", "--csv", str(csv)),
            stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        try:
            assert simulate.stdout is not None
            while "stop with" not in (line := simulate.stdout.readline()):
                assert line, "the simulated meters ended"
            words = [str(PROJECT / "tools/netns/poll.py"), str(csv),
                     "--seconds", str(seconds), "--warm-up", str(warm_up_s)]
            if at_once is not None:
                words += ["--at-once", str(at_once)]
            with outages(site) if name == "outage" else nullcontext():
                done = subprocess.run(site.gateway(sys.executable, *words), check=True, capture_output=True, text=True,
                                      cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})
            return {**json.loads(done.stdout), "air": site.tell("stats")}
        finally:
            simulate.kill()
            simulate.communicate()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=15.0)
    parser.add_argument("--profiles", default=",".join(ORDER))
    parser.add_argument("--fixed", default="1,4,16", help="numbers at once to compare with; none: only as shipped")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    fixed_numbers = [int(word) for word in asked.fixed.split(",") if word]
    good = True
    print("profile    ideal  at once  per min of ideal failed fewest/mean  late p95   CPU machine")
    for name in asked.profiles.split(","):
        ideal = ideal_per_min(name, asked.meters)
        found: dict[int | None, float] = {}
        lawful = set(fixed_numbers)
        for at_once in (None, *fixed_numbers):
            told = run(name, meters=asked.meters, at_once=at_once, seconds=asked.seconds, warm_up_s=asked.warm_up)
            if asked.json:
                print(json.dumps({"profile": name, **told}))
            found[at_once] = per_min = told["readings"] * 60 / told["seconds"]
            mean = told["readings"] / told["meters"]
            share = told["fewest"] / mean if mean else 0.0
            who = f"auto {told['at_once']}" if at_once is None else str(at_once)
            failed = sum(told["failures"].values())
            used = duty(name, told["air"], asked.warm_up + asked.seconds, asked.meters)
            if used is not None and not used.kept:
                lawful.discard(at_once or 0)
                good = good and at_once is not None
            print(f"{name:8} {ideal:7.0f} {who:>8} {per_min:8.0f} {per_min / ideal:8.0%} {failed:6} {share:11.2f} "
                  f"{told['lateness_p95_s'] or 0.0:7.2f} s {told['cpu_pct']:4.0f} % {told['machine_pct']:5.0f} %"
                  f"{used or ''}", flush=True)
            if at_once is None and share < 0.5:
                print(f"{name}: a meter starves")
                good = False
        best = max((found[fixed] for fixed in lawful), default=0.0)
        if found[None] < CHANCE * best:
            print(f"{name}: {found[None]:.0f} a minute is less than a fixed number gets, {best:.0f}")
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
