"""First contact over real TCP: meters of every address form, bridges with their habits, and ports that are no meter."""

import asyncio
from dataclasses import replace

import pytest
from discovery_bench import HASTY, QUICK, Impostor, dial, hdlc, impostor, standing
from poll_bench import meter_model, meter_settings

from edge.demo.bridge import Quirks, esp32, ser2net
from edge.demo.meter_tcp import SimulatedMeter
from edge.discovery.contact import Contact, Verdict, contact
from edge.discovery.doors import Door, Search
from edge.discovery.pace import Pace
from edge.poll.transport import TcpTransport

SERIAL_LINE_PORT = 3333      # what the search is told; the port that the test got is another


async def reached(place: SimulatedMeter | Impostor, search: Search = Search(), pace: Pace = QUICK, port: int = SERIAL_LINE_PORT) -> Contact:  # noqa: B008 - frozen
    return await contact(dial(place), port, search, pace)


@pytest.mark.parametrize(("physical", "size", "search"), [
    (None, 1, Search()), (17, 4, Search()), (17, 2, Search()), (16, 4, Search()), (1, 2, Search()),
    (1234, 4, Search(serial="00981234")), (99, 2, Search(physical=(99,))), (8100, 4, Search(physical=(8100,))),
])
async def test_every_address_form_is_found(physical: int | None, size: int, search: Search) -> None:
    async with standing(hdlc(physical, size)) as meter:
        found = await reached(meter, search, replace(QUICK, answer_s=0.15))
    assert (found.verdict, found.door) == (Verdict.METER, Door("hdlc", 16, 1, physical, size))
    assert found.tries[-1].endswith("client 16: answers")


@pytest.mark.parametrize("port", [4059, SERIAL_LINE_PORT])
async def test_the_wrapper_is_found_whatever_the_port(port: int) -> None:
    async with standing(meter_settings("wrapper")) as meter:
        found = await reached(meter, port=port)
    assert found.door == Door("wrapper", 16, 1)
    assert meter.counters.rejected == 0


async def test_other_logical_devices_of_a_wrapper_meter() -> None:
    settings = meter_settings("wrapper")
    settings.server_logical = 17
    async with standing(settings) as meter:
        found = await reached(meter, Search(framings=("wrapper",)), replace(QUICK, tail_s=0.2))
    assert found.door == Door("wrapper", 16, 17)
    assert found.tries[0].endswith("silence")


async def test_an_answer_that_comes_late_still_counts_for_its_address() -> None:
    """The bridge delivers after the next address was knocked at: the frame says whose answer it is."""
    async with standing(hdlc(17, 4), Quirks(latency_s=(0.4, 0.4))) as meter:
        found = await reached(meter, pace=replace(QUICK, answer_s=0.25, tail_s=3.0))
    assert found.door == Door("hdlc", 16, 1, 17, 4)
    assert any("silence; address 1/17 (logical/physical, 4 octets) answers" in line for line in found.tries)


async def test_the_slowest_answer_is_waited_for_at_the_end() -> None:
    async with standing(hdlc(77, 4), Quirks(latency_s=(0.5, 0.5))) as meter:
        found = await reached(meter, Search(framings=("hdlc",), physical=(77,)), replace(HASTY, tail_s=5.0))
    assert found.door == Door("hdlc", 16, 1, 77, 4)


async def test_several_meters_on_one_line_are_all_told() -> None:
    neighbour = (meter_model("2", 2), hdlc(18, 4))
    async with standing(hdlc(17, 4), neighbours=[neighbour]) as meter:
        found = await reached(meter, Search(physical=(16, 17, 18)), replace(QUICK, answer_s=0.15))
    assert (found.door, found.others) == (Door("hdlc", 16, 1, 17, 4), (Door("hdlc", 16, 1, 18, 4),))


async def test_behind_the_bridges_of_the_field() -> None:
    for quirks in (esp32((0.0, 0.01)), ser2net((0.0, 0.01)), Quirks(chunk_bytes=1, chunk_gap_s=0.001, noise_share=1.0), Quirks(stale_first=True)):
        async with standing(hdlc(17, 4), quirks) as meter:
            for _ in range(2):
                found = await reached(meter)
                assert found.door == Door("hdlc", 16, 1, 17, 4), (quirks, found)


async def test_nothing_is_left_behind_for_the_next_client() -> None:
    """The link that a knock set up is taken down, and the answer to that is taken, before the connection ends."""
    async with standing(hdlc(17, 4), Quirks(residue=True)) as meter:
        await reached(meter)
        transport = await TcpTransport.connect(*meter.address, timeout_s=5)
        await asyncio.sleep(0.05)
        assert transport.waiting() == b""
        transport.abort()


@pytest.mark.parametrize(("says", "verdict", "words"), [
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Verdict.NO_METER, "SSH-2.0-OpenSSH_9.2p1"),
    (b"Port already in use\r\n", Verdict.BUSY, "Port already in use"),
    (bytes.fromhex("fffb01fffb03fffd03"), Verdict.NO_METER, "raw TCP"),
])
async def test_who_speaks_first_is_sent_nothing(says: bytes, verdict: Verdict, words: str) -> None:
    async with impostor(says) as other:
        found = await reached(other)
        assert (found.verdict, other.heard, other.connections) == (verdict, b"", 1)
    assert words in found.detail
    assert found.door is None


async def test_a_server_of_another_kind_answers_in_words() -> None:
    async with impostor(answers=b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as other:
        for port in (4059, SERIAL_LINE_PORT):
            found = await reached(other, port=port)
            assert found.verdict is Verdict.NO_METER
            assert "HTTP/1.1 400 Bad Request" in found.detail


async def test_a_port_that_swallows_everything_is_told_as_silence() -> None:
    async with impostor() as other:
        found = await reached(other, pace=HASTY)
        assert found.verdict is Verdict.SILENT
        assert "another server address" in found.detail
        assert len(found.tries) == 18 + 3, "every door is named"
        assert other.most_at_once == 1
        assert other.connections == 5, "one for each HDLC stage, one for each door of the wrapper"


async def test_a_silent_meter_behind_a_living_bridge() -> None:
    async with standing(hdlc(17, 4), Quirks(meter_silent=True)) as meter:
        assert (await reached(meter, pace=HASTY)).verdict is Verdict.SILENT


async def test_noise_is_told_apart_from_silence() -> None:
    async with impostor(answers=b"\x00\x80\xf0\x0f\x7e\x11") as other:
        found = await reached(other, Search(framings=("hdlc",)), HASTY)
    assert found.verdict is Verdict.SILENT
    assert "baud rate" in found.tries[-1]


async def test_a_bridge_that_serves_another_client() -> None:
    for refusal, verdict in (("refused", Verdict.BUSY), ("silent", Verdict.SILENT)):
        async with standing(hdlc(17, 4), Quirks(second_client=refusal)) as meter:
            first = await TcpTransport.connect(*meter.address, timeout_s=5)
            found = await reached(meter, pace=HASTY)
            assert found.verdict is verdict
            first.abort()
    assert found.detail


async def test_a_bridge_that_takes_leave_in_words_amid_the_search() -> None:
    async with standing(hdlc(99, 4), Quirks(idle_close_s=0.15)) as meter:
        found = await reached(meter, pace=replace(HASTY, answer_s=0.4, tail_s=0.4))
    assert found.verdict is Verdict.BUSY
    assert "inactivity" in found.detail


async def test_who_hangs_up_at_once() -> None:
    async with impostor(hangs_up=True) as other:
        found = await reached(other)
    assert found.verdict is Verdict.HANGS_UP


async def test_nobody_listens_there() -> None:
    async with impostor() as other:
        pass
    found = await reached(other)
    assert found.verdict is Verdict.UNREACHABLE
    assert "refused" in found.detail


async def test_a_meter_that_refuses_the_public_client_is_a_meter() -> None:
    settings = meter_settings("wrapper")
    del settings.manners.passwords[16]
    async with standing(settings) as meter:
        found = await reached(meter, port=4059)
        assert meter.counters.rejected == 1
    assert (found.verdict, found.door) == (Verdict.METER, Door("wrapper", 16, 1))
    assert "no reason given" in found.refused


async def test_cancelling_leaves_no_connection() -> None:
    async with impostor() as other:
        task = asyncio.create_task(reached(other, pace=replace(QUICK, answer_s=30.0)))
        while not other.heard:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        async with asyncio.timeout(5):
            while other.at_once:
                await asyncio.sleep(0.01)
