"""A session over real TCP: round trips counted, lists found out, faults that end it."""

import asyncio
from typing import Any

import pytest
from poll_bench import GENERIC_PROFILE, PASSWORD, held, meter_model, raw, session_to, simulated, slower

from edge.demo.bridge import Quirks
from edge.dlms import wrapper
from edge.dlms.cosem import Attribute, Obis
from edge.errors import BridgeBusy, ConnectionLost, FailReason, LocalStateError, NoAnswer, Refused, Unreachable
from edge.poll.lists import REFUSALS, ListSize

NINE = [spec.target for spec in GENERIC_PROFILE.objects]
VALUES = dict(zip([spec.key for spec in GENERIC_PROFILE.objects], range(101, 110), strict=True))

PUSH = bytes.fromhex("c2 00 0003 0100200700ff 02 1208fd")


@pytest.mark.parametrize(("kind", "sent", "received"), [("wrapper", 102, 54), ("hdlc", 108 + 6, 60 + 6)])
async def test_a_poll_on_a_kept_association_is_one_round_trip(kind: str, sent: int, received: int) -> None:
    # Wrapper: 8 + 4 + 9 * 10 out, 8 + 4 + 33 data + 9 result choices in (facts: docs/decisions, measured on the wire).
    # HDLC with the 4-byte address form costs 3 octets more each way than with the 1-byte form (108 out, 60 in).
    async with simulated(kind) as (meter, row):
        held(meter, VALUES)
        passed = {"TX": 0, "RX": 0}
        pieces: list[str] = []

        def trace(direction: str, data: bytes) -> None:
            passed[direction] += len(data)
            pieces.append(direction)

        async with session_to(row, trace=trace) as session:
            await session.get(NINE)
            before = meter.counters.requests
            passed.update(TX=0, RX=0)
            pieces.clear()
            results = await session.get(NINE)
            assert raw(results) == list(VALUES.values())
            assert pieces == ["TX", "RX"]
            assert meter.counters.requests - before == 1
            if kind == "wrapper":
                assert passed == {"TX": sent, "RX": received}
            else:
                assert passed["TX"] - sent in (-3, 0)
                assert passed["RX"] - received in (-3, 0)


async def test_a_meter_without_lists_is_asked_one_by_one() -> None:
    async with simulated("microstar") as (meter, row), session_to(row) as session:
        nine = [attribute._replace(obis=attribute.obis._replace(b=1)) for attribute in NINE]
        results = await session.get(nine)
        assert [result.attribute for result in results] == nine
        assert all(result.error is None for result in results)
        assert meter.counters.gets == 9


@pytest.mark.parametrize(("limit", "sizes"), [(4, [4, 4, 1]), (1, [1] * 9)])
async def test_a_refused_list_is_halved_until_it_fits_and_remembered(limit: int, sizes: list[int]) -> None:
    async with simulated() as (meter, row):
        meter.settings.manners.list_limit = limit
        held(meter, VALUES)
        lists = ListSize(None)
        async with session_to(row, lists=lists) as session:
            assert raw(await session.get(NINE)) == list(VALUES.values())
            gets = meter.counters.gets
            assert raw(await session.get(NINE)) == list(VALUES.values())
            assert meter.counters.gets - gets == len(sizes)
        assert lists.learned == limit
        associations = meter.counters.associations
        async with session_to(row, lists=ListSize(lists.learned)) as session:
            assert raw(await session.get(NINE)) == list(VALUES.values())
        assert meter.counters.associations == associations + 1, "what was learned saves the refusals"


async def test_a_meter_that_falls_silent_at_lists_gets_single_requests() -> None:
    lists = ListSize(None)
    async with simulated() as (meter, row):
        held(meter, VALUES)
        served = meter.received

        def deaf_to_lists(connection: Any, endpoint: Any, data: bytes) -> None:
            if data[8:10] != b"\xc0\x03":
                served(connection, endpoint, data)

        meter.received = deaf_to_lists
        for _ in range(4):
            with pytest.raises(NoAnswer):
                async with session_to(row, lists=lists, settings=slower(exchange_timeout_s=0.05)) as session:
                    await session.get(NINE)
        async with session_to(row, lists=lists) as session:
            gets = meter.counters.gets
            assert raw(await session.get(NINE)) == list(VALUES.values())
            assert meter.counters.gets - gets == 9


@pytest.mark.parametrize("stops", [True, False])
async def test_what_stands_behind_a_refused_object_in_a_list_is_read_all_the_same(stops: bool) -> None:
    missing = Attribute(3, Obis.parse("1-0:99.99.0"), 2)
    other = Attribute(3, Obis.parse("1-0:98.98.0"), 2)
    wanted = [*NINE[:3], missing, *NINE[3:6], other, *NINE[6:]]
    async with simulated() as (meter, row), session_to(row) as session:
        meter.settings.manners.list_stops_at_error = stops
        held(meter, VALUES)
        results = await session.get(wanted)
        assert [result.attribute for result in results] == wanted
        assert [result.data for result in results if result.error is None] == list(VALUES.values())
        assert [result.attribute for result in results if result.error is not None] == [missing, other]


async def test_a_wrong_password_is_a_refusal_and_never_in_the_text() -> None:
    async with simulated() as (meter, row):
        session = session_to(row, password=b"87654321")
        with pytest.raises(Refused) as told:
            await session.open()
        assert told.value.reason is FailReason.ASSOCIATION_REFUSED
        assert not told.value.temporary
        assert "87654321" not in f"{told.value!r}{session.settings!r}"
        assert not session.is_open
        assert meter.counters.rejected == 1


async def test_nobody_listens() -> None:
    async with simulated() as (meter, row):
        await meter.power_off()
        with pytest.raises(Unreachable, match="refused"):
            await session_to(row).open()


@pytest.mark.parametrize(("then", "error"), [("silent", NoAnswer), ("close", ConnectionLost), ("reset", ConnectionLost), ("half-open", NoAnswer)])
@pytest.mark.parametrize(("kind", "asked"), [("wrapper", NINE[:1]), ("hdlc", NINE[:1]), ("wrapper", tuple(NINE))], ids=str)
async def test_every_fault_ends_the_connection(kind: str, asked: Any, then: str, error: type[Exception]) -> None:
    async with simulated(kind, Quirks(after_requests=2, then=then)) as (_, row):
        session = session_to(row)
        await session.open()
        await session.get(asked)
        with pytest.raises(error):
            await session.get(asked)
        assert not session.is_open
        with pytest.raises(LocalStateError):
            await session.get(asked)
        await session.close()


async def test_a_list_asked_again_may_be_answered_in_any_way_that_the_first_could() -> None:
    asked = tuple(NINE)
    pushed: list[Any] = []
    async with simulated() as (meter, row), session_to(row, on_push=pushed.append) as session:
        held(meter, VALUES)
        served = meter.received

        def push_first(connection: Any, endpoint: Any, data: bytes) -> None:
            connection.transport.write(wrapper.encode(1, 1, PUSH))
            served(connection, endpoint, data)

        for round_trips in range(1, 5):      # the first, short ones, and one whose answer comes in pieces
            meter.quirks.chunk_bytes, meter.quirks.chunk_gap_s = (20, 0.001) if round_trips == 4 else (0, 0.0)
            assert raw(await session.get(asked)) == list(VALUES.values())
            assert session.round_trips == round_trips
        meter.quirks.chunk_bytes = 0
        meter.received = push_first
        assert raw(await session.get(asked)) == list(VALUES.values())
        assert len(pushed) == 1
        meter.received = served
        sent, received = session.carried_bytes()
        await session.get(asked)
        assert session.carried_bytes() == (sent + 102, received + 54)


async def test_a_list_that_is_refused_after_it_has_worked_is_given_up_at_the_third_refusal() -> None:
    asked, lists = tuple(NINE), ListSize(None)
    async with simulated() as (meter, row):
        held(meter, VALUES)
        session = session_to(row, lists=lists)
        await session.open()
        await session.get(asked)
        meter.settings.manners.list_limit = 4
        for _ in range(REFUSALS - 1):
            with pytest.raises(Refused):
                await session.get(asked)
            assert not session.is_open
            await session.open()
        assert raw(await session.get(asked)) == list(VALUES.values())
        await session.close()
    assert lists.learned == 4


async def test_the_refusal_of_a_one_client_bridge_is_named() -> None:
    async with simulated("hdlc", Quirks(second_client="refused")) as (_, row), session_to(row):
        with pytest.raises(BridgeBusy, match="Port already in use"):
            await session_to(row).open()


async def test_a_connection_that_ends_between_two_requests_is_noticed_before_the_next() -> None:
    async with simulated() as (meter, row), session_to(row) as session:
        await session.get(NINE)
        meter.drop_connections()
        with pytest.raises(ConnectionLost):
            await _settled(session)
        assert not session.is_open


async def _settled(session: object) -> None:
    for _ in range(200):
        session.check()
        await asyncio.sleep(0.005)


async def test_a_cancelled_request_leaves_no_connection_that_could_answer_late() -> None:
    async with simulated(quirks=Quirks(latency_s=(0.2, 0.2))) as (meter, row):
        session = session_to(row)
        await session.open()
        task = asyncio.create_task(session.get(NINE))
        while not meter.counters.gets:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.is_open


async def test_taking_leave_ends_the_meters_association_within_its_deadline() -> None:
    async with simulated("hdlc") as (meter, row):
        session = session_to(row)
        await session.open()
        await session.close()
        while meter.connections:
            await asyncio.sleep(0.005)
        session = session_to(row)
        await session.open()
        meter.quirks.meter_silent = True
        began = asyncio.get_running_loop().time()
        await session.close(within_s=0.2)
        assert asyncio.get_running_loop().time() - began < 1.0


async def test_invoke_ids_differ_from_one_connection_to_the_next() -> None:
    sent: list[bytes] = []
    async with simulated() as (_, row):
        session = session_to(row, trace=lambda direction, data: sent.append(data) if direction == "TX" else None)
        for _ in range(3):
            await session.open()
            await session.get(NINE[:1])
            await session.close()
    ids = [data[10] & 0x0F for data in sent if data[8] == 0xC0]
    assert len(set(ids)) == 3


async def test_two_meters_share_nothing() -> None:
    async with simulated(serial="1") as (one, row_one), simulated(serial="2") as (two, row_two):
        held(one, VALUES)
        held(two, {key: value + 100 for key, value in VALUES.items()})
        async with session_to(row_one) as first, session_to(row_two) as second:
            answers = await asyncio.gather(*(session.get(NINE) for session in (first, second)))
            assert raw(answers[0]) == list(VALUES.values())
            assert raw(answers[1]) == [value + 100 for value in VALUES.values()]


def test_passwords_stand_in_no_repr() -> None:
    assert PASSWORD.decode() not in repr(meter_model())
