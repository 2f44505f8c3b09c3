"""The physical side of one simulated meter: supply, clock, power, relay, tariffs, events, counters (pure).

No COSEM here. Everything of the past follows from a few facts (seed, spans of the clock, events), so that a meter with
years of profile is no larger than a new one. `now` is Unix time in seconds; `shown` is what the meter's clock says.
"""

import math
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.demo import meter_objects as objects
from edge.demo.meter_physics import Supply, SupplyData
from edge.demo.meter_timeline import Timeline
from edge.demo.meter_zone import DAY_S, EU_BEGIN, EU_END, TimeStyle, Zone

EVENT_POWER_DOWN, EVENT_POWER_UP, EVENT_CLOCK_OLD, EVENT_CLOCK_NEW = 1, 2, 4, 5        # codes as European meters have
EVENT_LOG_CLEARED, EVENT_DISCONNECTED, EVENT_RECONNECTED = 255, 62, 63
EVENT_IMAGE_READY, EVENT_IMAGE_ACTIVE = 17, 18

NIGHT_FROM_S, NIGHT_TO_S = 22 * 3600, 6 * 3600         # tariff 2 in UTC, so that no daylight saving cuts it


class LoggedEvent(NamedTuple):
    """One line of the event log."""

    shown: float
    code: int


@dataclass(slots=True)
class Fittings:
    """What a meter is built with; each switch is a habit of some make. Set before the model is made."""

    zone: Zone = field(default_factory=Zone)
    style: TimeStyle = field(default_factory=TimeStyle)
    clock_status: int = 0                     # bits in every time's status: 1 invalid, 2 doubtful, 4 other base, 8 bad
    clock_ppm: float = 0.0                    # the clock gains so many millionths
    load_period_s: int = 900
    load_entries: int = 2_880
    load_status: bool = False                 # a second column: the status octet 0.0.96.10.1.255
    daily_entries: int = 62
    billing_entries: int = 13
    event_entries: int = 100
    null_time: bool = False                   # a time that follows from the row before comes as null-data
    null_same: bool = False                   # so does any value equal to the row before
    column_selection: bool = True             # False: selected columns are ignored, as the recorded meter does
    counter_shows_last: bool = False          # the counter object shows the last one used, not the next, as recorded
    image_block_bytes: int = 128
    image_verify_s: float = 0.0               # verification takes so long; meanwhile: temporary failure
    image_loses: set[int] = field(default_factory=set)     # blocks said to be well received, once, and not kept


def central_europe() -> Zone:
    """UTC+1 with daylight saving."""
    return Zone(deviation_min=-60, dst_enabled=True, dst_begin=EU_BEGIN, dst_end=EU_END)


class Device:
    """One meter's state."""

    def __init__(self, serial: str, seed: int, registers: objects.RegisterSet, supply: SupplyData | None,
                 clock_offset_s: float, fittings: Fittings) -> None:
        """Powered since `supply.started_at`."""
        self.serial = serial
        self.registers = registers
        self.supply = Supply(seed, supply)
        self.fittings = fittings
        self.zone, self.style = fittings.zone, fittings.style
        self.started_at = self.supply.data.started_at
        self.timeline = Timeline(self.started_at, clock_offset_s, 1.0 + fittings.clock_ppm * 1e-6)
        self.connected = True                                  # the relay
        self.events: deque[LoggedEvent] = deque(maxlen=fittings.event_entries)
        self.client_counters: dict[int, int] = {}              # client SAP -> last invocation counter accepted
        self.own_counters: dict[int, int] = {}                 # client SAP -> next invocation counter to use
        self.failures: dict[int, tuple[int, float]] = {}       # client SAP -> wrong passwords in a row, last when
        self.challenges = 0                                    # made so far
        self.pushes = 0                                        # push() called and not yet carried out
        self._by_day_wh = array("d", [self.supply.data.energy_wh * 2 / 3])      # tariff 1 after each finished day
        self._peak: tuple[int, int, int, int, int] | None = None

    # -- clock and power -------------------------------------------------------------------------------------------

    def shown(self, now: float) -> float:
        """What the clock shows, in UTC seconds."""
        return self.timeline.clock(now)

    def set_clock(self, now: float, shown: float) -> None:
        """Let the clock show `shown` (UTC seconds) from now on."""
        self.log(EVENT_CLOCK_OLD, now)
        self.timeline.step(now, shown)
        self.log(EVENT_CLOCK_NEW, now)

    def power(self, now: float, *, on: bool) -> None:
        """Power goes, or comes back; nothing is captured in between."""
        if self.timeline.powered != on:
            self.timeline.power(now, on=on)
            self.log(EVENT_POWER_UP if on else EVENT_POWER_DOWN, now)

    def stamp(self, now: float) -> bytes:
        """The encoded date-time of now."""
        return self.time(self.shown(now))

    def time(self, shown: float) -> bytes:
        """The encoded date-time of any moment of the clock."""
        return self.style.encode(shown, self.zone, self.fittings.clock_status)

    def log(self, code: int, now: float) -> None:
        """Write a line into the event log."""
        self.events.append(LoggedEvent(math.floor(self.shown(now)), code))

    def switch(self, now: float, *, on: bool) -> None:
        """Open or close the relay."""
        if self.connected != on:
            self.log(EVENT_RECONNECTED if on else EVENT_DISCONNECTED, now)
        self.connected = on

    # -- energy ----------------------------------------------------------------------------------------------------

    def tariff(self, now: float) -> int:
        """The tariff in force: 1 by day, 2 by night."""
        return 1 if NIGHT_TO_S <= now % DAY_S < NIGHT_FROM_S else 2

    def tariff_energy_wh(self, tariff: int, now: float) -> int:
        """What the register of tariff 1 or 2 shows; together they show the total, to a unit."""
        first, today = math.floor(self.started_at / DAY_S), math.floor(now / DAY_S)
        while len(self._by_day_wh) <= today - first:
            finished = first + len(self._by_day_wh) - 1
            self._by_day_wh.append(self._by_day_wh[-1] + self._daytime_wh(finished, (finished + 1) * DAY_S))
        day_wh = self._by_day_wh[max(today - first, 0)] + self._daytime_wh(today, now)
        return int(day_wh if tariff == 1 else self.supply.energy_wh(now) - day_wh)

    def _daytime_wh(self, day: int, now: float) -> float:
        """Energy of tariff 1 on one UTC day, up to `now`."""
        begin = max(day * DAY_S + NIGHT_TO_S, self.started_at)
        end = min(day * DAY_S + NIGHT_FROM_S, now)
        return self.supply.energy_wh(end) - self.supply.energy_wh(begin) if begin < end else 0.0

    def demand_w(self, period_s: int, number: int) -> int:
        """Mean power over period `number` of the clock's UTC grid, taken as true time."""
        begin = number * period_s
        return int((self.supply.energy_wh(begin + period_s) - self.supply.energy_wh(begin)) * 3600 / period_s)

    def peak_demand_w(self, period_s: int, since: float, now: float) -> tuple[int, int]:
        """The largest finished demand since `since`: (watts, number of its period). Goes on where it last looked."""
        first, last = math.ceil(since / period_s), math.floor(now / period_s) - 1
        key = (period_s, first)
        if self._peak is None or self._peak[:2] != key or self._peak[2] > last + 1:
            self._peak = (*key, first, 0, first)
        _, _, following, peak, at = self._peak
        for number in range(following, last + 1):
            demand = self.demand_w(period_s, number)
            if demand > peak:
                peak, at = demand, number
        self._peak = (*key, max(last + 1, following), peak, at)
        return peak, at
