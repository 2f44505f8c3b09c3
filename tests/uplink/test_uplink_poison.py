"""Who is condemned, and above all who is not."""

from edge.model import Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.uplink.poison import ASIDE_LIMIT, Poison

SCHEMA = Schema(Kind.READING, (Field("v"),))


def record(seq, device="A"):
    return Stored(Stream.INSTANT, seq, Record(SCHEMA, device, Stamp(seq, seq, "b", synchronised=True), (seq,)))


def span(first, last):
    return SeqSpan(Stream.INSTANT, first, last)


def success(poison, seq=100, *, own=False, devices=True):
    return [stored.seq for stored, _ in poison.taken(span(seq, seq), own=own, devices=devices)]


def test_a_refused_batch_is_split():
    poison, batch = Poison(), (record(1), record(2))
    poison.refused(batch, "0x99")
    assert poison.alone(batch[0])
    assert poison.alone(batch[1])
    assert not poison.aside(batch[0])
    assert not poison.alone(record(3))
    assert success(poison, 1) == []
    assert not poison.alone(batch[0]), "taken alone: cleared"
    assert poison.alone(batch[1])


def test_a_refused_record_is_condemned_by_the_next_success():
    poison = Poison()
    poison.refused((record(1),), "0x99 payload format invalid")
    assert poison.aside(record(1))
    assert poison.taken(span(2, 9), own=False, devices=True) == [(record(1), "0x99 payload format invalid")]
    assert not poison.aside(record(1))
    assert not poison.alone(record(1))


def test_success_on_the_other_topic_proves_nothing():
    poison = Poison()
    poison.refused((record(1),), "x")
    assert success(poison, own=True, devices=False) == []
    assert poison.aside(record(1))
    poison.refused((record(5, ""),), "x")
    assert success(poison, own=True, devices=False) == [5]


def drop_until_aside(poison, stored):
    for _ in range(2):
        assert not poison.aside(stored)
        poison.dropped((stored,))
    assert poison.aside(stored)


def test_drops_alone_need_two_trials_after_successes():
    poison, bad = Poison(), record(1)
    drop_until_aside(poison, bad)
    for _ in range(2):
        assert success(poison) == []
        assert not poison.aside(bad), "tried again"
        assert poison.alone(bad)
        poison.dropped((bad,))
        assert poison.aside(bad)
    assert success(poison) == [1]


def test_a_record_that_passes_its_trial_is_free():
    poison, good = Poison(), record(1)
    drop_until_aside(poison, good)
    success(poison)
    assert success(poison, 1) == []
    drop_until_aside(poison, good)
    assert success(poison) == [], "its trials begin anew"


def test_drops_at_different_heads_or_once_are_nothing():
    poison = Poison()
    for seq in (1, 2, 1, 2, 1):
        poison.dropped((record(seq), record(9)))
    assert not poison.alone(record(1))
    assert not poison.aside(record(1))


def test_two_drops_on_a_batch_split_it():
    poison, batch = Poison(), (record(1), record(2))
    poison.dropped(batch)
    poison.dropped((record(1), record(2), record(3)))
    assert poison.alone(record(3))
    assert not poison.aside(record(1))


def test_a_server_that_refuses_everything_condemns_nobody():
    poison = Poison()
    for seq in range(ASIDE_LIMIT):
        assert poison.everything_refused() is None
        poison.refused((record(seq),), "0x90 topic name invalid")
    assert poison.everything_refused() == "0x90 topic name invalid"
    assert not any(poison.aside(record(seq)) for seq in range(ASIDE_LIMIT))
    assert success(poison) == []
