"""Scans over loopback nets: meters among impostors, registered ones, a busy bridge, and how hard the net is pushed."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from discovery_bench import QUICK, ciphered, hdlc, impostor, standing
from poll_bench import PROFILES, meter_settings

from edge.demo.bridge import Quirks
from edge.discovery.contact import Verdict
from edge.discovery.pace import Pace
from edge.discovery.scan import Progress, Scan, Spot, own_address
from edge.discovery.subnet import addresses
from edge.poll.transport import TcpTransport

SOON = replace(QUICK, answer_s=0.25, tail_s=0.25, settle_s=0.1)


async def scanned(hosts: list[str], ports: list[int], pace: Pace = SOON, *, at_once: int = 4, skip: Mapping[tuple[str, int], str] = {}) -> list[Spot]:
    told: list[tuple[Spot, Progress]] = []
    scan = Scan(hosts, ports, list(PROFILES.values()), pace, at_once=at_once, skip=skip, told=lambda *what: told.append(what))
    spots = await scan.run()
    assert [spot for spot, _ in told] == spots
    assert scan.progress.looked_at == scan.progress.of == len(hosts)
    return spots


async def test_meters_are_told_from_everything_else() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.11", serial="11"))
        port = first.address[1]
        for host, settings, serial, microstar in (
                ("127.0.0.12", hdlc(17, 4), "12", False), ("127.0.0.13", meter_settings("microstar"), "13", True),
                ("127.0.0.14", ciphered(meter_settings("wrapper")), "14", False)):
            await stack.enter_async_context(standing(settings, host=host, port=port, serial=serial, microstar=microstar))
        ssh = await stack.enter_async_context(impostor(b"SSH-2.0-OpenSSH_9.2p1\r\n", host="127.0.0.15", port=port))
        await stack.enter_async_context(impostor(host="127.0.0.16", port=port))
        refusing = meter_settings("wrapper")
        del refusing.manners.passwords[16]
        await stack.enter_async_context(standing(refusing, host="127.0.0.17", port=port))
        bridge = await stack.enter_async_context(standing(hdlc(17, 4), Quirks(second_client="refused"), host="127.0.0.18", port=port))
        held = await TcpTransport.connect(*bridge.address, timeout_s=5)
        spots = {spot.host.rpartition(".")[2]: spot for spot in await scanned([f"127.0.0.{n}" for n in range(10, 20)], [port])}
        held.abort()
        assert ssh.heard == b""
    assert {number: spot.verdict for number, spot in spots.items()} == {
        "11": Verdict.METER, "12": Verdict.METER, "13": Verdict.METER, "14": Verdict.METER, "15": Verdict.NO_METER, "16": Verdict.SILENT,
        "17": Verdict.METER, "18": Verdict.BUSY}
    assert [(spots[n].name, spots[n].fit and spots[n].fit.profile, spots[n].public) for n in ("11", "12", "13", "14", "17")] == [
        ("HGW11", "generic-three-phase", True), ("HGW12", "generic-three-phase", True), ("HGW13", "microstar", True), ("HGW14", None, False),
        ("", None, False)]
    assert spots["13"].identities == {"HGW13", "13"}
    assert "association refused" in spots["17"].detail


async def test_a_host_that_does_not_answer_is_not_tried_at_its_other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []

    async def connect(_place: object, *, timeout_s: float) -> TcpTransport:
        tried.append((_place.host, _place.port))
        from edge.errors import Unreachable

        raise Unreachable("no route") from (ConnectionRefusedError() if _place.host.endswith("2") else TimeoutError())

    monkeypatch.setattr("edge.discovery.discover.connect", connect)
    assert await scanned(["198.51.100.1", "198.51.100.2"], [4059, 3333], at_once=1) == []
    assert tried == [("198.51.100.1", 4059), ("198.51.100.2", 4059), ("198.51.100.2", 3333)]


async def test_no_more_hosts_at_once_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = most = 0

    async def connect(_place: object, *, timeout_s: float) -> TcpTransport:
        nonlocal at_once, most
        from edge.errors import Unreachable

        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        raise Unreachable("no route") from TimeoutError()

    monkeypatch.setattr("edge.discovery.discover.connect", connect)
    assert await scanned([f"198.51.100.{n}" for n in range(1, 40)], [4059], replace(SOON, gap_s=0.0), at_once=3) == []
    assert most == 3


async def test_what_the_gateway_polls_and_its_own_addresses_are_left_alone() -> None:
    async with impostor(host="127.0.0.21") as polled, impostor(host="127.0.0.1", port=polled.port) as own:
        assert await scanned(["127.0.0.1", "127.0.0.21"], [polled.port], skip={("127.0.0.21", polled.port): "m1"}) == []
        assert polled.connections == own.connections == 0
    assert own_address("127.0.0.1")
    assert not own_address("127.0.0.2")
    assert not own_address("198.51.100.1")


async def test_a_meter_that_takes_too_long_is_told_as_open() -> None:
    async with standing(meter_settings("wrapper"), Quirks(latency_s=(0.3, 0.3)), host="127.0.0.31") as meter:
        (spot,) = await scanned(["127.0.0.31"], [meter.address[1]], replace(SOON, answer_s=2.0, tail_s=2.0, limit_s=0.8))
    assert "not finished within" in spot.detail


def test_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses(["10.0.0.0/30"]) == ["10.0.0.1", "10.0.0.2"]
    assert addresses(["10.0.0.9", "10.0.0.9/32", "fe80::1", "fe80::2%wlan1", "10.0.0.8/31"]) == ["10.0.0.9", "fe80::1", "fe80::2%wlan1", "10.0.0.8"]
    monkeypatch.setattr("edge.discovery.subnet.MOST", 256)
    assert len(addresses(["10.0.0.0/24"])) == 254
    for text, why in (("10.0.0.1/24", "the net is 10.0.0.0/24"), ("10.0.0.0/23", "more than 256 addresses"), ("x", "no address and no net"),
                      ("fe80::/64", "more than 256 addresses"), ("10.0.0.0/33", "no address and no net"), ("x%eth0", "no address")):
        with pytest.raises(ValueError, match=why):
            addresses([text])
    with pytest.raises(ValueError, match="more than 256"):
        addresses(["10.0.0.0/24", "10.1.0.0/24"])
