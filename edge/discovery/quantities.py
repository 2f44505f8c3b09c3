"""Telemetry keys for electricity registers (pure).

Source: IEC 62056-6-1:2017, electricity-related value groups: A = 1; C is the quantity (1 to 20 the sum of all phases,
21 to 40, 41 to 60 and 61 to 80 the same for L1, L2, L3, 91 the neutral); D = 7 is the instantaneous value, D = 8 the
time integral since the start of measurement; E = 0 the total, 1 to 63 the rates. Names of the nine values are those of
the shipped profiles; the rest is named alike, so that dashboards find one key for one quantity.
"""

from edge.dlms.cosem import Obis

ELECTRICITY, INSTANTANEOUS, TIME_INTEGRAL, TOTAL, CURRENT_PERIOD = 1, 7, 8, 0, 255
MOST_RATES = 63

_SUMS = {1: "active_{}", 2: "active_{}_export", 3: "reactive_{}", 4: "reactive_{}_export", 9: "apparent_{}",
         10: "apparent_{}_export"}
_INSTANT = {
    13: "power_factor", 14: "frequency",
    **{31 + 20 * phase: f"current_l{phase + 1}" for phase in range(3)},
    **{32 + 20 * phase: f"voltage_l{phase + 1}" for phase in range(3)},
    **{33 + 20 * phase: f"power_factor_l{phase + 1}" for phase in range(3)},
    91: "current_n",
    **{c: name.format("power") for c, name in _SUMS.items()},
    **{c + 20 * phase: f"{name.format('power')}_l{phase}"
       for phase in (1, 2, 3) for c, name in _SUMS.items()},
}
_INTEGRAL = {
    **{c: name.format("energy") for c, name in _SUMS.items()},
    **{c + 20 * phase: f"{name.format('energy')}_l{phase}"
       for phase in (1, 2, 3) for c, name in _SUMS.items()},
}


def key_of(obis: Obis) -> str:
    """Return the telemetry key of a standard quantity, "" for any other object. The channel (B) takes no part."""
    if obis.a != ELECTRICITY or obis.f != CURRENT_PERIOD:
        return ""
    if obis.d == INSTANTANEOUS and obis.e == TOTAL:
        return _INSTANT.get(obis.c, "")
    if obis.d == TIME_INTEGRAL and obis.e <= MOST_RATES:
        name = _INTEGRAL.get(obis.c, "")
        return f"{name}_t{obis.e}" if name and obis.e else name
    return ""


def usual(obis: Obis) -> bool:
    """Tell whether a poll asks for it unless told otherwise: standard quantities, no rates."""
    return bool(key_of(obis)) and obis.e == TOTAL


def spelled(obis: Obis) -> str:
    """Return a key for an object that has no name of its own: its code, letter by letter."""
    parts = [str(group) for group in obis[:5]] + ([] if obis.f == CURRENT_PERIOD else [str(obis.f)])
    return "obis_" + "_".join(parts)
