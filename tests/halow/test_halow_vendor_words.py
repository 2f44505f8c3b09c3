"""What the vendors' tools say, against bytes as their sources print them: no board was at hand to record any.

Sources: MorseMicro/morse_cli 1.12.4 channel.c; MorseMicro/morse_driver's rate control debugfs, both layouts;
newracom/nrc7292_sw_pkg cli_app (cli_util.c prints keys and values with tabs) and nrc-netlink.c.
"""

import nlbytes as nl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halow.extras import BadWords, Extras, Signal, with_extras
from halow.model import LinkSample, RadioFacts, RadioSample, Rate
from halow.radios import external_words, morse_words, newracom_words

A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
CHANNEL = (b'{\n    "channel_frequency":918000,\n    "channel_op_bw":4,\n    "channel_primary_bw":2,\n    "channel_index":1,\n'
           b'    "bw_mhz":4\n}\n')
OLD_RATES = (b"1MHz,LGI,5,C,MCS0/1,0,2976,0.30,0.20,98,0,3,3,40,44," + A.encode() + b"\n"
             b"2MHz,SGI,12,AP,MCS7/1,61,168,7.22,5.10,95,1,20,21,400,421," + A.encode() + b"\n"
             b"4MHz,LGI,3,AB,MCS2/1,70,240,4.5,3.0,80,1,9,10,90,110," + B.encode() + b"\n")
HEADING = (b"bandwidth,guard,evidence,rate_selection,mcs,ss,index,airtime,max_throughput,average_throughput,probability,last_retry,"
           b"last_success,last_attempts,total_success,total_attempts,mpdu_success,mpdu_failures,mac_address\n")
NEW_RATES = (HEADING + b"4MHz,SGI,12,APL,MCS9,1,61,168,20.0,19.5,98,1,29,30,400,421,28,2," + A.encode() + b"\n"
             b"2MHz,LGI,0,,MCS9,1,62,168,0.0,0.0,0,0,0,0,0,0,0,0," + A.encode() + b"\n")
SIGNAL = (f"MAC addr : {A}\trssi\t : -65\t\tsnr\t : 21\nMAC addr : {B.upper()}\trssi\t : -91\t\tsnr\t : 5\n\nOK\n").encode()


def test_the_channel_that_morse_firmware_is_on() -> None:
    assert morse_words.channel(CHANNEL) == Extras("morse_cli", 918_000, 4, 2, 1)


@pytest.mark.parametrize(("output", "said"), [
    (b"Command not found", "not JSON"), (b"[]", "not a JSON object"), (b"{}", "channel_op_bw = None"),
    (CHANNEL.replace(b"918000", b"0"), "channel_frequency = 0: must be 700000 to 1000000"),
    (CHANNEL.replace(b'op_bw":4', b'op_bw":3'), "S1G has no such width"), (b"[" * 100_000, "not JSON")])
def test_a_channel_that_is_none_is_refused_with_its_reason(output: bytes, said: str) -> None:
    with pytest.raises(BadWords, match=said):
        morse_words.channel(output)


def test_the_rate_table_of_both_driver_generations() -> None:
    assert morse_words.rates(OLD_RATES) == {A: Rate(7222, 7, 2, short_gi=True), B: Rate(4050, 2, 4, short_gi=False)}
    assert morse_words.rates(NEW_RATES) == {A: Rate(20_000, 9, 4, short_gi=True)}
    assert morse_words.rates(b"") == morse_words.rates(HEADING) == {}
    for broken in (OLD_RATES.replace(b"MCS7/1", b"fast"), NEW_RATES[:-40], b"a,b\n", b"bandwidth,mcs\n"):
        with pytest.raises(BadWords, match="mmrc_table_csv"):
            morse_words.rates(broken)


def test_signals_of_newracom_stations() -> None:
    assert newracom_words.signal(SIGNAL) == Extras("cli_app", signals={A: Signal(-65, 21), B: Signal(-91, 5)})
    assert newracom_words.signal(b"N/A\nOK\n").signals == {}
    for output, said in ((b"FAIL\n", "ends with 'FAIL'"), (b"", "ends with ''"), (b"MAC addr : what\nOK\n", "not known")):
        with pytest.raises(BadWords, match=said):
            newracom_words.signal(output)


def test_the_drivers_notice_that_its_firmware_hangs() -> None:
    notice = nl.message(15, nl.attr(27, b"recovery\0"), kind=0x21)
    assert newracom_words.asks_for_recovery(notice)
    assert not newracom_words.asks_for_recovery(nl.message(7, nl.attr(15, b"a line of log\0"), kind=0x21))
    assert not newracom_words.asks_for_recovery(notice[:17])
    with pytest.raises(ValueError, match="attribute of"):
        newracom_words.asks_for_recovery(notice[:-8])


def test_figures_of_a_tool_name_their_source_and_the_others_stay() -> None:
    sample = RadioSample(RadioFacts("wlan0", "morse_sdio", "m", kernel_mhz=5610, channel="kernel 5610 MHz"), (
        LinkSample(A, -66, tx_rate=Rate(1)), LinkSample(B)))
    aided = with_extras(sample, Extras("morse_cli", 918_000, 4, 2, 1, {A: Rate(7222, 7, 2)}, {B: Signal(-91, 5), "x": Signal(0, 0)}))
    assert (aided.facts.channel, aided.facts.primary_mhz) == ("918.0 MHz, 4 MHz wide (kernel 5610)", 2)
    assert aided.facts.sources == (("channel", "morse_cli"), ("tx rate", "morse_cli"), ("SNR", "morse_cli"))
    assert aided.peers == (LinkSample(A, -66, tx_rate=Rate(7222, 7, 2)), LinkSample(B, -91, snr_db=5))
    assert with_extras(sample, Extras("cli_app", signals={"x": Signal(-1, 1)})) == sample


def test_a_native_channel_that_the_firmware_confirms_keeps_its_name() -> None:
    native = RadioFacts("wlan0", "morse_sdio", "m", s1g_khz=918_000, s1g_channel=32, width_mhz=4, channel="S1G 32, 918.0 MHz")
    confirmed = with_extras(RadioSample(native, ()), morse_words.channel(CHANNEL)).facts
    assert (confirmed.channel, confirmed.s1g_channel, confirmed.sources) == ("S1G 32, 918.0 MHz", 32, (("channel", "morse_cli"),))


PLAIN = b'{"peers": [{"mac": "02:00:00:00:0A:01", "signal_dbm": -71, "inactive_ms": 200, "tx_packets": 9}], "age_s": 2, "noise_dbm": -101, "country": "au"}'
IWINFO = (b'{"results": [{"mac": "02:00:00:00:0A:01", "signal": -71, "signal_avg": -70, "noise": -101, "inactive": 200, "connected_time": 31,'
          b'"thr": 0, "authorized": true, "rx": {"rate": 6000, "packets": 51}, "tx": {"failed": 0, "rate": 135000, "packets": 9, "mhz": 40}}]}')


def test_a_bridge_box_in_both_forms() -> None:
    plain, age_s = external_words.sample(PLAIN, 2)
    assert plain.peers == (LinkSample(A, -71, inactive_ms=200, tx_packets=9),)
    assert (age_s, plain.facts.noise_dbm, plain.facts.country, plain.facts.width_mhz) == (2.0, -101, "AU", 2)
    openwrt, _ = external_words.sample(IWINFO, 4)
    assert openwrt.peers == (LinkSample(A, -71, inactive_ms=200, connected_s=31, rx_packets=51, tx_packets=9),), "no disguised rate"
    assert (openwrt.facts.noise_dbm, openwrt.facts.width_mhz) == (-101, 4)


@pytest.mark.parametrize(("text", "said"), [
    (b"", "not JSON"), (b"[]", "must be a JSON object"), (b'{"peers": {}}', "must be a list"), (b'{"peers": [], "results": []}', "must be"),
    (b'{"peers": [{"mac": "x"}]}', "mac = 'x'"), (b'{"peers": [{"mac": "02:00:00:00:0a:01", "rssi": -1}]}', "peer's 'rssi' is not known"),
    (b'{"peers": [{"mac": "02:00:00:00:0a:01", "signal_dbm": "-71"}]}', "signal_dbm = '-71': must be a whole number"),
    (b'{"peers": [{"mac": "02:00:00:00:0a:01"}, {"mac": "02:00:00:00:0A:01"}]}', "twice"), (b'{"peers": [], "age_s": true}', "age_s = True"),
    (b'{"peers": [], "width_mhz": 3}', "width_mhz = 3"), (b'{"peers": [], "mode": "mesh"}', "mode = 'mesh'"), (b'{"peers": [], "x": 1}', "'x' is not known"),
    (b'{"peers": [' + b"{}," * 600 + b"{}]}", "at most 512"), (b" " * 300_000, "more than 262144 bytes")])
def test_a_box_that_tells_nonsense_is_refused_with_its_reason(text: bytes, said: str) -> None:
    with pytest.raises(BadWords, match=said):
        external_words.sample(text, 2)


@given(st.binary(max_size=300) | st.sampled_from([CHANNEL, OLD_RATES, NEW_RATES, SIGNAL, PLAIN, IWINFO]).flatmap(
    lambda text: st.tuples(st.integers(0, len(text)), st.binary(max_size=8)).map(lambda cut: text[:cut[0]] + cut[1] + text[cut[0] + 1:])))
def test_whatever_a_tool_says_it_is_read_or_refused(output: bytes) -> None:
    for read in (morse_words.channel, morse_words.rates, newracom_words.signal, lambda text: external_words.sample(text, 2)):
        said = ""
        try:
            read(output)
        except BadWords as error:
            said = str(error)
        assert "\n" not in said
