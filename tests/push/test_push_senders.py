"""How much is taken from whom, and who is remembered: bounded, and a flood of strangers leaves the meters their way in."""

from edge.push.senders import ADDRESSES, LOG_BURST, LOG_EVERY_S, NOTICES, REASON_LIMIT, Bucket, Notices, Senders


def admitted(senders: Senders, address: str, count: int, now: float = 0.0, *, registered: bool = False) -> int:
    return sum(senders.admit(address, now, registered=registered) for _ in range(count))


def test_a_bucket_fills_again_over_its_period() -> None:
    bucket = Bucket(10, 60.0, 0.0)
    assert sum(bucket.take(0.0) for _ in range(20)) == 10
    assert not bucket.take(5.9)
    assert bucket.take(6.5)
    assert sum(bucket.take(10_000.0) for _ in range(20)) == 10, "and never holds more"


def test_one_address_cannot_take_it_all() -> None:
    senders = Senders(30, 1_000, 0.0)
    assert admitted(senders, "a", 100) == 30
    assert admitted(senders, "b", 100) == 30
    assert admitted(senders, "a", 100, 2.0) == 1


def test_strangers_share_a_quarter_and_meters_keep_their_way_in() -> None:
    senders = Senders(30, 400, 0.0)
    assert sum(admitted(senders, f"s{n}", 10) for n in range(100)) == 100
    assert admitted(senders, "meter", 100, registered=True) == 30


def test_many_addresses_take_no_memory_and_push_no_meter_out() -> None:
    senders = Senders(30, 100_000, 0.0)
    assert admitted(senders, "meter", 30, registered=True) == 30
    for n in range(3 * ADDRESSES):
        senders.admit(f"s{n}", 0.0, registered=False)
    assert len(senders._buckets[False]) == ADDRESSES
    assert admitted(senders, "meter", 1, registered=True) == 0, "its own limit was not forgotten"


def test_who_has_proven_to_be_a_meter_is_remembered() -> None:
    senders = Senders(30, 40, 0.0)
    assert not senders.vouched("a")
    for n in range(2 * ADDRESSES):
        senders.vouch("a")
        senders.vouch(f"v{n}")
    assert senders.vouched("a")
    assert len(senders._vouched) == ADDRESSES


def test_each_news_is_told_once_and_not_too_many() -> None:
    notices = Notices(0.0)
    assert notices.note("a", "", "first", 1.0)
    assert not notices.note("a", "", "again", 2.0)
    assert notices.note("a", "4d4d4d0000000001", "another title is another sender", 2.5)
    assert sum(notices.note(f"s{n}", "", "why", 3.0) for n in range(100)) == LOG_BURST - 2
    assert notices.note("late", "", "why", 3.0 + LOG_EVERY_S)
    assert [each.address for each in notices.newest()[:2]] == ["late", "s99"]
    assert len(notices.newest()) == NOTICES


def test_what_a_person_sees() -> None:
    notices = Notices(0.0)
    notices.note("a", "t", "first", 1.0)
    notices.note("a", "t", "second " + "x" * 500, 2.0)
    (seen,) = notices.newest()
    assert (seen.address, seen.who, seen.times, seen.last_at, len(seen.reason)) == ("a", "t", 2, 2.0, REASON_LIMIT)
    notices.forget("a", "t")
    assert notices.newest() == ()
