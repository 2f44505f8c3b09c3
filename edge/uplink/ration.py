"""What goes over a path that costs, and when (pure): gathered, thinned, the backlog in its hours only.

    alarms                    at once, always
    new values, billing       metered path: all `gather_s` together, so that messages are few and full
    polled values, health     outside the backlog's hours: one of each meter in `thin_s`; the others stay in the ring
    older values              in the backlog's hours

Nothing is lost by it: what is not sent now waits in the ring for its hours, or for another path. A ration belongs to
one connection.
"""

from collections.abc import Callable

from edge.config import PathSettings, PathsSettings
from edge.model import Kind, Schema, Stamp, Stored, Stream
from edge.uplink.hours import Hours, LocalMinute, utc_minute
from edge.uplink.source import Lane

LOOK_S = 1.0               # between two looks at the clock
GATHERED_BYTES = 52_352    # 80 % of what ThingsBoard takes
OLD_AFTER_MS = 7_200_000   # billing and profile rows that are older by their own time are backlog
THINNED = frozenset({Kind.READING, Kind.FAILURE, Kind.LINK, Kind.GATEWAY})


class Ration:
    """Asked by the drain; `look` tells it the time."""

    def __init__(self, path: PathSettings | None = None, settings: PathsSettings | None = None,
                 local_minute: LocalMinute = utc_minute) -> None:
        """Without a path everything goes at once."""
        path, settings = path or PathSettings(name="any"), settings or PathsSettings()
        self.gather_s = settings.gather_s if path.metered else 0.0
        self._thin_ms = int(settings.thin_s * 1_000)
        self._always, never = path.backlog == "always", path.backlog == "never"
        self._hours = None if self._always or never else Hours.parse(path.backlog)
        self._local_minute = local_minute
        self._open = self._always
        self._wall_ms: int | None = None
        self._now = self._departs_at = self._look_at = float("-inf")
        self._kept: dict[tuple[str, Schema], tuple[int, int]] = {}      # the slot of time, and the number that has it

    @property
    def bears_all(self) -> bool:
        """Tell whether nothing is held or thinned now."""
        return self._open

    @property
    def least_batch_bytes(self) -> int:
        """How large a publication may be at least, where the server and the link let it."""
        return GATHERED_BYTES if self.gather_s else 0

    def look(self, now: float, stamp: Callable[[], Stamp]) -> bool:
        """Take the time, the hour once in a while; True when the backlog's hours begin.

        While nobody knows the hour, they do not.
        """
        before, self._now = self._open, now
        if not self._always and now >= self._look_at:
            self._look_at, told = now + LOOK_S, stamp()
            self._wall_ms = told.wall_ms if told.synchronised else None
            self._open = (self._hours is not None and self._wall_ms is not None
                          and self._hours.open(self._local_minute(self._wall_ms // 1_000)))
        return self._open and not before

    def shut(self, lane: Lane) -> bool:
        """Tell whether nothing of a lane goes now."""
        if lane is Lane.BACKFILL:
            return not self._open
        return lane is not Lane.ALARM and self._now < self._departs_at

    def emptied(self) -> None:
        """Note that all lanes that are not shut are empty: who comes now waits for the next departure."""
        if self.gather_s and self._now >= self._departs_at:
            self._departs_at = self._now + self.gather_s

    def rest_s(self) -> float:
        """Return how long until the next departure; for ever where nobody waits for one."""
        return self._departs_at - self._now if self._departs_at > self._now else float("inf")

    def holds(self, stored: Stored) -> bool:
        """Tell whether a billing record is backlog, and its hours are not now."""
        if self._open or stored.stream is not Stream.BILLING:
            return False
        return self._wall_ms is None or stored.record.stamp.wall_ms < self._wall_ms - OLD_AFTER_MS

    def thins(self, stored: Stored) -> bool:
        """Tell whether a record is one of those that wait for the backlog's hours. Records come in their order."""
        record = stored.record
        if self._open or not self._thin_ms or stored.stream is not Stream.INSTANT or record.schema.kind not in THINNED:
            return False
        key, slot = (record.device, record.schema), record.stamp.wall_ms // self._thin_ms
        kept = self._kept.get(key)
        if kept is None or slot > kept[0] or stored.seq == kept[1]:
            self._kept[key] = slot, stored.seq
            return False
        return True
