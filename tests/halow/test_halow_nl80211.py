"""Decoding of nl80211 messages: bytes written without pyroute2, read with it and our mapping."""

import nlbytes as nl
import pyroute2
import pytest

from halow import nl80211
from halow.model import Change, LinkEvent, LinkSample, Mode
from halow.radios import GENERIC, MORSE, NEWRACOM
from halow.radios.vendor import ShownRate

PEER = "02:00:00:00:0a:01"


def test_pyroute2_is_the_release_these_decoders_were_checked_with():
    assert pyroute2.__version__ == "0.9.7"


def test_every_field_of_a_station():
    found = nl80211.station(nl.station(
        PEER, signal=-67, signal_avg=-68, beacon_avg=-70, inactive=1200, connected=3600, rx_packets=5, tx_packets=6,
        rx_bytes64=1 << 33, tx_bytes=700, retries=8, failed=2, expected=4100,
        tx_rate=nl.vht_rate(7, 40, 1350), rx_rate=nl.s1g_rate(3, 4, 54),
    ))
    assert found.sample == LinkSample(
        PEER, signal_dbm=-67, signal_avg_dbm=-68, beacon_signal_avg_dbm=-70, inactive_ms=1200, connected_s=3600,
        rx_packets=5, tx_packets=6, rx_bytes=1 << 33, tx_bytes=700, tx_retries=8, tx_failed=2, expected_kbps=4100,
    )
    assert found.tx == ShownRate("vht", 135_000, 7, 40)
    assert found.rx == ShownRate("s1g", 5_400, 3, 4)


def test_what_the_driver_leaves_out_is_not_known_and_never_zero():
    assert nl80211.station(nl.station(PEER)).sample == LinkSample(PEER)


def test_a_message_without_a_station_is_none():
    assert nl80211.station(nl.message(nl.NEW_STATION, nl.attr(3, nl.u32(7)))) is None


def test_attributes_of_a_newer_kernel_do_no_harm():
    extra = nl.attr(900, b"\1\2\3\4")
    whole = nl.message(nl.NEW_STATION, nl.attr(3, nl.u32(7)), nl.attr(6, nl.mac_bytes(PEER)), extra,
                       nl.nest(21, nl.attr(7, nl.u8(-71)), nl.attr(200, nl.u32(1))))
    assert nl80211.station(whole).sample.signal_dbm == -71


@pytest.mark.parametrize(("noise", "in_use", "expected"), [
    (-103, True, -103), (-103, False, None), (None, True, None), (0, True, None),
])
def test_noise_is_signed_and_of_the_channel_in_use(noise, in_use, expected):
    found = nl80211.survey(nl.survey(noise=noise, in_use=in_use))
    assert (None if found is None else found.noise_dbm) == expected
    assert (found is None) is not in_use


def test_the_surveys_clock_and_what_of_it_was_busy():
    found = nl80211.survey(nl.survey(noise=-99, times=(60_000, 9_000, 1_500)))
    assert (found.time_ms, found.busy_ms, found.tx_ms) == (60_000, 9_000, 1_500)


def test_interface_in_disguise_and_native():
    shim = nl80211.interface(nl.interface())
    assert (shim.name, shim.ifindex, shim.mode, shim.ssid) == ("wlan0", 7, Mode.AP, "grid")
    assert (shim.kernel_mhz, shim.center_mhz, shim.width_mhz, shim.native_s1g) == (5610, 5610, 80, False)
    native = nl80211.interface(nl.interface(iftype=2, freq=903, center=903, width=9, offset_khz=500))
    assert (native.mode, native.width_mhz, native.offset_khz, native.native_s1g) == (Mode.STATION, 2, 500, True)


def test_a_p2p_device_is_no_interface():
    assert nl80211.interface(nl.message(nl.NEW_INTERFACE, nl.attr(5, nl.u32(10)), nl.attr(6, bytes(6)))) is None


def test_events():
    assert nl80211.event(nl.station(PEER), 7) == LinkEvent(Change.PEER_ADDED, PEER)
    assert nl80211.event(nl.station(PEER, command=nl.DEL_STATION), 7) == LinkEvent(Change.PEER_REMOVED, PEER)
    assert nl80211.event(nl.station(PEER), 8) is None, "another interface"
    assert nl80211.event(nl.interface(command=nl.DEL_INTERFACE), 7) == LinkEvent(Change.INTERFACE_GONE)
    assert nl80211.event(nl.interface(ifindex=12), 7) == LinkEvent(Change.INTERFACE_ADDED), "it comes back with a new one"
    assert nl80211.event(nl.message(64), 7) is None, "CQM is not acted on: it fires at every crossing"


@pytest.mark.parametrize(("command", "sender", "code", "reason"), [
    (39, "02:00:00:00:00:01", 3, "reason 3: the station left"), (40, "02:00:00:00:00:09", 4, "reason 4: inactivity, we ended it"),
    (39, "02:00:00:00:00:01", 99, "reason 99: see IEEE 802.11, 9.4.1.7"),
])
def test_the_frame_that_ends_an_association_says_who_and_why(command, sender, code, reason):
    access_point, ours = "02:00:00:00:00:01", "02:00:00:00:00:09"
    receiver = ours if sender == access_point else access_point
    frame = b"\xc0\0\0\0" + nl.mac_bytes(receiver) + nl.mac_bytes(sender) + nl.mac_bytes(access_point) + b"\0\0" + nl.u16(code)
    message = nl.message(command, nl.attr(3, nl.u32(7)), nl.attr(51, frame))
    assert nl80211.event(message, 7) == LinkEvent(Change.PEER_REMOVED, access_point, reason)
    assert nl80211.event(message, 8) is None
    assert nl80211.event(nl.message(command, nl.attr(3, nl.u32(7)), nl.attr(51, frame[:25])), 7) is None, "cut short"


def test_a_request_is_the_bytes_of_the_kernels_headers():
    assert nl80211.ask(nl80211.GET_INTERFACE) == bytes([5, 0, 0, 0])
    assert nl80211.ask(nl80211.GET_STATION, 7) == bytes([17, 0, 0, 0]) + nl.attr(3, nl.u32(7))


def test_morse_rates_are_undone_by_the_table_not_by_dividing():
    station = nl80211.station(nl.station(PEER, retries=3, tx_rate=nl.vht_rate(7, 40, 1350), rx_rate=nl.vht_rate(0, 20, 65)))
    sample = MORSE.correct(station)
    assert (sample.tx_rate.kbps, sample.tx_rate.mcs, sample.tx_rate.width_mhz) == (6_500, 7, 2)
    assert (sample.rx_rate.kbps, sample.rx_rate.width_mhz) == (300, 1)
    assert sample.tx_retries == 3


def test_newracom_zeros_become_unknown():
    station = nl80211.station(nl.station(PEER, signal=-80, tx_packets=9, retries=0, failed=0, expected=1,
                                         tx_rate=nl.vht_rate(7, 20, 650)))
    sample = NEWRACOM.correct(station)
    assert (sample.signal_dbm, sample.tx_packets) == (-80, 9)
    assert (sample.tx_retries, sample.tx_failed, sample.expected_kbps, sample.tx_rate) == (None, None, None, None)


def test_native_s1g_rates_are_what_they_say_on_every_driver():
    station = nl80211.station(nl.station(PEER, tx_rate=nl.s1g_rate(7, 8, 292)))
    for vendor in (MORSE, NEWRACOM, GENERIC):
        assert vendor.correct(station).tx_rate.kbps == 29_250, vendor.name


@pytest.mark.parametrize(("vendor", "country", "shown", "expected"), [
    (MORSE, "US", {"freq": 5610, "center": 5610, "width": 3}, "S1G 32, 918.0 MHz, 4 MHz wide (kernel 5610)"),
    (MORSE, "AU", {"freq": 5180, "center": 5190, "width": 2}, "kernel 5180 MHz, 2 MHz wide"),      # below 915 MHz
    (MORSE, "AU", {"freq": 5580, "center": 5590, "width": 2}, "S1G 30, 917.0 MHz, 2 MHz wide (kernel 5580)"),
    (MORSE, "EU", {"freq": 5180, "center": 5180, "width": 1}, "S1G 5, 865.5 MHz, 1 MHz wide (kernel 5180)"),
    (MORSE, "", {"freq": 5610, "center": 5610, "width": 3}, "kernel 5610 MHz, 4 MHz wide"),
    (NEWRACOM, "US", {"freq": 2412, "center": 2412, "width": 1}, "kernel 2412 MHz"),
    (GENERIC, "", {"freq": 5180, "center": 5190, "width": 2}, "kernel 5180 MHz"),
    (GENERIC, "", {"freq": 903, "center": 903, "width": 9, "offset_khz": 500}, "903.5 MHz, 2 MHz wide"),
])
def test_channels_are_shown_true_or_as_the_kernels(vendor, country, shown, expected):
    facts = vendor.facts(nl80211.interface(nl.interface(**shown)), country, -101)
    assert facts.channel == expected
    assert facts.noise_dbm == -101


def test_morse_channel_map_of_every_width():
    us = MORSE.regions["US"].channels
    assert [us[1][shown] for shown in (132, 136, 36, 64, 100, 128, 149, 177)] == [1, 3, 5, 19, 21, 35, 37, 51]
    assert [us[2][shown] for shown in (134, 38, 62, 126, 175)] == [2, 6, 18, 34, 50]
    assert us[8] == {50: 12, 114: 28, 163: 44}
    assert min(MORSE.regions["AU"].channels[1].values()) == 27
    assert MORSE.regions["AU"].channels[8] == {163: 44}
