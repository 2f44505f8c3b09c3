"""What the gateway tells Prometheus: joined with the contract of its telemetry, bounded, and in pieces."""

import asyncio
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from cloud.keys import FILE
from edge.clock import SystemClock
from edge.daemon import metrics as module
from edge.daemon.metrics import GATEWAY, LEFT_OUT, MetricsDesk
from edge.daemon.vitals import SCHEMA
from edge.poll.state import LATENESS_BOUNDS_S, Counters
from edge.ring.status import RingStatus, StreamStatus
from edge.uplink.uplink import UplinkState
from halow.model import Grade, LinkState


def poller(readings: int) -> Any:
    return SimpleNamespace(readings=readings, failed=2, skipped=1, failures={"no_answer": 2}, last_failure="", last_reading_age_s=3.0,
                           lateness_counts=(5, 4, 3, 2, 1, 0, 0, 0, 1), lateness_sum_s=77.5, ladder=SimpleNamespace(circuit="closed"))


def desk(meters: int = 2, peers: int = 1, **figures: float) -> MetricsDesk:
    async def exact() -> dict[str, float]:
        return {"uptime_s": 60, "cpu_time_s": 1.25, "rss_bytes": 5_000_000, "polls_ok": 9, "soc_temperature_c": 41.5,
                "storage_life_used_pct": 10, **figures}

    stream = StreamStatus(**dict.fromkeys(StreamStatus.__slots__, 3))
    radio = SimpleNamespace(present=True, duty_pct=1.5, busy_pct=None)
    states = tuple(LinkState(f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", Grade.GOOD, rssi_avg_dbm=-71.5, age_s=2.0) for n in range(peers))
    uplink = UplinkState(True, 0.0, 1, 0, 2, 900, 100, 90, 0, 0, (), "")
    return MetricsDesk(
        SimpleNamespace(exact=exact, uptime_s=60), SimpleNamespace(states=lambda: {f"m{n}": poller(n) for n in range(meters)}),
        SimpleNamespace(radio=radio, states=states), SimpleNamespace(status=lambda: RingStatus(True, "", 1, 4, {"alarm": stream})),
        lambda: uplink, SystemClock(trust_wall=True))


def test_each_key_of_the_gateways_telemetry_has_its_metric_or_a_reason() -> None:
    ours = [each["name"] for each in tomllib.loads(FILE.read_text())["key"] if each["device"] == "gateway" and each["record"] == "GATEWAY"]
    assert len(ours) > 20
    for name in ours:
        assert name in LEFT_OUT or any(re.fullmatch(name, key) for key in (*GATEWAY, *LEFT_OUT)), (
            f"{name}: a metric in GATEWAY, or a reason in LEFT_OUT")
    keys = {field.key for field in SCHEMA.fields}
    assert not [key for key in keys if key not in GATEWAY and not any(re.fullmatch(name, key) for name in LEFT_OUT)]
    assert set(GATEWAY) <= keys, "of a key that nobody sends any more"
    assert not set(GATEWAY) & set(LEFT_OUT)


async def test_both_forms_say_the_same_and_names_keep_the_conventions() -> None:
    there = desk()
    new = {family.name: family for family in read_openmetrics(await there.text(openmetrics=True))}
    old = {family.name: family for family in read_text(await there.text(openmetrics=False))}
    assert {name.removesuffix("_info") for name in old} == set(new)
    assert [family.type for family in new.values()] == [old.get(name, old.get(f"{name}_info")).type.replace("gauge", new[name].type)
                                                        for name in new]
    for family in new.values():
        assert family.documentation, family.name
        assert re.fullmatch(r"(halow_(gateway|ring|uplink|radio|peer|meter|push)|process)(_[a-z0-9]+)*", family.name), family.name
        assert not re.search(r"_(ms|s|pct|kb|mib|minutes|days)$", family.name), f"{family.name}: base units only"
        if family.type == "counter":
            assert {sample.name for sample in family.samples} == {family.name + "_total"}
    assert new["process_cpu_seconds"].samples[0].value == 1.25
    assert new["halow_gateway_storage_life_used_ratio"].samples[0].value == pytest.approx(0.1)
    assert new["halow_peer_signal_dbm"].samples[0].labels == {"peer": "02:00:00:00:00:00"}
    assert new["halow_peer_grade"].samples[0].labels["grade"] == "good"
    assert {sample.labels["result"]: sample.value for sample in new["halow_meter_polls"].samples if sample.labels["meter"] == "m1"} == {
        "ok": 1, "failed": 2, "skipped": 1}
    last = new["halow_meter_last_reading_timestamp_seconds"].samples[0].value
    assert abs(last - (time.time() - 3)) < 60
    assert "halow_radio_busy_ratio" not in new, "not known: no sample, no zero"
    assert new["halow_uplink_delivered_records"].samples[0].value == 90


async def test_cardinality_is_bounded_and_a_hundred_meters_give_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    there, turns = desk(meters=100, peers=1_000), 0
    sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        nonlocal turns
        turns += 1
        await sleep(delay)

    monkeypatch.setattr(module.asyncio, "sleep", counted)
    monkeypatch.setattr(module, "KEPT_S", 60.0)      # the parser below takes its time
    text = await there.text(openmetrics=True)
    assert turns == 100 / module.AT_A_TIME
    families = list(read_openmetrics(text))
    assert sum(len(family.samples) for family in families if family.name.startswith("halow_peer")) == 3 * module.PEERS_MOST
    assert sum(len(family.samples) for family in families) < 3_500
    assert await there.text(openmetrics=True) is text, "one look for all who ask soon after"
    assert (await there.answer({}))["text"].startswith("# HELP halow_gateway_info")


def test_lateness_is_counted_in_buckets_for_good() -> None:
    counters = Counters()
    for seconds in (0.0, 0.01, 0.02, 61.0, *[0.2] * 200):
        counters.late(seconds)
    assert sum(counters.lateness_counts) == 204
    assert counters.lateness_counts[0] == 2
    assert counters.lateness_counts[LATENESS_BOUNDS_S.index(0.5)] == 200
    assert counters.lateness_counts[-1] == 1
    assert counters.lateness_sum_s == pytest.approx(101.03)


RULES = Path(__file__).parents[2] / "docs" / "monitoring" / "alerts.yml"


async def test_the_example_rules_ask_for_metrics_that_there_are() -> None:
    told = {family.name + {"counter": "_total", "info": "_info"}.get(family.kind, "") for family in await desk().families()}
    asked = set(re.findall(r"\b(?:halow|process)_[a-z0-9_]+", "\n".join(re.findall(r"expr: (.*)", RULES.read_text()))))
    assert len(asked) > 12
    assert {name.removesuffix("_bucket") for name in asked} <= told


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_takes_the_example_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
