"""Against a real Mosquitto with TLS: every kind of credentials, right and wrong; one clear line for each refusal."""

import asyncio
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from authority import DAY, Authority
from mosquitto_broker import Mosquitto
from uplink_bench import settings, until

from edge.clock import SystemClock
from edge.config import GatewaySettings, Settings
from edge.credentials import ensure_key, read_login, signing_request
from edge.errors import ConfigError, Rejected, Retryable, UplinkError
from edge.model import Publish, Stamp
from edge.uplink.dial import Dialer
from edge.uplink.mqtt import Session
from edge.uplink.probe import probe
from edge.uplink.tls import handshake_failed, tls_context
from edge.uplink.way import way_of

OURS, THEIRS = Authority("ours"), Authority("theirs")


@pytest.fixture
def state_dir(tmp_path):
    ensure_key(tmp_path)
    (tmp_path / "ca.pem").write_bytes(OURS.pem)
    return tmp_path


@asynccontextmanager
async def broker(place, *, server=OURS, validity=None, **options):
    """Run Mosquitto with TLS and a server certificate."""
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(binary).exists():
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    server.server(place, **(validity or {}))
    (place / "clients.pem").write_bytes(OURS.pem)
    made = Mosquitto(binary, place, user="root", cafile=place / "clients.pem", certfile=place / "server.pem", keyfile=place / "server.key", **options)
    await made.start()
    try:
        yield made
    finally:
        await made.kill()


def uplink_settings(port, state_dir, **changes):
    return settings(port, **({"host": "localhost", "tls": True, "ca_file": str(state_dir / "ca.pem"), "connect_timeout_s": 10.0} | changes))


class WrongClock:
    """Says what it is told to."""

    def __init__(self, wall_ms, *, synchronised):
        self._stamp = Stamp(1, wall_ms, "boot", synchronised)

    def stamp(self):
        return self._stamp


def session(port, state_dir, clock=None, **changes):
    made = uplink_settings(port, state_dir, **changes)
    login = read_login(Settings(gateway=GatewaySettings(state_dir=str(state_dir)), uplink=made))
    return Session(made, client_id="gw", login=login, activity=asyncio.Event(), tls=tls_context(made, login), clock=clock)


async def acknowledged(one):
    await one.open()
    one.publish(Publish("t", b"{}"))
    await until(one.take_acks)
    await one.close()


async def refusal(one, kind=Rejected):
    with pytest.raises(kind) as refused:
        await one.open()
    text = str(refused.value)
    assert "\n" not in text
    return text.removeprefix(f"localhost:{one._settings.port} ")


async def certificate_refused(one, text):
    """TLS 1.3: the server judges when the client is through and writes; a reset may overtake the alert that tells why."""
    with pytest.raises(UplinkError) as refused:
        await one.open()
    if text not in str(refused.value):
        assert isinstance(refused.value, Retryable)
        assert "closed the connection before its CONNACK; it may want another certificate than" in str(refused.value)


def test_what_an_alert_means():
    for reason, kind, text in (("SSLV3_ALERT_CERTIFICATE_EXPIRED", Rejected, "s:1 says that the gateway's own certificate has expired"),
                               ("TLSV13_ALERT_CERTIFICATE_REQUIRED", Rejected, "s:1 wants a client certificate"),
                               ("TLSV1_ALERT_UNKNOWN_CA", Rejected, "s:1 does not know who signed"),
                               ("WRONG_VERSION_NUMBER", Retryable, "s:1: TLS fails: wrong version number")):
        error = ssl.SSLError(1, reason)
        error.reason = reason
        made = handshake_failed(error, "s:1")
        assert (type(made), str(made).startswith(text)) == (kind, True)


async def test_the_servers_certificate_is_checked_before_anything_is_said(state_dir):
    (state_dir / "uplink.token").write_text("s3cret")
    cases = [
        ({}, None, ""),
        ({"server": THEIRS}, Rejected, "shows a certificate that uplink.ca_file does not vouch for"),
        ({"validity": {"host": "broker.example"}}, Rejected, "shows a certificate for another host"),
        ({"validity": {"since": -2 * DAY, "until": -timedelta(hours=1)}}, Rejected, "shows a certificate that has expired by this gateway's clock, which says"),
        ({"validity": {"since": timedelta(hours=1)}}, Retryable, "is not valid yet by this gateway's clock, which says"),
    ]
    for options, kind, text in cases:
        async with broker(state_dir, **options) as made:
            if kind is None:
                await acknowledged(session(made.port, state_dir))
            else:
                assert text in await refusal(session(made.port, state_dir, SystemClock(trust_wall=True)), kind)


YEAR_2036_MS = 2_082_758_400_000


@pytest.mark.parametrize(("validity", "wall_ms", "synchronised", "kind", "text"), [
    ({"until": -timedelta(hours=1), "since": -2 * DAY}, YEAR_2036_MS, False, Retryable,
     ("shows a certificate that has expired by this gateway's clock, which says 2036-01-01 (UTC) and is not synchronised: "
     "see that it gets the time; if that is the day, the server needs another certificate")),
    ({"until": -timedelta(hours=1), "since": -2 * DAY}, YEAR_2036_MS, True, Rejected,
     ("shows a certificate that has expired by this gateway's clock, which says 2036-01-01 (UTC) and counts as synchronised; "
     "if that is the day, the server needs a new one")),
    ({"since": timedelta(hours=1)}, 1_000, False, Retryable,
     ("shows a certificate that is not valid yet by this gateway's clock, which says 1970-01-01 (UTC) and is not synchronised: "
     "see that it gets the time; if that is the day, the server needs another certificate"))])
async def test_a_certificate_out_of_its_time_may_be_the_clocks_fault(state_dir, validity, wall_ms, synchronised, kind, text):
    """OpenSSL judges by the machine's clock: so what is wrong here is what the certificate says, not what the clock does."""
    (state_dir / "uplink.token").write_text("s3cret")
    clock = WrongClock(wall_ms, synchronised=synchronised)
    async with broker(state_dir, validity=validity) as made:
        assert await refusal(session(made.port, state_dir, clock), kind) == text
        other = uplink_settings(made.port, state_dir)
        assert await probe(other, way_of(other), Dialer(), clock) == f"localhost:{made.port} {text}"


async def test_mqtt_basic(state_dir):
    passwords = state_dir / "passwords"
    tool = shutil.which("mosquitto_passwd")
    subprocess.run([tool, "-b", "-c", str(passwords), "gw-user", "a pass word"], check=True, capture_output=True)
    basic = {"credentials": "mqtt_basic", "username": "gw-user"}
    async with broker(state_dir, allow_anonymous="false", password_file=passwords) as made:
        (state_dir / "uplink.password").write_text("a pass word\n")
        await acknowledged(session(made.port, state_dir, **basic))
        (state_dir / "uplink.password").write_text("s3cret")
        text = await refusal(session(made.port, state_dir, **basic))
        assert text == ("refused the login: 0x87 not authorised; it was uplink.username, uplink.client_id and the password in "
                        f"{state_dir / 'uplink.password'}")
        (state_dir / "uplink.token").write_text("gw-user")
        assert "it was the access token in" in await refusal(session(made.port, state_dir))


async def test_x509_with_a_certificate_from_the_signing_request(state_dir):
    async with broker(state_dir, require_certificate="true", use_identity_as_username="true", allow_anonymous="false") as made:
        request = signing_request(state_dir, "gw-7").encode()
        certificate = state_dir / "device.pem"
        certificate.write_bytes(OURS.signed(request))
        await acknowledged(session(made.port, state_dir, credentials="x509"))
        certificate.write_bytes(OURS.signed(request, since=-2 * DAY, until=-timedelta(hours=1)))
        await certificate_refused(session(made.port, state_dir, credentials="x509"), "says that the gateway's own certificate has expired")
        certificate.write_bytes(THEIRS.signed(request))
        await certificate_refused(session(made.port, state_dir, credentials="x509"), "does not know who signed the gateway's own")
        (state_dir / "uplink.token").write_text("s3cret")
        await certificate_refused(session(made.port, state_dir), "wants a client certificate")


def test_a_certificate_of_another_key_and_what_is_none(state_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    ensure_key(other)
    certificate, made = state_dir / "device.pem", uplink_settings(1, state_dir, credentials="x509")
    whole = Settings(gateway=GatewaySettings(state_dir=str(state_dir)), uplink=made)
    with pytest.raises(ConfigError, match=r"device\.pem: no certificate; put"):
        read_login(whole)
    certificate.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="holds no certificate in PEM; have one made from `halow-gateway csr`"):
        read_login(whole)
    certificate.write_bytes(OURS.signed(signing_request(other, "gw").encode()))
    with pytest.raises(ConfigError, match=r"device\.pem: is not for the key in .*device\.key"):
        tls_context(made, read_login(whole))
    certificate.write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    with pytest.raises(ConfigError, match=r"device\.pem: no certificate can be read"):
        tls_context(made, read_login(whole))
    (state_dir / "device.key").unlink()
    with pytest.raises(ConfigError, match="no key; `halow-gateway init` makes it"):
        signing_request(state_dir, "gw")


@pytest.mark.parametrize("content", [b"", b"\n", b"s3cret-\xff", b"s3cret\nsecond", b"s3cret" * 500])
def test_what_is_no_password_is_refused_without_showing_it(state_dir, content):
    (state_dir / "uplink.password").write_bytes(content)
    made = Settings(gateway=GatewaySettings(state_dir=str(state_dir)),
                    uplink=uplink_settings(1, state_dir, credentials="mqtt_basic", username="u"))
    with pytest.raises(ConfigError) as refused:
        read_login(made)
    assert "s3cret" not in str(refused.value)


def test_no_secret_in_what_is_shown(state_dir):
    (state_dir / "uplink.password").write_text("s3cret")
    (state_dir / "uplink.token").write_text("s3cret")
    for kind in ("mqtt_basic", "access_token"):
        login = read_login(Settings(gateway=GatewaySettings(state_dir=str(state_dir)),
                                    uplink=uplink_settings(1, state_dir, credentials=kind, username="s3cret-name")))
        assert "s3cret" not in repr(login)
