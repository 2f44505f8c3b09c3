"""`backfill status` and `backfill again` as a person sees them, against a control socket that answers like the daemon."""

import asyncio
import json
from typing import Any

from cli_site import Site

from edge.control import serve
from edge.errors import LocalStateError

METER = {
    "meter": "m1", "state": "catching up", "expected": 2_976, "present": 2_900, "missing": 70, "absent": 6, "oldest_missing_s": 1_772_323_200,
    "period_s": 900, "rows": 12, "repeated": 0, "undated": 0, "rows_per_s": 3.26, "eta_s": 21.5, "access": "range",
    "not_read": {"frequency": "unit V instead of Hz"}, "problem": ""}
NONE = {"meter": "m2", "state": "none", "expected": 0, "present": 0, "missing": 0, "absent": 0, "oldest_missing_s": None, "rows_per_s": None,
        "eta_s": None, "not_read": {}, "problem": "the load profile 1-0:99.1.0 is not there: object undefined (4)"}


async def against(site: Site, requests: list[dict[str, Any]], *words: str) -> Any:
    """Run a command while a daemon of two meters answers."""
    async def status(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return {"meters": [METER, NONE] if request.get("meter") is None else [METER]}

    async def again(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        if request["meter"] != "m1":
            raise LocalStateError("there is no backfill for it")
        return {"meter": "m1", "intervals": 96}

    async with serve(site.runtime_dir, {"backfill": status, "backfill_again": again}):
        return await asyncio.to_thread(site, *words)


async def test_status_is_a_table_of_what_is_missing(site: Site) -> None:
    requests: list[dict[str, Any]] = []
    done = await against(site, requests, "backfill", "status")
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["METER", "STATE", "EXPECTED", "PRESENT", "MISSING", "ABSENT", "OLDEST", "MISSING", "(UTC)", "ROWS/S", "LEFT", "WHY"]
    assert first.split("  ")[0] == "m1"
    assert "2976     2900       70       6  2026-03-01 00:00         3.3  22 s  frequency: unit V instead of Hz" in first
    assert second.endswith("the load profile 1-0:99.1.0 is not there: object undefined (4)")
    one = await against(site, requests, "backfill", "status", "m1", "--json")
    assert json.loads(one.stdout) == {"meters": [METER]}
    assert [request.get("meter") for request in requests] == [None, "m1"]


async def test_again_takes_times_with_and_without_a_zone(site: Site) -> None:
    requests: list[dict[str, Any]] = []
    done = await against(site, requests, "backfill", "again", "m1", "--from", "2026-03-01T00:00+01:00", "--to", "2026-03-02")
    assert done.stdout == "96 intervals of m1 are read again.\n"
    assert requests == [{"request": "backfill_again", "meter": "m1", "from_s": 1_772_319_600, "to_s": 1_772_409_600}]
    refused = await against(site, requests, "backfill", "again", "m9", "--from", "2026-03-01", "--to", "2026-03-02")
    assert (refused.exit_code, refused.stderr) == (1, "halow-gateway: the gateway refused backfill_again: there is no backfill for it\n")


def test_a_time_that_is_none_is_one_line_and_without_a_gateway_another(site: Site) -> None:
    assert site.refused("backfill", "again", "m1", "--from", "yesterday", "--to", "2026-03-02") == [
        "--from yesterday: is no time; write it as 2026-03-01T00:00Z"]
    assert "no gateway is running here" in site.refused("backfill", "status")[0]
