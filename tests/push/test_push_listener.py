"""The ports: TCP and UDP, IPv4 and IPv6, and what strangers do to them: silence, half messages, floods, damage."""

import asyncio
import contextlib
import socket

import pytest
from push_site import PLAIN, Book, closed, connected, free_port, has_ipv6, listening, send_udp

from edge.config import PushSettings
from edge.dlms import hdlc, wrapper
from edge.push.addresses import address_of
from edge.push.listener import ANSWERS_LIMIT_BYTES, UNFINISHED_DATAGRAMS, WITHOUT_MESSAGE, Listener, _Connection

MESSAGE = wrapper.encode(1, 16, PLAIN)
UI = hdlc.encode_frame(hdlc.HdlcFrame(b"\x21", b"\x03", hdlc.UI, b"\xe6\xe7\x00" + PLAIN))


def general_block(number: int, data: bytes, *, last: bool = False, streaming: bool = True) -> bytes:
    control = (0x80 if last else 0x40 if streaming else 0) | 1
    return wrapper.encode(1, 16, bytes((0xE0, control)) + number.to_bytes(2, "big") + b"\0\0" + bytes((len(data),)) + data)


ADDRESSES = ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))]


@pytest.mark.parametrize("octets", [MESSAGE, UI], ids=["wrapper", "hdlc"])
@pytest.mark.parametrize("host", ADDRESSES)
async def test_both_families_both_transports_both_framings(host: str, octets: bytes) -> None:
    book = Book()
    async with listening(book) as (listener, port):
        assert [where.split()[0] for where in listener.where] == ["tcp", "udp"]
        async with connected(port, host) as (_, writer):
            writer.write(octets * 2)
            send_udp(port, octets, host=host)
            await book.until(lambda: len(book.taken) == 3)
    assert book.taken == [(PLAIN, host)] * 3, "IPv4 is told as such also where one socket takes both"
    assert book.damage == []


async def test_byte_by_byte_and_joined() -> None:
    book = Book()
    async with listening(book) as (_, port), connected(port) as (_, writer):
        for octet in MESSAGE:
            writer.write(bytes((octet,)))
            await writer.drain()
        writer.write(MESSAGE[:7])
        writer.write(MESSAGE[7:] + MESSAGE)
        await book.until(lambda: len(book.taken) == 3)


async def test_a_message_that_ends_with_the_connection_is_taken() -> None:
    book = Book()
    async with listening(book) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(MESSAGE)
        writer.write_eof()
        await book.until(lambda: book.taken)
        writer.close()
        await writer.wait_closed()


async def test_one_address_only() -> None:
    book = Book()
    async with listening(book, listen="127.0.0.1", udp_port=0) as (listener, port):
        assert listener.where == (f"tcp 127.0.0.1:{port}",)
        if has_ipv6():
            with pytest.raises(OSError):
                await asyncio.open_connection("::1", port)


async def test_a_port_that_is_taken_leaves_none_open() -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        listener = Listener(PushSettings(enabled=True, listen="127.0.0.1", tcp_port=port, udp_port=port), Book())
        with pytest.raises(OSError):
            await listener.open()
        assert listener.where == ()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    await listener.open()
    assert len(listener.where) == 2
    listener.close()
    listener.close()


# -- those who say nothing, or never finish ----------------------------------------------------------------------------

async def test_silence_ends_a_connection() -> None:
    book = Book()
    async with listening(book, idle_timeout_s=0.2) as (listener, port), connected(port) as (reader, _):
        assert await closed(reader) == b""
        await book.until(lambda: listener.connections == 0)
    assert book.damage == []


async def test_a_message_that_trickles_in_for_ever_ends_it_too() -> None:
    """Slow loris: each byte is traffic, and no message comes of it."""
    book = Book()
    async with listening(book, idle_timeout_s=60, message_timeout_s=0.5) as (_, port), connected(port) as (reader, writer):
        trickle = asyncio.create_task(drip(writer, MESSAGE[:-1]))
        assert await closed(reader) == b""
        trickle.cancel()
    assert book.damage == [("a message that was not whole in time", "127.0.0.1")]


async def drip(writer: asyncio.StreamWriter, octets: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0.05)
        await asyncio.Event().wait()


async def test_one_who_goes_on_sending_is_kept() -> None:
    book = Book()
    async with listening(book, idle_timeout_s=2.0, message_timeout_s=2.0) as (listener, port), connected(port) as (_, writer):
        for count in range(1, 7):
            writer.write(MESSAGE)
            await book.until(lambda count=count: len(book.taken) == count)
            await asyncio.sleep(0.4)
        assert listener.connections == 1


async def test_octets_without_a_message_have_an_end() -> None:
    book = Book()
    async with listening(book, framing="hdlc", max_apdu_bytes=256) as (listener, port), connected(port) as (reader, writer):
        writer.write(bytes(WITHOUT_MESSAGE * 256 + 1))
        await closed(reader)
        await book.until(lambda: listener.connections == 0)


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.0\r\n\r\n", b"\0\1\0\1\0\x10\xff\xff", b"\x16\x03\x01" + bytes(50)])
async def test_who_is_no_meter_is_sent_away(octets: bytes) -> None:
    book = Book()
    async with listening(book) as (_, port), connected(port) as (reader, writer):
        writer.write(octets)
        assert await closed(reader) == b""
    assert len(book.damage) == 1
    assert book.taken == []


class Deaf(asyncio.Transport):
    """A connection whose other side reads nothing."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 40_000)})
        self.held = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.held += len(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_a_sender_that_reads_no_acknowledgements_is_cut_off() -> None:
    listener, deaf = Listener(PushSettings(), Book()), Deaf()
    connection = _Connection(listener)
    connection.connection_made(deaf)
    sent = 0
    while not deaf.aborted:
        assert sent < 10_000, "it goes on for ever"
        connection.data_received(general_block(1, sent.to_bytes(2, "big") * 4, streaming=False) + MESSAGE)
        sent += 1
    assert ANSWERS_LIMIT_BYTES < deaf.held < ANSWERS_LIMIT_BYTES + 100
    connection.connection_lost(None)


# -- limits ------------------------------------------------------------------------------------------------------------

async def test_strangers_leave_half_of_the_connections_to_meters() -> None:
    book = Book(1_000, "127.0.0.2")
    async with listening(book, max_connections=4, max_connections_per_address=3) as (listener, port), contextlib.AsyncExitStack() as open_:
        for _ in range(2):
            await open_.enter_async_context(connected(port))
        reader, _ = await open_.enter_async_context(connected(port))
        assert await closed(reader) == b""
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            open_.callback(writer.close)
            writer.write(MESSAGE)
        await book.until(lambda: len(book.taken) == 2)
        assert dict(listener.by_address) == {"127.0.0.1": 2, "127.0.0.2": 2}


async def test_connections_are_limited_in_all_and_from_one_address() -> None:
    book = Book(1_000, "127.0.0.1", "::1")
    async with listening(book, max_connections=3, max_connections_per_address=2) as (listener, port), contextlib.AsyncExitStack() as open_:
        for _ in range(2):
            await open_.enter_async_context(connected(port))
        reader, _ = await open_.enter_async_context(connected(port))
        assert await closed(reader) == b""
        if has_ipv6():
            await open_.enter_async_context(connected(port, "::1"))
            reader, _ = await open_.enter_async_context(connected(port, "::1"))
            assert await closed(reader) == b"", "there is room for three"
            await book.until(lambda: listener.connections == 3)
            assert dict(listener.by_address) == {"127.0.0.1": 2, "::1": 1}
        for each in list(listener._connections):
            each.abort()
        await book.until(lambda: not listener.by_address)


async def test_what_is_more_than_admitted_is_dropped_and_ends_the_connection() -> None:
    book = Book(room=4)      # the connection, and three messages
    async with listening(book) as (_, port), connected(port) as (reader, writer):
        writer.write(MESSAGE * 50)
        await closed(reader)
    assert len(book.taken) == 3
    assert book.turned_away == 1


async def test_a_connection_that_is_not_admitted_is_not_read() -> None:
    book = Book(room=0)
    async with listening(book) as (listener, port), connected(port) as (reader, writer):
        writer.write(MESSAGE)
        await closed(reader)
        assert listener.connections == 0
    assert book.taken == []


async def test_datagrams_are_limited_each() -> None:
    book = Book(room=3)
    async with listening(book) as (_, port):
        send_udp(port, MESSAGE, MESSAGE * 4, MESSAGE)
        await book.until(lambda: book.turned_away)
    assert len(book.taken) == 3


# -- datagrams ---------------------------------------------------------------------------------------------------------

async def test_datagrams_that_are_none() -> None:
    book = Book()
    async with listening(book) as (_, port):
        send_udp(port, MESSAGE[:-1], b"", b"x", UI[:-1], MESSAGE)
        await book.until(lambda: book.taken)
        await book.until(lambda: len(book.damage) == 3)
    assert book.taken == [(PLAIN, "127.0.0.1")]


async def test_general_blocks_in_datagrams_of_one_sender() -> None:
    book = Book()
    async with listening(book) as (_, port):
        parts = [general_block(1, PLAIN[:8]), general_block(2, PLAIN[8:], last=True)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for part in parts:
                for sock in (one, other):
                    sock.sendto(part, ("127.0.0.1", port))
            await book.until(lambda: len(book.taken) == 2)
            one.settimeout(0.1)
            with pytest.raises(TimeoutError):
                one.recv(100)      # a datagram's sender is a claim: nothing is sent to it
    assert book.taken == [(PLAIN, "127.0.0.1")] * 2


async def test_unfinished_datagrams_take_no_memory() -> None:
    book = Book()
    async with listening(book, message_timeout_s=0.3) as (_, port):
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(UNFINISHED_DATAGRAMS + 3)]
        for sock in socks:
            sock.sendto(general_block(1, PLAIN[:8]), ("127.0.0.1", port))
            await asyncio.sleep(0)
        await book.until(lambda: len(book.damage) == 3)
        await asyncio.sleep(0.4)
        socks[-1].sendto(general_block(2, PLAIN[8:], last=True), ("127.0.0.1", port))
        await book.until(lambda: len(book.damage) >= 5)
        for sock in socks:
            sock.close()
    assert {reason for reason, _ in book.damage} == {"a message that was not whole in time", "a general block without those before it"}
    assert book.taken == []


@pytest.mark.parametrize(("sockaddr", "address"), [
    (("192.0.2.1", 4059), "192.0.2.1"), (("::ffff:192.0.2.1", 4059, 0, 0), "192.0.2.1"),
    (("2001:DB8::1", 4059, 0, 0), "2001:db8::1"), (("fe80::1%eth0", 4059, 0, 3), "fe80::1%3"), (("fe80::1", 4059, 0, 3), "fe80::1%3"),
    (("", 0), ""),
])
def test_addresses_have_one_form(sockaddr: tuple, address: str) -> None:
    assert address_of(sockaddr) == address
