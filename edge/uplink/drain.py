"""The drain of one connection: ring -> batches -> publications -> PUBACK -> ring.ack.

Nothing leaves the ring before every publication of its span got a PUBACK that says success. What is un-acknowledged
when the connection ends is simply forgotten here; the next connection finds it in the ring.

A link that went dead is noticed
  - with something in flight: `ack_timeout_s` after the last PUBACK, or after the oldest publication was handed over if
    that was later. A slow link that still brings PUBACKs is not dead; one publication alone may take `PATIENCE` times
    as long, then the server will not answer it;
  - idle: after `2 * keepalive_s` without a byte from the server, which answers pings in between.
"""

import asyncio
import logging
from contextlib import suppress
from itertools import chain
from typing import NoReturn

from edge.errors import Rejected, Retryable
from edge.model import Publish, SeqSpan, Stored
from edge.uplink.arrivals import Ack, Moved, Parted
from edge.uplink.besides import LIMITS_ANSWERS, Besides
from edge.uplink.dialect import Packed
from edge.uplink.flight import Flight, InFlight, Pending
from edge.uplink.mqtt import Session
from edge.uplink.pace import Cost, Pace, parse_limits
from edge.uplink.poison import place
from edge.uplink.ports import Shared
from edge.uplink.ration import Ration
from edge.uplink.reasons import RATE_END, SUSPICIOUS_END, Judgement, judge, reason_text
from edge.uplink.source import Lane, Source

log = logging.getLogger(__name__)

TICK_S = 5.0               # the longest rest between two looks at the ring
HELD_LOOK_S = 600.0        # so long what a path does not bear now is not read again
SLACK_S = 10.0             # what a promise allows beyond the planned rest
QUOTA_EXCEEDED = 0x97


class Drain:
    """Empties the ring over one open session."""

    def __init__(self, session: Session, shared: Shared, ration: Ration | None = None) -> None:
        """Nothing is sent before `run`. `ration`: what the path bears, None: everything."""
        settings = shared.settings
        self._ration = ration or Ration()
        self.progress = 0                              # batches acknowledged on this connection
        self.pace = Pace(window_messages=settings.window_messages, window_bytes=settings.window_bytes,
                         batch_bytes=max(settings.batch_bytes, self._ration.least_batch_bytes),
                         receive_maximum=session.receive_maximum, packet_limit_bytes=session.packet_limit_bytes,
                         quota=shared.quota)
        self._session, self._shared = session, shared
        self._in_flight = InFlight(settings.ack_timeout_s, shared.clock.monotonic())
        self._source = Source(shared.ring, settings.order, self._in_flight.held, shut=self._ration.shut,
                              gathers=bool(self._ration.gather_s))
        self._dialect = shared.dialect
        self._besides = Besides(session, shared, self.pace, self._in_flight)
        self._next: tuple[Lane, Packed] | None = None  # packed, and waiting for room
        self._bulk_at = float("-inf")                  # then the backlog may go on, for the server's rate limits
        self._refusal = ""
        self._over_quota = self._poisoned = False      # what a PUBACK said of the rate, of a payload
        self._commits_seen = 0
        self._look_back_at = self._now() + TICK_S
        self._rests_until = float("inf")               # of the resting meters whose records were skipped
        self._aside_since: int | None = None           # `poison.releases` when a record aside was skipped

    @property
    def in_flight(self) -> tuple[int, int]:
        """Publications on their way, and their bytes."""
        return len(self._in_flight), self._in_flight.size_bytes

    @property
    def asked_to_wait(self) -> bool:
        """True when the server took no more for its own reasons: a rate limit, a fault."""
        return bool(self._refusal)

    async def run(self) -> NoReturn:
        """Work until the connection ends, which is always an exception: Retryable or Rejected.

        Cancelling leaves everything un-acknowledged in the ring.
        """
        self._shared.quota.began(self._now())
        self._besides.began()
        while True:
            self._shared.activity.clear()
            if self._commits_seen != self._shared.commits:
                self._commits_seen = self._shared.commits
                self._source.committed()
            self._take_acks()
            self._read_messages()
            self._raise_if_over()
            if self._ration.look(self._now(), self._shared.clock.stamp):
                self._source.look_back(Lane.BILLING)
                self._source.look_back(Lane.BACKFILL)
            self._look_back()
            self._besides.speak()
            rest_s = min(await self._fill(), self._besides.talk(idle=self._next is None), self._until_deadline())
            self._shared.promise(rest_s + SLACK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._shared.activity.wait()

    def ended(self) -> None:
        """The connection is gone, whoever ended it: who talks over it is told."""
        self._besides.ended()

    def finish(self) -> None:
        """After an end by the link: take the last answers, and note what was at the head if a record can be to blame.

        Or that the server ended it for its rate.
        """
        self._take_acks()
        if self._limits_the_rate():
            log.info("the server limits the rate: the backlog keeps below %s", self._shared.quota.closed(self._now()))
        head = self._in_flight.head(besides=self._session.unsettled)
        if head is None or head.flight is None or self._refusal:
            return
        loss = self._session.loss
        # Silence on this publication alone is suspicious, silence of the whole link is not.
        heard_late = self._session.last_received > head.sent_at + self._shared.settings.ack_timeout_s / 2
        if heard_late if loss is None else loss.reason in SUSPICIOUS_END:
            self._shared.poison.dropped(head.flight.batch.records)

    def _limits_the_rate(self) -> bool:
        """Tell whether the server ended it for its rate: by a PUBACK, or by DISCONNECT, no payload being to blame."""
        loss = self._session.loss
        return self._over_quota or (not self._poisoned and loss is not None and loss.reason in RATE_END)

    # ---- what came in

    def _take_acks(self) -> None:
        for ack in self._session.take_acks():
            pending = self._in_flight.answered(ack.packet_id, self._now())
            if pending is None:
                continue
            self.pace.answered(pending.size_bytes, self._in_flight.delivered_bytes - pending.delivered_before,
                               pending.sent_at, self._now())
            if pending.flight is not None:
                self._flight_answered(pending.flight, ack)
            else:
                self._besides.answered(pending, ack)
                if pending.connects and judge(ack.reason) is not Judgement.TAKEN:
                    self._forget_next()

    def _flight_answered(self, flight: Flight, ack: Ack) -> None:
        judgement = judge(ack.reason)
        flight.open -= 1
        if judgement is not Judgement.TAKEN:
            self._shared.tally.refused += 1
            flight.refused = reason_text(ack.reason)
            if judgement is Judgement.LATER:
                self._over_quota = ack.reason == QUOTA_EXCEEDED
                self._refusal = f"the server takes no telemetry now: {flight.refused}"
                return
            self._poisoned = True
        if flight.open:
            return
        if flight.refused:
            self._shared.poison.refused(flight.batch.records, flight.refused)
            if len(flight.batch.records) > 1:                  # a lone one is set aside
                self._source.give_back(flight.lane, flight.batch.records)
                self._forget_next()
            return
        self._shared.let_go(flight.batch.span)
        self._shared.quota.taken(flight.entries, flight.points)
        self.progress += 1
        self._shared.tally.acked_records += len(flight.batch.records)
        for stored, reason in self._shared.poison.taken(flight.batch.span, own=flight.own, devices=flight.devices):
            self._shared.condemn(stored, reason)

    def _read_messages(self) -> None:
        for message in self._session.take_messages():
            if message.topic.startswith(LIMITS_ANSWERS[:-1]):
                try:
                    limits = parse_limits(message.payload)
                except ValueError as error:
                    log.info("the server's session limits are not used: %s", error)
                else:
                    log.info("session limits of the server: %s", limits)
                    self.pace.learn(limits, self._now())
                    self._forget_next()
            self._besides.heard(message.topic, message.payload)

    def _raise_if_over(self) -> None:
        if why := self._shared.leaving():
            raise Moved(why)
        if (ceremony := self._dialect.ceremony) and ceremony.over:
            raise Parted(ceremony.over)
        if self._refusal:
            raise Retryable(self._refusal)
        if reason := self._shared.poison.everything_refused():
            raise Rejected(f"the server refuses every record: {reason}; nothing is thrown away")
        if self._session.loss is not None:
            raise Retryable(self._session.loss.text)
        now, settings = self._now(), self._shared.settings
        if now >= self._in_flight.answer_due():
            awaited = self._session.awaited(self._in_flight.oldest_id)
            raise Retryable(f"no {awaited} within {settings.ack_timeout_s:g} s: the link is taken for dead")
        if now >= self._session.last_received + 2 * settings.keepalive_s:
            raise Retryable(f"not a byte from the server in {2 * settings.keepalive_s} s")

    def _until_deadline(self) -> float:
        """Seconds until `_raise_if_over` may have something to say."""
        silent = self._session.last_received + 2 * self._shared.settings.keepalive_s
        return max(0.001, min(silent, self._in_flight.answer_due()) - self._now())

    def _look_back(self) -> None:
        """Look again for what the cursors passed: now and then, or when something skipped may be sent at last.

        A meter that rests for long leaves many records behind: they are not read every few seconds for nothing.
        """
        now = self._now()
        if self._aside_since is None and self._rests_until == float("inf"):
            due = now >= self._look_back_at
        else:
            due = now >= self._rests_until or self._aside_since not in (None, self._shared.poison.releases)
        if not due or self._next is not None:
            return
        self._look_back_at, self._rests_until, self._aside_since = now + TICK_S, float("inf"), None
        for lane in Lane:
            self._source.look_back(lane)

    def _picky(self, lane: Lane) -> bool:
        """Tell whether what waits in a lane must be looked at record by record; nearly always all of it just goes."""
        shared = self._shared
        return bool(shared.poison or shared.condemned or shared.parking or not self._ration.bears_all
                    or shared.delivered.meets(self._source.waiting(lane)))

    def _skip(self, stored: Stored) -> bool:
        """Tell whether a record is not to be sent now; note when to look for it again."""
        shared, device = self._shared, stored.record.device
        if stored in shared.delivered:
            shared.let_go(SeqSpan(stored.stream, stored.seq, stored.seq))      # the ring forgot it
            return True
        if shared.condemned and place(stored) in shared.condemned:
            return True
        if shared.poison.aside(stored):
            self._aside_since = shared.poison.releases if self._aside_since is None else self._aside_since
            return True
        if shared.parking and shared.parking.rests(device, self._now()):
            self._rests_until = min(self._rests_until, shared.parking.until(device))
            return True
        if self._ration.holds(stored):
            self._rests_until = min(self._rests_until, self._now() + HELD_LOOK_S)
            return True
        return self._ration.thins(stored)

    # ---- what goes out

    async def _fill(self) -> float:
        """Send while there is room; return how long to rest if nothing happens."""
        while self._session.writable:
            messages, size_bytes = self.in_flight
            if not self._besides.admitted() or not self.pace.room(messages, size_bytes, 1):
                return TICK_S
            if self._next is None:
                self._next = await self._pack()
                if self._next is None:
                    rest_s = min(TICK_S, self._ration.rest_s())
                    return max(0.001, min(rest_s, self._bulk_at - self._now())) if self._holds_bulk() else rest_s
            lane, packed = self._next
            if not self._worth_sending(lane, packed):
                continue
            more_bytes = sum(len(part.publish.payload) for part in packed.parts)
            room = self.pace.room(messages, size_bytes, more_bytes, len(packed.parts))
            if not self._besides.connected(packed) or not room:
                return TICK_S
            if wait_s := self._wait_s(lane, packed):
                if lane not in self._source.bulk:
                    return wait_s
                self._bulk_at = self._now() + wait_s       # nothing of it was taken: others go meanwhile
                self._forget_next()
                continue
            self._send(lane, packed)
        return TICK_S

    def _holds_bulk(self) -> bool:
        return self._now() < self._bulk_at

    async def _pack(self) -> tuple[Lane, Packed] | None:
        while lane := await self._source.choose(bulk=not self._holds_bulk()):
            picks = (self._skip, self._shared.poison.alone) if self._picky(lane) else ()
            run = self._source.run_of(lane, *picks)
            first = next(run, None)
            if first is not None:
                return lane, self._dialect.pack(chain((first,), run), self.pace.batch_now_bytes,
                                                self.pace.batch_points(self._now()), self.pace.window_messages)
            self._shared.promise(SLACK_S)          # much that is skipped may lie in a row
        self._ration.emptied()
        return None

    def _worth_sending(self, lane: Lane, packed: Packed) -> bool:
        """Deal with a batch that says nothing, and with a record that is too large for any server."""
        batch = packed.batch
        # Only a lone record can be larger than a batch may be.
        too_large = any(len(part.publish.payload) > self.pace.record_limit_bytes for part in packed.parts)
        if packed.parts and not too_large:
            return True
        self._source.take(lane, len(batch.records))
        self._next = None
        if packed.parts:
            reason = f"its publication is longer than the {self.pace.record_limit_bytes} bytes that the server takes"
            self._shared.condemn(batch.records[0], reason)
        else:
            self._shared.let_go(batch.span)
        return False

    def _wait_s(self, lane: Lane, packed: Packed) -> float:
        bulk = lane in self._source.bulk
        return max(self.pace.wait_s(cost, self._now(), bulk=bulk) for cost in _costs(packed))

    def _send(self, lane: Lane, packed: Packed) -> None:
        whose = {part.own for part in packed.parts}
        flight = Flight(packed.batch, lane, len(packed.parts), own=True in whose, devices=False in whose,
                        entries=sum(part.entries for part in packed.parts),
                        points=sum(part.points for part in packed.parts))
        for part in packed.parts:
            self._publish(part.publish, Pending(len(part.publish.payload), self._now(), flight))
        for cost in _costs(packed):
            self.pace.spend(cost, self._now())
        self._besides.presence.sent(packed.connects, self._now())
        self._source.take(lane, len(packed.batch.records))
        self._shared.tally.sent_records += len(packed.batch.records)
        self._next = None

    def _publish(self, publish: Publish, pending: Pending) -> None:
        self._in_flight.add(self._session.publish(publish), pending)

    def _forget_next(self) -> None:
        """Pack again: what was packed may hold what must not be sent now. Nothing of it was taken yet."""
        self._next = None

    def _now(self) -> float:
        return self._shared.clock.monotonic()


def _costs(packed: Packed) -> tuple[Cost, ...]:
    """Return what a batch is in the server's books. Telemetry is counted by entries and values, not by messages."""
    return tuple(Cost(own=part.own, entries=part.entries, points=part.points) for part in packed.parts)
