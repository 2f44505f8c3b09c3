"""Simulated meters on a pseudo-terminal (I/O edge): what a gateway opens as a serial line of its own.

    client ── /dev/pts/N ══ the other end ── the line: speed, time on the wire ── every meter on it

The pseudo-terminal has the semantics of a tty: raw mode, speeds, a hang-up when it is pulled out. The line adds what it
lacks: octets at another speed than a meter's are noise to it, and all of them take their time.
"""

import asyncio
import os
import random
import termios
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.demo.meter_apdu import Counters
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_mode_e import ModeE, server_side
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.endpoint import BAUDS

OCTET_BITS = 10
_READ_BYTES = 4_096
_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in BAUDS}


class SerialMeters:
    """One line with its meters. Their models, settings and manners may be changed at any time."""

    def __init__(self, meters: Sequence[tuple[MeterModel, MeterSettings]], *, baud: int = 9600,
                 reaction_s: float = 0.02, seed: int = 0, now: Callable[[], float] = time.time) -> None:
        """`baud` is the speed of those that open without a sign-on. `now` gives Unix time in seconds."""
        self.counters = Counters()
        self.silent = False
        self.heard: list[tuple[int, bytes]] = []      # what the client sent, with the speed that it had set
        self._meters = [server_side(model, settings, self.counters) for model, settings in meters]
        self._baud = baud
        self._reaction_s = reaction_s
        self._rng = random.Random(seed)
        self._now = now
        self._free_at = 0.0
        self._ends: tuple[int, int] | None = None
        self._name: Path | None = None
        self._loop: asyncio.AbstractEventLoop

    def plug_in(self, name: Path | None = None) -> str:
        """Make the pseudo-terminal and return its path; `name` is a link that is made to lead there, and returned."""
        self._loop = asyncio.get_running_loop()
        ours, theirs = self._ends = os.openpty()      # theirs stays open, or the line hangs up between two clients
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._loop.add_reader(ours, self._hear, self._ends)
        self._name = name
        if name is None:
            return os.ttyname(theirs)
        name.symlink_to(os.ttyname(theirs))
        return str(name)

    def unplug(self) -> None:
        """Pull it out: whoever has it open is hung up. The meters stay as they are. Safe when it is out already."""
        if self._ends is None:
            return
        self._loop.remove_reader(self._ends[0])
        for end in self._ends:
            os.close(end)
        self._ends = None
        if self._name is not None:
            self._name.unlink()

    def inject(self, data: bytes) -> None:
        """Put bytes on the line that no meter sent."""
        if self._ends is not None:
            os.write(self._ends[0], data)

    @property
    def client_baud(self) -> int:
        """The speed that the client has set."""
        assert self._ends is not None
        return _SPEEDS[termios.tcgetattr(self._ends[0])[5]]

    def _hear(self, ends: tuple[int, int]) -> None:
        try:
            data = os.read(ends[0], _READ_BYTES)
        except BlockingIOError:
            return
        speed = self.client_baud
        self.heard.append((speed, data))
        if self.silent:
            return
        said = self._loop.time() + len(data) * OCTET_BITS / speed
        for meter in self._meters:
            heard = data if self._speed_of(meter) == speed else self._rng.randbytes(len(data))
            for answer in meter.receive(heard, self._now()):
                baud = self._speed_of(meter)
                self._free_at = max(said + self._reaction_s, self._free_at) + len(answer) * OCTET_BITS / baud
                self._loop.call_at(self._free_at, self._say, ends, baud, answer)

    def _say(self, ends: tuple[int, int], baud: int, answer: bytes) -> None:
        if self._ends is not ends:      # pulled out meanwhile
            return
        os.write(ends[0], answer if self.client_baud == baud else self._rng.randbytes(len(answer)))

    def _speed_of(self, meter: ModeE | HdlcServer) -> int:
        return meter.baud if isinstance(meter, ModeE) else self._baud
