"""Operations see which certificate the page shows, as a technician's browser has it, and no old one afterwards."""

import asyncio
import hashlib
import ssl
import tomllib
from pathlib import Path

import pytest
from api_site import Site
from gateway_process import TOKEN

KEY = "page_certificate_sha256"

pytestmark = pytest.mark.system


async def told(server, expected: str) -> None:
    """Wait until the server has this value."""
    attributes = server.contract.store.attributes
    async with asyncio.timeout(60):
        while [values[KEY] for values in attributes.values() if KEY in values] != [expected]:
            await asyncio.sleep(0.05)


def shown(port: int) -> str:
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    return hashlib.sha256(der).hexdigest().upper()


async def test_the_certificate_of_the_page_is_known_upstream(tmp_path: Path, server) -> None:
    site = Site(tmp_path, tls=True, uplink={"enabled": True, "host": "127.0.0.1", "port": server.port, "backoff_first_s": 0.1})
    site.gateway.token(TOKEN)
    with site.gateway as gateway:
        seen = []
        for _ in range(2):
            await asyncio.to_thread(site.start)
            seen.append(await asyncio.to_thread(shown, site.port))
            await told(server, ":".join(seen[-1][at:at + 2] for at in range(0, 64, 2)))
            assert await asyncio.to_thread(gateway.stop) == 0
            (gateway.state / "page.pem").unlink()      # another one is made
        assert seen[0] != seen[1]
        gateway.configure(api={"enabled": False})
        gateway.start()
        await told(server, "")
    contract = tomllib.loads((Path(__file__).parents[2] / "cloud/keys.toml").read_text())["attribute"]
    assert [entry["device"] for entry in contract if entry["name"] == KEY] == ["gateway"]
