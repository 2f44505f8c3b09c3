"""Which errands each meter has: every kind's maker asked in turn."""

from collections.abc import Iterator, Sequence

from edge.meters.profile import Profile
from edge.model import Meter
from edge.poll.errand import Errand, ErrandsOf


class ErrandDesk:
    """Makes a meter's standing errands when its poller starts."""

    def __init__(self, makers: Sequence[ErrandsOf] = ()) -> None:
        """`makers` in the order in which a new meter is served by them."""
        self._makers = tuple(makers)

    def of(self, meter: Meter, profile: Profile) -> Iterator[Errand]:
        """Yield this meter's errands."""
        for make in self._makers:
            yield from make(meter, profile)
