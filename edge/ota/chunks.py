"""Asks ThingsBoard for a package, one chunk after the other (pure): a talk on the uplink's connection.

    v2/{fw,sw}/request/{request}/chunk/{n}   payload: octets of a chunk, as text   ─► the server
    v2/{fw,sw}/response/{request}/chunk/{n}  ◄─ octets n*chunk .. of the package, fewer at its end
    v2/fw/error                              ◄─ text, for software too; the server closes the connection after it

Source: MqttTransportHandler (getOtaPackageCallback, sendOtaPackage, sendOtaPackageError), MqttTopics. A request goes at
QoS 0: an error has no PUBACK, and what answers is the chunk. The server remembers a package per request number for the
length of a session, so each beginning takes another number.

Polling and telemetry come first: one chunk is on its way at a time, none while telemetry waits (but for one in FLOOR_S,
or a backlog that never ends would keep an update out for ever), and after each a rest that leaves the link to others.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from edge.model import Publish
from edge.ota.offer import Offer
from edge.uplink.talk import Said

FLOOR_S = 10.0             # one chunk in this time, however much telemetry waits
SILENCES = 3               # requests without an answer before the server is left alone for a while
REST_FIRST_S = 30.0        # after an error of the server's or its silence; doubles
REST_MAX_S = 600.0
DOUBLINGS = 8              # enough to come to it; a server may be silent for weeks
ERRORS_LIMIT = 6           # errors in a row before it is given up
ERROR_TOPICS = ("v2/fw/error", "v2/sw/error")
LEAST_BYTES = 256

_RESPONSE = re.compile(r"v2/(fw|sw)/response/(\d{1,10})/chunk/(\d{1,10})")


@dataclass(frozen=True, slots=True)
class Piece:
    """What came: octets of the package from `offset` on."""

    offset: int
    data: bytes


@dataclass(slots=True)
class _Asked:
    index: int
    size_bytes: int
    at: float


class Chunks:
    """The talk. `begin` names a package; each piece is handed to `arrived`, and the next asked for after `taken`.

    `failed` gets one line when the server will not give the package.
    """

    topics: tuple[str, ...] = ("v2/fw/response/+/chunk/+", "v2/sw/response/+/chunk/+", *ERROR_TOPICS)

    wake: Callable[[], object]
    arrived: Callable[[Piece], object]
    failed: Callable[[str], object]

    def __init__(self, chunk_bytes: int, timeout_s: float, link_share: float) -> None:
        """A chunk may take `timeout_s`; of the time, `link_share` at most is spent on chunks."""
        self.wake = lambda: None
        self.arrived = lambda _piece: None
        self.failed = lambda _why: None
        self._wanted_bytes, self._timeout_s, self._share = chunk_bytes, timeout_s, link_share
        self._offer: Offer | None = None
        self._position = 0
        self._chunk_bytes = chunk_bytes
        self._request = 0
        self._outstanding: _Asked | None = None
        self._handed = False                             # a piece is being written
        self._connected = False
        self._next_at = self._floor_at = float("-inf")
        self._silences = self._errors = 0

    # ---- for whoever keeps the package

    def use(self, chunk_bytes: int, timeout_s: float, link_share: float) -> None:
        """Ask for the next chunks by other settings."""
        self._wanted_bytes, self._timeout_s, self._share = chunk_bytes, timeout_s, link_share

    def begin(self, offer: Offer, position: int) -> None:
        """Get `offer` from octet `position` on, or a little before it."""
        self._offer, self._position = offer, position
        self._outstanding, self._handed = None, False
        self._silences = self._errors = 0
        self._next_at = float("-inf")      # a rest was for another package
        self._new_request()
        self.wake()

    def stop(self) -> None:
        """Ask for nothing more."""
        self._offer = self._outstanding = None

    def taken(self, position: int) -> None:
        """The piece is written: the package is there up to `position`."""
        self._position, self._handed = position, False
        self.wake()

    # ---- for the uplink

    def began(self) -> None:
        """Begin anew where the package ends, by a new number: the server has forgotten."""
        self._connected, self._outstanding = True, None
        self._new_request()

    def ended(self) -> None:
        """What was asked for never comes."""
        self._connected, self._outstanding = False, None

    def heard(self, topic: str, payload: bytes, now: float) -> None:
        """Take a chunk or an error; anything else is none of ours."""
        if self._offer is None:
            return
        if topic in ERROR_TOPICS:
            self._refused(payload[:80].decode("ascii", "replace"), now)
            return
        match = _RESPONSE.fullmatch(topic)
        asked = self._outstanding
        if match is None or asked is None or (match[1], int(match[2]), int(match[3])) != (
                self._offer.what, self._request, asked.index):
            return      # an answer that was given up
        offset = asked.index * asked.size_bytes
        expected = min(asked.size_bytes, self._offer.size_bytes - offset)
        self._outstanding = None
        if len(payload) != expected:
            self._refused(f"{len(payload)} octets came at {offset} where {expected} were due", now)
            return
        took_s = now - asked.at
        self._silences = self._errors = 0
        self._next_at = now + took_s * (1 - self._share) / self._share
        self._floor_at = now + FLOOR_S
        self._handed = True
        self.arrived(Piece(offset, payload))

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:
        """Return the request for the next chunk when it is time."""
        if self._outstanding is not None and now - self._outstanding.at >= self._timeout_s:
            self._silent(now)
        if self._offer is None or self._handed or self._outstanding is not None or not self._connected:
            return None
        if now < self._next_at or (not idle and now < self._floor_at):
            return None
        self._fit(limit_bytes)
        index = self._position // self._chunk_bytes
        self._outstanding = _Asked(index, self._chunk_bytes, now)
        topic = f"v2/{self._offer.what}/request/{self._request}/chunk/{index}"
        return Said(Publish(topic, str(self._chunk_bytes).encode()))

    def rest_s(self, now: float) -> float:
        """Return how long nothing is due by itself."""
        if self._offer is None or self._handed or not self._connected:
            return float("inf")
        if self._outstanding is not None:
            return max(0.0, self._outstanding.at + self._timeout_s - now)
        # not before its time; and where only telemetry is in the way, the drain asks again after each of its rounds
        return self._next_at - now if now < self._next_at else max(0.0, self._floor_at - now)

    # ----

    def _new_request(self) -> None:
        self._request = self._request % 1_000_000_000 + 1

    def _fit(self, limit_bytes: int) -> None:
        """Take chunks as large as wanted and allowed. A smaller size gives every chunk another number."""
        fitting = max(LEAST_BYTES, min(self._wanted_bytes, limit_bytes))
        if fitting != self._chunk_bytes:
            self._chunk_bytes = fitting
            self._new_request()

    def _silent(self, now: float) -> None:
        self._outstanding = None
        self._silences += 1
        self._new_request()
        if self._silences >= SILENCES:
            self._next_at = now + min(REST_FIRST_S * 2 ** min(self._silences - SILENCES, DOUBLINGS), REST_MAX_S)

    def _refused(self, why: str, now: float) -> None:
        self._outstanding = None
        self._errors += 1
        self._next_at = now + min(REST_FIRST_S * 2 ** (self._errors - 1), REST_MAX_S)
        if self._errors >= ERRORS_LIMIT and self._offer is not None:
            offer, self._offer = self._offer, None
            self.failed(f"the server does not give {offer.name}: {why if why.isprintable() else 'without a reason'}")
