"""The talk of remote calls: takes them in, gives the answers out (pure). What they do is the daemon's.

An answer is sent until it has a PUBACK, over any number of connections: ThingsBoard takes it from whichever session
the device has. A call that it delivers once more meanwhile (persistent RPC, after a reconnect) is the daemon's to
recognise.
"""

import logging
from collections import deque
from collections.abc import Callable

from edge.model import Publish
from edge.remote.calls import GATEWAY_CALLS, OWN_REQUESTS, Call, answer, call_of
from edge.uplink.reasons import Judgement, judge, reason_text
from edge.uplink.talk import Said

log = logging.getLogger(__name__)

MOST_WAITING = 32
BUSY = "the gateway has too many calls under way; try again"
TOO_LONG = "the answer is longer than the server takes; ask for less"

Finished = Callable[[], None]


class Hands:
    """See `Talk`. `arrived` is called with each call; `reply` may be called at any time after that."""

    wake: Callable[[], object]
    topics: tuple[str, ...] = (OWN_REQUESTS + "+", GATEWAY_CALLS)

    def __init__(self) -> None:
        """Nobody listens yet: calls are refused as too many until `arrived` is set."""
        self.wake = lambda: None
        self.arrived: Callable[[Call], bool] = lambda _call: False
        self._answers: deque[tuple[Publish, Finished | None]] = deque()
        self._flying: list[tuple[Publish, Finished | None]] = []

    def reply(self, call: Call, data: dict[str, object], finished: Finished | None = None) -> None:
        """Have a call answered; `finished` is called when the server has the answer, or never will take it."""
        self._queue(answer(call, data), finished)

    def _queue(self, publish: Publish, finished: Finished | None = None) -> None:
        if self._answers and len(self._answers) + len(self._flying) >= MOST_WAITING:
            self._answers.popleft()                # long without a connection: the oldest goes
        self._answers.append((publish, finished))
        self.wake()

    def began(self) -> None:
        """What has no PUBACK yet goes out again, in its order."""
        self._answers.extendleft(reversed(self._flying))
        self._flying.clear()

    def ended(self) -> None:
        """Answers wait for the next connection."""

    def heard(self, topic: str, payload: bytes, now: float) -> None:      # noqa: ARG002 - the talk's signature
        """Take a call."""
        found = call_of(topic, payload)
        if isinstance(found, Publish):
            self._queue(found)
        elif found is not None and not self.arrived(found):
            self.reply(found, {"error": BUSY})

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - same
        """Return the next answer: a person waits for it, so telemetry does not come first."""
        if not self._answers:
            return None
        publish, finished = self._answers.popleft()
        if len(publish.payload) > limit_bytes:
            found = call_of(publish.topic, publish.payload)
            short = b'{"error":"%b"}' % TOO_LONG.encode()
            publish = answer(found, {"error": TOO_LONG}) if isinstance(found, Call) else Publish(publish.topic, short)
        flying = (publish, finished)
        self._flying.append(flying)
        return Said(publish, lambda reason: self._answered(flying, reason))

    def rest_s(self, now: float) -> float:      # noqa: ARG002 - same
        """Nothing comes by itself."""
        return float("inf")

    def _answered(self, flying: tuple[Publish, Finished | None], reason: int) -> None:
        judgement = judge(reason)
        if judgement is Judgement.LATER:
            return      # it has not got it, and will deliver the call again: the next connection sends the answer again
        if flying in self._flying:
            self._flying.remove(flying)
        if judgement is not Judgement.TAKEN:
            log.warning("the server refuses the answer to a call on %s: %s", flying[0].topic, reason_text(reason))
        if flying[1] is not None:
            flying[1]()
