"""What has to be known of a meter's load profile before a row of it can be read: layout, scalers, zone, whose it is.

Read when a meter's poller starts, and once a day: a meter may be given other columns, and scalers are programmable.
"""

import logging
from dataclasses import replace

from edge.dlms.axdr import Integer
from edge.errors import FailReason, Refused
from edge.meters.exact import Exact, exact
from edge.meters.loadrecord import Columns
from edge.meters.loadrows import CLOCK_CLASS, Layout, layout
from edge.meters.localtime import Reckoning, Zone
from edge.meters.profile import Profile
from edge.poll.errand import Ask

log = logging.getLogger(__name__)

CAPTURE_OBJECTS, CAPTURE_PERIOD, SORT_METHOD = 3, 4, 5      # attributes of a profile generic object
TIME_ZONE = 3
"""The attribute of a clock that says its normal time's deviation (IEC 62056-6-2, 4.5.1)."""

SCALERS_AT_ONCE = 8
WITH_LIST, SINGLE = 2, 5
"""Requests of one step: the layout and the zone, or each attribute by itself."""


class LoadFacts:
    """One meter's. `problem` says why there can be no backfill, "" where there can."""

    def __init__(self, meter: str, profile: Profile, reckoning: Reckoning) -> None:
        """`profile` has a load profile; `reckoning` is what it and the settings say of the meter's times."""
        assert profile.load_profile is not None
        self.layout: Layout | None = None
        self.columns: Columns | None = None
        self.reckoning = reckoning
        self.requests = SINGLE if profile.quirks.no_list else WITH_LIST      # of one step, at the most
        self.problem = ""
        self._meter = meter
        self._profile = profile
        self._spec = profile.load_profile
        self._identity = ""                  # of the meter that answered; "" where none is known
        self._seen: tuple[int, float] | None = None      # entries in use, and when (monotonic); None since `learn`

    @property
    def basis(self) -> str:
        """Whose intervals these are, and how their times are read: under another one nothing of them holds."""
        zone = self.reckoning.zone
        told = "no zone" if zone is None else f"{zone.offset_s:+d} s{' eu' if zone.daylight_saving else ''}"
        return f"{self._identity}, {self.reckoning.deviation} deviation, {told}"

    @property
    def wanted(self) -> bool:
        """Tell whether scalers are still to be read."""
        return self.columns is not None and bool(self.columns.wanted)

    async def learn(self, ask: Ask) -> None:
        """Read the layout. Raises Refused where the meter says that it cannot tell now."""
        self.requests = WITH_LIST if ask.association.offers_list else SINGLE
        self._seen = None
        identity = () if self._profile.identity is None else (self._profile.identity.target,)
        numbers = (CAPTURE_OBJECTS, CAPTURE_PERIOD, SORT_METHOD)
        captured, period, sort_method, *told = await ask.get(
            (*(self._spec.attribute(number) for number in numbers), *identity))
        if captured.error is not None and captured.error.temporary:
            raise Refused(f"capture_objects: {captured.error.text}", reason=FailReason.ACCESS_REFUSED, temporary=True)
        if told and told[0].error is None:
            text = exact(told[0].data)
            self._identity = str(text.raw) if isinstance(text, Exact) else ""
        if captured.error is not None:
            self._useless(f"is not there: {captured.error.text}", known=self._spec.confirmed)
            return
        found = layout(self._spec, captured.data, period.data, sort_method.data)
        if isinstance(found, str):
            self._useless(found, known=True)
            return
        await self._learn_zone(ask, found)
        self.layout, self.columns, self.problem = found, Columns(found, self._profile.name), ""

    def outdated(self, entries: int, now: float) -> bool:
        """Tell whether other columns may be captured now: `entries` are in use, fewer than at the last look, or no more
        than were captured since.

        Whoever changes what a profile captures empties its buffer by that (IEC 62056-6-2, 4.3.6). Rows that are read by
        the columns from before would bring one register's values under another's name.
        """
        before, self._seen = self._seen, (entries, now)
        if before is None or self.layout is None:
            return False
        captured = (now - before[1]) // self.layout.period_s + 1
        return entries < before[0] or 0 < entries <= captured

    async def learn_scalers(self, ask: Ask) -> bool:
        """Read some of the scalers that are not known yet; False where the meter could tell none of them now."""
        assert self.columns is not None
        wanted = self.columns.wanted
        self.columns.learn(await ask.get(wanted[:self.requests if self.requests > WITH_LIST else SCALERS_AT_ONCE]))
        return self.columns.wanted != wanted

    async def _learn_zone(self, ask: Ask, found: Layout) -> None:
        """Take the zone from the meter's clock object where nobody told another: it may leave deviations open."""
        if self.reckoning.zone is not None or found.clock.class_id != CLOCK_CLASS:
            return
        told, = await ask.get((found.clock_attribute._replace(attribute=TIME_ZONE),))
        if isinstance(told.data, Integer):
            west_s = 60 * int(told.data) * (-1 if self.reckoning.deviation == "reversed" else 1)
            self.reckoning = replace(self.reckoning, zone=Zone(-west_s))

    def _useless(self, why: str, *, known: bool) -> None:
        """Note that the meter has no such profile, or none that can be used."""
        self.layout = self.columns = None
        text = f"the load profile {self._spec.obis} {why}"
        if self.problem != text:
            log.log(logging.WARNING if known else logging.INFO, "meter %s: %s", self._meter, text)
        self.problem = text
