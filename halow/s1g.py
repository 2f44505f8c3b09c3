"""IEEE 802.11ah (S1G): rates and sensitivities per width and MCS (pure; derived figures in s1g.toml).

Rates follow from the OFDM numerology (IEEE 802.11-2020, clause 23: ten times slower than VHT): data subcarriers x bits
per subcarrier x coding rate / symbol time. A combination whose data bits per symbol are no whole number does not exist
(MCS 9 at 2 MHz).
"""

import tomllib
from fractions import Fraction
from importlib.resources import files

WIDTHS_MHZ = (1, 2, 4, 8, 16)

DATA_SUBCARRIERS = {1: 24, 2: 52, 4: 108, 8: 234, 16: 468}
SYMBOL_US = 40          # long guard interval; short: 36

# MCS -> (modulation, coded bits per subcarrier, coding rate). MCS 10 sends MCS 0 twice, at 1 MHz only.
MODULATION = {
    0: ("BPSK 1/2", 1, Fraction(1, 2)),
    1: ("QPSK 1/2", 2, Fraction(1, 2)),
    2: ("QPSK 3/4", 2, Fraction(3, 4)),
    3: ("16QAM 1/2", 4, Fraction(1, 2)),
    4: ("16QAM 3/4", 4, Fraction(3, 4)),
    5: ("64QAM 2/3", 6, Fraction(2, 3)),
    6: ("64QAM 3/4", 6, Fraction(3, 4)),
    7: ("64QAM 5/6", 6, Fraction(5, 6)),
    8: ("256QAM 3/4", 8, Fraction(3, 4)),
    9: ("256QAM 5/6", 8, Fraction(5, 6)),
    10: ("BPSK 1/2 x2", 1, Fraction(1, 4)),
}

DATA = tomllib.loads(files("halow").joinpath("s1g.toml").read_text())


def rate_kbps(mcs: int, width_mhz: int, *, short_gi: bool = False, streams: int = 1) -> int | None:
    """Return the PHY rate in kbit/s (rounded down), or None when the combination does not exist."""
    if mcs not in MODULATION or width_mhz not in DATA_SUBCARRIERS or (mcs == 10 and width_mhz != 1):
        return None
    _, bits, coding = MODULATION[mcs]
    bits_per_symbol = DATA_SUBCARRIERS[width_mhz] * bits * coding * streams
    if bits_per_symbol.denominator != 1 and mcs != 10:
        return None
    symbol_us = Fraction(SYMBOL_US) * (Fraction(9, 10) if short_gi else 1)
    return int(bits_per_symbol * 1000 / symbol_us)


def width_offset_db(width_mhz: int) -> int:
    """Return what a width costs against 2 MHz: 3 dB for each doubling. ValueError for a width S1G does not have."""
    if width_mhz not in WIDTHS_MHZ:
        raise ValueError(f"S1G has widths of {WIDTHS_MHZ} MHz, not {width_mhz!r}")
    return 3 * (WIDTHS_MHZ.index(width_mhz) - 1)


def sensitivity_dbm(mcs: int, width_mhz: int) -> int | None:
    """Return the signal in dBm that MCS and width need at least, or None when the combination does not exist."""
    if rate_kbps(mcs, width_mhz) is None:
        return None
    if mcs == 10:
        return int(DATA["sensitivity"]["mcs10_dbm_at_1_mhz"])
    return int(DATA["sensitivity"]["dbm_at_2_mhz"][str(mcs)]) + width_offset_db(width_mhz)
