import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_site import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("HALOW_GATEWAY_CONFIG", raising=False)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield Site(tmp_path)
    root.handlers[:] = before
    root.setLevel(level)
