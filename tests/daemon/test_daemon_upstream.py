"""The access token: where it is, what is no token, and that it is never shown."""

import pytest

from edge.config import GatewaySettings, Settings, UplinkSettings
from edge.daemon.upstream import read_token, token_path
from edge.errors import ConfigError


def test_the_token_lies_in_the_state_directory_unless_the_settings_say_otherwise():
    here = Settings(gateway=GatewaySettings(state_dir="/data/gw"))
    assert str(token_path(here)) == "/data/gw/uplink.token"
    there = Settings(uplink=UplinkSettings(token_file="/run/credentials/token"))
    assert str(token_path(there)) == "/run/credentials/token"


def test_an_editors_newline_is_no_part_of_it(tmp_path):
    path = tmp_path / "token"
    path.write_text("A1B2_c3d4\n")
    assert read_token(path) == "A1B2_c3d4"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"s3cret-\xff\xfe", b"s3cret-\x00", b"s3cret-one\ns3cret-two"])
def test_what_is_no_token_is_refused_without_showing_it(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        read_token(path)
    assert str(path) in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no access token; put the device's token"):
        read_token(tmp_path / "token")
