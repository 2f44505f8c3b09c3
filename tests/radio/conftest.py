"""One board with simulated radios for all tests here: only with HALOW_REHEARSAL, which `make test-radio` sets."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from radio_site import RadioSite
from vm import environment


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RadioSite]:
    """The board, its three stations, and a meter behind each; all of them heard."""
    folder = environment()
    if folder is None or not (folder / "amd64/radio.squashfs").exists():
        pytest.skip("needs a virtual machine with simulated radios: make test-radio")
    async with RadioSite(folder, tmp_path_factory.mktemp("radio")) as running:
        yield running


@pytest.fixture(autouse=True)
def console(site: RadioSite, request: pytest.FixtureRequest) -> None:
    """Name the test in the board's log, beside what it does there."""
    site.note(request.node.name)
