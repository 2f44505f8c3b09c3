"""Orders on the control socket, with the real registry, pollers and simulated meters: allowed, refused, awaited, recorded."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from orders_post import ALLOWING, QUICK, post

from edge.config import RelaySettings, Settings
from edge.daemon.orders import MOST_KEPT
from edge.demo.meter_relay import Relay
from edge.errors import ConfigError, LocalStateError


@pytest.mark.parametrize("kind", ["wrapper", "hdlc"])
async def test_orders_are_done_between_polls_and_recorded(tmp_path: Path, kind: str) -> None:
    async with post(tmp_path, kind=kind) as there:
        assert "may not be switched" in await there.refused(kind="relay", order="off", confirm="m1")
        there.registry.permit("m1", "relay", allowed=True)
        assert "not confirmed" in await there.refused(kind="relay", order="off", confirm="m2")
        assert (await there.done(kind="relay", order="off", confirm="m1"))["result"]["output"] == "open"
        assert (await there.done(kind="set", target="0-0:96.3.10@4", value="enum:1"))["phase"] == "done"
        on = await there.done(kind="relay", order="on", confirm="m1")
        assert on["result"]["control_state"] == "ready for reconnection"
        assert there.site.meter.model.part(Relay).press(there.site.clock.wall_s) is True
        values = (await there.done(kind="get", targets=["1-0:1.8.0", "0-0:96.3.10@4", "7/1-0:99.9.0"]))["result"]["values"]
        assert (values[0]["unit"], values[0]["scaled"]) == ("Wh", str(values[0]["value"]))
        assert values[1] == {"class": 70, "obis": "0-0:96.3.10.255", "attribute": 4, "type": "enum", "value": 1}
        assert values[2]["error"] == "object undefined (4)"
        status = await there.done(kind="relay", order="status")
        assert status["result"]["state"] == "connected (control mode 1)"
        assert there.site.meter.counters.associations == 1
        assert there.site.events() == ["order_refused"] * 2 + ["order_given", "order_done"] * 3
        assert {event["by"] for event in there.site.told()} == {"alice"}
        assert there.site.told()[4]["detail"] == "set 70/0-0:96.3.10.255 attribute 4 to enum 1"


async def test_by_default_nothing_is_switched_written_or_called(tmp_path: Path) -> None:
    async with post(tmp_path, Settings(poll=QUICK)) as there:
        there.registry.permit("m1", "relay", allowed=True)
        assert "relay.allow" in await there.refused(kind="relay", order="off", confirm="m1")
        assert "orders.allow_set" in await there.refused(kind="set", target="0-0:96.3.10@4", value="enum:1")
        assert "orders.allow_action" in await there.refused(kind="action", target="0-0:99.98.0@1")
        assert there.site.meter.counters.actions == there.site.meter.counters.sets == 0
        assert there.site.events() == ["order_refused"] * 3
        assert (await there.done(kind="get", targets=["0-0:1.0.0"]))["phase"] == "done"


async def test_guarded_methods_and_what_a_method_returns_and_refuses(tmp_path: Path) -> None:
    async with post(tmp_path) as there:
        assert "command with interlocks: halow-gateway meter relay" in await there.refused(
            kind="action", target="70/0-0:96.3.10@1", value="i8:0")
        assert "halow-gateway meter image" in await there.refused(kind="action", target="18/0-0:44.0.0@4", value="i8:0")
        done = await there.done(kind="action", target="0-0:99.98.0@1", value="i8:0")
        assert done["result"] == {"summary": "the meter has done it"}
        refused = await there.done(kind="action", target="7/1-0:99.9.0@1")
        assert (refused["phase"], refused["error"]) == ("failed", "the meter refuses: object undefined (4)")
        refused = await there.done(kind="set", target="3/1-0:1.8.0@3", value="u8:1")
        assert refused["error"] == "the meter refuses: read write denied (3)"


async def test_an_old_reading_or_a_high_load_keeps_the_relay_closed(tmp_path: Path) -> None:
    strict = msgspec.structs.replace(ALLOWING, relay=RelaySettings(allow=True, load_limit_w=0.0, reading_max_age_s=1e-6))
    async with post(tmp_path, strict) as there:
        there.registry.permit("m1", "relay", allowed=True)
        why = await there.refused(kind="relay", order="off", confirm="m1")
        assert "its last reading is 0 s old" in why
        assert "its load is" in why
        newest = there.latest.of("m1")
        assert newest is not None
        assert newest.record.device == "m1"
        assert there.latest.of("m2") is None
        assert there.site.meter.model.connected is True


@pytest.mark.parametrize(("request_", "words"), [
    ({"meter": "m1", "by": "x", "ask": {"kind": "dance"}}, "no order: Invalid value 'dance'"),
    ({"meter": "m1", "by": "x", "ask": {"kind": "relay", "order": "toggle"}}, "no order: Invalid enum value 'toggle'"),
    ({"meter": "m1", "by": "x", "ask": {"kind": "get", "targets": []}}, "nothing to read"),
    ({"meter": "m1", "by": "x", "ask": {"kind": "set", "target": "0-0:96.3.10@4", "value": "4"}}, "write TYPE:VALUE"),
    ({"meter": "m1", "by": "x", "ask": {"kind": "action", "target": "0-0:96.3.10"}}, "write the number"),
    ({"meter": "m2", "by": "x", "ask": {"kind": "relay", "order": "on"}}, "no meter is named 'm2'"),
    ({"meter": "m1"}, "no such request"), ({}, "no such request"),
])
async def test_nonsense_is_told_and_not_recorded(tmp_path: Path, request_: dict[str, Any], words: str) -> None:
    async with post(tmp_path, paused=True) as there:
        with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
            await there.desk.order(request_)
        with pytest.raises(ConfigError, match="no order 1"):
            await there.desk.state({"order": 1})
        with pytest.raises(ConfigError, match="no such request"):
            await there.desk.state({"order": "x"})
        assert there.site.records == []


async def test_a_paused_meter_takes_no_orders_and_numbers_are_not_kept_for_ever(tmp_path: Path) -> None:
    async with post(tmp_path, paused=True) as there:
        with pytest.raises(LocalStateError, match="m1 is not polled"):
            await there.done(kind="set", target="0-0:96.3.10@4", value="enum:1")
        assert there.site.events() == ["order_given", "order_failed"]
    async with post(tmp_path / "again") as there:
        for _ in range(MOST_KEPT + 1):
            await there.done(kind="get", targets=["0-0:1.0.0"])
        with pytest.raises(ConfigError, match="no order 1"):
            await there.desk.state({"order": 1})


async def test_a_profile_without_a_relay_has_none_to_switch(tmp_path: Path) -> None:
    async with post(tmp_path, kind="microstar") as there:
        with pytest.raises(ConfigError, match="the profile microstar names no relay"):
            await there.done(kind="relay", order="status")
