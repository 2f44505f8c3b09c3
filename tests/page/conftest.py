"""The page in a real browser: Debian's Chromium, headless, against the running gateway. `make test-page` runs this tier."""

import os
from pathlib import Path

import pytest

if "HALOW_PAGE" not in os.environ:      # a folder for the screenshots; without it the tier is not collected
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)
    Path(os.environ["HALOW_PAGE"]).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()
