"""A meter that refused the password is left alone over restarts too, so that its lock-out is not provoked."""

import json
from pathlib import Path

import msgspec
from poll_bench import GENERIC_PROFILE, PASSWORD, Bench, moved, simulated, slower

from edge.clock import SystemClock
from edge.daemon.enrolment import Enrolment, _enrolled
from edge.errors import FailReason, RegistryError
from edge.meters.library import Library
from edge.model import Meter
from edge.poll.addressing import association_settings
from edge.poll.lockout import DUTY, Lockout, Note
from edge.poll.recovery import Circuit, Limits, Recovery
from edge.store.registry import Registry

WRONG = b"87654321"
SETTINGS = slower(breaker_open_max_s=60.0)
ROW = Meter("a", "10.0.0.1", 4059, authentication="lls", framing="wrapper")


class Kept:
    """The registry's part: the newest note."""

    note = ""

    async def __call__(self, _name: str, note: str) -> None:
        self.note = note


async def test_restarts_do_not_knock_again_and_another_password_does_at_once() -> None:
    kept = Kept()
    async with simulated() as (meter, row):
        for _restart in range(4):
            async with Bench(row, password=WRONG, settings=SETTINGS, refusal=kept.note, on_refusal=kept).running() as bench:
                await bench.sink.until(lambda records: len(records) >= 3)
        assert meter.counters.rejected == 1
        assert set(bench.sink.reasons()) == {"circuit_open"}
        assert WRONG.decode() not in kept.note
        async with Bench(row, settings=SETTINGS, refusal=kept.note, on_refusal=kept).running() as bench:
            await bench.sink.until(lambda records: records)
    assert bench.sink.reasons() == []
    assert kept.note == ""
    assert meter.counters.rejected == 1


def lockout(note: str, keep: Kept | None = None, password: bytes = WRONG) -> Lockout:
    associate = association_settings(ROW, GENERIC_PROFILE, password, SETTINGS)
    return Lockout("a", associate, note, keep or Kept(), SystemClock(trust_wall=True))


def resumed(note: str, **options: object) -> Recovery:
    recovery = Recovery(Limits(), lambda: 0.5)
    lockout(note, **options).resume(recovery)      # type: ignore[arg-type] - as `lockout` has them
    return recovery


async def test_each_refusal_doubles_the_rest_whatever_process_meets_it() -> None:
    kept, rests = Kept(), []
    for _process in range(3):
        recovery = resumed(kept.note)
        at = max(recovery.not_before(), 0.0) + 1.0
        assert recovery.may_try(at)
        step = recovery.failed(FailReason.ASSOCIATION_REFUSED, at)
        await lockout("", kept).refused(step.refused_rest_s)
        rests.append(step.refused_rest_s)
    assert rests == [1_800.0, 3_600.0, 7_200.0]
    assert recovery.failed(FailReason.UNREACHABLE, at).refused_rest_s == 0.0, "silence refuses nothing"


async def test_a_rest_that_is_over_is_over_and_after_a_reboot_half_of_it_is_left() -> None:
    kept = Kept()
    await lockout("", kept).refused(1_000.0)
    note = json.loads(kept.note)
    stamp = SystemClock(trust_wall=True).stamp()
    fresh = Note(**note)
    assert 990.0 < fresh.left_s(stamp) <= 1_000.0
    assert fresh.left_s(msgspec.structs.replace(stamp, boottime_ms=note["until_ms"] + 1)) == 0.0
    assert fresh.left_s(msgspec.structs.replace(stamp, boottime_ms=0)) == 1_000.0, "never longer than it was"
    assert fresh.left_s(msgspec.structs.replace(stamp, boot_id="another", boottime_ms=0)) == 500.0


async def test_what_is_no_note_of_these_settings_begins_nothing() -> None:
    kept = Kept()
    await lockout("", kept).refused(1_000.0)
    assert resumed(kept.note).circuit is Circuit.OPEN
    note = json.loads(kept.note)
    for other in ("", "no note", "{}", "[1]", '{"mark": 3}', json.dumps(note | {"rest_s": -1.0}), json.dumps(note | {"mark": "x"})):
        assert resumed(other).circuit is Circuit.CLOSED, other
    assert resumed(kept.note, password=PASSWORD).circuit is Circuit.CLOSED
    year = resumed(json.dumps(note | {"rest_s": 1e7, "until_ms": 10**15}))
    assert year.state(SystemClock(trust_wall=True).monotonic()).resting_s <= 86_400.0


async def test_a_registry_that_keeps_nothing_stops_nobody() -> None:
    async def full(_name: str, _note: str) -> None:
        raise RegistryError("the disk is full")

    async with simulated() as (meter, row):
        async with Bench(row, password=WRONG, settings=SETTINGS, on_refusal=full).running() as bench:
            await bench.sink.until(lambda records: len(records) >= 3)
        assert meter.counters.rejected == 1


async def test_the_registry_keeps_the_note_with_the_meter_and_forgets_it_with_it(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    enrolment = Enrolment(path, Library(tmp_path / "meters"))
    with Registry.open(path) as registry:
        registry.add(ROW, WRONG)
        await enrolment.keep_refusal("a", "note")
        assert [item.refusal for item in _enrolled(registry)] == ["note"]
        assert "note" not in repr(_enrolled(registry)[0])
        registry.update(moved(ROW, interval_s=5.0))
        assert [item.refusal for item in _enrolled(registry)] == ["note"]
        registry.remove("a")
        registry.add(ROW, WRONG)
        assert registry.progress("a", DUTY) == ""
    await enrolment.close()
