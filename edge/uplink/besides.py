"""What one connection says besides telemetry: who is connected, attributes, talks. It keeps to the same window."""

import logging

from edge.model import Publish
from edge.uplink.arrivals import Ack
from edge.uplink.attributes import Report
from edge.uplink.dialect import Packed
from edge.uplink.flight import InFlight, Pending
from edge.uplink.mqtt import Session
from edge.uplink.pace import Cost, Pace
from edge.uplink.ports import Shared
from edge.uplink.presence import Presence
from edge.uplink.reasons import Judgement, judge, reason_text

log = logging.getLogger(__name__)

OWN_MESSAGE = Cost(own=True, messages=1)
MESSAGE = Cost(own=False, messages=1)      # about a meter
LIMITS_ANSWERS = "v1/devices/me/rpc/response/+"


class Besides:
    """Belongs to a `Drain`, which owns `pace` and `in_flight`. Times are monotonic seconds."""

    def __init__(self, session: Session, shared: Shared, pace: Pace, in_flight: InFlight) -> None:
        """Nothing is said before `began`."""
        self.presence = Presence(shared.silent)
        self._session, self._shared, self._pace, self._in_flight = session, shared, pace, in_flight
        self._dialect = shared.dialect
        self._report = Report(shared.attributes, shared.dialect.attributes)

    def began(self) -> None:
        """Subscribe, and ask for the limits: the server keeps no session."""
        for talk in self._shared.talks:
            talk.began()
            for topic in talk.topics:
                self._subscribe(topic)
        if self._dialect.limits_request is not None:
            self._subscribe(LIMITS_ANSWERS)
            self._session.publish_unacknowledged(self._dialect.limits_request)
            self._pace.spend(OWN_MESSAGE, self._now())

    def ended(self) -> None:
        """The connection is gone."""
        for talk in self._shared.talks:
            talk.ended()

    def heard(self, topic: str, payload: bytes) -> None:
        """Offer a publication of the server to every talk."""
        for talk in self._shared.talks:
            talk.heard(topic, payload, self._now())

    def answered(self, pending: Pending, ack: Ack) -> None:
        """Take the PUBACK of what was sent here."""
        taken = judge(ack.reason) is Judgement.TAKEN
        if pending.attributes and not taken:      # readings matter more: the next connection sends all of them again
            whose = pending.device or "the gateway"
            log.warning("the server refuses attributes of %s: %s", whose, reason_text(ack.reason))
        elif pending.said is not None and pending.said.answered is not None:
            pending.said.answered(ack.reason)
        elif pending.connects:
            self.presence.answered(pending.device, taken=taken)
            if taken:
                self._shared.parking.accept(pending.device)
                return
            rest_s = self._shared.parking.refuse(pending.device, self._now())
            log.warning("the server refuses meter %s: %s; its records stay in the ring, next try in %.0f s",
                        pending.device, reason_text(ack.reason), rest_s)

    def admitted(self) -> bool:
        """Send the certificates that are due, as far as there is room; tell whether telemetry may go."""
        ceremony = self._dialect.ceremony
        if ceremony is None:
            return True
        while (publish := ceremony.certificate()) is not None:
            if not self._may_send(publish, MESSAGE):
                return False
            self._send(publish, MESSAGE, device="")
        return ceremony.admitted

    def connected(self, packed: Packed) -> bool:
        """Announce the meters of a batch that are new on this connection; True when all were acknowledged."""
        if not self.admitted():
            return False
        missing = self.presence.missing(packed.connects)
        for device, publish in missing:
            if self.presence.may_ask(device) and self._may_send(publish, MESSAGE):
                self.presence.asked(device)
                self._send(publish, MESSAGE, device=device, connects=True)
        return not missing

    def speak(self) -> None:
        """Disconnect who is silent, and send what has changed of the attributes."""
        for device in self.presence.leaving(self._now()) if self._dialect.announces else ():
            publish = self._dialect.disconnect(device)
            if not self._may_send(publish, MESSAGE):
                break
            self._send(publish, MESSAGE, device=device)
            self.presence.left(device)
        connected = self.presence.connected if self._dialect.announces else None
        while due := self._report.due(connected, self._pace.record_limit_bytes, self.presence.changes):
            cost = Cost(own=not due.device, messages=1, entries=1, points=len(due.values))
            if not self._may_send(due.publish, cost):
                return
            self._report.said(due)
            self._send(due.publish, cost, device=due.device, attributes=True)

    def talk(self, *, idle: bool) -> float:
        """Send what the talks have to say, as far as window and rates have room; return how long they rest."""
        rest_s = float("inf")
        for talk in self._shared.talks:
            while self._session.writable:
                now = self._now()
                if wait_s := self._pace.wait_s(OWN_MESSAGE, now):
                    return min(rest_s, wait_s)
                if not self._pace.room(len(self._in_flight), self._in_flight.size_bytes, 0):
                    return rest_s
                said = talk.due(now, idle=idle, limit_bytes=self._pace.record_limit_bytes)
                if said is None:
                    rest_s = min(rest_s, talk.rest_s(now))
                    break
                if said.answered is None:
                    self._session.publish_unacknowledged(said.publish)
                else:
                    pending = Pending(len(said.publish.payload), now, said=said)
                    self._in_flight.add(self._session.publish(said.publish), pending)
                self._pace.spend(OWN_MESSAGE, now)
        return max(0.001, rest_s)

    def _subscribe(self, topic: str) -> None:
        self._session.subscribe(topic)
        self._pace.spend(OWN_MESSAGE, self._now())

    def _may_send(self, publish: Publish, cost: Cost) -> bool:
        room = self._pace.room(len(self._in_flight), self._in_flight.size_bytes, len(publish.payload))
        return self._session.writable and room and not self._pace.wait_s(cost, self._now())

    def _send(self, publish: Publish, cost: Cost, *, device: str, connects: bool = False,
              attributes: bool = False) -> None:
        pending = Pending(len(publish.payload), self._now(), device=device, connects=connects, attributes=attributes)
        self._in_flight.add(self._session.publish(publish), pending)
        self._pace.spend(cost, self._now())

    def _now(self) -> float:
        return self._shared.clock.monotonic()
