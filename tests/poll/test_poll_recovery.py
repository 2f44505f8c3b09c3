"""The recovery ladder: repetition, back-off, circuit breaker, in virtual time."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.errors import FailReason
from edge.poll.recovery import LADDER, REFUSED_REST_MAX_S, Circuit, Level, Limits, Recovery, Step, backoff

LIMITS = Limits()


def straight() -> float:
    return 0.0     # no jitter


def test_every_reason_that_follows_an_attempt_has_its_place() -> None:
    assert set(LADDER) == set(FailReason) - {FailReason.CIRCUIT_OPEN}


def test_a_timeout_is_never_repeated_on_the_same_connection() -> None:
    for reason, rule_ in LADDER.items():
        if Level.REPEAT in (rule_.level, rule_.temporary):
            assert reason in (FailReason.EXCEPTION_RESPONSE, FailReason.ACCESS_REFUSED)
        assert rule_.level is not Level.REPEAT     # only where the meter itself says "temporary"


@given(first=st.floats(0.1, 10), most=st.floats(0.1, 600), seed=st.integers(0, 2**32))
def test_backoff_doubles_up_to_its_limit_and_jitter_takes_off_up_to_half(first: float, most: float, seed: int) -> None:
    delays = list(itertools.islice(backoff(first, most, random.Random(seed).random), 20))
    for n, delay in enumerate(delays):
        whole = min(first * 2.0**n, most)
        assert whole / 2 <= delay <= whole + 1e-9


def test_five_failures_open_the_circuit_and_one_probe_closes_it() -> None:
    ladder = Recovery(LIMITS, straight)
    now = 100.0
    waits = []
    for _ in range(4):
        assert ladder.may_try(now)
        step = ladder.failed(FailReason.NO_ANSWER, now)
        assert step.level is Level.RECONNECT
        assert not ladder.may_try(step.not_before - 0.001)
        waits.append(step.not_before - now)
        now = step.not_before
    assert waits == [2.0, 4.0, 8.0, 16.0]
    assert ladder.failed(FailReason.NO_ANSWER, now) == Step(Level.REST, now + 120.0)
    assert ladder.circuit is Circuit.OPEN
    assert not ladder.may_try(now + 119.9)
    assert ladder.may_try(now + 120.0)
    assert ladder.state(now).circuit is Circuit.HALF_OPEN
    ladder.succeeded()
    assert ladder.circuit is Circuit.CLOSED
    assert ladder.failed(FailReason.NO_ANSWER, now + 200) == Step(Level.RECONNECT, now + 202.0)


def test_failed_probes_double_the_rest_up_to_its_limit() -> None:
    ladder = Recovery(LIMITS, straight)
    now, rests = 0.0, []
    while len(rests) < 7:
        assert ladder.may_try(now)
        step = ladder.failed(FailReason.UNREACHABLE, now)
        if step.level is Level.REST:
            rests.append(step.not_before - now)
        now = step.not_before
    assert rests == [120, 240, 480, 960, 1800, 1800, 1800]


def test_a_wrong_password_rests_at_once_and_long() -> None:
    ladder = Recovery(LIMITS, straight)
    now, attempts = 0.0, 0
    while now < 7 * 86_400:
        assert ladder.may_try(now)
        attempts += 1
        step = ladder.failed(FailReason.ASSOCIATION_REFUSED, now)
        assert step.level is Level.REST
        now = step.not_before
    assert attempts <= 14                       # in a week: about two on the first day's doubling, then one a day
    assert ladder.failed(FailReason.ASSOCIATION_REFUSED, now).not_before == now + REFUSED_REST_MAX_S


def test_a_refusal_the_meter_calls_transient_is_an_ordinary_failure() -> None:
    ladder = Recovery(LIMITS, straight)
    assert ladder.failed(FailReason.ASSOCIATION_REFUSED, 0.0, temporary=True).level is Level.RECONNECT


def test_a_temporary_answer_is_repeated_once_then_climbs() -> None:
    ladder = Recovery(LIMITS, straight)
    assert ladder.failed(FailReason.EXCEPTION_RESPONSE, 0.0, temporary=True) == Step(Level.REPEAT, 0.0)
    assert ladder.failed(FailReason.EXCEPTION_RESPONSE, 0.1, temporary=True).level is Level.RECONNECT
    assert ladder.failed(FailReason.EXCEPTION_RESPONSE, 9.0, temporary=True).level is Level.REPEAT
    assert ladder.state(9.0).repeats == 2


def test_refused_objects_leave_the_association_alone() -> None:
    ladder = Recovery(LIMITS, straight)
    for now in range(50):
        assert ladder.failed(FailReason.ACCESS_REFUSED, float(now)).level is Level.STAY
    assert ladder.circuit is Circuit.CLOSED
    assert ladder.failures_in_row == 0


def test_limits_smaller_than_the_defaults_are_kept() -> None:
    ladder = Recovery(Limits(0.1, 0.2, 1, 0.5, 1.0), straight)
    assert ladder.failed(FailReason.CONNECTION_LOST, 0.0) == Step(Level.REST, 0.5)
    assert ladder.may_try(0.5)
    assert ladder.failed(FailReason.CONNECTION_LOST, 0.5) == Step(Level.REST, 1.5)


class Ladder(RuleBasedStateMachine):
    """Any sequence of waits, failures and successes, in virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = random.Random(7)
        self.ladder = Recovery(LIMITS, self.rng.random)
        self.now = 0.0
        self.attempts_in_hour: list[float] = []

    @rule(seconds=st.floats(0.1, 4000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.now >= self.ladder.not_before())
    @rule(reason=st.sampled_from(sorted(LADDER)), temporary=st.booleans())
    def fail(self, reason: FailReason, temporary: bool) -> None:
        probing = self.ladder.may_try(self.now) and self.ladder.circuit is Circuit.HALF_OPEN
        step = self.ladder.failed(reason, self.now, temporary=temporary)
        if step.level in (Level.RECONNECT, Level.REST):
            self.attempts_in_hour.append(self.now)
            assert step.not_before > self.now
            assert not self.ladder.may_try(self.now)
        if probing and step.level is Level.RECONNECT:
            raise AssertionError("a failed probe must rest again")
        if reason is FailReason.ASSOCIATION_REFUSED and not temporary:
            assert step.not_before >= self.now + LIMITS.breaker_open_max_s

    @precondition(lambda self: self.now >= self.ladder.not_before())
    @rule()
    def succeed(self) -> None:
        assert self.ladder.may_try(self.now)
        self.ladder.succeeded()
        self.attempts_in_hour.clear()
        assert self.ladder.may_try(self.now)
        assert self.ladder.state(self.now).resting_s == 0

    @rule()
    def forgive(self) -> None:
        refused, failed = not self.ladder._silent, self.ladder.failures_in_row
        forgiven = self.ladder.forgive()
        assert forgiven == (failed > 0 and not refused), "a refusal is the meter's own, whatever became of the link"
        if forgiven:
            self.attempts_in_hour.clear()
            assert self.ladder.may_try(self.now)
            assert self.ladder.failures_in_row == 1, "doubtful until it answers"

    @invariant()
    def rests_are_bounded(self) -> None:
        assert self.ladder.not_before() <= self.now + REFUSED_REST_MAX_S

    @invariant()
    def failures_alone_cannot_storm(self) -> None:
        recent = [at for at in self.attempts_in_hour if at > self.now - 3600]
        assert len(recent) <= 5 + 3600 / LIMITS.breaker_open_s


TestLadder = Ladder.TestCase
TestLadder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_silence_while_the_link_is_gone_doubles_no_rest_and_is_forgiven_a_refused_password_never() -> None:
    ladder = Recovery(Limits(2.0, 60.0, 1, 120.0, 1800.0), straight)
    now = 0.0
    for _ in range(6):
        step = ladder.failed(FailReason.UNREACHABLE, now, link_gone=True)
        assert step == Step(Level.REST, now + 120.0)
        now = step.not_before
        assert ladder.may_try(now)
    assert ladder.failed(FailReason.UNREACHABLE, now).not_before == now + 240.0
    assert ladder.forgive()
    assert ladder.may_try(now)
    ladder.failed(FailReason.ASSOCIATION_REFUSED, now)
    assert not ladder.forgive()
    assert not ladder.may_try(now + 100.0)


@pytest.mark.parametrize("failures", [1, 3, 5])
def test_the_breaker_counts_failures_in_a_row_only(failures: int) -> None:
    ladder = Recovery(Limits(breaker_failures=failures), straight)
    now = 0.0
    for _ in range(20):
        for _ in range(failures - 1):
            now = max(now, ladder.not_before())
            assert ladder.may_try(now)
            assert ladder.failed(FailReason.NO_ANSWER, now).level is Level.RECONNECT
        now = max(now, ladder.not_before())
        ladder.succeeded()
    assert ladder.state(now).rests == 0
