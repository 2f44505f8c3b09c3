"""Air time and plans: worked examples by hand, and what must hold for every link."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.airtime import Way, connection, exchange, frame_s, message, way_for
from halow.plan import POLL_BYTES, USABLE_PCT, Load, plan
from halow.regions import region_of, regions
from halow.s1g import MODULATION, rate_kbps, sensitivity_dbm

COMBINATIONS = [(mcs, width) for width in (1, 2, 4, 8) for mcs in MODULATION if rate_kbps(mcs, width)]
ways = st.builds(lambda pair, retry, gi: Way(pair[1], pair[0], retry, gi), st.sampled_from(COMBINATIONS), st.floats(0, 80), st.booleans())


def test_a_frame_is_a_preamble_and_whole_symbols() -> None:
    # 1 MHz MCS 0: 24 subcarriers x 1 bit x 1/2 = 12 bits a symbol; 14 + 8 (46 + 100) = 1,182 bits: 99 symbols
    assert frame_s(100, Way(1, 0)) == pytest.approx(0.000560 + 99 * 40e-6)
    # 2 MHz MCS 7: 52 x 6 x 5/6 = 260 bits a symbol: 5 symbols
    assert frame_s(100, Way(2, 7)) == pytest.approx(0.000240 + 5 * 40e-6)
    assert frame_s(100, Way(2, 7, short_gi=True)) == pytest.approx(0.000240 + 5 * 36e-6)
    with pytest.raises(ValueError, match="MCS 9 does not exist at 2 MHz"):
        frame_s(1, Way(2, 9))


def test_a_poll_costs_what_the_fact_sheet_says() -> None:
    # "a 100-byte exchange at 1 MHz MCS0 is ~5-8 ms" of a transmitter's time
    one = message(100, Way(1, 0), near=True)
    assert 0.004 < one.near_s < 0.008
    air = exchange(*POLL_BYTES, Way(1, 0))
    assert air.channel_s > air.near_s + air.far_s
    assert air.near_s > air.far_s, "the request is longer than the answer, and the last acknowledgement is ours"


@given(way=ways, out=st.integers(1, 4_000), back=st.integers(1, 4_000))
def test_more_bytes_more_repetitions_and_slower_rates_never_cost_less(way: Way, out: int, back: int) -> None:
    air = exchange(out, back, way)
    assert exchange(out + 200, back, way).near_s > air.near_s
    assert exchange(out, back + 200, way).far_s > air.far_s
    worse = Way(way.width_mhz, way.mcs, way.retry_pct + 10, way.short_gi)
    assert exchange(out, back, worse).channel_s > air.channel_s
    assert exchange(out, back, Way(way.width_mhz, way.mcs, way.retry_pct, way.short_gi, hops=2)).channel_s == pytest.approx(2 * air.channel_s)
    assert exchange(out, back, way).channel_s + connection(way).channel_s > 5 * message(60, way, near=True).channel_s


@given(rssi=st.floats(-120, -20), width=st.sampled_from([1, 2, 4, 8]))
def test_the_rate_follows_the_signal(rssi: float, width: int) -> None:
    way, better = way_for(rssi, width), way_for(rssi + 5, width)
    assert (rate_kbps(better.mcs, width) or 0) >= (rate_kbps(way.mcs, width) or 0)
    needed = sensitivity_dbm(way.mcs, width)
    slowest = 10 if width == 1 else 0
    assert needed is not None
    assert way.mcs == slowest or needed + 3 <= rssi


def test_in_europe_the_duty_cycle_is_what_runs_out_and_elsewhere_the_channel() -> None:
    slow = Way(1, 0)
    few = [Load(f"m{n}", slow, 10.0) for n in range(10)]
    europe = plan(few, region_of("DE"))
    assert europe.fits
    assert {share.what for share in europe.shares} == {"the channel", "duty cycle of the gateway", "duty cycle of m0"}
    many = plan(few * 10, region_of("DE"))
    assert (many.fits, many.tightest.what, many.tightest.limit_pct) == (False, "duty cycle of the gateway", 10.0)
    talkative = plan([Load("m", slow, 1.0, poll_bytes=(40, 3_000))], region_of("DE"))
    assert not talkative.fits
    assert talkative.tightest.what == "duty cycle of m"
    assert talkative.tightest.limit_pct == 2.8
    australia = plan(few * 100, region_of("AU"))
    assert australia.tightest.what == "the channel"
    assert not australia.fits
    assert plan([Load("m", slow, 10.0 * australia.stretch * 1.001, meters=1000)], region_of("AU")).fits
    with pytest.raises(ValueError, match="no meters"):
        plan([], None)


@given(way=ways, meters=st.integers(1, 500), interval_s=st.floats(1, 3600), busy_pct=st.floats(0, 55))
def test_what_the_plan_calls_the_most_fits_and_more_does_not(way: Way, meters: int, interval_s: float, busy_pct: float) -> None:
    made = plan([Load("all", way, interval_s, meters)], None, busy_pct=busy_pct)
    most = made.meters_most
    if most and made.tightest.what == "the channel":
        assert plan([Load("all", way, interval_s, most)], None, busy_pct=busy_pct).fits
        assert not plan([Load("all", way, interval_s, most + 1 + most // 1_000)], None, busy_pct=busy_pct).fits
    assert made.shares[0].filled == max(share.filled for share in made.shares)
    assert made.tightest.limit_pct <= max(USABLE_PCT, 100)


def test_channels_outside_of_the_plan_are_told_with_the_clause() -> None:
    colombia = region_of("co")
    assert colombia is not None
    low = colombia.warnings(khz=908_000, width_mhz=2)
    assert "908.0 MHz is outside" in low[0]
    assert "ANE" in low[-1]
    assert len(colombia.warnings(khz=923_000, width_mhz=2)) == 1, "to be confirmed in any case"
    germany = region_of("DE")
    assert germany is not None
    assert germany.warnings(khz=865_500, width_mhz=1) == ()
    assert any("wider" in line for line in germany.warnings(khz=865_500, width_mhz=2))
    assert germany.warnings(khz=None, width_mhz=None) == ()
    assert region_of("XX") is None


RADIO = Path(__file__).parents[2] / "rootfs/usr/share/halow-gateway/radio"


def rows(path: Path) -> list[list[str]]:
    return [row for row in csv.reader(path.read_text().splitlines(), delimiter="\t") if row and not row[0].startswith("#")]


@pytest.mark.parametrize("vendor", ["morse", "newracom"])
def test_every_channel_that_the_image_offers_lies_within_its_countrys_plan(vendor: str) -> None:
    countries = {row[0]: row[1] for row in rows(RADIO / vendor / "countries.tsv") if row[1] != "-"}
    channels = rows(RADIO / vendor / "channels.tsv")
    for country, channel_plan in countries.items():
        region = regions().get("TW" if country == "T2" else country)
        if region is None:
            assert country in {"TW", "T2", "CN"}, f"{country} is offered by {vendor} and stands in no region"
            continue
        for row in channels:
            if row[0] == channel_plan:
                assert region.warnings(khz=int(row[3]), width_mhz=int(row[1])) == (), (country, row)
    limits = {row[0]: row[4] for row in rows(RADIO / vendor / "countries.tsv")}
    for country, note in limits.items():
        region = regions().get(country)
        if region is not None and "10 % (access point) and 2.8 % (station)" in note:
            assert (region.duty_ap_pct, region.duty_sta_pct) == (10.0, 2.8), country
