"""From RSSI to a grade: plausibility, moving average, hysteresis (pure)."""

from dataclasses import dataclass

from halow.model import Grade
from halow.s1g import DATA, sensitivity_dbm, width_offset_db

EWMA_SPAN = 5                # samples: alpha = 2 / (span + 1)
TREND_SPAN = 30
LOWEST_DBM = -120            # below the noise floor of every width: a driver's placeholder


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The lowest average RSSI in dBm of each grade, and how far past it the average must go before a grade changes."""

    excellent_dbm: float
    good_dbm: float
    fair_dbm: float
    poor_dbm: float
    hysteresis_db: float
    sensitivity_dbm: float | None = None       # of the slowest rate: what a signal must have to be heard at all

    def __post_init__(self) -> None:
        """Refuse steps that are not in order. ValueError names them."""
        steps = (self.excellent_dbm, self.good_dbm, self.fair_dbm, self.poor_dbm)
        if not (steps[0] > steps[1] > steps[2] > steps[3] and self.hysteresis_db >= 0):
            raise ValueError(f"grade thresholds must fall from excellent to poor, not {steps}, with a hysteresis >= 0")

    @classmethod
    def for_width(cls, width_mhz: int) -> "Thresholds":
        """Return the shipped thresholds for a channel width: 3 dB more for each doubling."""
        steps, offset = DATA["grades"], width_offset_db(width_mhz)
        return cls(
            excellent_dbm=steps["excellent_dbm"] + offset,
            good_dbm=steps["good_dbm"] + offset,
            fair_dbm=steps["fair_dbm"] + offset,
            poor_dbm=steps["poor_dbm"] + offset,
            hysteresis_db=steps["hysteresis_db"],
            sensitivity_dbm=sensitivity_dbm(10 if width_mhz == 1 else 0, width_mhz),
        )

    def floor_dbm(self, grade: Grade) -> float:
        """Return the lowest average of `grade`; LOST has none."""
        floors = {
            Grade.EXCELLENT: self.excellent_dbm, Grade.GOOD: self.good_dbm,
            Grade.FAIR: self.fair_dbm, Grade.POOR: self.poor_dbm,
        }
        return floors.get(grade, float("-inf"))


def plausible(rssi_dbm: int | None) -> bool:
    """Tell whether a driver can mean this: drivers show 0, positive numbers or -128 when they do not know."""
    return rssi_dbm is not None and LOWEST_DBM <= rssi_dbm < 0


def grade_of(average_dbm: float, thresholds: Thresholds) -> Grade:
    """Return the grade of an average without history."""
    for grade in (Grade.EXCELLENT, Grade.GOOD, Grade.FAIR, Grade.POOR):
        if average_dbm >= thresholds.floor_dbm(grade):
            return grade
    return Grade.LOST


def regrade(current: Grade, average_dbm: float, thresholds: Thresholds) -> Grade:
    """Return the next grade: the average must be `hysteresis_db` past a threshold before the grade moves over it.

    So a signal that swings within the hysteresis never changes its grade, wherever it lies. UNKNOWN has no history.
    """
    if current is Grade.UNKNOWN:
        return grade_of(average_dbm, thresholds)
    # The average shifted towards the current grade: what it takes to leave upwards, and downwards.
    upwards = grade_of(average_dbm - thresholds.hysteresis_db, thresholds)
    downwards = grade_of(average_dbm + thresholds.hysteresis_db, thresholds)
    return max(current, upwards) if upwards > current else min(current, downwards)


class Ewma:
    """Exponentially weighted moving average. Until `span` samples are in it is their plain mean."""

    def __init__(self, span: int) -> None:
        """Begin empty; `value` is None until the first sample."""
        self._span = span
        self.count = 0
        self.value: float | None = None

    def add(self, sample: float) -> float:
        """Take one sample in; return the new average."""
        self.count += 1
        weight = max(1.0 / self.count, 2.0 / (self._span + 1.0))
        self.value = sample if self.value is None else self.value + weight * (sample - self.value)
        return self.value
