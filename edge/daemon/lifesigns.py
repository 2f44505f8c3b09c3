"""Which meters are heard: by their polls, or by what they send themselves.

ThingsBoard shows a device as active while anything comes for it, and a failed poll is something. So the uplink asks
here, disconnects who is silent, and tells what is observed of such a meter as the gateway's own
(docs/decisions/0036-active.md).
"""

from collections.abc import Callable
from typing import Protocol

from edge.clock import Clock

POLLS = 3                  # in a row without a value


class Polling(Protocol):
    """What is asked of the fleet."""

    def last_heard(self, name: str) -> tuple[float | None, float] | None:
        """Return the age of a meter's newest reading and its interval, seconds; None: it is not polled."""


class LifeSigns:
    """One per gateway. All calls belong to one loop."""

    def __init__(self, polling: Polling, pushed: Callable[[str], tuple[int, float | None]],
                 known: Callable[[], bool], clock: Clock, after_s: Callable[[], float]) -> None:
        """`pushed` gives the age of a meter's last push; `known` tells whether the registry was read yet.

        A meter is silent when nothing came of it for `after_s`, and for three of its polls.
        """
        self._polling, self._pushed, self._known, self._clock, self._after_s = polling, pushed, known, clock, after_s
        self._seen_at: dict[str, float] = {}      # meters that were not heard since their poller began

    def silent(self, meter: str) -> bool:
        """Tell whether nothing is heard of a meter; True as well for one that is paused, refused or gone."""
        if not self._known():
            return False
        polled, (_, push_age_s) = self._polling.last_heard(meter), self._pushed(meter)
        poll_age_s, interval_s = polled or (None, 0.0)
        ages_s = [age_s for age_s in (poll_age_s, push_age_s) if age_s is not None]
        if polled is None:
            self._seen_at.pop(meter, None)
            if not ages_s:
                return True
        if ages_s:
            self._seen_at.pop(meter, None)      # a poller that is begun anew has its time from then on
            age_s = min(ages_s)
        else:
            age_s = self._clock.monotonic() - self._seen_at.setdefault(meter, self._clock.monotonic())
        return age_s >= max(self._after_s(), POLLS * interval_s)
