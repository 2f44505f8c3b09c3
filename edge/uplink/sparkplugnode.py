"""The session of a Sparkplug edge node with its hosts (pure): births before data, deaths, one sequence for all.

    CONNECT with the will NDEATH, bdSeq + 1 ─► subscribe NCMD, STATE ─► (primary host online) ─► NBIRTH, seq 0
        ─► DBIRTH of every device that is known and heard ─► NDATA, DDATA
    Node Control/Rebirth, a new tag of the node  ─► NBIRTH and all DBIRTHs again, seq 0
    a new device, a new tag of a device          ─► its DBIRTH
    a device is silent, nothing sent for LINGER_S ─► its DDEATH
    primary host offline                         ─► NDEATH, DISCONNECT, and from the beginning

Source: Eclipse Sparkplug 3.0.0 (ISO/IEC 20237:2023), chapters 4 and 5; decision 0037 says how it meets the ring.
"""

import logging
import zlib
from collections.abc import Awaitable, Callable

from edge.clock import Clock
from edge.model import Publish
from edge.templates import level
from edge.uplink.presence import LINGER_S, LOOK_S
from edge.uplink.sparkplughost import REBIRTH, PrimaryHost, wants_rebirth
from edge.uplink.sparkplugtags import Newest, Since, Thing, aliases, commit
from edge.uplink.sparkplugwire import DataType, declared, payload
from edge.uplink.talk import Said
from edge.uplink.thingsboard import SILENT_KEY

log = logging.getLogger(__name__)

BDSEQ = "bdSeq"
SEQUENCE = 256             # numbers, of births and of messages alike
REBIRTH_REST_S = 10.0      # between two births of the node that hosts ask for
STAMP_S = 1.0
GRACE_MS = 60_000          # what was taken so shortly before the session began is current, too
NODE_TEXTS = ("event", "event_detail", "alarm", "alarm_state", "alarm_severity", "alarm_detail", SILENT_KEY.decode())
"""What a node tells when something has just gone wrong: not the moment for the births of everybody once more."""


class EdgeNode:
    """See `Ceremony`, `Talk`. `next_bdseq` raises the number on flash and returns it, 0 to 255.

    `silent` tells which meters are not heard, or gone.
    """

    def __init__(self, group: str, name: str, host_id: str, clock: Clock, next_bdseq: Callable[[], Awaitable[int]],
                 silent: Callable[[str], bool]) -> None:
        """Nothing was ever sent."""
        self.wake: Callable[[], object] = lambda: None
        self.since = Since(clock.stamp(), GRACE_MS)
        self.packed: dict[str, tuple[Thing, Newest]] = {}      # by topic, what is packed and not sent
        self._group, self._name, self._host = level(group), level(name), PrimaryHost(level(host_id) if host_id else "")
        self._clock, self._next_bdseq, self.silent = clock, next_bdseq, silent
        self._aliases = aliases()
        self.node = Thing("", self._aliases)
        for key in NODE_TEXTS:
            self.node.expect(key, DataType.STRING)
        self._devices: dict[str, Thing] = {}
        self._bdseq, self._seq = 0, 0
        self._stamped_at, self._stamped_ms = float("-inf"), 0
        self._due: tuple[Publish, Thing, bool] | None = None   # the certificate that was shown last; True: a birth
        self._reborn_at = self._looked_at = float("-inf")
        self._rebirth_asked = False
        self.topics: tuple[str, ...] = (self.topic("NCMD"), *((self._host.topic,) if self._host.host_id else ()))

    # ---- things and topics

    def thing(self, device: str) -> Thing:
        """Return a device; "" is the node itself."""
        if not device:
            return self.node
        known = self._devices.get(device)
        if known is None:
            known = self._devices[device] = Thing(device, self._aliases)
        return known

    def topic(self, verb: str, thing: Thing | None = None) -> str:
        """Return the topic of a message type: of the node, or of a device (4.1)."""
        return f"spBv1.0/{self._group}/{verb}/{self._name}{f'/{device_id(thing.name)}' if thing else ''}"

    def data_topic(self, thing: Thing) -> str:
        """Return where something's data goes."""
        return self.topic("NDATA") if thing is self.node else self.topic("DDATA", thing)

    # ---- the talk

    def began(self) -> None:
        """A connection is there: nobody is born on it."""
        self._host.began()
        self._due, self._rebirth_asked = None, False
        self.packed.clear()
        self.node.born = False
        for device in self._devices.values():
            device.born = device.dying = device.wanted = False
        self._all_wanted()

    def ended(self) -> None:
        """The connection is gone."""

    def heard(self, topic: str, payload: bytes, now: float) -> None:      # noqa: ARG002 - the talk's signature
        """Take a STATE of the primary host, or a command."""
        if topic == self._host.topic:
            self._host.heard(payload)
        elif topic == self.topics[0] and wants_rebirth(payload):
            self._rebirth_asked = True

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - same
        """Say nothing: certificates go before telemetry."""
        return None

    def rest_s(self, now: float) -> float:
        """Return when a rebirth that was asked for may be."""
        return max(0.0, self._reborn_at + REBIRTH_REST_S - now) if self._rebirth_asked else float("inf")

    # ---- the ceremony

    @property
    def admitted(self) -> bool:
        """See `Ceremony`."""
        return self._host.online and self.node.born and self.certificate() is None

    @property
    def over(self) -> str:
        """See `Ceremony`: a session that was born ends with its primary host."""
        return f"{self._host.why}: the session ends" if self.node.born and not self._host.online else ""

    @property
    def waits_for(self) -> str:
        """See `Ceremony`."""
        return "" if self._host.online else self._host.why

    async def will(self) -> Publish:
        """Raise bdSeq and return NDEATH (tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq)."""
        self._bdseq = await self._next_bdseq()
        return self.farewell()

    def farewell(self) -> Publish:
        """Return NDEATH: the number of this session's birth and nothing else, not even a sequence number."""
        return Publish(self.topic("NDEATH"), payload(self._number(self.now_ms())))

    def certificate(self) -> Publish | None:
        """See `Ceremony`: first the node's birth, then its devices', then deaths; none without the primary host."""
        if not self._host.online:
            return None
        if self._rebirth_asked and self._clock.monotonic() >= self._reborn_at + REBIRTH_REST_S:
            self._rebirth_asked, self._due = False, None
            self._all_wanted()
        if self._due is None:
            self._look_for_the_silent()
            self._due = self._next()
        return self._due[0] if self._due else None

    def finished(self, publish: Publish) -> Publish:
        """Give a message the next number of the sequence (tck-id-payloads-sequence-num-incrementing), and its time."""
        now, born = self._clock.monotonic(), False
        if self._due is not None and publish is self._due[0]:
            _, thing, born = self._due
            self._due, thing.wanted, thing.dying = None, False, False
            if born and thing is self.node:
                self._reborn_at, self._rebirth_asked = now, False
                if not thing.born:      # with its first birth a session begins
                    self.since = Since(self._clock.stamp(), GRACE_MS)
            thing.born = born
        else:
            thing, newest = self.packed.pop(publish.topic)
            commit(newest)
        thing.said_at = now
        self._seq = 0 if born and thing is self.node else (self._seq + 1) % SEQUENCE
        return Publish(publish.topic, payload(publish.payload, wall_ms=self.now_ms(), seq=self._seq))


    def _all_wanted(self) -> None:
        """Have everybody born (again): the node, and who is heard. Others are born with what is sent of them."""
        self.node.wanted = True
        for device in self._devices.values():
            device.wanted = device.wanted or device.born or (device.heard and not self.silent(device.name))

    def _next(self) -> tuple[Publish, Thing, bool] | None:
        now_ms = self.now_ms()
        if self.node.wanted:
            self._all_wanted()
            head = self._number(now_ms) + declared(REBIRTH, DataType.BOOLEAN, value=False, wall_ms=now_ms)
            return Publish(self.topic("NBIRTH"), head + self.node.birth(now_ms)), self.node, True
        for device in self._devices.values():
            if device.wanted:
                return Publish(self.topic("DBIRTH", device), device.birth(now_ms)), device, True
        for device in self._devices.values():
            if device.dying:
                return Publish(self.topic("DDEATH", device), b""), device, False
        return None

    def _look_for_the_silent(self) -> None:
        now = self._clock.monotonic()
        if now < self._looked_at + LOOK_S:
            return
        self._looked_at = now
        packed = {thing.name for thing, _ in self.packed.values()}
        for device in self._devices.values():
            device.dying = (device.born and device.name not in packed and now - device.said_at >= LINGER_S
                            and self.silent(device.name))

    def _number(self, now_ms: int) -> bytes:
        return declared(BDSEQ, DataType.INT64, self._bdseq, now_ms)

    def now_ms(self) -> int:
        """Return the time, UTC in Unix milliseconds.

        Asked of the clock once a second: each stamp uses up a millisecond, and a backlog has thousands of messages.
        """
        now = self._clock.monotonic()
        if now >= self._stamped_at + STAMP_S:
            self._stamped_at, self._stamped_ms = now, self._clock.stamp().wall_ms
        return self._stamped_ms + int((now - self._stamped_at) * 1000)


def device_id(name: str) -> str:
    """Return a meter's name as a level of a topic; where that alters it, a checksum keeps two names apart."""
    fit = level(name)
    return fit if fit == name else f"{fit}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"
