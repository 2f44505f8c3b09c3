"""Keeps what passes between client and meter, connection by connection (I/O: wraps a Transport)."""

from edge.capture.cut import Piece
from edge.poll.session import Connect
from edge.poll.transport import Transport

LIMIT_BYTES = 4_194_304
"""Of one recording. A poll has some kilobytes."""


class Recorder:
    """What was sent and received so far. The password is in there in clear: only `edge.capture.write` may see it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.pieces: list[Piece] = []
        self.overflowed = False
        self._connections = 0
        self._bytes = 0

    def connecting(self, connect: Connect) -> Connect:
        """Return a `connect` whose transports are recorded."""
        async def recorded() -> Transport:
            transport = await connect()
            self._connections += 1
            return _Recorded(transport, self, self._connections)
        return recorded

    def note(self, connection: int, octets: bytes, *, sent: bool) -> None:
        """Keep a piece."""
        self._bytes += len(octets)
        self.overflowed = self._bytes > LIMIT_BYTES
        if octets and not self.overflowed:
            self.pieces.append(Piece(connection, sent, octets))

    def __repr__(self) -> str:
        """Leave the bytes out."""
        return f"Recorder({len(self.pieces)} pieces)"


class _Recorded:
    """A Transport that tells its recorder what passes."""

    def __init__(self, transport: Transport, recorder: Recorder, connection: int) -> None:
        self._transport, self._recorder, self._connection = transport, recorder, connection

    @property
    def top_baud(self) -> int | None:
        return self._transport.top_baud

    async def ready(self, gap_s: float) -> None:
        await self._transport.ready(gap_s)

    def set_line(self, baud: int, shape: str | None = None) -> None:
        self._transport.set_line(baud, shape)

    def write(self, data: bytes) -> None:
        self._recorder.note(self._connection, data, sent=True)
        self._transport.write(data)

    async def read(self, deadline: float | None) -> bytes:
        data = await self._transport.read(deadline)
        self._recorder.note(self._connection, data, sent=False)
        return data

    def waiting(self) -> bytes:
        data = self._transport.waiting()
        self._recorder.note(self._connection, data, sent=False)
        return data

    async def close(self, within_s: float) -> None:
        await self._transport.close(within_s)

    def abort(self) -> None:
        self._transport.abort()
