"""The image's shell program and `link config` say the same: two writers of one file, for the same settings and by the same rules.

Neither can go: the image's runs where there is no Python, and before anything of the gateway; the other one is for boards without the image.
"""

import re
from pathlib import Path

import pytest
from radio_board import AP, WRONG, Board, faults, rows

from halow.daemonconfig import SECURITIES, Made, Wish, WrongConfig, channels, make
from halow.regions import NO_LIMIT_PCT, region_of

COUNTRIES = {row[0]: row for row in rows("morse", "countries.tsv") if row[1] != "-"}
NOTE = re.compile(r"(?:no duty cycle limit|(?P<below>below 900 MHz )?duty cycle at most (?P<ap>[\d.]+) %(?: \(access point\) and (?P<sta>[\d.]+) % \(station\))?)?"
                  r"(?:(?:, )?(?P<gap>\d+) ms between packets)?")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.made(tmp_path)


def the_same(board: Board, role: str, country: str, security: str, channel: int = 0, width_mhz: int = 0) -> Made:
    """Write the file by both, compare them line by line but for comments, and return ours."""
    values = AP | {"ROLE": role, "COUNTRY": country, "SECURITY": security}
    if security == "owe":
        del values["PASSPHRASE"]
    values |= {key: str(value) for key, value in (("CHANNEL", channel), ("WIDTH_MHZ", width_mhz)) if value}
    done = board.render(values)
    assert done.returncode == 0, faults(done)
    code = COUNTRIES[country][2]
    made = make(Wish(role, code, values["SSID"], security, values.get("PASSPHRASE", ""), channel, width_mhz, site="" if code == country else country,
                     interface="halow0", control_dir=f"{board.path}/run/control", control_group="780"))
    assert settings_of(board.daemon_conf.read_text()) == settings_of(made.text)
    return made


def settings_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.strip().startswith("#")]


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("role", ["ap", "sta"])
def test_both_write_the_same_file(board: Board, role: str, security: str) -> None:
    for country in channels():
        the_same(board, role, country, security)


def test_both_take_the_same_channel_of_every_width(board: Board) -> None:
    for country, (default, there) in channels().items():
        for width_mhz in sorted({one.width_mhz for one in there}):
            fitting = [one for one in there if one.width_mhz == width_mhz]
            assert the_same(board, "ap", country, "sae", fitting[-1].number).channel == fitting[-1]
            if len(fitting) == 1 or default in fitting:
                assert the_same(board, "ap", country, "sae", width_mhz=width_mhz).channel in (fitting[0], default)
                continue
            numbers = [str(one.number) for one in fitting]
            done = board.render(AP | {"COUNTRY": country, "WIDTH_MHZ": str(width_mhz)})
            assert (done.returncode, re.findall(r" (\d+)=", faults(done)[0])) == (WRONG, numbers), "a choice is the integrator's"
            with pytest.raises(WrongConfig, match=f"{width_mhz} MHz wide; name one of {', '.join(numbers)}"):
                make(Wish("ap", country, "meters", passphrase=AP["PASSPHRASE"], width_mhz=width_mhz))


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_a_country_goes_by_the_same_name_and_the_same_rules(board: Board, country: str) -> None:
    made = the_same(board, "ap", country, "sae")
    region = region_of(country)
    assert region is not None
    note = NOTE.fullmatch(COUNTRIES[country][4])
    assert note, COUNTRIES[country]
    ap_pct = float(note["ap"] or NO_LIMIT_PCT)
    assert (ap_pct, float(note["sta"] or ap_pct), int(note["gap"] or 0)) == (region.duty_ap_pct, region.duty_sta_pct, region.gap_ms)
    if note["below"]:
        assert "below 900 MHz only" in region.clause
    bounded = ap_pct < NO_LIMIT_PCT or region.gap_ms > 0
    assert len(made.warnings) == bounded, "what limits it is said once, and nothing else is wrong"
    if region.gap_ms:
        assert f"{region.gap_ms} ms between packets" in made.warnings[0]


def test_a_country_that_the_daemon_knows_by_another_name_is_told_it() -> None:
    with pytest.raises(WrongConfig, match=r"country 'DE': .*; write --country EU --site DE$"):
        make(Wish("ap", "DE", "meters", passphrase=AP["PASSPHRASE"]))
