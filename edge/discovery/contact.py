"""First contact: is there a meter behind this address, and how is it spoken to (I/O edge).

    connect ─► listen ─► stage by stage, likeliest first: wrapper: AARQ of the public client, door by door
                 │                                        HDLC: `knock`, all doors over one connection
                 └─ words: a busy bridge, or no meter at all; nothing is sent then

One connection at a time, with a rest between two. No password is sent here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edge.discovery.doors import Door, Search, public_settings, stages
from edge.discovery.greeting import Greeting, Speaker, greeting
from edge.discovery.knock import Note, knock
from edge.discovery.pace import Pace
from edge.errors import BridgeBusy, ConnectionLost, MeterError, NoAnswer, Refused, Unreachable, Violation
from edge.poll.conversation import Trace
from edge.poll.session import MeterSession
from edge.poll.transport import Transport

Dial = Callable[[], Awaitable[Transport]]
"""Opens a connection; raises Unreachable, or BridgeBusy for a serial line that another program has."""

GREETING_BYTES = 512
"""Most that is listened to before anything is sent."""


class Verdict(StrEnum):
    """What there is."""

    METER = "meter"                  # something answers DLMS
    UNREACHABLE = "unreachable"      # no TCP connection
    BUSY = "busy"                    # a bridge that serves somebody else, or a meter whose link is taken
    NO_METER = "no_meter"            # it speaks another language
    HANGS_UP = "hangs_up"            # connections are ended without a word
    SILENT = "silent"                # the port is open, and nothing we know to say is answered


@dataclass(slots=True)
class Contact:
    """What first contact brought. `detail` is one line; `tries` are what was said, one line each."""

    verdict: Verdict
    detail: str
    door: Door | None = None
    others: tuple[Door, ...] = ()    # more meters on the same line
    tries: list[str] = field(default_factory=list)
    refused: str = ""                # it answers, but does not let the public client in
    alive: bool = False              # the host answers, if only with a refusal of the connection


class _Ended(Exception):
    """Nothing more is to be tried here."""

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.detail = detail


async def contact(
    dial: Dial, port: int, search: Search, pace: Pace, note: Note = lambda _line: None,
) -> Contact:
    """Find out whether a meter answers. Never raises for what is there; cancelling leaves nothing open."""
    return await _Contacting(dial, port, search, pace, note).run()


class _Contacting:
    def __init__(self, dial: Dial, port: int, search: Search, pace: Pace, note: Note) -> None:
        self._dial, self._search, self._pace, self._note_to = dial, search, pace, note
        self._stages = stages(search, port)
        self._found = Contact(Verdict.SILENT, "")
        self._held: Transport | None = None
        self._closed = 0

    async def run(self) -> Contact:
        found = self._found
        try:
            await self._greet()
            for number, doors in enumerate(self._stages, start=1):
                if doors[0].framing == "wrapper":
                    await self._wrapper(doors)
                else:
                    await self._hdlc(doors, patient=number == len(self._stages))
                if found.door is not None:
                    return found
        except _Ended as ended:
            found.verdict, found.detail = ended.verdict, ended.detail
        else:
            found.verdict, found.detail = self._nothing()
        finally:
            if self._held is not None:
                self._held.abort()
        return found

    def _note(self, line: str) -> None:
        self._found.tries.append(line)
        self._note_to(line)

    def _nothing(self) -> tuple[Verdict, str]:
        if self._closed == len(self._stages):
            return Verdict.HANGS_UP, "connections are ended as soon as something is said"
        tried = " or ".join(dict.fromkeys(doors[0].framing for doors in self._stages))
        return Verdict.SILENT, (f"the port is open, and nothing answers {tried}: another server address, baud rate or "
                                "parity, wires, or no meter")

    # -- connections -----------------------------------------------------------------------------------------------

    async def _open(self) -> Transport:
        """Return the connection that is open already, else a new one after a rest."""
        if self._held is not None:
            transport, self._held = self._held, None
            return transport
        await asyncio.sleep(self._pace.gap_s)
        return await self._dialled()

    async def _dialled(self) -> Transport:
        try:
            transport = await self._dial()
        except Unreachable as error:
            self._found.alive = isinstance(error.__cause__, ConnectionRefusedError)
            raise _Ended(Verdict.UNREACHABLE, str(error)) from error
        except MeterError as error:      # a serial line that another program has
            raise _Ended(Verdict.BUSY, str(error)) from error
        self._found.alive = True
        return transport

    async def _greet(self) -> None:
        """Connect, and listen before anything is said."""
        self._held = await self._dialled()
        heard = bytearray()
        deadline = asyncio.get_running_loop().time() + self._pace.settle_s
        try:
            while len(heard) < GREETING_BYTES:
                heard += await self._held.read(deadline)
        except NoAnswer:
            self._judge(greeting(bytes(heard)))
        except ConnectionLost as error:
            self._judge(greeting(bytes(heard)))
            raise _Ended(Verdict.HANGS_UP, f"{error}: connections are ended before a word is said") from error

    @staticmethod
    def _judge(heard: Greeting) -> None:
        """End it where somebody spoke in words."""
        match heard.speaker:
            case Speaker.BRIDGE:
                raise _Ended(Verdict.BUSY, f"the bridge says {heard.text!r}: somebody else is connected to it")
            case Speaker.TELNET:
                raise _Ended(Verdict.NO_METER, "it speaks telnet: a serial bridge must be set to raw TCP")
            case Speaker.STRANGER:
                raise _Ended(Verdict.NO_METER, f"no meter and no bridge to one: it says {heard.text!r}")

    # -- the two framings ------------------------------------------------------------------------------------------

    async def _wrapper(self, doors: Sequence[Door]) -> None:
        for door in doors:
            # Unlike HDLC's, an answer that comes after its connection is lost: the likeliest door gets more time.
            opening_s = self._pace.tail_s if door is doors[0] else self._pace.answer_s
            settings = public_settings(door, opening_s=opening_s, exchange_s=self._pace.quiet_s)
            heard = bytearray()
            session = MeterSession(self._open, settings, trace=_hearing(heard))
            try:
                await session.open()
            except Refused as refused:
                self._came(door, str(refused))
                return
            except NoAnswer:
                self._note(f"{door}: silence")
            except BridgeBusy as spoke:
                self._note(f"{door}: {spoke}")
                self._judge(greeting(bytes(heard)))
                raise _Ended(Verdict.BUSY, str(spoke)) from spoke
            except ConnectionLost as lost:
                self._note(f"{door}: {lost}")
                self._closed += 1
                return
            except Violation as other:
                self._note(f"{door}: answers, but not with the wrapper ({other})")
                return
            else:
                self._came(door, "")
                await session.close()
                return

    async def _hdlc(self, doors: Sequence[Door], *, patient: bool) -> None:
        transport = await self._open()
        try:
            knocked = await knock(transport, doors, self._pace, self._note,
                                  all_of_them=len(self._search.physical) > 1, patient=patient)
            await transport.close(self._pace.answer_s)
        except ConnectionLost as lost:
            self._note(f"HDLC: {lost}")
            self._closed += 1
            return
        finally:
            transport.abort()
        if knocked.doors:
            self._came(knocked.doors[0], "")
            self._found.others = knocked.doors[1:]
        elif knocked.text:
            self._judge(greeting(knocked.text.encode()))
        elif knocked.noise_bytes:
            self._note(f"HDLC: {knocked.noise_bytes} octets that are no frame: wrong baud rate or parity, or several "
                       "meters that answer one address at once")

    def _came(self, door: Door, refused: str) -> None:
        found = self._found
        if door.framing == "wrapper":      # HDLC's knocks are noted as they are made
            self._note(f"{door}: {refused or 'answers'}")
        found.verdict, found.detail, found.door, found.refused = Verdict.METER, f"{door} answers", door, refused


def _hearing(heard: bytearray) -> Trace:
    """Keep what is received, up to a greeting's length."""
    def trace(direction: str, data: bytes) -> None:
        if direction == "RX":
            heard.extend(data[:GREETING_BYTES - len(heard)])
    return trace
