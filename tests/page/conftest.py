"""The page in a real browser: Debian's Chromium, headless, against the running gateway. `make test-page` runs this tier."""

import os

if "HALOW_PAGE" not in os.environ:      # a folder for the screenshots; without it the tier is not collected
    collect_ignore_glob = ["test_*.py"]
