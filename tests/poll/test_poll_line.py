"""Several meters on one bridge or bus: one connection, an association each, time shared fairly, answers never mixed up."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from poll_bench import GENERIC_PROFILE, MICROSTAR_PROFILE, PASSWORD, Sink, meter_model, session_to, shown, slower
from serial_site import ENERGY, PATIENT, serial_line

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.demo.bridge import IDLE_TEXT, Quirks
from edge.demo.meter_manners import Manners
from edge.demo.meter_settings import MeterSettings, SignOn
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import hdlc
from edge.dlms.association import AssociationSettings
from edge.dlms.hdlc import HdlcFrame
from edge.endpoint import SerialLine, TcpAddress
from edge.errors import ConnectionLost, NoAnswer
from edge.health.promise import Promises
from edge.health.supervise import RestartPolicy
from edge.model import Learned, Meter
from edge.poll.fleet import Enrolled, Fleet
from edge.poll.line import QUIET_S, Line, Seat
from edge.poll.schedule import Between
from edge.poll.session import MeterSession

BRISK = slower(interval_s=0.25, exchange_timeout_s=5.0)


def settings_of(physical: int) -> MeterSettings:
    return MeterSettings(framing="hdlc", server_physical=physical, address_bytes=4, manners=Manners(passwords={16: None, 1: PASSWORD}))


@asynccontextmanager
async def bus(there: Sequence[int], quirks: Quirks, absent: Sequence[int] = ()) -> AsyncIterator[tuple[SimulatedMeter, list[Meter]]]:
    """Meters behind one bridge, and rows for them and for some that nobody answers for."""
    models = [(meter_model(f"SN{number}", number), settings_of(number)) for number in there]
    for number, (model, _) in zip(there, models, strict=True):
        spec = next(spec for spec in model.registers.specs if spec.key == "active_energy")
        model.hold(model.registers.obis(spec), number)
    bridge = SimulatedMeter("bus", *models[0], quirks, neighbours=models[1:])
    host, port = await bridge.start()
    rows = [Meter(f"m{number}", host, port, framing="hdlc", client_sap=1, server_logical=1, server_physical=number, address_bytes=4,
                  authentication="lls") for number in (*there, *absent)]
    try:
        yield bridge, rows
    finally:
        await bridge.close()


class Site:
    """A fleet that polls all of them."""

    def __init__(self, settings: PollSettings) -> None:
        self.sink = Sink()
        self.fleet = Fleet(
            {GENERIC_PROFILE.name: GENERIC_PROFILE}, settings=settings, sink=self.sink, on_learned=self._learned,
            clock=SystemClock(trust_wall=True), promises=Promises(), rng=random.Random(1),
            policy=RestartPolicy(vital=False, enabled=False))

    async def _learned(self, name: str, learned: Learned) -> None:
        """Nothing is kept."""

    @asynccontextmanager
    async def polling(self, rows: Sequence[Meter]) -> AsyncIterator["Site"]:
        async with self.fleet:
            await self.fleet.apply([Enrolled(row, PASSWORD) for row in rows])
            yield self

    def polls(self, name: str) -> int:
        return sum(record.device == name for record in self.sink.readings())

    async def each(self, rows: Sequence[Meter], polls: int) -> None:
        await self.sink.until(lambda _: all(self.polls(row.name) >= polls for row in rows), 60)


async def test_meters_behind_one_bridge_share_a_connection_and_keep_their_associations() -> None:
    async with bus((17, 18, 19), Quirks(second_client="refused", latency_s=(0.002, 0.005))) as (bridge, rows), Site(BRISK).polling(rows) as site:
        await site.each(rows, 4)
        assert site.sink.reasons() == []
        assert (bridge.counters.connections, bridge.counters.refused_connections, bridge.counters.associations) == (1, 0, 3)
        for record in site.sink.readings():
            assert shown(record)["active_energy"] == int(record.device[1:]), "each its own"
        assert {state.between for state in site.fleet.states().values()} == {Between.KEEP}
        await site.fleet.apply([Enrolled(rows[0], PASSWORD)])
        assert len(bridge.connections) == 1, "two have left, and one goes on"
        await site.each(rows[:1], site.polls("m17") + 2)
        assert bridge.counters.associations == 3
        assert site.sink.reasons() == [], "they took leave in turn"
        await site.fleet.apply([])
        while bridge.connections:
            await asyncio.sleep(0.002)


async def test_of_eight_on_one_bus_with_two_dead_all_living_get_their_polls() -> None:
    """All want the line all the time, and an attempt at a dead one takes as long as the polls of all others together."""
    settings = slower(interval_s=0.05, exchange_timeout_s=1.0, breaker_failures=1_000)
    # An answer takes long enough that a busy machine does not decide how long it takes.
    async with bus(range(11, 17), Quirks(second_client="refused", latency_s=(0.1, 0.15)), absent=(21, 22)) as (bridge, rows):
        async with session_to(rows[0], settings=slower(exchange_timeout_s=10.0)):
            """The first association of a process loads the library."""
        async with Site(settings).polling(rows) as site:
            living = rows[:6]
            await site.each(living, 5)
            polls = [site.polls(row.name) for row in living]
            states = site.fleet.states()
        assert min(polls) * 2 >= sum(polls) / len(polls)
        assert sum(states[row.name].failed for row in living) <= 2, "no poll of theirs was lost to the dead, but for a stalled machine"
        attempts = [states[row.name].ladder.reconnects for row in rows[6:]]
        assert min(attempts) >= 1, "the dead are still tried"
        assert max(attempts) * 2 <= min(polls), "by turns there would be one for every poll of a living one"
        assert bridge.counters.refused_connections == 0
        assert bridge.counters.associations < 24, "nor were their associations"


async def test_an_idle_bridge_that_hangs_up_costs_nobody_a_reading() -> None:
    async with bus((17, 18), Quirks(second_client="refused")) as (bridge, rows), Site(slower(interval_s=0.3, exchange_timeout_s=5.0)).polling(rows) as site:
        await site.each(rows, 2)
        bridge.inject(IDLE_TEXT)
        bridge.drop_connections()
        await site.each(rows, 5)
        assert site.sink.reasons() == []
        assert bridge.counters.connections == 2
        assert bridge.counters.associations == 4
        assert all(state.drops_idle == 1 for state in site.fleet.states().values())


async def test_a_connection_that_is_half_open_is_not_kept_for_the_neighbours_sake() -> None:
    async with bus((17, 18), Quirks()) as (bridge, rows), Site(slower(interval_s=0.1, exchange_timeout_s=0.1)).polling(rows) as site:
        await site.each(rows, 2)
        (dead,) = bridge.connections
        bridge.quirks.half_open = True
        while dead.transport is not None:
            await asyncio.sleep(0.005)
        bridge.quirks.half_open = False
        await site.each(rows, max(site.polls(row.name) for row in rows) + 2)
        assert set(site.sink.reasons()) <= {"no_answer", "connection_lost", "circuit_open"}


async def test_meters_on_a_serial_bus_speak_at_their_own_speeds() -> None:
    ones = [SignOn(b"HGW5ONE", address=b"17", parity=True), SignOn(b"HGW4TWO", address=b"18", parity=True)]
    with serial_line((17, 18), sign_ons=ones) as (line, rows):
        async with Site(PATIENT).polling(rows) as site:
            await site.each(rows, 2)
            assert site.sink.reasons() == []
            assert line.counters.associations == 2
            speeds = {record.device: shown(record)["active_energy"] for record in site.sink.readings()}
            assert speeds == {"m17": ENERGY + 17, "m18": ENERGY + 18}
            assert {speed for speed, _ in line.heard} == {300, 4800, 9600}


# -- late answers --------------------------------------------------------------------------------------------------------------

AARE = bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000301d04000007")
A, B = 1, 2
VALUES = {A: 1111, B: 2222}


class LateBus:
    """Two meters, A and B. The answer to A's GET is late: it comes with the next GET of B, right before B's own answer.

    All numbers of the late frame fit B's link, down to the invoke-id; `forged` puts B's address into it as well.
    """

    def __init__(self, *, forged: bool) -> None:
        self.forged = forged
        self.late = b""
        self.connections = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        deframer = hdlc.Deframer()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4_096):
                for frame in deframer.feed(data):
                    writer.write(self.answer(frame))
        writer.transport.abort()
        self.ended.set()

    def answer(self, frame: HdlcFrame) -> bytes:
        (meter, _) = hdlc.decode_address(frame.destination)
        if frame.control == hdlc.SNRM:
            return self.frame(meter, hdlc.UA, b"")
        apdu = frame.information[3:]
        if apdu[:1] == b"\x60":
            return self.frame(meter, 0x30, b"\xe6\xe7\x00" + AARE)
        if apdu[:1] != b"\xc0":
            return b""
        if meter == A:
            self.late = b"later"
            return b""
        if not self.late:
            return self.value(B, apdu[2], VALUES[B])
        return self.value(B if self.forged else A, apdu[2], VALUES[A]) + self.value(B, apdu[2], VALUES[B])

    def value(self, meter: int, invoke_id: int, value: int) -> bytes:
        return self.frame(meter, 0x52, b"\xe6\xe7\x00" + bytes((0xC4, 0x01, invoke_id, 0x00, 0x12)) + value.to_bytes(2, "big"))

    @staticmethod
    def frame(meter: int, control: int, information: bytes) -> bytes:
        return hdlc.encode_frame(HdlcFrame(hdlc.encode_address(1), hdlc.encode_address(meter), control, information))


@asynccontextmanager
async def late_bus(*, forged: bool = False) -> AsyncIterator[tuple[LateBus, dict[int, MeterSession]]]:
    lates = LateBus(forged=forged)
    async with await asyncio.start_server(lates.serve, "127.0.0.1", 0) as server:
        line, place = Line(), TcpAddress(*server.sockets[0].getsockname()[:2])
        sessions = {logical: MeterSession(
            lambda: line.seat(place, 5.0),
            AssociationSettings("hdlc", 1, logical, association_timeout_s=10.0, exchange_timeout_s=0.1 if logical == A else 10.0))
            for logical in (A, B)}
        for session in sessions.values():
            await session.open()
        with pytest.raises(NoAnswer):
            await sessions[A].get([MICROSTAR_PROFILE.objects[0].target])
        assert sessions[B].is_open, "what one meter does not say ends no other's association"
        try:
            yield lates, sessions
        finally:
            for session in sessions.values():
                session.abort()
            await lates.ended.wait()
            await asyncio.sleep(0)


async def test_a_late_answer_of_one_meter_is_never_taken_for_anothers() -> None:
    async with late_bus() as (lates, sessions):
        (result,) = await sessions[B].get([MICROSTAR_PROFILE.objects[3].target])
        assert result.data == VALUES[B]
        assert sessions[B].association.traffic.ignored_frames == 1, "the late one did come"
        assert lates.connections == 1, "and no hanging up kept it away"


async def test_it_is_the_address_alone_that_keeps_them_apart() -> None:
    """The counter-proof: the same frame under B's address is an answer like any other."""
    async with late_bus(forged=True) as (_, sessions):
        (result,) = await sessions[B].get([MICROSTAR_PROFILE.objects[3].target])
        assert result.data == VALUES[A]


# -- the line itself -----------------------------------------------------------------------------------------------------------

@asynccontextmanager
async def seats(count: int) -> AsyncIterator[tuple[int, Line, SerialLine, list[Seat]]]:
    """The far end of a serial line, and seats on the near one."""
    far, near = os.openpty()
    line, place = Line(), SerialLine(os.ttyname(near))
    taken = [await line.seat(place, 5.0) for _ in range(count)]
    try:
        yield far, line, place, taken
    finally:
        for seat in taken:
            seat.abort()
        os.close(far)
        os.close(near)


async def exchange(far: int, seat: Seat) -> None:
    await seat.ready(0.0)
    seat.write(b"?")
    os.write(far, b"!")
    assert await seat.read(asyncio.get_running_loop().time() + 5) == b"!"


async def test_after_a_failure_the_line_is_waited_for_until_it_is_quiet() -> None:
    async with seats(2) as (far, _, _, (one, two)):
        loop = asyncio.get_running_loop()
        await exchange(far, one)
        await one.ready(0.0)
        one.abort()
        os.write(far, b"the rest of an answer")
        talks_until = loop.time() + QUIET_S / 2
        loop.call_at(talks_until, os.write, far, b"and its end")
        await two.ready(0.0)
        assert loop.time() >= talks_until + QUIET_S
        assert two.waiting() == b""
        before = loop.time()
        await exchange(far, two)
        assert loop.time() - before < 60, "once only"


async def test_the_connection_goes_where_nothing_was_heard_between_two_failures() -> None:
    async with seats(3) as (far, line, place, (one, two, three)):
        await exchange(far, one)
        one.abort()
        three.waiting()
        await two.ready(0.0)
        two.abort()
        with pytest.raises(ConnectionLost):
            three.waiting()
        again = await line.seat(place, 5.0)
        await exchange(far, again)
        three.abort()
        again.waiting()
        again.abort()


async def test_an_idle_seat_that_is_given_up_says_nothing_about_the_line() -> None:
    async with seats(3) as (far, line, place, (one, two, three)):
        await two.ready(0.0)
        one.abort()
        three.abort()
        await exchange(far, two)
        (await line.seat(place, 5.0)).abort()
        await exchange(far, two)


async def test_the_last_one_closes_the_line() -> None:
    async with seats(2) as (_, line, place, (one, two)):
        await one.close(1.0)
        two.waiting()
        await two.close(1.0)
        with pytest.raises(ConnectionLost):
            two.waiting()
        await two.close(1.0)
        two.abort()
        (await line.seat(place, 5.0)).abort()


async def test_a_line_that_ended_is_opened_anew_for_the_next_one() -> None:
    async with bus((17,), Quirks()) as (bridge, (row,)):
        line, place = Line(), TcpAddress(row.host, row.port)
        first = await line.seat(place, 5.0)
        bridge.drop_connections()
        with pytest.raises(ConnectionLost):
            await first.read(None)
        second = await line.seat(place, 5.0)
        second.waiting()
        with pytest.raises(ConnectionLost):
            first.waiting()
        first.abort()
        second.waiting()
        await second.close(1.0)
