"""The duties that every meter has by its profile, as standing errands."""

from collections.abc import Callable, Iterator

from edge.config import Settings
from edge.errands.billing import Billing
from edge.errands.clock_keeper import ClockKeeper
from edge.errands.event_log import EventLog
from edge.errands.means import Means, Subject
from edge.meters.dutyspec import reckoning
from edge.meters.profile import Profile
from edge.model import Meter
from edge.poll.errand import Errand, ErrandsOf


def standing(in_force: Callable[[], Settings], means: Means) -> ErrandsOf:
    """Return the maker for `ErrandDesk`: what is read from a meter, or kept right on it, besides its polls."""

    def make(meter: Meter, profile: Profile) -> Iterator[Errand]:
        settings = in_force()
        subject, duties = Subject(meter.name, profile.name), settings.duties
        if profile.clock is not None:
            yield ClockKeeper(subject, profile.clock, settings.clock_sync, duties.clock_interval_s, means)
        if profile.billing is not None:
            yield Billing(subject, profile, profile.billing, duties.billing_interval_s, means)
        times = reckoning(profile.clock, settings.clock.meters_zone)
        for number in range(len(profile.event_logs)):
            yield EventLog(subject, profile, number, times, duties.events_interval_s, means)

    return make
