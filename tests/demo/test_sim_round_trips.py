"""Everything the client writes, the simulated meter's own decoder reads and gives back: values, services, ciphering, selections, ACSE.

The two sides share frame coding and nothing else, so that what comes back unchanged was written by one rule and read by the other.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dlms_axdr import alike

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Counters
from edge.demo.meter_cosem import SUCCESS, CosemObject, Outcome
from edge.demo.meter_data import SIGNED, UNSIGNED, Item
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_manners import EVERYTHING, KEY_BYTES, Manners, Secured
from edge.demo.meter_model import MeterModel
from edge.demo.meter_server import Endpoint, WrapperServer
from edge.demo.meter_settings import MeterSettings
from edge.dlms import axdr
from edge.dlms.access import AccessPart, AccessResult
from edge.dlms.action import NO_DATA, ActionRequest, ActionResult
from edge.dlms.association import Association, AssociationSettings, Opened, Security
from edge.dlms.axdr import BitString, Date, DateTime, Float32, Integer, Time, Utf8
from edge.dlms.ciphering import Protection
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.counter import InvocationCounters
from edge.dlms.selection import Column, by_clock_range, by_entry
from edge.dlms.set import SetResult
from edge.errors import FailReason, NotGenuine, Refused

NOW = 1_772_368_205.0               # 2026-03-01 12:30:05 UTC
SECRET = b"highlevelsecret!"
EK, AK, DK = (bytes(range(start, start + 32)) for start in (0, 0xC0, 0x40))
ECHOES = (bytes((0, 0, 96, 60, 0, 255)), bytes((0, 0, 96, 61, 0, 255)))
FIRST, SECOND = (Attribute(1, Obis(*name), 2) for name in ECHOES)


class Echo(CosemObject):
    """Holds in attribute 2 what it was set to; method 1 returns its parameters."""

    __slots__ = ("held",)
    class_id, attributes, methods, writable = 1, 2, 1, frozenset({2})

    def __init__(self, obis: bytes) -> None:
        super().__init__(obis)
        self.held = b"\x00"

    def value(self, attribute: int, now: float) -> bytes:
        return self.held

    def set(self, attribute: int, value: Item, now: float) -> int:
        self.held = written(value)
        return SUCCESS

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        return Outcome(SUCCESS, written(argument))


def written(item: Item) -> bytes:
    """An item as octets again, by the meter's encoders."""
    value = item.value
    if value is None:
        return bytes((item.tag,))
    if isinstance(value, list):
        return objects.sequence([written(each) for each in value], item.tag)
    if isinstance(value, int):
        return bytes((item.tag,)) + value.to_bytes(UNSIGNED.get(item.tag) or SIGNED[item.tag], "big", signed=item.tag in SIGNED)
    head = objects.length(8 * len(value)) if item.tag == 0x04 else objects.length(len(value)) if item.tag in (0x09, 0x0A, 0x0C) else b""
    return bytes((item.tag,)) + head + value


integers = st.sampled_from([(6, 0, 2**32 - 1), (5, -(2**31), 2**31 - 1), (15, -128, 127), (16, -(2**15), 2**15 - 1), (17, 0, 255), (18, 0, 65_535),
                            (20, -(2**63), 2**63 - 1), (21, 0, 2**64 - 1), (22, 0, 255)]).flatmap(
    lambda kind: st.integers(kind[1], kind[2]).map(lambda number: Integer(kind[0], number)))
scalars = st.one_of(
    st.none(), st.booleans(), integers, st.floats(allow_nan=False), st.floats(width=32, allow_nan=False).map(Float32), st.binary(max_size=300),
    st.text(st.characters(max_codepoint=255), max_size=60), st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(Utf8),
    st.binary(max_size=20).map(lambda octets: BitString(8 * len(octets), octets)), st.binary(min_size=12, max_size=12).map(DateTime),
    st.binary(min_size=5, max_size=5).map(Date), st.binary(min_size=4, max_size=4).map(Time))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5) | st.lists(inner, max_size=5).map(tuple), max_leaves=15)

plain_ways = st.fixed_dictionaries({"framing": st.sampled_from(["wrapper", "hdlc"]), "max_pdu": st.integers(80, 1500), "general_blocks": st.booleans()})
ciphered_ways = st.fixed_dictionaries({
    "framing": st.sampled_from(["wrapper", "hdlc"]), "max_pdu": st.integers(128, 1500), "general_blocks": st.booleans(),
    "form": st.sampled_from(["general-glo", "glo", "general-ded", "ded"]), "suite": st.sampled_from([0, 1, 2]),
    "protection": st.sampled_from([Protection.AUTHENTICATED, Protection.ENCRYPTED, Protection.BOTH])})


def carried(association: Association, endpoint: Endpoint) -> Any:
    """Carry bytes to and fro until the client has nothing more to say; return the last event."""
    event: Any = None
    for _ in range(5_000):
        data = association.data_to_send()
        if not data:
            return event
        for frame in endpoint.receive(data, NOW):
            association.receive_data(frame, 0.0)
        event = association.next_event() or event
    raise AssertionError("they never stop")


def met(*, framing: str = "wrapper", max_pdu: int = 1024, general_blocks: bool = False, form: str = "", suite: int = 0,
        protection: Protection = Protection.NONE) -> tuple[Association, Endpoint, MeterModel]:
    """An open association with a meter that has two echoes."""
    model = MeterModel(serial="1", seed=3)
    for name in ECHOES:
        model.install(Echo(name))
    size = KEY_BYTES[suite]
    secured = {3: Secured(5, SECRET, suite, encryption_key=EK[:size], authentication_key=AK[:size])}
    manners = Manners(passwords={1: b"41414141"}, secured=secured, conformance=EVERYTHING if general_blocks else EVERYTHING & ~0x200000)
    endpoint = (WrapperServer if framing == "wrapper" else HdlcServer)(model, MeterSettings(framing=framing, manners=manners), Counters())
    offered = OFFERED | Conformance.ACCESS | (Conformance.GENERAL_BLOCK_TRANSFER if general_blocks else 0)
    if form:
        security = Security(b"HGWclnt1", EK[:size], AK[:size], suite, protection, form,
                            dedicated_key=DK[:size] if "ded" in form else b"")
        asked = AssociationSettings(framing, 3, 1, authentication="hls-gmac", security=security, challenge=b"CtoS of a client",
                                    max_pdu=max_pdu, conformance=offered | Conformance.GENERAL_PROTECTION, gbt_window=3)
    else:
        asked = AssociationSettings(framing, 1, 1, authentication="lls", password=b"41414141", max_pdu=max_pdu, conformance=offered,
                                    gbt_window=3)
    association = Association(asked, InvocationCounters(1, 100_000))
    association.open(0.0)
    assert isinstance(carried(association, endpoint), Opened)
    return association, endpoint, model


def round_trips(value: Any, other: Any, way: dict[str, Any]) -> None:
    """SET, GET, ACTION and, where it fits, ACCESS; one and several."""
    association, endpoint, model = met(**way)
    association.set([(FIRST, value)], 0.0)
    assert carried(association, endpoint).results == (SetResult(FIRST, None),)
    assert model._objects[b"\x00\x01" + ECHOES[0]].held == axdr.encode(value)
    association.set([(FIRST, other), (SECOND, value)], 0.0)
    assert carried(association, endpoint).results == (SetResult(FIRST, None), SetResult(SECOND, None))
    for asked, due in (((FIRST,), (other,)), ((SECOND, FIRST), (value, other))):
        association.get(asked, 0.0)
        results = carried(association, endpoint).results
        assert all(alike(result.data, told) for result, told in zip(results, due, strict=True))
    methods = [ActionRequest(1, attribute.obis, 1, told) for attribute, told in ((FIRST, value), (SECOND, other))]
    for requests in (methods[:1], methods):
        association.action(requests, 0.0)
        returned: tuple[ActionResult, ...] = carried(association, endpoint).results
        assert all(alike(result.data, request.data) and result.error is None for result, request in zip(returned, requests, strict=True))
    parts = [AccessPart("set", SECOND, other), AccessPart("get", SECOND), AccessPart("action", FIRST._replace(attribute=1), value)]
    if len(axdr.encode(value)) + len(axdr.encode(other)) < way["max_pdu"] - 120:          # ACCESS has no blocks of its own
        association.access(parts, 0.0)
        told: tuple[AccessResult, ...] = carried(association, endpoint).results
        assert [result.error for result in told] == [None] * 3
        assert alike(told[1].data, other)
        assert alike(told[2].data, value)


@given(values, values, plain_ways)
@settings(max_examples=60)
def test_what_is_written_in_clear_is_read_back(value: Any, other: Any, way: dict[str, Any]) -> None:
    round_trips(value, other, way)


@given(values, values, ciphered_ways)
@settings(max_examples=60)
def test_what_is_written_under_cipher_is_read_back(value: Any, other: Any, way: dict[str, Any]) -> None:
    round_trips(value, other, way)


def test_an_action_without_parameters_has_none() -> None:
    association, endpoint, _ = met()
    association.action([ActionRequest(1, FIRST.obis, 1, NO_DATA)], 0.0)
    assert carried(association, endpoint).results[0].data is None           # the meter read null-data, and returns it


# -- selective access --------------------------------------------------------------------------------------------------------

PROFILE = Attribute(7, Obis(*objects.LOAD_PROFILE), 2)
ROWS = 2880


def selected(association: Association, endpoint: Endpoint, selection: bytes) -> list[Any]:
    association.get([PROFILE._replace(selection=selection)], 0.0)
    found: list[Any] = carried(association, endpoint).results[0].data
    return found


@pytest.fixture(scope="module")
def last_rows() -> tuple[Association, Endpoint, list[Any]]:
    association, endpoint, _ = met(framing="wrapper")
    return association, endpoint, selected(association, endpoint, by_entry(ROWS - 99, ROWS))


@settings(max_examples=50)
@given(first=st.integers(1, 100), count=st.integers(0, 100), column=st.integers(1, 10), columns=st.integers(0, 9))
def test_entries_are_those_that_were_asked(
    last_rows: tuple[Association, Endpoint, list[Any]], first: int, count: int, column: int, columns: int,
) -> None:
    association, endpoint, whole = last_rows
    last = min(100, first + count)
    last_column = min(10, column + columns)
    found = selected(association, endpoint, by_entry(ROWS - 100 + first, ROWS - 100 + last, column, last_column))
    assert found == [row[column - 1:last_column] for row in whole[first - 1:last]]
    assert selected(association, endpoint, by_entry(ROWS - 100 + first, 0)) == whole[first - 1:]


@settings(max_examples=50)
@given(first=st.integers(0, 99), count=st.integers(0, 99), picked=st.sets(st.integers(0, 8), max_size=4))
def test_rows_of_a_range_are_those_between_its_limits(
    last_rows: tuple[Association, Endpoint, list[Any]], first: int, count: int, picked: set[int],
) -> None:
    association, endpoint, whole = last_rows
    last = min(99, first + count)
    columns = [Column(8, Obis(0, 0, 1, 0, 0), 2), *(Column(3, Obis(*objects.GENERIC.obis(objects.GENERIC.specs[place])), 2) for place in sorted(picked))]
    found = selected(association, endpoint, by_clock_range(whole[first][0], whole[last][0], columns if picked else ()))
    wanted = [0, *(1 + place for place in sorted(picked))] if picked else range(10)
    assert found == [tuple(row[place] for place in wanted) for row in whole[first:last + 1]]


# -- ACSE: what this client knows the names of, in any combination --
services = st.sets(st.sampled_from(list(Conformance))).map(lambda named: int(sum(named)))


# -- ACSE --------------------------------------------------------------------------------------------------------------------

@settings(max_examples=50)
@given(password=st.binary(min_size=1, max_size=64), max_pdu=st.integers(64, 0xFFFF), own_pdu=st.integers(64, 0xFFFF),
       theirs=st.integers(0, 0xFFFFFF), ours=services, long=st.booleans(), unlimited=st.booleans())
def test_what_the_opening_negotiates(password: bytes, max_pdu: int, own_pdu: int, theirs: int, ours: int, long: bool, unlimited: bool) -> None:
    manners = Manners(passwords={1: password}, conformance=theirs, max_pdu=own_pdu, announce_own_pdu=True, announce_no_limit=unlimited, long_aare=long)
    endpoint = WrapperServer(MeterModel(serial="1", seed=3), MeterSettings(manners=manners), Counters())
    association = Association(AssociationSettings(
        "wrapper", 1, 1, authentication="lls", password=password, max_pdu=max_pdu, conformance=ours))
    association.open(0.0)
    assert carried(association, endpoint) == Opened(Conformance(ours & theirs), 0 if unlimited else own_pdu)


@settings(max_examples=60)
@given(mechanism=st.sampled_from(["hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"]), challenge=st.binary(min_size=8, max_size=64),
       theirs=st.binary(min_size=8, max_size=64), title=st.binary(min_size=8, max_size=8), secret=st.binary(min_size=1, max_size=64), suite=st.sampled_from([0, 1, 2]),
       protection=st.sampled_from([Protection.NONE, Protection.AUTHENTICATED, Protection.BOTH]), long=st.booleans())
def test_every_mechanism_with_any_challenge_title_and_secret(
    mechanism: str, challenge: bytes, theirs: bytes, title: bytes, secret: bytes, suite: int, protection: Protection, long: bool,
) -> None:
    size = KEY_BYTES[suite]
    number = {"hls-md5": 3, "hls-sha1": 4, "hls-gmac": 5, "hls-sha256": 6}[mechanism]
    client = Secured(number, secret, suite, encryption_key=EK[:size], authentication_key=AK[:size], challenges=[theirs])
    manners = Manners(secured={3: client}, conformance=EVERYTHING, long_aare=long)
    endpoint = WrapperServer(MeterModel(serial="1", seed=3), MeterSettings(manners=manners), Counters())
    association = Association(AssociationSettings(
        "wrapper", 3, 1, authentication=mechanism, password=secret, challenge=challenge, conformance=OFFERED | Conformance.GENERAL_PROTECTION,
        security=Security(title, EK[:size], AK[:size], suite, protection)), InvocationCounters(1, 99))
    association.open(0.0)
    if theirs == challenge or title == manners.system_title:
        with pytest.raises(NotGenuine, match=r"our own challenge|own system title"):
            carried(association, endpoint)
        return
    opened = carried(association, endpoint)
    assert isinstance(opened, Opened)


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_another_password_never_opens(right: bytes, wrong: bytes) -> None:
    endpoint = WrapperServer(MeterModel(serial="1", seed=3), MeterSettings(manners=Manners(passwords={1: right})), Counters())
    association = Association(AssociationSettings("wrapper", 1, 1, authentication="lls", password=wrong))
    association.open(0.0)
    if right == wrong:
        assert isinstance(carried(association, endpoint), Opened)
        return
    with pytest.raises(Refused) as told:
        carried(association, endpoint)
    assert told.value.reason is FailReason.ASSOCIATION_REFUSED
    assert association.next_event() is None
