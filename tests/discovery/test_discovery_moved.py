"""Who is looked for, and what follows from where an identity was seen: no meter is moved but for a sound reason."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.discovery.doors import Door
from edge.discovery.moved import Finding, Kind, Placed, Sight, Watch, decide

WRAPPER, HDLC = Door("wrapper", 0, 1), Door("hdlc", 0, 1, 17, 4)
ONE = Placed("one", "10.0.0.1", 4059, WRAPPER, "S1")
TWO = Placed("two", "10.0.0.2", 4059, WRAPPER, "S2")


def judged(lost: list[Placed], seen: dict[str, list[str]], others: list[Placed] | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in decide(lost, seen, [*lost, *(others or [])])}


def test_missing_is_who_is_gone_for_long_enough() -> None:
    watch = Watch(100.0)
    gone, fine = Sight(resting=True, reason="unreachable"), Sight(resting=False, reason="")
    assert watch.look({"a": gone, "b": fine}, 0.0) == set()
    assert watch.look({"a": gone, "b": fine}, 99.0) == set()
    assert watch.look({"a": gone, "b": gone}, 100.0) == {"a"}
    assert watch.look({"a": fine, "b": gone}, 150.0) == set()
    assert watch.look({"a": gone, "b": gone}, 200.0) == {"b"}
    assert watch.look({}, 300.0) == set()


def test_only_some_failures_mean_that_a_meter_may_have_moved() -> None:
    reasons = ("unreachable", "no_answer", "wrong_meter", "association_refused", "bridge_busy", "security", "protocol_violation", "")
    watch = Watch(0.0)
    assert watch.look({reason: Sight(resting=True, reason=reason) for reason in reasons}, 1.0) == {"unreachable", "no_answer", "wrong_meter"}
    assert watch.look({"a": Sight(resting=False, reason="unreachable")}, 1.0) == set()


def test_one_place_and_no_other_is_a_move() -> None:
    found = judged([ONE], {"one": ["10.0.0.9"]}, [TWO])["one"]
    assert (found.kind, found.hosts) == (Kind.MOVED, ("10.0.0.9",))
    assert found.detail == "from 10.0.0.1 to 10.0.0.9, by its identity S1; nobody answers there"
    assert judged([replace(ONE, replaced=True)], {"one": ["10.0.0.9"]})["one"].detail.endswith("another meter answers there now")


def test_nothing_seen_is_nothing_found() -> None:
    assert judged([ONE], {}) == {}
    assert judged([ONE], {"one": ["10.0.0.1"]}) == {}, "at its own address: it is back"


def test_two_places_with_one_identity_change_nothing() -> None:
    found = judged([ONE], {"one": ["10.0.0.9", "10.0.0.8"]})["one"]
    assert (found.kind, found.hosts) == (Kind.TWICE, ("10.0.0.8", "10.0.0.9"))


def test_an_identity_of_two_registered_meters_changes_nothing() -> None:
    assert judged([ONE], {"one": ["10.0.0.9"]}, [replace(TWO, identity="S1")])["one"].kind is Kind.SHARED


def test_another_meters_address_is_not_taken() -> None:
    found = judged([ONE], {"one": ["10.0.0.2"]}, [TWO])["one"]
    assert found.kind is Kind.TAKEN
    assert "where two is registered" in found.detail
    assert judged([ONE], {"one": ["10.0.0.2"]}, [replace(TWO, port=3333)])["one"].kind is Kind.MOVED, "another port is another place"


def test_a_bridge_has_room_for_several_addresses() -> None:
    mine, theirs = replace(ONE, door=HDLC), replace(TWO, door=HDLC._replace(physical=18))
    assert judged([mine], {"one": ["10.0.0.2"]}, [theirs])["one"].kind is Kind.MOVED
    assert judged([mine], {"one": ["10.0.0.2"]}, [replace(theirs, door=HDLC)])["one"].kind is Kind.TAKEN


def test_two_that_changed_places_are_both_moved() -> None:
    found = judged([ONE, TWO], {"one": ["10.0.0.2"], "two": ["10.0.0.1"]})
    assert {name: (each.kind, each.hosts) for name, each in found.items()} == {
        "one": (Kind.MOVED, ("10.0.0.2",)), "two": (Kind.MOVED, ("10.0.0.1",))}


def test_a_chain_whose_end_stays_moves_nobody() -> None:
    three = Placed("three", "10.0.0.3", 4059, WRAPPER, "S3")
    found = judged([ONE, TWO], {"one": ["10.0.0.2"], "two": ["10.0.0.3"]}, [three])
    assert {each.kind for each in found.values()} == {Kind.TAKEN}


hosts = st.sampled_from([f"10.0.0.{n}" for n in range(1, 6)])
meters = st.lists(st.builds(Placed, st.sampled_from("abcdef"), hosts, st.just(4059), st.sampled_from([WRAPPER, HDLC]),
                            st.sampled_from(["S1", "S2", "S3", "S4"])), max_size=6, unique_by=lambda meter: meter.name)


@given(meters, st.data())
def test_after_all_moves_no_two_meters_stand_at_one_place_that_did_not_before(registered: list[Placed], data: st.DataObject) -> None:
    lost = data.draw(st.lists(st.sampled_from(registered), unique_by=lambda meter: meter.name)) if registered else []
    seen = {meter.name: data.draw(st.lists(hosts, max_size=2)) for meter in lost}
    findings = decide(lost, seen, registered)
    moved = {finding.name: finding.hosts[0] for finding in findings if finding.kind is Kind.MOVED}
    after = [replace(meter, host=moved.get(meter.name, meter.host)) for meter in registered]
    for finding in findings:
        assert finding.name in {meter.name for meter in lost}
        if finding.kind is Kind.MOVED:
            (meter,) = (each for each in after if each.name == finding.name)
            assert set(seen[finding.name]) - {next(each.host for each in lost if each.name == finding.name)} == {meter.host}
            alike = [each for each in after if each.shares_place_with(meter, each.host) and each.name != meter.name]
            assert all(each.name in moved for each in alike), "nobody who stays is pushed aside"
