"""Credentials that come by themselves, and new ones on trial: every kind, each refusal, a cut at every message."""

import asyncio
import errno
import random
import ssl
import stat

import pytest
from moat.lib.mqtt import ReasonCode

from edge import candidate
from edge.clock import SystemClock
from edge.config import GatewaySettings, RingSettings, Settings, UplinkSettings
from edge.credentials import credential_path, ensure_key, read_login, self_signed
from edge.daemon import upstream
from edge.daemon.admission import Admission
from edge.daemon.upstream import Upstream
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.demo.thingsboard_provision import Device, Provisioning
from edge.errors import ConfigError, Rejected, Retryable
from edge.ring.store import Ring

NAME, KEY, SECRET = "gw-7", "k3y", "s3cret-of-the-fleet"


class Site:
    """A state directory, and what the gateway would do with it at each start."""

    def __init__(self, path):
        self.state_dir = path
        self.uplink = {"host": "127.0.0.1", "provision_key": KEY, "connect_timeout_s": 5.0, "ack_timeout_s": 2.0, "backoff_first_s": 0.001,
                       "backoff_max_s": 0.001, "refused_backoff_s": 0.001}
        self.events = []
        (path / "provision.secret").write_text(f"{SECRET}\n")

    def settings(self, **changes):
        return Settings(gateway=GatewaySettings(name=NAME, state_dir=str(self.state_dir)), uplink=UplinkSettings(**self.uplink | changes))

    def start(self, **changes):
        def tell(record):
            self.events.append(record.values)
        return Admission(self.settings(**changes), SystemClock(trust_wall=True), random.Random(1), tell)

    @property
    def secret(self):
        return self.state_dir / "provision.secret"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
async def server(site):
    async with ThingsBoard(Rules(token="not-used", provisioning=Provisioning(KEY, SECRET))) as made:
        site.uplink["port"] = made.port
        yield made


async def test_an_access_token_is_drawn_granted_kept_and_used(site, server):
    login = await site.start().login()
    provisioning = server.contract.rules.provisioning
    assert provisioning.devices[NAME].value == login.username
    assert provisioning.devices[NAME].is_gateway
    path = site.state_dir / "uplink.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert login == read_login(site.settings()) == await site.start().login()
    assert len(provisioning.requests) == 1, "never asked again"
    assert not site.secret.exists(), "it would open the door for any board"
    assert not candidate.beside(site.settings()).exists()
    assert site.events == [("uplink_provisioned", "gw-7: access token")]


async def test_mqtt_basic(site, server):
    site.uplink |= {"credentials": "mqtt_basic", "username": "gateways"}
    login = await site.start().login()
    assert server.contract.rules.provisioning.devices[NAME].value == {"clientId": NAME, "userName": "gateways", "password": login.password}
    assert server.contract.login("gateways", login.password, NAME) is ReasonCode.SUCCESS


async def test_x509_with_a_certificate_that_the_gateway_made_for_its_own_key(site, tmp_path_factory):
    there = tmp_path_factory.mktemp("server")
    ensure_key(there)
    (there / "server.pem").write_bytes(self_signed(there, "localhost"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(there / "server.pem", there / "device.key")
    tls.verify_mode = ssl.CERT_OPTIONAL
    # ThingsBoard looks a certificate up instead of checking who signed it; Python's server has to trust each one
    profile = Provisioning(KEY, SECRET, on_certificate=lambda pem: tls.load_verify_locations(cadata=pem))
    site.uplink |= {"credentials": "x509", "tls": True, "ca_file": str(there / "server.pem"), "host": "localhost"}
    async with ThingsBoard(Rules(token="not-used", provisioning=profile), tls=tls) as server:
        site.uplink["port"] = server.port
        server.contract.rules.cut_at = "answer"
        with pytest.raises(Retryable):
            await site.start().login()
        # made by the server, never heard of here: the certificate gets the gateway in
        login = await site.start().login()
    assert login.certificate_file == site.state_dir / "device.pem"
    assert len(profile.requests) == 2


@pytest.mark.parametrize("cut", ["request", "answer"])
async def test_a_cut_at_either_message_leaves_a_gateway_that_gets_in(site, server, cut):
    server.contract.rules.cut_at = cut
    with pytest.raises(Retryable, match="asked to provision: the connection was lost"):
        await site.start().login()
    assert not credential_path(site.settings()).exists()
    login = await site.start().login()
    assert server.contract.login(login.username) is ReasonCode.SUCCESS
    assert len(server.contract.rules.provisioning.devices) == 1


async def test_a_power_cut_between_the_answer_and_its_keeping(site, server, monkeypatch):
    class PowerCutError(Exception):
        pass

    def power_cut(*_):
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(candidate, "keep", power_cut)
        with pytest.raises(PowerCutError):
            await site.start().login()
    assert not credential_path(site.settings()).exists()
    login = await site.start().login()
    assert server.contract.login(login.username) is ReasonCode.SUCCESS
    assert list(server.contract.rules.provisioning.devices) == [NAME]


async def test_what_the_server_had_before_counts_more_than_what_was_wished(site, server):
    profile = server.contract.rules.provisioning
    profile.strategy = "CHECK_PRE_PROVISIONED_DEVICES"
    profile.devices[NAME] = Device("ACCESS_TOKEN", "from-the-factory")
    assert (await site.start().login()).username == "from-the-factory"
    assert (site.state_dir / "uplink.token").read_text() == "from-the-factory\n"


async def test_each_refusal_is_one_line_of_its_own_without_a_secret(site, server):
    profile = server.contract.rules.provisioning

    async def refusal(kind=Rejected, **changes):
        with pytest.raises(kind) as refused:
            await site.start(**changes).login()
        assert "\n" not in str(refused.value)
        assert SECRET not in str(refused.value)
        return str(refused.value).removeprefix(f"127.0.0.1:{server.port} ")

    assert await refusal(provision_key="other") == (
        "knows no uplink.provision_key like this with this secret (Provision data was not found!); compare them with the device profile")
    profile.devices[NAME] = Device("ACCESS_TOKEN", "of-another-gateway")
    assert await refusal() == (
        "does not provision gw-7 (Failed to provision device!): it has a device of that name with other credentials, or may not make one; "
        "delete the device, or put its credentials here")
    profile.strategy = "CHECK_PRE_PROVISIONED_DEVICES"
    profile.devices[NAME] = Device("MQTT_BASIC", {"clientId": "c", "userName": "u", "password": "s3cret-p"})
    assert "has another kind of credentials for gw-7" in (told := await refusal())
    assert told.endswith('uplink.password: set uplink.credentials = "mqtt_basic"')
    assert (site.state_dir / "uplink.password").read_text() == "s3cret-p\n"
    (site.state_dir / "uplink.password").unlink()
    assert "as client 'c', user 'u': set uplink.client_id and" in await refusal(credentials="mqtt_basic", username="v")
    site.secret.unlink()
    assert "provision.secret: no provision secret" in await refusal(ConfigError)
    site.secret.write_text(SECRET)
    await server.outage()
    assert "cannot reach" in await refusal(Retryable)


async def test_a_refused_gateway_asks_slowly_and_takes_a_token_that_comes_by_hand(site, server):
    profile = server.contract.rules.provisioning
    admission = site.start(provision_key="other", refused_backoff_s=3600.0)
    for _ in range(3):
        with pytest.raises(Rejected, match="provision_key"):
            await admission.login()
    assert len(profile.requests) == 1
    (site.state_dir / "uplink.token").write_text("by-hand\n")
    assert (await admission.login()).username == "by-hand"


# ---- new credentials on trial

@pytest.fixture
async def gateway(site, server, monkeypatch):
    """A running uplink with the token "old"."""
    monkeypatch.setattr(upstream, "LOOK_S", 0.02)
    (site.state_dir / "uplink.token").write_text("old\n")
    server.contract.rules.token = "old"
    clock = SystemClock(trust_wall=True)
    async with Ring.open(site.state_dir / "ring", RingSettings(size_mib=1, slot_mib=0.015625), clock) as ring:
        made = Upstream(site.settings(), ring, clock, random.Random(1), lambda _device: "", lambda record: site.events.append(record.values))
        task = asyncio.create_task(made.run(lambda _within_s: None))
        await connected(made)
        yield made
        task.cancel()
        await asyncio.wait({task})


async def connected(made, token=None, site=None):
    async with asyncio.timeout(10):
        while isinstance(made.state(), str) or not made.state().connected or (site and read_login(site.settings()).username != token):
            await asyncio.sleep(0.01)


async def test_a_new_token_that_the_server_refuses_changes_nothing(site, server, gateway):
    candidate.put(site.settings(), b"wrong\n")
    told = await gateway.admission.answer({})
    assert told["outcome"] == "refused"
    assert told["detail"].endswith(f"it was the access token in {candidate.beside(site.settings())}")
    await connected(gateway, "old", site)
    assert [name for name, _ in site.events] == ["uplink_credentials_refused"]


@pytest.mark.parametrize("first", ["server", "gateway"])
async def test_a_new_token_is_taken_whichever_side_changes_first(site, server, gateway, first):
    if first == "gateway":
        candidate.put(site.settings(), b"new\n")
        assert (await gateway.admission.answer({}))["outcome"] == "refused"
        await connected(gateway, "old", site)
    server.contract.rules.token = "new"
    for connection in list(server.connections):      # ThingsBoard ends the sessions of changed credentials
        connection.end(ReasonCode.NOT_AUTHORIZED)
    if first == "server":
        await gateway.admission.offer(b"new\n", "a test")
    await connected(gateway, "new", site)
    assert not candidate.beside(site.settings()).exists()
    assert site.events[-1][0] == "uplink_credentials_changed"


async def test_a_cut_while_a_trial_goes_on_leaves_the_old_one_in_use_and_the_new_one_to_be_tried(site, server):
    (site.state_dir / "uplink.token").write_text("old\n")
    server.contract.rules.token = "new"
    candidate.put(site.settings(), b"new\n")
    await server.outage()
    assert (await site.start().login()).username == "old"
    await server.restore()
    assert (await site.start().login()).username == "new"


async def test_a_server_that_proves_nothing_is_asked_ever_more_rarely(site, server):
    (site.state_dir / "uplink.token").write_text("old\n")
    await server.outage()
    candidate.put(site.settings(), b"new\n")
    admission = site.start(backoff_max_s=60.0)
    rests = []
    for _ in range(9):
        admission._try_at = float("-inf")
        await admission.login()
        rests.append(round(admission._try_at - SystemClock(trust_wall=True).monotonic()))
    assert rests == [60, 120, 240, 480, 960, 1920, 3840, 7200, 7200]


async def test_a_card_that_fails_under_the_credentials_takes_no_connection_away(site, monkeypatch):
    """What is used is in memory; an error on the way to new ones ended the connection, every five seconds."""
    site.uplink["provision_key"] = ""
    (site.state_dir / "uplink.token").write_text("the-token")
    admission = site.start()
    login = await admission.login()

    def fails(path, *_args, **_named):
        raise OSError(errno.EIO, "Input/output error", str(path))

    for name in ("exists", "open"):
        monkeypatch.setattr(candidate.Path, name, fails)
    assert not admission.other(login, refused=False)
    assert not admission.other(login, refused=True)


def test_what_is_no_credential_is_not_even_laid_beside(site):
    for raw in (b"two words", b"x" * 2000):
        with pytest.raises(ConfigError):
            candidate.put(site.settings(), raw)
    assert not candidate.beside(site.settings()).exists()
    candidate.put(site.settings(), b"good")
    assert candidate.drop(site.settings())
    assert not candidate.drop(site.settings())
