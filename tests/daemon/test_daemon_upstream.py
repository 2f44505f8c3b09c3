"""The access token: where it is, what is no token, and that it is never shown."""

import asyncio
import random
import subprocess

import pytest

from edge.clock import SystemClock
from edge.config import GatewaySettings, RingSettings, Settings, UplinkSettings
from edge.credentials import read_login, token_path
from edge.daemon import upstream
from edge.daemon.upstream import Upstream
from edge.errors import ConfigError
from edge.ring.store import Ring


def test_the_token_lies_in_the_state_directory_unless_the_settings_say_otherwise():
    here = Settings(gateway=GatewaySettings(state_dir="/data/gw"))
    assert str(token_path(here)) == "/data/gw/uplink.token"
    there = Settings(uplink=UplinkSettings(token_file="/run/credentials/token"))
    assert str(token_path(there)) == "/run/credentials/token"


def test_an_editors_newline_is_no_part_of_it(tmp_path):
    path = tmp_path / "token"
    path.write_text("A1B2_c3d4\n")
    assert read_login(Settings(), at=path).username == "A1B2_c3d4"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"s3cret-\xff\xfe", b"s3cret-\x00", b"s3cret-one\ns3cret-two"])
def test_what_is_no_token_is_refused_without_showing_it(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        read_login(Settings(), at=path)
    assert str(path) in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no access token; put the one that ThingsBoard knows"):
        read_login(Settings(), at=tmp_path / "token")


async def test_a_ca_file_that_cannot_be_used_is_waited_for_like_the_token(tmp_path, monkeypatch, caplog):
    """A CA that went missing must not end the gateway: the meters are polled, the ring keeps, and it says why."""
    monkeypatch.setattr(upstream, "LOOK_S", 0.02)
    (tmp_path / "uplink.token").write_text("A1B2")
    ca_file = tmp_path / "ca.pem"
    settings = Settings(gateway=GatewaySettings(state_dir=str(tmp_path)),
                        uplink=UplinkSettings(host="127.0.0.1", port=1, tls=True, ca_file=str(ca_file)))
    clock = SystemClock(trust_wall=True)
    async with Ring.open(tmp_path / "ring", RingSettings(size_mib=1, slot_mib=0.015625), clock) as ring:
        desk = Upstream(settings, ring, clock, random.Random(1), lambda _device: "", print)
        pulses = asyncio.Queue()
        task = asyncio.create_task(desk.run(pulses.put_nowait))
        async with asyncio.timeout(5):
            for _ in range(3):
                await pulses.get()
            assert isinstance(desk.state(), str)
            assert "ca.pem" in desk.state()
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem",
                            "-subj", "/CN=ca", "-days", "2"], cwd=tmp_path, check=True, capture_output=True)
            while isinstance(desk.state(), str):
                await pulses.get()
        task.cancel()
        await asyncio.wait({task})
    assert [record.levelname for record in caplog.records if "ca.pem" in record.message].count("WARNING") == 1
