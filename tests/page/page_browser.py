"""What the stories in a browser share: sizes, where pictures go, and axe-core."""

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe

SHOTS = Path(os.environ["HALOW_PAGE"])
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


def accessible(page) -> None:
    """No rule of axe-core is broken that keeps somebody from using the page."""
    found = Axe().run(page).response["violations"]
    serious = [f"{each['id']}: {[node['html'][:120] for node in each['nodes']][:3]}" for each in found if each["impact"] in ("serious", "critical")]
    assert serious == []
