"""What was heard before (pure): invocation counters that may not come again, messages that came twice.

A ciphered push bears the meter's invocation counter, which must grow with each message under a key (IEC 62056-5-3,
5.3.5): what does not is a replay. The highest counter of each key outlives a restart (docs/decisions/0015-pushes.md).
A message that comes again, since UDP doubles and meters retry, is counted once.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

REMEMBERED = 16
"""Messages of one meter that are known again."""

DOUBLED_S = 10.0
"""How soon the network doubles a datagram, or a meter repeats one that nobody confirmed."""


class Heard:
    """The highest counter of each key (`Entry.counter_scope`)."""

    def __init__(self, kept: Mapping[str, int]) -> None:
        """Go on from what is on flash."""
        self._highest = dict(kept)

    def highest(self, scope: str) -> int:
        """Return the highest counter heard, -1 for none."""
        return self._highest.get(scope, -1)

    def note(self, scope: str, counter: int) -> None:
        """Nothing up to `counter` is taken any more."""
        self._highest[scope] = max(counter, self.highest(scope))


class Repeats:
    """The last messages of each meter, as digests with the time of their last coming (seconds, monotonic)."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._heard: dict[str, OrderedDict[bytes, float]] = {}

    def just_heard(self, meter: str, message: bytes, now: float) -> bool:
        """Tell whether this came within the last DOUBLED_S."""
        mine = self._heard.get(meter)
        return mine is not None and now - mine.get(_digest(message), float("-inf")) <= DOUBLED_S

    def heard(self, meter: str, message: bytes) -> bool:
        """Tell whether this is one of the last REMEMBERED messages, whenever it came."""
        return _digest(message) in self._heard.get(meter, {})

    def note(self, meter: str, message: bytes, now: float) -> None:
        """Remember a message."""
        mine = self._heard.setdefault(meter, OrderedDict())
        mine[_digest(message)] = now
        mine.move_to_end(_digest(message))
        if len(mine) > REMEMBERED:
            mine.popitem(last=False)

    def forget_all_but(self, meters: Mapping[str, object]) -> None:
        """Drop what meters have sent that are no longer registered."""
        self._heard = {meter: mine for meter, mine in self._heard.items() if meter in meters}


def _digest(message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=16).digest()
