"""The daemons' files: the image's table of channels as oracle, what is refused, what is warned of, and where the secret may stand."""

import csv
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halow.__main__ import main
from halow.daemonconfig import Wish, WrongConfig, channels, make
from halow.regions import region_of

ROOTFS = Path(__file__).parents[2] / "rootfs/usr/share/halow-gateway/radio"
SECRET = "correct horse"
AP = Wish("ap", "US", "meters", passphrase=SECRET)


def test_the_channels_are_those_that_the_image_has_had_checked() -> None:
    rows = csv.reader((line for line in (ROOTFS / "morse/channels.tsv").read_text().splitlines() if not line.startswith("#")), delimiter="\t")
    table = {(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows}
    ours = {(country, one.width_mhz, one.number, one.khz, one.op_class) for country, (_, there) in channels().items() for one in there}
    assert ours == table
    assert len(table) == 136


@pytest.mark.parametrize("country", sorted(channels()))
def test_no_channel_of_a_plan_is_outside_of_what_its_country_allows(country: str) -> None:
    region = region_of(country)
    assert region is not None
    for one in channels()[country][1]:
        assert region.warnings(khz=one.khz, width_mhz=one.width_mhz) == (), one


def test_an_access_point_in_full() -> None:
    made = make(replace(AP, channel=44, control_group="halow-gateway"))
    assert (made.program, made.warnings) == ("hostapd_s1g", ())
    head, *lines = made.text.splitlines()
    assert head == "# hostapd_s1g: US, no duty cycle limit, up to 8 MHz wide, 36 dBm EIRP; 47 CFR 15.247, 902-928 MHz"
    assert lines == [
        "# S1G 44, 924 MHz, 8 MHz wide", "interface=wlan0", "driver=nl80211", "ctrl_interface=/run/hostapd_s1g",
        "ctrl_interface_group=halow-gateway", "country_code=US", "ssid=meters", "hw_mode=a", "ieee80211ah=1", "op_class=71", "channel=44",
        "s1g_prim_chwidth=1", "s1g_prim_1mhz_chan_index=3", "s1g_capab=[SHORT-GI-ALL]", "beacon_int=100", "dtim_period=1", "wmm_enabled=1",
        "ap_isolate=1", "auth_algs=1", "wpa=2", "wpa_key_mgmt=SAE", "rsn_pairwise=CCMP", "ieee80211w=2", "sae_pwe=1", "sae_require_mfp=1",
        "wpa_passphrase=correct horse"]


def test_a_station_in_full_and_one_without_a_secret() -> None:
    made = make(replace(AP, role="sta", country="EU"))
    assert "    ssid=6d6574657273" in made.text
    assert f"    sae_password={SECRET.encode().hex()}" in made.text
    assert made.warnings == ((
        "EU: duty cycle 10 % (access point), 2.8 % (station), up to 1 MHz wide, 16.1 dBm EIRP; ERC Recommendation 70-03, annex 3 "
        "(863-868 MHz, at most 1 MHz wide)"),)
    assert "sae" not in make(replace(AP, security="owe", passphrase="")).text


def test_colombia_below_915_mhz_is_warned_of_with_its_clause() -> None:
    low = make(replace(AP, channel=10, site="co")).warnings
    assert low[0] == ("907.0 MHz is outside of what CO allows (915 to 928 MHz; ANE Res. 711/2016, 105/2020 and later: to be confirmed "
                      "for the site)")
    high = make(replace(AP, country="AU", site="CO")).warnings
    assert not any("outside" in line for line in high)
    assert any("have band and power confirmed" in line for line in high)
    assert high[-1].startswith("the radio runs by the rules of AU and stands in CO")
    assert any("910.0 MHz is outside of what BR allows" in line for line in make(replace(AP, channel=16, site="BR")).warnings)


@pytest.mark.parametrize(("change", "said"), [
    ({"country": "CO"}, "country 'CO': hostapd_s1g 1.12.4 has no channels for it, only for AU, EU, IN, JP, KR, NZ, SG, US"),
    ({"channel": 9, "country": "AU"}, "channel 9, any MHz wide: AU has widths of 1, 2, 4, 8 MHz, and channels 27, 29,"),
    ({"width_mhz": 2, "country": "EU"}, "channel any, 2 MHz wide: EU has widths of 1 MHz$"), ({"ssid": "a\nwpa=0"}, "ssid: must be"),
    ({"ssid": "ü" * 17}, "ssid: must be"), ({"passphrase": "short"}, "passphrase: 5 characters"), ({"passphrase": "a" * 9 + "\n"}, "passphrase: 10"),
    ({"security": "owe"}, "passphrase: is for sae only"), ({"security": "psk"}, "security 'psk'"), ({"role": "sta", "channel": 9}, "follows"),
    ({"interface": "wlan0\n"}, "interface"), ({"control_dir": "run"}, "absolute path"), ({"site": "XX"}, "site 'XX'"), ({"role": "mesh"}, "role 'mesh'")])
def test_what_does_not_do_is_refused_with_what_does(change: dict[str, object], said: str) -> None:
    with pytest.raises(WrongConfig, match=said):
        make(replace(AP, **change))


@settings(max_examples=50)
@given(st.text(st.sampled_from('ab #=\n\r\t\x00\x7f"\\}ü\u2028'), min_size=6, max_size=12), st.text("ab \n\r\u2028}=", max_size=8),
       st.text("ab \n=/", max_size=4))
def test_no_setting_ever_becomes_a_line_of_its_own(passphrase: str, ssid: str, group: str) -> None:
    for role in ("ap", "sta"):
        try:
            made = make(Wish(role, "US", ssid, passphrase=passphrase, control_group=group))
        except WrongConfig:
            continue
        usual = make(replace(AP, role=role, control_group="x" if group else ""))
        assert [line.partition("=")[0] for line in made.text.splitlines()] == [line.partition("=")[0] for line in usual.text.splitlines()]


def test_the_secret_stands_in_the_file_and_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, file = tmp_path / "key", tmp_path / "hostapd.conf"
    key.write_text(SECRET + "\n")
    words = ["config", "ap", "--country", "us", "--ssid", "meters", "--passphrase-file", str(key)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "wpa_passphrase=<not shown>" in shown
    assert SECRET not in shown + repr(make(AP)) + repr(AP)
    assert main([*words, "--output", str(file)]) == 0
    assert SECRET not in capsys.readouterr().out
    assert f"wpa_passphrase={SECRET}\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    key.write_text("too short"[:7])
    assert main([*words, "--output", str(file)]) == 1
    assert "passphrase: 7 characters" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err
