"""The soak's account finds what it is there to find: each fault put into a good run alone is told, and told as what it is."""

import json
import time
from array import array

import pytest
from soak_account import COUNTER, Boot, Disturbance, Given, Received, balance
from soak_clock import Time, now_ms
from wiretap import Acked, Published

RATE, TOLERANCE_MS = 336.0, 1_000.0
BEGAN = time.monotonic()


class Run:
    """One meter read every second, five times, and all of it delivered; a test spoils one thing."""

    def __init__(self) -> None:
        self.clock = Time(now_ms() - (time.monotonic() - BEGAN) * 1000, 1_780_000_000_000.0, RATE)
        self.given, self.received = Given(), Received()
        self.given.at["m"] = array("d", (BEGAN + n for n in range(5)))
        self.disturbances: list[Disturbance] = []
        self.wrong: list[tuple[float, float]] = []
        self.boots = [Boot(BEGAN - 1, BEGAN - 1)]

    def ts(self, n: int) -> int:
        return int(self.clock.utc_ms + (n - 1) * 1000 * RATE)

    def deliver(self, *numbers: int, off_ms: int = 0, **said: object) -> None:
        elements = [{"ts": self.ts(n) + off_ms, "values": {COUNTER: n, "poll_ok": True, **said}} for n in numbers]
        self.acked("v1/gateway/telemetry", {"m": elements})

    def acked(self, topic: str, body: object, reason: int = 0) -> None:
        self.received.packet("acked", Acked(Published(1, 1, topic, json.dumps(body).encode(), 0.0), reason, 0.0))

    def account(self):
        return balance(self.given, self.received, self.disturbances, self.clock, self.wrong, self.boots, TOLERANCE_MS)


def test_a_good_run_has_no_fault() -> None:
    run = Run()
    run.deliver(1, 2, 3, 4, 5)
    account = run.account()
    assert (account.given, account.received, account.unpromised) == (5, 5, 0)
    assert [account.missing, account.invented, account.mistimed, account.outside, run.received.conflicts] == [[]] * 5


def test_a_reading_that_nothing_explains_is_missing() -> None:
    run = Run()
    run.deliver(1, 2, 4, 5)
    run.disturbances = [Disturbance("kill", BEGAN + 3.5, BEGAN + 9), Disturbance("cut", BEGAN, BEGAN + 9, "another meter")]
    assert run.account().missing == [("m", 3)]
    run.disturbances.append(Disturbance("cut", BEGAN + 1.5, BEGAN + 2.5, "m"))
    assert (run.account().missing, run.account().unpromised) == ([], 1)


def test_only_what_the_broker_said_yes_to_counts() -> None:
    run = Run()
    run.deliver(1, 2, 3, 4)
    body = {"m": [{"ts": run.ts(5), "values": {COUNTER: 5}}]}
    run.acked("v1/gateway/telemetry", body, reason=0x97)
    run.received.packet("published", Published(1, 2, "v1/gateway/telemetry", json.dumps(body).encode(), 0.0))
    assert run.account().missing == [("m", 5)]


@pytest.mark.parametrize("number", [0, 6])
def test_a_reading_that_no_meter_gave_is_invented(number: int) -> None:
    run = Run()
    run.deliver(1, 2, 3, 4, 5, number)
    assert run.account().invented == [("m", number)]


def test_a_wrong_time_is_told_unless_a_clock_was_wrong_or_the_reading_says_so() -> None:
    run = Run()
    run.deliver(1, 2, 4, 5)
    run.deliver(3, off_ms=3_600_000)
    assert [(meter, n) for meter, n, _ in run.account().mistimed] == [("m", 3)]
    run.wrong = [(BEGAN + 1.9, BEGAN + 2.1)]
    assert not run.account().mistimed
    run.wrong = []
    run.received.doubtful["m", 3] = {"ts_q": "unsynchronised"}
    assert not run.account().mistimed


def test_a_bracket_that_does_not_hold_the_truth_is_told() -> None:
    run = Run()
    run.deliver(1, 2, 4, 5)
    run.deliver(3, ts_q="bracket", ts_earliest_ms=run.ts(2), ts_latest_ms=run.ts(4))
    assert not run.account().outside
    run.received.doubtful["m", 3] = {"ts_q": "bracket", "ts_earliest_ms": run.ts(4), "ts_latest_ms": run.ts(5)}
    assert run.account().outside == [("m", 3, RATE, 2 * RATE)]


@pytest.mark.parametrize(("boots", "wrong", "excused"), [
    ([Boot(0.5, 0.5), Boot(1.5, None), Boot(2.5, 3.5)], (3.0, 4.0), True),                       # what the next was told first
    ([Boot(0.5, 0.5), Boot(1.5, None), Boot(2.5, None), Boot(3.0, 3.5)], (3.2, 4.0), True),      # the next that was told anything
    ([Boot(0.5, 0.5), Boot(1.5, None), Boot(2.5, 3.5)], (1.2, 1.7), True),                       # how the one before ended
    ([Boot(0.5, 0.5), Boot(1.0, None), Boot(1.5, None)], (0.7, 1.1), True),                      # the one before that had a time
    ([Boot(0.5, 0.5), Boot(1.5, None), Boot(2.5, 3.5)], (3.8, 4.0), False),                      # later, which nothing rests on
    ([Boot(0.5, 0.5), Boot(1.5, None), Boot(2.5, None)], (2.4, 4.0), False),                     # never told: no bound of anything
    ([Boot(0.5, None), Boot(1.5, None), Boot(2.5, None)], (1.0, 1.8), False)])
def test_bounds_that_come_from_a_wrong_clock_are_not_judged(boots: list[Boot], wrong: tuple[float, float], excused: bool) -> None:
    run = Run()
    run.deliver(1, 2, 4, 5)
    run.deliver(3, ts_q="bracket", ts_earliest_ms=run.ts(4), ts_latest_ms=run.ts(5))
    run.boots = [Boot(BEGAN + boot.start, None if boot.told is None else BEGAN + boot.told) for boot in boots]
    run.wrong = [(BEGAN + wrong[0], BEGAN + wrong[1])]
    run.given.at["m"][2] = BEGAN + 2.0
    assert bool(run.account().outside) is not excused


def test_a_delivery_that_comes_again_is_the_same() -> None:
    run = Run()
    run.deliver(1, 2, 3, 4, 5)
    run.deliver(2)
    assert (run.received.again, run.received.conflicts) == (1, [])
    run.deliver(2, off_ms=1)
    assert run.received.conflicts == [("m", 2)]


def test_a_gap_record_that_comes_twice_announces_once() -> None:
    run = Run()
    gap = {"gap_stream": "instant", "gap_loss_no": 1, "gap_reason": "evicted", "gap_count": 40}
    for values in (gap, gap, {**gap, "gap_loss_no": 2, "gap_count": 2}):
        run.acked("v1/devices/me/telemetry", [{"ts": 1, "values": values}])
    assert dict(run.received.announced()) == {"instant": 42}
    assert dict(run.received.reasons) == {"evicted": 42}
