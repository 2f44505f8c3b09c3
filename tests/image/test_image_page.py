"""The local page of a flashed board: whoever is on its network reaches it while gateway.toml has it there, and nobody otherwise."""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from host_side import HostSide, on, ready
from vm import Board

SETTINGS = "/etc/halow-gateway/gateway.toml"
ON_THE_NETWORK = '[api]\nenabled = true\nlisten = "::"\n'


def answered(port: int) -> bool:
    """Whether the page answers there; QEMU takes every connection, so that a closed one shows by its silence only."""
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname, any_certificate.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=any_certificate)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def until_answered(port: int) -> None:
    async with asyncio.timeout(180):
        while not await asyncio.to_thread(answered, port):
            await asyncio.sleep(1)      # another machine's server tells nobody when it is there


@pytest.mark.timeout(900)
async def test_the_filter_follows_the_settings_of_the_page(
    images: Path, tmp_path: Path, fresh_disk: Callable[[str], Path], board: Callable[..., Board],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    network = ["-netdev", f"user,id=lan,net=10.0.3.0/24,hostfwd=tcp:127.0.0.1:{port}-:8443", "-device", "virtio-net-pci,netdev=lan,romfile="]
    disk = fresh_disk("amd64")
    async with HostSide(tmp_path, meters=1, settings=ON_THE_NETWORK) as side:
        side.card(disk)
        with board("amd64", disk, extra=network) as box:
            await ready(box, timeout_s=600)
            await until_answered(port)
            for listen, until in (("::1", "until !"), ("::", "until")):
                await on(box, f"sed -i 's/^listen = .*/listen = \"{listen}\"/' {SETTINGS}")
                # systemd sees the change, and the gateway's program is asked
                await on(box, f"{until} nft list set inet gateway page_ports | grep -q 8443; do sleep 1; done")
                assert await asyncio.to_thread(answered, port) is (listen == "::"), await on(box, "journalctl -b -u halow-gateway-firewall -o cat --no-pager")
                assert await on(box, "ss -Hltn 'sport = :8443'"), "the running gateway listens all the time: it was not started again"
