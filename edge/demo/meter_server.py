"""The simulated meter's server side: bytes of a client in, whole frames out (sans-IO).

Over the wrapper each TCP connection has its own associations, which end with it. Behind a serial bridge there is one
HDLC link per client address (`meter_hdlc`) that outlives connections until its own inactivity time-out.
"""

from typing import Protocol

from edge.demo.meter_apdu import CosemServer, Counters
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.dlms import wrapper
from edge.errors import MeterError


class StreamFault(Exception):
    """The client's bytes are beyond repair; the simulated meter closes its connection."""


class Endpoint(Protocol):
    """What a connection talks to."""

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes, return the frames to send, in order. `now` is Unix time. Raises StreamFault."""

    def connection_lost(self) -> None:
        """The client's connection is gone."""


class WrapperServer:
    """The wrapper side of one TCP connection: one association per client SAP, silence for other logical devices."""

    def __init__(self, model: MeterModel, settings: MeterSettings, counters: Counters) -> None:
        """Start without associations."""
        self._model = model
        self._settings = settings
        self._counters = counters
        self._deframer = wrapper.WrapperDeframer()
        self._clients: dict[int, CosemServer] = {}
        self._last_request = 0.0

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """See `Endpoint`."""
        try:
            frames = self._deframer.feed(data)
        except MeterError as fault:
            raise StreamFault(str(fault)) from fault
        limit = self._settings.inactivity_s
        if limit is not None and now - self._last_request > limit:
            self._clients.clear()
        self._last_request = now
        answers = []
        for frame in frames:
            if frame.destination != self._settings.server_logical:
                continue
            client = self._clients.get(frame.source)
            if client is None:
                client = CosemServer(self._model, self._settings.manners, self._counters, frame.source)
                self._clients[frame.source] = client
            found = client.answers(frame.apdu, now)
            if found and self._settings.manners.notify_before:
                found = [self._settings.manners.notify_before, *found]
            answers += [wrapper.encode(frame.destination, frame.source, answer) for answer in found]
        return answers

    def connection_lost(self) -> None:
        """End every association."""
        self._clients.clear()
