"""The listener in the daemon: real meters push to real ports, and what they say stands in the ring; restarts, faults, strangers."""

import asyncio
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from push_site import AK, EK, GENERIC, LEARNED, PLAIN, TITLE, Site, free_port, row, send_udp, simulated, values

from edge.daemon import pushes as daemon_pushes
from edge.demo import meter_objects as objects
from edge.demo import meter_push
from edge.demo.pusher import Pusher
from edge.dlms import wrapper
from edge.errors import RegistryError, RingError
from edge.model import Batch, Keys, Kind, Learned, SeqSpan, Stored, Stream
from edge.store.registry import FILE_NAME, Registry
from edge.uplink.thingsboard import GATEWAY_TELEMETRY, publishes

KEYS = Keys(EK, AK)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_pushes, "FIRST_S", 0.02)
    monkeypatch.setattr(daemon_pushes, "LOOK_S", 0.1)
    monkeypatch.setattr(daemon_pushes, "KEEP_S", 0.2)


def listens(state: dict[str, Any]) -> bool:
    return bool(state["listening"])


def accepted(count: int) -> Any:
    return lambda state: state["accepted"] >= count


# -- every way a meter may push ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_what_the_registers_show_stands_in_the_ring(tmp_path: Path, framing: str, ciphered: bool, udp: bool) -> None:
    site, meter = Site(tmp_path), simulated(framing)
    site.register(row(ciphered=ciphered), keys=KEYS)
    async with site.running():
        await site.until(listens)
        await Pusher(meter, secured_sap=3 if ciphered else None).push("127.0.0.1", site.port, udp=udp)
        await site.until(accepted(1))
        (record,) = (await site.records())[Stream.INSTANT]
    assert (record.device, record.schema.kind, record.schema.profile) == ("m", Kind.PUSHED, GENERIC.name)
    assert values(record) == dict(zip([spec.key for spec in GENERIC.objects], meter.model.raw_values(meter.now()).values(), strict=True))
    assert (record.stamp.source, record.stamp.wall_ms, record.stamp.synchronised) == ("meter", int(meter.now() * 1000), True)


@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
async def test_general_blocks_and_segments(tmp_path: Path, ciphered: bool) -> None:
    site, blocks, segments = Site(tmp_path), simulated(), simulated("hdlc")
    segments.settings.max_info_bytes = 32
    segments.model.device.own_counters[3] = 50      # it is one meter to the gateway, and goes on counting
    site.register(row(ciphered=ciphered), keys=KEYS)
    sap = 3 if ciphered else None
    async with site.running():
        await site.until(listens)
        await Pusher(blocks, secured_sap=sap, block_bytes=30).push("127.0.0.1", site.port)
        await site.until(accepted(1))
        await Pusher(segments, secured_sap=sap, dated=False).push("127.0.0.1", site.port)
        await site.until(accepted(2))
        pushed = (await site.records())[Stream.INSTANT]
    assert [record.schema.kind for record in pushed] == [Kind.PUSHED, Kind.PUSHED]
    assert pushed[1].stamp.source == "meter", "without a date of its own, the clock in its body tells the time"


# -- and within the association that polls it --------------------------------------------------------------------------

@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_what_comes_within_a_polled_association_is_kept_without_an_open_port(tmp_path: Path, framing: str, ciphered: bool) -> None:
    site, meter = Site(tmp_path, enabled=False), simulated(framing)
    meter.settings.max_info_bytes = 512      # one frame: a push is sealed to more than 128 octets
    host, port = await meter.start()
    polled = dataclasses.replace(
        row(ciphered=ciphered), host=host, port=port, framing=framing, paused=False, client_sap=3 if ciphered else 16,
        authentication="hls-gmac" if ciphered else "none")
    site.register(polled, keys=KEYS if ciphered else Keys())
    pusher = Pusher(meter, client_sap=polled.client_sap or 0, secured_sap=3 if ciphered else None)
    try:
        async with site.running(polls=True):
            await site.until(lambda _: meter.counters.gets > 2)
            message = pusher.message()
            for part in pusher.frames(message):
                meter.inject(part)
            await site.until(accepted(1))
            stored = (await site.records())[Stream.INSTANT]
            gets = meter.counters.gets
            await site.until(lambda _: meter.counters.gets > gets)      # the association goes on
            assert (site.pushes.of("m")[0], site.pushes.state()["listening"], meter.counters.connections) == (1, [], 1)
            heard = await site.enrolment.heard()
    finally:
        await meter.close()
    [pushed] = [record for record in stored if record.schema.kind is Kind.PUSHED]
    assert (pushed.device, pushed.stamp.source, pushed.stamp.wall_ms) == ("m", "meter", int(meter.now() * 1000))
    assert values(pushed) == dict(zip([spec.key for spec in GENERIC.objects], meter.model.raw_values(meter.now()).values(), strict=True))
    assert len(heard) == ciphered, "its counter is spent on every other way too"


async def test_it_becomes_the_payload_of_a_poll_without_saying_so(tmp_path: Path) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row())
    async with site.running():
        await site.until(listens)
        await Pusher(meter).push("127.0.0.1", site.port)
        await site.until(accepted(1))
        (record,) = (await site.records())[Stream.INSTANT]
    (publish,) = publishes(Batch(SeqSpan(Stream.INSTANT, 1, 1), (Stored(Stream.INSTANT, 1, record),)))
    ((entry,),) = json.loads(publish.payload).values()
    raw = list(meter.model.raw_values(meter.now()).values())
    assert publish.topic == GATEWAY_TELEMETRY
    assert entry["ts"] == int(meter.now() * 1000)
    assert entry["values"]["voltage_l1"] == pytest.approx(raw[0] / 10)
    assert set(entry["values"]) == {spec.key for spec in GENERIC.objects}


@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
async def test_an_event_notification_is_an_alarm_streams_event(tmp_path: Path, ciphered: bool) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row(ciphered=ciphered), keys=KEYS)
    pusher = Pusher(meter, secured_sap=3 if ciphered else None)
    event = meter_push.event(1, objects.EVENT_CODE, 2, b"\x11\x28", moment=bytes.fromhex("07ea0102ff03040500000000"))
    async with site.running():
        await site.until(listens)
        send_udp(site.port, *pusher.frames(pusher.protect(event)))
        await site.until(accepted(1))
        (record,) = (await site.records())[Stream.ALARM]
    assert values(record) == {"event": "meter_notification", "object": "0-0:96.11.0.255 attribute 2", "value": 40,
                              "time": "2026-01-02T03:04:05+00:00", "detail": "1/0-0:96.11.0.255 attribute 2 = 40"}


async def test_a_scaler_that_polling_finds_out_is_used_at_once(tmp_path: Path) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row(), Learned())
    async with site.running():
        await site.until(listens)
        await Pusher(meter).push("127.0.0.1", site.port)
        await site.until(accepted(1))
        await site.enrolment.keep_learned("m", LEARNED)
        await Pusher(meter).push("127.0.0.1", site.port)
        await site.until(accepted(2))
        records = (await site.records())[Stream.INSTANT]
    assert [record.schema.kind for record in records] == [Kind.EVENT, Kind.PUSHED]
    assert "its scaler is not known" in values(records[0])["detail"]


# -- replays, restarts, faults -----------------------------------------------------------------------------------------

async def test_a_restart_takes_no_replay_and_goes_on(tmp_path: Path) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row(ciphered=True), keys=KEYS)
    pusher = Pusher(meter, secured_sap=3)
    first, second, third = (b"".join(pusher.frames(pusher.message())) for _ in range(3))
    async with site.running():
        await site.until(listens)
        send_udp(site.port, second)
        await site.until(accepted(1))
        send_udp(site.port, first)
        state = await site.until(lambda state: state["refused"])
    assert "a replay" in state["refusals"][0]["reason"]
    async with site.running():
        await site.until(listens)
        send_udp(site.port, second, third)
        state = await site.until(accepted(1))
        assert (state["received"], state["refused"]) == (2, 1)
    with Registry.open(tmp_path / FILE_NAME) as registry:
        assert list(registry.heard().values()) == [2]


async def test_many_pushes_cost_one_write_for_each_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, meter = Site(tmp_path), simulated()
    monkeypatch.setattr(daemon_pushes, "KEEP_S", 1.5)
    site.register(row(ciphered=True), keys=KEYS)
    pusher, writes = Pusher(meter, secured_sap=3), []
    async with site.running() as pushes:
        await site.until(listens)
        keep = site.enrolment.keep_heard

        async def counted(marks: Any) -> None:
            writes.append(dict(marks))
            await keep(marks)
        monkeypatch.setattr(site.enrolment, "keep_heard", counted)
        send_udp(site.port, *pusher.frames(pusher.message()))
        await site.until(accepted(1))
        began = time.monotonic()
        for _ in range(30):
            send_udp(site.port, *pusher.frames(pusher.message()))
        state = await site.until(lambda state: state["waiting"] == 30)
        assert state["accepted"] == 1, "none is in the ring before its counter is on flash"
        await site.until(accepted(31))
        assert time.monotonic() - began < 20
        assert pushes.state()["waiting"] == 0
    assert [list(marks.values()) for marks in writes] == [[0], [30]]


async def test_what_waits_for_its_counter_is_kept_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, meter = Site(tmp_path), simulated()
    monkeypatch.setattr(daemon_pushes, "KEEP_S", 600.0)
    site.register(row(ciphered=True), keys=KEYS)
    pusher = Pusher(meter, secured_sap=3)
    async with site.running():
        await site.until(listens)
        send_udp(site.port, *pusher.frames(pusher.message()))
        await site.until(accepted(1))
        send_udp(site.port, *pusher.frames(pusher.message()))
        await site.until(lambda state: state["waiting"])
    assert site.pushes.state()["accepted"] == 2


async def test_without_a_registry_that_can_be_written_ciphered_pushes_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    site, meter = Site(tmp_path), simulated()
    monkeypatch.setattr(daemon_pushes, "KEEP_S", 0.1)
    monkeypatch.setattr(daemon_pushes, "WAITING_LIMIT", 3)
    site.register(row(ciphered=True), keys=KEYS)
    pusher = Pusher(meter, secured_sap=3)
    async with site.running():
        await site.until(listens)
        keep = site.enrolment.keep_heard

        async def fails(marks: Any) -> None:
            raise RegistryError("the storage failed; nothing was changed")
        monkeypatch.setattr(site.enrolment, "keep_heard", fails)
        for _ in range(5):
            send_udp(site.port, *pusher.frames(pusher.message()))
        state = await site.until(lambda state: state["limited"] == 2 and state["problem"])
        assert state["problem"] == "invocation counters cannot be kept, so ciphered pushes wait: the storage failed; nothing was changed"
        assert (state["waiting"], state["accepted"]) == (3, 0)
        monkeypatch.setattr(site.enrolment, "keep_heard", keep)
        state = await site.until(accepted(3))
        await site.until(lambda state: not state["problem"])
    assert caplog.text.count("the storage failed") >= 1
    assert [record.levelname for record in caplog.records if "storage failed" in record.message].count("ERROR") == 1


async def test_a_ring_that_refuses_loses_the_push_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    site = Site(tmp_path)
    site.register(row())

    def refuse(*_: Any) -> None:
        raise RingError("the ring is closed")
    monkeypatch.setattr(site, "put", refuse)
    async with site.running():
        await site.until(listens)
        await Pusher(simulated()).push("127.0.0.1", site.port)
        state = await site.until(lambda state: state["lost"])
    assert state["accepted"] == 0
    assert "a push of meter m is lost: the ring is closed" in caplog.text


async def test_a_port_that_is_taken_is_told_and_tried_again(tmp_path: Path) -> None:
    site = Site(tmp_path, listen="127.0.0.1", udp_port=0)
    site.register(row())
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", site.port)
    async with site.running():
        state = await site.until(lambda state: state["problem"])
        assert state["problem"] == (f"the ports: cannot listen on 127.0.0.1 tcp port {site.port}: another program has this port; "
                                    "end it, or set another push.tcp_port")
        assert state["listening"] == []
        taken.close()
        await taken.wait_closed()
        state = await site.until(listens)
        assert state["problem"] == ""


# -- strangers ---------------------------------------------------------------------------------------------------------

async def test_a_meter_that_is_not_registered_is_seen_and_then_enrolled(tmp_path: Path, caplog: Any) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row("elsewhere", "192.0.2.77"))
    pusher = Pusher(meter, secured_sap=3)
    async with site.running():
        await site.until(listens)
        for _ in range(3):
            send_udp(site.port, *pusher.frames(pusher.message()))
        state = await site.until(lambda state: state["unknown"] == 3)
        (seen,) = state["unknown_senders"]
        assert (seen["address"], seen["title"], seen["times"]) == ("127.0.0.1", TITLE.hex(), 3)
        assert seen["last_age_s"] < 30
        assert seen["reason"] == f"ciphered; system title {TITLE.hex()} is not registered"
        assert caplog.text.count("is of no registered meter") == 1
        site.register(row("new", ciphered=True), keys=KEYS)
        await site.enrolment.reload()
        send_udp(site.port, *pusher.frames(pusher.message()))
        state = await site.until(accepted(1))
        assert state["unknown_senders"] == []
        assert site.pushes.of("new")[0] == 1
        assert site.pushes.of("elsewhere") == (0, None)


async def test_floods_from_strangers_are_turned_away(tmp_path: Path) -> None:
    site = Site(tmp_path, messages_per_minute=20, messages_per_minute_in_all=40)
    site.register(row("elsewhere", "192.0.2.77"))
    async with site.running() as pushes:
        await site.until(listens)
        for _ in range(10):
            send_udp(site.port, *[wrapper.encode(1, 16, PLAIN)] * 10)
            await asyncio.sleep(0)
        state = await site.until(lambda state: state["unknown"] + state["limited"] >= 50)
        assert 10 <= state["unknown"] <= 15
        assert pushes.figures() == {f"push_{key}": state[key] for key in ("received", "accepted", "unknown", "refused", "limited")}


async def test_every_message_is_counted_once(tmp_path: Path) -> None:
    site, meter = Site(tmp_path), simulated()
    site.register(row())
    pusher = Pusher(meter)
    good = pusher.frames(pusher.message())
    async with site.running():
        await site.until(listens)
        send_udp(site.port, *good, *good, wrapper.encode(1, 16, b"\x60\x00"), b"noise", wrapper.encode(1, 16, b"\xdd\x00"))
        state = await site.until(lambda state: state["refused"] == 2 and state["damaged"] == 1)
        assert {key: state[key] for key in ("received", "accepted", "duplicate", "unknown", "limited", "lost")} == {
            "received": 4, "accepted": 1, "duplicate": 1, "unknown": 0, "limited": 0, "lost": 0}
        assert len((await site.records())[Stream.INSTANT]) == 1
        assert [each["reason"] for each in state["refusals"]]


async def test_a_host_name_is_resolved_and_edits_take_effect(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.register(row("named", "localhost"))
    async with site.running():
        await site.until(listens)
        pusher = Pusher(simulated())
        send_udp(site.port, *pusher.frames(pusher.message()))
        await site.until(accepted(1))
        assert site.pushes.of("named")[0] == 1
        with Registry.open(tmp_path / FILE_NAME) as registry:
            registry.update(dataclasses.replace(registry.get("named"), host="192.0.2.1"))
        await site.enrolment.reload()
        send_udp(site.port, *pusher.frames(pusher.message()))
        await site.until(lambda state: state["unknown"] == 1)


async def test_switched_off_it_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, enabled=False)
    async with site.running() as pushes:
        assert pushes.state()["problem"] == "switched off (push.enabled = false)"
        assert pushes.figures() == {}


async def test_one_port_may_be_changed_while_the_other_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A socket that is closed is bound for another turn of the loop: what stays was told as taken by somebody."""
    site = Site(tmp_path)
    async with site.running() as pushes:
        await site.until(lambda state: len(state["listening"]) == 2)
        other = free_port()
        for changes in ({"tcp_port": other}, {"udp_port": other}, {"listen": "127.0.0.1"}):
            site.settings = msgspec.structs.replace(site.settings, **changes)
            pushes.use(site.settings)
            await site.until(lambda state: pushes._settings == site.settings)
            await site.until(lambda state: len(state["listening"]) == 2)
    assert "cannot listen" not in caplog.text
