"""The whole gateway under everything at once, and an account of every reading: `make soak`.

    python tests/soak/soak.py [--seconds N] [--seed N] [--meters N] [--interval S] [--pause S] [--rate N] [--overflow S]

Simulated meters over real TCP, the gateway as a process, a wire tap, a real Mosquitto. While the meters are polled the gateway and
the broker are killed, connections are swallowed and reset, meters lose their power, boots begin in 1970 and wall clocks step by an
hour and by fifty years; once the broker is away for so long (`--overflow`) that the ring has to let go of its oldest. `rate`
seconds of the gateway's time pass in a second. At the end every reading that a meter gave is accounted for: received, lost with the
gateway's memory before it was promised, or announced as a loss. Status 0: nothing missing, nothing invented. The seed makes the
same things happen in the same order.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.extend(str(Path(__file__).parent.parent / room) for room in ("system", "uplink"))

from mosquitto_broker import Mosquitto
from soak_account import Account, Disturbance, Given, Received, balance
from soak_clock import Time, now_ms
from soak_stage import LATE_S, DirectedGateway, Stage
from wiretap import WireTap

from edge.demo.population import Population

UTC_MS = 1_780_000_000_000.0
DRAINED_WITHIN_S = 300.0
REPORT_EVERY_S = 300.0
CANNOT = 3


async def soak(options: argparse.Namespace, directory: Path, mosquitto: str) -> bool:
    """Play it; prints the statement and returns whether the account is good."""
    rng, received, given = random.Random(options.seed), Received(), Given()
    broker = Mosquitto(mosquitto, directory)
    clock = Time(now_ms(), UTC_MS, options.rate)
    clock.boot()
    async with AsyncExitStack() as stack:
        await broker.start()
        stack.push_async_callback(broker.kill)
        population = Population(options.meters, seed=options.seed)
        await population.start()
        stack.push_async_callback(population.close)
        tap = await stack.enter_async_context(WireTap(("127.0.0.1", broker.port), on_packet=received.packet, keep=False))
        gateway = stack.enter_context(DirectedGateway(directory, **settings(options, tap.port)))
        stage = Stage(gateway, broker, tap, population, clock, rng, options.window)
        stage.publish_clock()
        await furnish(gateway, population)
        for member in population.members:
            given.count(member)
        gateway.start()
        await play(options, stage)
        await stage.close()
        status = await settle(stage)
    account = balance(given, received, stage.disturbances, clock, stage.wrong, stage.boots,
                      tolerance_ms=LATE_S * 1000 * options.rate)
    lost = {name: stream["lost"] for name, stream in status["ring"]["streams"].items() if stream["lost"]}
    for meter, n in account.missing[:12]:
        at = given.at[meter][n - 1]
        ends = sorted(one.start - at for one in stage.disturbances if one.start > at and one.meter in ("", meter))
        print(f"  {meter}, reading {n}: given {ends[0] if ends else float('inf'):.1f} s before anything excuses its loss")
    return tell(options, stage, account, received, lost)


def settings(options: argparse.Namespace, port: int) -> dict:
    return {
        "gateway": {"log_level": "warning"},
        "ring": {"size_mib": options.ring_mib, "slot_mib": 0.25 if options.ring_mib > 2 else 0.0625,
                 "alarm_share": 0.25, "billing_share": 0.05, "record_limit_bytes": 16_384,
                 "instant_commit_window_s": options.window, "alarm_commit_window_s": options.window},
        "poll": {"interval_s": options.interval, "at_once": 16, "backoff_first_s": 0.2, "backoff_max_s": 1.0, "breaker_open_s": 2.0,
                 "breaker_open_max_s": 4.0},
        "uplink": {"enabled": True, "host": "127.0.0.1", "port": port, "ack_timeout_s": 4.0, "window_messages": 16,
                   "backoff_first_s": 0.2, "backoff_max_s": 2.0},
        "backfill": {"enabled": False},
    }


async def furnish(gateway: DirectedGateway, population: Population) -> None:
    gateway.token("token-of-the-soak")
    await asyncio.to_thread(gateway.register, population.csv_text())


async def play(options: argparse.Namespace, stage: Stage) -> None:
    """Let things happen until the time is over."""
    loop = asyncio.get_running_loop()
    began, overflown = loop.time(), not options.overflow
    report_at = began + REPORT_EVERY_S
    await asyncio.sleep(min(8.0, options.seconds / 5))
    while loop.time() - began < options.seconds:
        if not overflown and loop.time() - began > options.seconds / 3:
            overflown = True
            stage.acts["long outage"] += 1
            await stage.outage(options.overflow)
        await stage.act()
        await asyncio.sleep(stage.rng.expovariate(1 / options.pause))
        assert stage.gateway.process.poll() is None, f"the gateway has ended: {stage.gateway.tail()}"
        if options.report and loop.time() >= report_at:
            report_at = loop.time() + REPORT_EVERY_S
            print(f"{loop.time() - began:6.0f} s: {sum(stage.acts.values())} acts", file=sys.stderr, flush=True)


async def settle(stage: Stage) -> dict:
    """Stop the polls, wait until nothing waits any more, and end the gateway; returns its last word."""
    gateway, names = stage.gateway, [member.row.name for member in stage.population.members]
    await asyncio.to_thread(gateway.await_status, lambda _status: True, 60)
    at = time.monotonic()
    await asyncio.to_thread(gateway.command, "meter", "pause", *names)
    # an answer that was on its way then is nobody's any more
    stage.disturbances.append(Disturbance("pause", at - LATE_S, time.monotonic() + LATE_S))
    status = await asyncio.to_thread(
        gateway.await_status, lambda status: not any(status["ring"]["backlog"].values()) and not any(
            stream["in_memory"] for stream in status["ring"]["streams"].values()), DRAINED_WITHIN_S)
    assert await asyncio.to_thread(gateway.stop, 30) == 0, gateway.tail()
    assert all(row["acked"] for row in await asyncio.to_thread(gateway.dump)), "drained, and something on flash is not acknowledged"
    return status


def tell(options: argparse.Namespace, stage: Stage, account: Account, received: Received, lost: dict[str, int]) -> bool:
    """Print the statement; returns whether all is well."""
    announced, evicted = received.announced(), received.reasons["evicted"]
    faults = {
        "readings missing, neither received nor announced": max(0, len(account.missing) - announced.get("instant", 0)),
        "readings received that no meter gave": len(account.invented),
        "readings that came again with another time": len(received.conflicts),
        "times called right that are wrong": len(account.mistimed),
        "times outside the bounds given for them": len(account.outside),
        f"losses counted by the ring ({lost}) and not announced": sum((Counter(lost) - Counter(announced)).values()),
    }
    acts = ", ".join(f"{count} x {name}" for name, count in sorted(stage.acts.items()))
    print(f"""
soak: {options.seconds:g} s, {options.seconds * options.rate / 86_400:.1f} days of the gateway's time, seed {options.seed}, {options.meters} meters
  what happened      {acts}
  given              {account.given:9,}   readings that left a meter
  received           {account.received:9,}   acknowledged by Mosquitto; {received.again:,} of them came again, the same
  never promised     {account.unpromised:9,}   in memory when the gateway was killed, or on their way from a meter
  announced losses   {sum(announced.values()):9,}   records of every kind, by {len(received.gaps)} gap records: {dict(received.reasons)}
  doubtful times     {len(received.doubtful):9,}   said to be so
  same millisecond   {account.merged:9,}   of a meter's readings, where its gateway's clock had been set back""")
    for what, count in faults.items():
        print(f"  {'WRONG' if count else 'ok':6} {count:9,}   {what}")
    for name, rows in (("missing", account.missing), ("invented", account.invented), ("mistimed", account.mistimed), ("outside", account.outside),
                       ("conflicts", received.conflicts)):
        if rows and not (name == "missing" and len(rows) <= announced.get("instant", 0)):
            print(f"  {name}: {rows[:12]}")
    if options.overflow and not evicted:
        print("  WRONG: the long outage was to overflow the ring, and did not")
    return not any(faults.values()) and account.received > 0 and (evicted > 0 or not options.overflow)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_S", "3600")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SOAK_SEED", "1")))
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two polls of a meter")
    parser.add_argument("--pause", type=float, default=12.0, help="mean seconds between two things that happen")
    parser.add_argument("--rate", type=float, default=336.0, help="two weeks in an hour")
    parser.add_argument("--window", type=float, default=0.5, help="commit window of the ring in seconds")
    parser.add_argument("--ring-mib", type=int, default=4)
    parser.add_argument("--overflow", type=float, default=480.0, help="seconds of the outage that is to overflow the ring; 0: none")
    parser.add_argument("--report", action="store_true", help="say now and then how far it is")
    options = parser.parse_args()
    mosquitto = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(mosquitto).exists():
        print("mosquitto is not installed: apt install mosquitto", file=sys.stderr)
        return CANNOT
    os.nice(2)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="halow-soak-") as place:
        good = asyncio.run(soak(options, Path(place), mosquitto))
    print(f"  {'good' if good else 'NOT GOOD'}, after {time.monotonic() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
