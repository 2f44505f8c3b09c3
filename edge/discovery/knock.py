"""Knocking at HDLC addresses: SNRM to one after the other over one connection, until somebody answers (I/O edge).

    SNRM ─► silence for answer_s ─► next address ... UA ─► found ─► DISC, UA
                                                 └─ DM ─► found: there, and not free

One connection for all, because a bridge takes connecting harder than frames that nobody takes. An answer that comes
late still counts: it tells which address it is from. No password is in any of it, and nothing is left behind: a link
that was set up is taken down.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from edge.discovery.doors import Door, door_of
from edge.discovery.pace import Pace
from edge.dlms import hdlc
from edge.dlms.hdlc import Deframer, HdlcFrame
from edge.dlms.hdlc_link import Kind, kind_of
from edge.errors import ConnectionLost, NoAnswer
from edge.poll.transport import Transport

TURNAROUND_S = 0.03
"""Rest between an answer and the next frame, for meters on serial lines that need it (Microstar: 30 ms)."""

Note = Callable[[str], None]
"""Told in one line what is being tried and what came of it."""


class Knocked(NamedTuple):
    """What came of it: the doors behind which somebody answered, what was said in words, octets in no frame."""

    doors: tuple[Door, ...] = ()
    text: str = ""
    noise_bytes: int = 0


async def knock(
    transport: Transport, doors: Sequence[Door], pace: Pace, note: Note, *, all_of_them: bool = False,
    patient: bool = True,
) -> Knocked:
    """Knock at HDLC doors in order; end at the first answer unless `all_of_them` are wanted.

    `patient`: the slowest answers are waited for at the end. Raises ConnectionLost when the other side hangs up without
    a word. Cancelling leaves the connection to the caller.
    """
    knocking = _Knocking(transport, doors, pace, note)
    try:
        return await knocking.run(all_of_them=all_of_them, patient=patient)
    except ConnectionLost:
        if not (knocking.knocked.text or knocking.knocked.doors):
            raise
        return knocking.knocked


class _Knocking:
    def __init__(self, transport: Transport, doors: Sequence[Door], pace: Pace, note: Note) -> None:
        self._transport = transport
        self._doors = doors
        self._clients = {_client(door): door.client_sap for door in doors}
        self._pace = pace
        self._note = note
        self._deframer = Deframer()
        self._loop = asyncio.get_running_loop()
        self._found: dict[str, Door] = {}      # by address: one client that is answered is enough

    @property
    def knocked(self) -> Knocked:
        """What has come of it so far."""
        return Knocked(tuple(self._found.values()), self._deframer.text(), self._deframer.discarded_bytes)

    async def run(self, *, all_of_them: bool, patient: bool) -> Knocked:
        for door in self._doors:
            if door.address in self._found:
                continue
            await self._write(door, hdlc.SNRM)
            answered = await self._answered(self._pace.answer_s)
            self._note(f"{door}: {_outcome(door, answered)}")
            if self._deframer.text() or (self._found and not all_of_them):
                break
        else:
            if patient and not self._found:
                await self._answered(self._pace.tail_s)
        return self.knocked

    async def _answered(self, within_s: float) -> list[Door]:
        """Wait for an answer to SNRM, take down the link that came up, and return whose it was."""
        new = []
        for door, kind in await self._heard(within_s):
            if door.address in self._found:
                continue
            self._found[door.address] = door
            new.append(door)
            if kind is Kind.UA:
                await self._write(door, hdlc.DISC)
                await self._heard(self._pace.answer_s)      # else its answer would greet the next client of this bridge
        return new

    async def _heard(self, within_s: float) -> list[tuple[Door, Kind]]:
        """Return the first UA or DM that comes, and what comes with it; nothing after `within_s` of none."""
        deadline = self._loop.time() + within_s
        heard: list[tuple[Door, Kind]] = []
        while not heard:
            try:
                frames = self._deframer.feed(await self._transport.read(deadline))
            except NoAnswer:
                return self._doors_of(self._deframer.abandon())
            heard = self._doors_of(frames)
        return heard

    def _doors_of(self, frames: Iterable[HdlcFrame]) -> list[tuple[Door, Kind]]:
        heard: list[tuple[Door, Kind]] = []
        for frame in frames:
            client_sap, kind = self._clients.get(frame.destination), kind_of(frame.control)
            door = None if client_sap is None else door_of(frame.source, client_sap)
            if door is not None and kind in (Kind.UA, Kind.DM):
                heard.append((door, kind))
        return heard

    async def _write(self, door: Door, control: int) -> None:
        await self._transport.ready(TURNAROUND_S)
        server = hdlc.encode_address(door.logical, door.physical, door.address_bytes)
        self._transport.write(hdlc.encode_frame(HdlcFrame(server, _client(door), control)))


def _client(door: Door) -> bytes:
    return hdlc.encode_address(door.client_sap)


def _outcome(door: Door, answered: Sequence[Door]) -> str:
    if door in answered:
        return "answers"
    return f"silence; {answered[0].address} answers" if answered else "silence"
