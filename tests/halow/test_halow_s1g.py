"""S1G rates against the rows of IEEE 802.11ah's rate table, sensitivities and noise against their own arithmetic."""

import pytest

from halow.s1g import (
    rate_kbps,
    sensitivity_dbm,
    width_offset_db,
)

TABLE_KBPS = {      # MCS -> 1, 2, 4, 8 MHz, one stream, long guard interval
    10: (150, None, None, None),
    0: (300, 650, 1_350, 2_925),
    1: (600, 1_300, 2_700, 5_850),
    2: (900, 1_950, 4_050, 8_775),
    3: (1_200, 2_600, 5_400, 11_700),
    4: (1_800, 3_900, 8_100, 17_550),
    5: (2_400, 5_200, 10_800, 23_400),
    6: (2_700, 5_850, 12_150, 26_325),
    7: (3_000, 6_500, 13_500, 29_250),
    8: (3_600, 7_800, 16_200, 35_100),
    9: (4_000, None, 18_000, 39_000),
}


@pytest.mark.parametrize("mcs", TABLE_KBPS)
def test_rates(mcs):
    assert tuple(rate_kbps(mcs, width) for width in (1, 2, 4, 8)) == TABLE_KBPS[mcs]


def test_short_guard_interval_and_streams():
    assert rate_kbps(7, 8, short_gi=True) == 32_500
    assert rate_kbps(9, 8, short_gi=True) == 43_333
    assert rate_kbps(7, 2, streams=2) == 13_000


@pytest.mark.parametrize(("mcs", "width"), [(11, 2), (-1, 2), (3, 3), (3, 0), (10, 2)])
def test_what_does_not_exist_has_no_rate(mcs, width):
    assert rate_kbps(mcs, width) is None
    assert sensitivity_dbm(mcs, width) is None


def test_sensitivity_costs_three_db_a_doubling():
    assert [sensitivity_dbm(0, width) for width in (1, 2, 4, 8)] == [-95, -92, -89, -86]
    assert [sensitivity_dbm(7, width) for width in (1, 2, 4, 8)] == [-77, -74, -71, -68]
    assert sensitivity_dbm(10, 1) == -98


def test_there_is_no_other_width():
    with pytest.raises(ValueError, match="not 3"):
        width_offset_db(3)
