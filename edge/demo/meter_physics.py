"""What a simulated meter measures: a three-phase supply and its load as closed formulas of time.

The same seed and the same time give the same values, in any order of asking; nothing is integrated step by step, so a
meter costs nothing while nobody asks it. Energy is the exact integral of power and never falls.
"""

import math
import random
from dataclasses import dataclass

# Periods of the load's swings in seconds (day, hour, minutes) and their shares of the mean; their sum stays below 1,
# so that power stays positive and energy monotonic.
LOAD_SWINGS = ((86_400.0, 0.35), (3_600.0, 0.20), (420.0, 0.15), (47.0, 0.05))
VOLTAGE_SWINGS = ((5_400.0, 0.012), (240.0, 0.006), (31.0, 0.003))
FREQUENCY_SWINGS = ((900.0, 0.0004), (37.0, 0.0002))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All measurands at one moment: volts and amperes per phase, hertz, watts and watt-hours imported."""

    voltage_v: tuple[float, float, float]
    current_a: tuple[float, float, float]
    frequency_hz: float
    active_power_w: float
    active_energy_wh: float


@dataclass(frozen=True, slots=True)
class SupplyData:
    """Nominal values of one connection point. `energy_wh` is what the register shows at `started_at` (Unix seconds)."""

    nominal_v: float = 230.0
    nominal_hz: float = 50.0
    mean_power_w: float = 3_500.0
    power_factor: float = 0.96
    energy_wh: float = 123_456_789.0
    started_at: float = 1_767_225_600.0   # 2026-01-01 00:00 UTC


class Supply:
    """The measurands of one meter as functions of time."""

    def __init__(self, seed: int, data: SupplyData | None = None) -> None:
        """Derive phase angles and the imbalance of the load from `seed`."""
        rng = random.Random(seed)
        self.data = data or SupplyData()
        self._load_phase = [rng.uniform(0.0, math.tau) for _ in LOAD_SWINGS]
        self._voltage_phase = [[rng.uniform(0.0, math.tau) for _ in VOLTAGE_SWINGS] for _ in range(3)]
        self._frequency_phase = [rng.uniform(0.0, math.tau) for _ in FREQUENCY_SWINGS]
        weights = [rng.uniform(0.8, 1.2) for _ in range(3)]
        self._share = [weight / sum(weights) for weight in weights]
        self._integral_at_start = self._load_integral(self.data.started_at)

    def power_w(self, now: float) -> float:
        """Active power of all three phases in watts at `now` (Unix seconds)."""
        swing = sum(
            depth * math.sin(math.tau * now / period + phase)
            for (period, depth), phase in zip(LOAD_SWINGS, self._load_phase, strict=True)
        )
        return self.data.mean_power_w * (1.0 + swing)

    def energy_wh(self, now: float) -> float:
        """Imported energy in watt-hours: the integral of `power_w` since `started_at`."""
        return self.data.energy_wh + (self._load_integral(now) - self._integral_at_start) / 3600.0

    def _load_integral(self, now: float) -> float:
        swing = sum(
            -depth * period / math.tau * math.cos(math.tau * now / period + phase)
            for (period, depth), phase in zip(LOAD_SWINGS, self._load_phase, strict=True)
        )
        return self.data.mean_power_w * (now + swing)

    def at(self, now: float) -> Snapshot:
        """Everything the registers show at `now` (Unix seconds)."""
        power = self.power_w(now)
        volts = [self.data.nominal_v * (1.0 + _swing(VOLTAGE_SWINGS, phases, now)) for phases in self._voltage_phase]
        amps = [
            power * share / (voltage * self.data.power_factor)
            for share, voltage in zip(self._share, volts, strict=True)
        ]
        return Snapshot(
            voltage_v=(volts[0], volts[1], volts[2]),
            current_a=(amps[0], amps[1], amps[2]),
            frequency_hz=self.data.nominal_hz * (1.0 + _swing(FREQUENCY_SWINGS, self._frequency_phase, now)),
            active_power_w=power,
            active_energy_wh=self.energy_wh(now),
        )


def _swing(swings: tuple[tuple[float, float], ...], phases: list[float], now: float) -> float:
    return sum(
        depth * math.sin(math.tau * now / period + phase) for (period, depth), phase in zip(swings, phases, strict=True)
    )
