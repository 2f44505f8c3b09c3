"""`ota`: what is shown of an update, and how another try is asked for."""

import json

from cli_site import Site

GOING = {"fw": {"state": "DOWNLOADING", "error": "", "bytes": 1 << 20, "size_bytes": 40 << 20},
         "sw": {"state": "FAILED", "error": "no room", "bytes": 0, "size_bytes": 0}}


def test_what_is_under_way_and_another_try(site: Site) -> None:
    with site.daemon(ota=GOING) as asked:
        assert site.good("ota") == "firmware: DOWNLOADING, 1.0 MiB of 40.0 MiB\nsoftware: FAILED: no room\n"
        assert json.loads(site.good("ota", "--json")) == GOING
        site.good("ota", "--retry")
    assert [each["retry"] for each in asked] == [False, False, True]
    with site.daemon(ota={}):
        assert site.good("ota") == "No update since the gateway's start.\n"
