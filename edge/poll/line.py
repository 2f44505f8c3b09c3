"""One connection for all meters on one serial line, which speak in turn (no sockets here, only `Transport`).

    session m17 ─► Seat ─┐
    session m18 ─► Seat ─┼─ Line ─► Transport      every seat has an association of its own; who has the turn speaks
    session m19 ─► Seat ─┘

A bridge serves one client, and HDLC tells the meters behind it apart by address. So the connection is kept, and with it
the association of each meter. When an exchange fails, that meter's association is given up; the connection with it only
where nothing has been heard on it since the last failure, or nobody else is there. What the meter still sends is waited
for a moment, so that it does not collide with the next request; what comes later yet falls on links of other addresses,
which leave it alone (`edge.dlms.hdlc_link`).
"""

import asyncio

from edge.endpoint import Endpoint, SerialLine
from edge.errors import ConnectionLost, NoAnswer
from edge.poll.transport import Transport, connect

QUIET_S = 0.2
"""So long a silence after a failure, and the line is free. A bridge passes pieces of a frame on up to 0.1 s apart."""

QUIET_MOST_S = 1.0
"""Who talks longer is talked over."""


class Line:
    """A serial line. All but `fail` happens in turn: the gate admits one meter per lane."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._pipe: Transport | None = None
        self._seats: set[Seat] = set()
        self._speaker: Seat | None = None
        self._setting: tuple[int, str] | None = None      # speed and format, where they are ours to set
        self._heard = False                               # anything, since the last failure
        self._unquiet = False                             # an answer may still come

    async def seat(self, place: Endpoint, timeout_s: float) -> "Seat":
        """Give an association its way to the line, which is opened where it is not. Raises as `transport.connect`.

        Cancelling leaves nothing behind.
        """
        pipe = self._standing()
        if pipe is None:
            pipe = self._pipe = await connect(place, timeout_s=timeout_s)
            self._speaker, self._heard, self._unquiet = None, False, False
            self._setting = _own_setting(place)
        seat = Seat(self, pipe, place)
        self._seats.add(seat)
        return seat

    async def prepare(self, seat: "Seat", gap_s: float) -> None:
        """Have the line free, at the speed of this seat's meter. Raises ConnectionLost."""
        if self._unquiet:
            await self._quiet(seat.pipe)
        self.set(seat)
        await seat.pipe.ready(gap_s)

    def set(self, seat: "Seat") -> None:
        """Bring the line to the speed and format of this seat, which speaks from now on. Raises ConnectionLost."""
        self._speaker = seat
        if seat.setting is not None and seat.setting != self._setting:
            seat.pipe.set_line(*seat.setting)
            self._setting = seat.setting

    def heard(self) -> None:
        """Note that the line carries."""
        self._heard = True

    async def leave(self, seat: "Seat", within_s: float) -> None:
        """End a seat whose association is closed; the last one closes the line."""
        if seat in self._seats:
            self._seats.discard(seat)
            if not self._seats:
                pipe, self._pipe = self._pipe, None
                assert pipe is not None
                await pipe.close(within_s)

    def fail(self, seat: "Seat") -> None:
        """End a seat whose exchange has failed, or one that is idle, at any moment."""
        if seat not in self._seats:
            return
        self._seats.discard(seat)
        spoke = seat is self._speaker
        if not self._seats or (spoke and not self._heard):
            self._drop()
        elif spoke:
            self._heard, self._unquiet = False, True

    def _standing(self) -> Transport | None:
        """Return the connection, None when there is none or it has ended."""
        if self._pipe is not None:
            try:
                self._pipe.waiting()      # came unasked, and between two turns: nobody's
            except ConnectionLost:
                self._drop()
        return self._pipe

    def _drop(self) -> None:
        """End the connection; whoever has a seat yet finds it ended."""
        pipe, self._pipe = self._pipe, None
        self._seats.clear()
        if pipe is not None:
            pipe.abort()

    async def _quiet(self, pipe: Transport) -> None:
        """Wait until nobody speaks any more."""
        loop = asyncio.get_running_loop()
        enough = loop.time() + QUIET_MOST_S
        while (now := loop.time()) < enough:
            try:
                await pipe.read(min(now + QUIET_S, enough))
            except NoAnswer:
                break
        self._unquiet = False


class Seat:
    """One association's share of a line: a `Transport` that ends with the association, while the line goes on."""

    def __init__(self, line: Line, pipe: Transport, place: Endpoint) -> None:
        """Use `Line.seat`."""
        self.pipe = pipe
        self.setting = _own_setting(place)
        self.top_baud = place.baud if isinstance(place, SerialLine) else None
        self._own = self.setting
        self._line = line

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.pipe.write(data)

    async def read(self, deadline: float | None) -> bytes:
        """See Transport."""
        data = await self.pipe.read(deadline)
        self._line.heard()
        return data

    def waiting(self) -> bytes:
        """See Transport."""
        return self.pipe.waiting()

    async def ready(self, gap_s: float) -> None:
        """See Transport."""
        await self._line.prepare(self, gap_s)

    def set_line(self, baud: int, shape: str | None = None) -> None:
        """See Transport. It holds for this seat: the others' speeds stay theirs."""
        assert self._own is not None
        self.setting = (baud, shape or self._own[1])
        self._line.set(self)

    async def close(self, within_s: float) -> None:
        """See Transport."""
        await self._line.leave(self, within_s)

    def abort(self) -> None:
        """See Transport."""
        self._line.fail(self)


def _own_setting(place: Endpoint) -> tuple[int, str] | None:
    return (place.baud, place.format) if isinstance(place, SerialLine) else None
