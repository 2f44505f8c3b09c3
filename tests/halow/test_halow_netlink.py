"""The netlink socket: against the real kernel, and against scripted answers over a socket pair."""

import asyncio
import errno
import socket
import struct

import nlbytes as nl
import pytest

from halow.netlink import NLM_F_DUMP_INTR, NetlinkSocket, attribute, attributes, resolve_family, split

GENERIC, ROUTE = 16, 0
RTM_GETLINK, RTM_NEWLINK, IFLA_IFNAME = 18, 16, 3
ALL_LINKS = struct.pack("=BxHiII", 0, 0, 0, 0, 0)


@pytest.fixture
def scripted():
    """A NetlinkSocket whose kernel is the test."""
    sock = NetlinkSocket(GENERIC, timeout_s=5)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock._socket.close()
    sock._socket = ours
    ours.setblocking(False)
    theirs.setblocking(False)
    yield sock, theirs
    sock.close()
    theirs.close()


async def asked(theirs):
    """Return the sequence number of the next request."""
    request = await asyncio.get_running_loop().sock_recv(theirs, 4096)
    return struct.unpack_from("=IHHII", request)[3]


def done(sequence, flags=2, code=0):
    return struct.pack("=IHHIIi", 20, 3, flags, sequence, 0, code)


def failed(sequence, code):
    return struct.pack("=IHHIIi", 36, 2, 0, sequence, 0, -code) + bytes(16)


async def test_the_kernel_lists_its_links():
    sock = NetlinkSocket(ROUTE)
    try:
        names = [attributes(message[32:])[IFLA_IFNAME] for message in await sock.dump(RTM_GETLINK, ALL_LINKS)]
    finally:
        sock.close()
    assert b"lo\0" in names


async def test_generic_netlink_resolves_its_own_controller_and_refuses_strangers():
    sock = NetlinkSocket(GENERIC)
    try:
        family, groups = await resolve_family(sock, "nlctrl")
        assert family == 16
        assert groups == {"notify": 16}
        with pytest.raises(OSError) as refused:
            await resolve_family(sock, "no-such-family")
        assert refused.value.errno == errno.ENOENT
    finally:
        sock.close()


async def test_events_arrive_after_joining():
    sock = NetlinkSocket(GENERIC)
    sock.join(16)
    waiting = asyncio.ensure_future(sock.receive())
    done_, _ = await asyncio.wait({waiting}, timeout=0.01)
    assert not done_
    waiting.cancel()
    await asyncio.wait({waiting})
    sock.close()


async def test_a_cancelled_question_does_not_answer_the_next_one(scripted):
    sock, theirs = scripted
    first = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    old = await asked(theirs)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    new = await asked(theirs)
    assert new != old
    theirs.send(nl.message(nl.NEW_STATION, sequence=old) + done(old))
    right = nl.message(nl.DEL_STATION, sequence=new)
    theirs.send(right + done(new))
    assert await second == [right]


async def test_a_dump_over_several_datagrams(scripted):
    sock, theirs = scripted
    asking = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    sequence = await asked(theirs)
    parts = [nl.station(f"02:00:00:00:0a:{n:02x}") for n in range(5)]
    parts = [part[:8] + struct.pack("=I", sequence) + part[12:] for part in parts]
    for part in parts:
        theirs.send(part)
    theirs.send(done(sequence))
    assert await asking == parts


async def test_an_interrupted_dump_is_asked_for_again(scripted):
    sock, theirs = scripted
    asking = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    sequence = await asked(theirs)
    theirs.send(nl.message(nl.NEW_STATION, sequence=sequence, flags=2 | NLM_F_DUMP_INTR) + done(sequence))
    sequence = await asked(theirs)
    whole = nl.message(nl.NEW_STATION, sequence=sequence)
    theirs.send(whole + done(sequence))
    assert await asking == [whole]


async def test_a_table_that_never_holds_still_is_taken_in_the_end(scripted):
    sock, theirs = scripted
    asking = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    for _ in range(4):
        sequence = await asked(theirs)
        restless = nl.message(nl.NEW_STATION, sequence=sequence, flags=2 | NLM_F_DUMP_INTR)
        theirs.send(restless + done(sequence))
    assert await asking == [restless]


@pytest.mark.parametrize("end", [failed, lambda sequence, code: done(sequence, code=-code)])
async def test_the_kernels_errno_comes_through(scripted, end):
    sock, theirs = scripted
    asking = asyncio.ensure_future(sock.dump(nl.FAMILY, b""))
    theirs.send(end(await asked(theirs), errno.ENODEV))
    with pytest.raises(OSError) as gone:
        await asking
    assert gone.value.errno == errno.ENODEV


async def test_silence_ends_in_time(scripted):
    sock, _ = scripted
    sock._timeout_s = 0.02
    with pytest.raises(TimeoutError):
        await sock.dump(nl.FAMILY, b"")


def test_attributes_round_trip_and_damage_is_refused():
    data = attribute(1, b"abc") + attribute(2, b"") + nl.nest(3, attribute(1, b"\1\2\3\4"))
    assert attributes(data) == {1: b"abc", 2: b"", 3: attribute(1, b"\1\2\3\4")}
    with pytest.raises(ValueError, match="attribute of 200"):
        attributes(struct.pack("=HH", 200, 1) + b"abc")
    with pytest.raises(ValueError, match="attribute of 3"):
        attributes(struct.pack("=HH", 3, 1))
    with pytest.raises(ValueError, match="message of 15"):
        list(split(struct.pack("=IHHII", 15, 0, 0, 0, 0)))


def test_a_protocol_the_kernel_does_not_have():
    with pytest.raises(OSError, match="rotocol"):
        NetlinkSocket(31)
