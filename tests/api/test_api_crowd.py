"""Slow, silent and many clients on real sockets, against the page's server on the loop that the gateway runs on."""

import asyncio
import contextlib
import socket
import ssl

import uvloop
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse

from edge.api.connection import Patience
from edge.api.seats import EACH, MOST, STRANGERS, Seats
from edge.api.server import PageServer
from edge.credentials import page_certificate

FEW = {"most": 8, "strangers": 6, "each": 4}
LONG = 30.0
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


def in_gateway_loop(test):
    """Run an async test as the gateway runs; without functools.wraps, which would make pytest take it for async."""
    def run(tmp_path):
        async def bounded():
            async with asyncio.timeout(60):
                await (test(tmp_path) if test.__code__.co_argcount else test())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def app(scope, receive, send):
    """/login proves who asks; /long never ends; /flood is read by nobody in time."""
    request = Request(scope, receive)
    if request.url.path.startswith("/login"):
        scope["state"]["seat"].is_of(request.url.path)

    async def endless(chunk):
        while True:
            yield chunk
            await asyncio.sleep(0.01)
    with contextlib.suppress(ClientDisconnect):
        if "long" in request.url.path:
            await StreamingResponse(endless(b"."))(scope, receive, send)
        elif request.url.path == "/flood":
            await StreamingResponse(endless(b"x" * 65_536))(scope, receive, send)
        elif request.url.path == "/big":
            await PlainTextResponse("x" * 8_000_000)(scope, receive, send)
        else:
            await PlainTextResponse("here")(scope, receive, send)


@contextlib.asynccontextmanager
async def served(certificate=None, *, seats=None, **patience):
    server = PageServer(app, "127.0.0.1", 0, lambda: certificate, seats=Seats(**(seats or {})),
                        patience=Patience(**dict.fromkeys(("handshake_s", "head_s", "idle_s", "stall_s", "close_s"), LONG) | patience))
    task = asyncio.create_task(server.run(lambda _s: None))
    while server.address is None:
        await asyncio.sleep(0.01)
        assert not task.done()
    server.visitors = []
    try:
        yield server
    finally:
        for each in server.visitors:
            each.writer.transport.abort()
        task.cancel()
        await asyncio.wait({task})


class Visitor:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def come(cls, server, **how):
        for _ in range(200):      # the listener opens a moment after the address is known
            try:
                server.visitors.append(cls(*await asyncio.open_connection(*server.address, **how)))
                return server.visitors[-1]
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
        raise AssertionError("nobody listens")

    async def ask(self, path=b""):
        self.writer.write(GET % path)
        return await self.reader.readuntil(b"here" if b"long" not in path else b"\n.")

    async def until_gone(self):
        with contextlib.suppress(OSError):
            while await self.reader.read(65_536):
                pass

    @property
    def gone(self):
        return self.reader.at_eof() or self.reader.exception() is not None


@in_gateway_loop
async def test_a_client_that_says_nothing_is_cut_off():
    async with served(head_s=0.3) as server:
        await (await Visitor.come(server)).until_gone()
        assert len(server.seats) == 0


@in_gateway_loop
async def test_a_byte_now_and_then_does_not_prolong_the_header():
    async with served(head_s=0.4) as server:
        visitor = await Visitor.come(server)
        ending = asyncio.create_task(visitor.until_gone())
        for number, byte in enumerate(GET % b"drip" * 40):
            if ending.done():
                break
            visitor.writer.write(bytes([byte]))
            await asyncio.wait({ending}, timeout=0.05)
            assert number < 1_000
        await ending
        assert len(server.seats) == 0


@in_gateway_loop
async def test_the_second_request_has_its_time_too_and_rest_is_longer():
    async with served(head_s=0.8, idle_s=LONG) as server:
        visitor = await Visitor.come(server)
        await visitor.ask()
        await asyncio.sleep(1.2)
        assert not visitor.gone, "it rests between two requests"
        await visitor.ask()
        visitor.writer.write(b"GET / HT")
        await visitor.until_gone()


@in_gateway_loop
async def test_a_body_that_nobody_wants_does_not_hold_the_connection():
    async with served(head_s=0.8) as server:
        visitor = await Visitor.come(server)
        visitor.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        await visitor.reader.readuntil(b"here")
        ending = asyncio.create_task(visitor.until_gone())
        while not ending.done():
            visitor.writer.write(b"y")
            await asyncio.wait({ending}, timeout=0.05)
        assert len(server.seats) == 0


@in_gateway_loop
async def test_who_does_not_read_is_cut_off_and_who_reads_is_not():
    async with served(stall_s=0.5) as server:
        with socket.create_connection(server.address) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(GET % b"flood")
            good = await Visitor.come(server)
            await good.ask(b"long")
            while len(server.seats) > 1:
                await good.reader.read(64)
            assert not good.gone


@in_gateway_loop
async def test_what_is_closed_does_not_linger_unread():
    async with served(close_s=0.3) as server:
        with socket.create_connection(server.address) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while len(server.seats) == 0:
                await asyncio.sleep(0.01)
            while len(server.seats):
                await asyncio.sleep(0.01)


@in_gateway_loop
async def test_silent_ones_of_one_address_make_room_for_each_other_only():
    async with served(seats=FEW) as server:
        known = await Visitor.come(server)
        await known.ask(b"login/a")
        first = await Visitor.come(server)
        silent = [await Visitor.come(server) for _ in range(FEW["each"] - 1)]
        while len(server.seats) < 1 + FEW["each"]:
            await asyncio.sleep(0.01)
        newcomer = await Visitor.come(server)
        await newcomer.ask()
        await first.until_gone()
        await known.ask(b"login/a")
        assert not any(each.gone for each in silent)


@in_gateway_loop
async def test_known_ones_at_work_are_not_disturbed_and_the_next_one_is_refused():
    async with served(seats=FEW) as server:
        busy = []
        for who in (b"login/long/a", b"login/long/b"):
            for _ in range(FEW["each"]):
                busy.append(await Visitor.come(server))
                await busy[-1].ask(who)
        await (await Visitor.come(server)).until_gone()
        assert len(server.seats) == FEW["most"]
        for each in busy:
            await each.reader.readexactly(200)


@in_gateway_loop
async def test_a_session_with_too_many_loses_its_oldest():
    async with served(seats=FEW) as server:
        own = [await Visitor.come(server) for _ in range(FEW["each"])]
        for each in own:
            await each.ask(b"login/long/a")
        await (await Visitor.come(server)).ask(b"login/long/a")
        await own[0].until_gone()
        assert len(server.seats) == FEW["each"]


@in_gateway_loop
async def test_silence_instead_of_a_handshake_takes_no_seat_for_long(tmp_path):
    certificate = page_certificate(tmp_path, "gw", "127.0.0.1")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with served(certificate, seats=FEW, handshake_s=1.5) as server:
        silent = [await Visitor.come(server) for _ in range(3 * FEW["most"])]
        good = await Visitor.come(server, ssl=context)
        assert b"200" in await good.ask()
        for each in silent:
            await each.until_gone()
        await good.ask()
        assert len(server.seats) == 1


def test_the_limits_leave_a_reserve():
    assert EACH < STRANGERS < MOST
    assert MOST - STRANGERS >= EACH


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["busy", "known", "rest", "leave"]), st.integers(0, 5)), max_size=150))
def test_no_limit_is_ever_passed_and_a_stranger_never_ends_who_is_known_and_busy(steps):
    seats, there = Seats(**FEW), []
    for address, what, who in steps:
        seat = seats.admit(f"10.0.0.{address}", lambda: None)
        if seat is not None:
            there.append(seat)
            seat.busy = what == "busy"
            if what == "known":
                seat.is_of(f"session {who}")
                seat.busy = who % 2 == 0
            elif what == "leave":
                seats.leave(seat)
                seats.leave(seat)
        living = list(seats._seats)
        strangers = [each for each in living if not each.known]
        assert len(living) <= FEW["most"]
        assert len(strangers) <= FEW["strangers"]
        for party in {each.party for each in living}:
            assert sum(each.party == party for each in living) <= FEW["each"]
