"""The rest of a meter that refused to associate, over restarts: after a few wrong passwords meters lock themselves.

    refused ─► note ─► registry ─► the next start: the same settings? then what is left of the rest, else none

Without it a gateway that is restarted each minute would knock each minute. A pause and a resume end no rest either;
another password, key or address does, at once.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from edge.clock import Clock
from edge.dlms.settings import AssociationSettings
from edge.errors import EdgeError
from edge.model import Stamp
from edge.poll.recovery import REFUSED_REST_MAX_S, Recovery

log = logging.getLogger(__name__)

DUTY = "refused"
"""Under which the registry keeps a meter's note."""

OnRefusal = Callable[[str, str], Awaitable[None]]
"""Keeps the note of a meter on flash, (name, note); "" forgets it. Raises EdgeError."""


async def nobody_keeps(_name: str, _note: str) -> None:
    """Stand in where nothing is kept."""


class Note(msgspec.Struct, frozen=True):
    """What is kept. `rest_s` is the whole rest, which ends when `boot_id`'s boottime is `until_ms`.

    `mark` tells whether it was these settings that were refused. It is a digest, and lies beside the password itself.
    """

    mark: str
    rest_s: float
    boot_id: str
    until_ms: int

    def left_s(self, now: Stamp) -> float:
        """Return how long it is to rest yet.

        How long the board was off nobody knows, and the wall clock may be wrong at a start: then half of it is left.
        So a board that loses power each minute never knocks, and one that does each day knocks once a day.
        """
        if now.boot_id != self.boot_id:
            return self.rest_s / 2
        return min(max((self.until_ms - now.boottime_ms) / 1000, 0.0), self.rest_s)


class Lockout:
    """One meter's. Used by its poller's task."""

    def __init__(self, name: str, settings: AssociationSettings, note: str, keep: OnRefusal, clock: Clock) -> None:
        """`note` is what the registry has, "" = nothing."""
        self._name = name
        self._mark = _mark(settings)
        self._note = note
        self._keep = keep
        self._clock = clock

    def resume(self, recovery: Recovery) -> None:
        """Go on with a rest that was not over. A note of other settings, or one that cannot be read, begins nothing."""
        if not self._note:
            return
        try:
            note = msgspec.json.decode(self._note, type=Note)
        except (msgspec.DecodeError, UnicodeError):
            log.warning("meter %s: the note that it refused us is unreadable, and left out", self._name)
            return
        if note.mark != self._mark or note.rest_s <= 0:
            return
        left_s = min(note.left_s(self._clock.stamp()), REFUSED_REST_MAX_S)
        log.info("meter %s: it refused these settings before; left alone for another %.0f s", self._name, left_s)
        recovery.resume(min(note.rest_s, REFUSED_REST_MAX_S), left_s, self._clock.monotonic())

    async def refused(self, rest_s: float) -> None:
        """Keep that the meter is to be left alone from now on for so long."""
        stamp = self._clock.stamp()
        note = Note(self._mark, rest_s, stamp.boot_id, stamp.boottime_ms + round(rest_s * 1000))
        await self._put(msgspec.json.encode(note).decode())

    async def lifted(self) -> None:
        """Note that it associates: nothing is to be kept."""
        if self._note:      # as nearly never
            await self._put("")

    async def _put(self, note: str) -> None:
        self._note = note
        try:
            await self._keep(self._name, note)
        except EdgeError as error:
            log.warning("meter %s: that it refuses us is not kept, and the next start tries again: %s", self._name,
                        error)


def _mark(settings: AssociationSettings) -> str:
    security = settings.security
    keys = (b"", b"") if security is None else (security.encryption_key, security.authentication_key)
    told = (settings.authentication, settings.client_sap, settings.server_logical, settings.server_physical,
            settings.password.hex(), *(key.hex() for key in keys))
    return hashlib.blake2b(repr(told).encode(), digest_size=8, person=b"refused").hexdigest()
