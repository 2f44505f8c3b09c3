"""The gateway as a process at a Sparkplug host: killed, its will tells it; started again, its number has gone on."""


import pytest
from gateway_process import GatewayProcess
from mosquitto_broker import running
from sparkplug_oracle import HostApplication

pytestmark = pytest.mark.system


@pytest.fixture
async def mosquitto(tmp_path):
    async with running(tmp_path) as broker:
        yield broker


async def test_a_killed_gateway_is_told_by_its_will_and_comes_back_with_the_next_number(tmp_path, mosquitto):
    uplink = {"enabled": True, "host": "127.0.0.1", "port": mosquitto.port, "dialect": "sparkplug", "sparkplug_group": "utility",
              "health_interval_s": 1.0}
    async with HostApplication(mosquitto.port, node="gw-test") as host:
        book = host.book
        with GatewayProcess(tmp_path, uplink=uplink) as gateway:
            gateway.token("t")
            gateway.start()
            await host.until(lambda: "NDATA" in book.verbs, 30)
            assert book.births[-1] == 0
            gateway.kill()
            await host.until(lambda: book.deaths, 30)
            assert (book.deaths, book.online) == ([0], False)
            gateway.start()
            await host.until(lambda: book.births[-1] == 1 and any(name == "uptime_s" for _, name, _ in book.values), 30)
            assert gateway.stop() == 0
            await host.until(lambda: book.deaths[-1] == 1, 10)
            # what was not let go of on flash before the kill comes once more, and is no older than the session's grace
            assert [fault for fault in book.faults if not fault.endswith("goes back in time")] == []
            assert not book.online
            assert "Traceback" not in gateway.log.read_text()
