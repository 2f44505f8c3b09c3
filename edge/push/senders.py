"""Who sends, how much of it is taken, and what a person should know of it (pure).

    address ─► bucket of its own ─► bucket of all registered addresses, or of all others ─► admitted or not

Whoever is not registered shares a quarter of what is taken in all, so that a flood from anywhere leaves the meters
their way in. All tables are bounded; who was not heard of for longest makes room.
"""

from collections import OrderedDict
from dataclasses import dataclass

ADDRESSES, NOTICES = 512, 32
"""Addresses with a bucket of their own, registered and not; notices that are kept for a person."""

LOG_BURST, LOG_EVERY_S = 10, 600.0
"""Lines of the log that a board may write: ten, then one in ten minutes."""

REASON_LIMIT = 160


class Bucket:
    """Admits `burst` at once and `burst` per `period_s` over time."""

    __slots__ = ("_at", "_burst", "_left", "_period_s")

    def __init__(self, burst: float, period_s: float, now: float) -> None:
        """Begin full."""
        self._burst, self._period_s = burst, period_s
        self._left, self._at = burst, now

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        self._left = min(self._burst, self._left + (now - self._at) * self._burst / self._period_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclass(slots=True)
class Notice:
    """What somebody did that a person should see: plain data. `who` is a meter's name, or a system title in hex."""

    address: str
    who: str
    reason: str
    times: int
    last_at: float


class Notices:
    """The last of them, one for each address and who. `now` is monotonic seconds."""

    def __init__(self, now: float) -> None:
        """Begin with nothing."""
        self._kept: OrderedDict[tuple[str, str], Notice] = OrderedDict()
        self._log = Bucket(LOG_BURST, LOG_BURST * LOG_EVERY_S, now)

    def note(self, address: str, who: str, reason: str, now: float) -> bool:
        """Remember it; tell whether it is news and the log may say so."""
        known = self._kept.pop((address, who), None)
        self._kept[address, who] = Notice(address, who, reason[:REASON_LIMIT], known.times + 1 if known else 1, now)
        if len(self._kept) > NOTICES:
            self._kept.popitem(last=False)
        return known is None and self._log.take(now)

    def forget(self, address: str, who: str) -> None:
        """Drop what is no longer so."""
        self._kept.pop((address, who), None)

    def newest(self) -> tuple[Notice, ...]:
        """Return them, the last one first."""
        return tuple(reversed(self._kept.values()))


class Senders:
    """The limits of one listener. `now` is monotonic seconds."""

    def __init__(self, per_address: int, in_all: int, now: float) -> None:
        """Messages per minute, from one address and altogether."""
        self._per_address = per_address
        self._all = {True: Bucket(in_all, 60.0, now), False: Bucket(max(in_all / 4, 1.0), 60.0, now)}
        self._buckets: dict[bool, OrderedDict[str, Bucket]] = {True: OrderedDict(), False: OrderedDict()}
        self._vouched: OrderedDict[str, None] = OrderedDict()

    def admit(self, address: str, now: float, *, registered: bool) -> bool:
        """Tell whether one more message from this address is taken. `registered`: a known meter sends from there."""
        buckets = self._buckets[registered]
        own = buckets.setdefault(address, Bucket(self._per_address, 60.0, now))
        buckets.move_to_end(address)
        if len(buckets) > ADDRESSES:
            buckets.popitem(last=False)
        return own.take(now) and self._all[registered].take(now)

    def vouched(self, address: str) -> bool:
        """Tell whether a registered meter has proven to send from there."""
        return address in self._vouched

    def vouch(self, address: str) -> None:
        """A registered meter sends from there, wherever it is registered to live: it counts among the registered."""
        self._vouched[address] = None
        self._vouched.move_to_end(address)
        if len(self._vouched) > ADDRESSES:
            self._vouched.popitem(last=False)
