"""Ciphered meters over TCP: counters reserved before use, raised where the meter asks, and what is refused."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from foreign_site import WireMeter, desk_of, served, session
from hypothesis import given, settings
from hypothesis import strategies as st
from poll_bench import GENERIC_PROFILE, QUICK, Sink

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.hls import WITH_SECRET
from edge.errors import (
    ConfigError,
    CounterTooLow,
    CounterUnavailable,
    FailReason,
    MeterError,
    NotGenuine,
    Refused,
    RegistryError,
)
from edge.health.promise import Promises
from edge.health.supervise import RestartPolicy
from edge.meters.profile import AssociationDefaults
from edge.model import Keys, Meter
from edge.poll.addressing import association_settings
from edge.poll.counter_object import read_counter
from edge.poll.counters import BLOCK, HIGHEST_CLAIM, LOW, CounterDesk, counter_desk
from edge.poll.fleet import Enrolled, Fleet
from edge.poll.transport import TcpTransport
from edge.store.registry import Registry

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
KEYS = Keys(EK, AK)
TITLE = b"HGWclnt1"
VOLTAGE = Attribute(3, Obis.parse("1-0:32.7.0"), 2)
ROW = Meter("m", "127.0.0.1", 1, framing="wrapper", client_sap=3, server_logical=1, authentication="hls-gmac", security="both",
            client_title=TITLE.hex())


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    with Registry.open(tmp_path / "registry.db") as opened:
        yield opened


def settings_of(**changes: Any) -> Any:
    return association_settings(replace(ROW, **changes), GENERIC_PROFILE, b"", PollSettings(), KEYS)


@pytest.mark.parametrize("form", ["general-glo", "glo", "general-ded", "ded"])
async def test_a_ciphered_meter_is_read_over_tcp(form: Any, registry: Registry) -> None:
    meter, settings = WireMeter(form=form), settings_of(ciphering=form)
    if "general" not in form:
        meter.answer = super(WireMeter, meter).answer      # its counters stand elsewhere
    async with served(meter) as port, session(port, settings, desk_of(settings, registry)) as link:
        results = await link.get([VOLTAGE] * 9)
        assert [result.data for result in results] == [2301] * 9
        assert not Conformance.GENERAL_PROTECTION & settings.conformance or form.startswith("general")
    assert sorted(meter.heard_counters) == list(range(len(meter.heard_counters)))


async def test_challenge_and_dedicated_key_are_new_for_each_association(registry: Registry) -> None:
    meter, settings = WireMeter(form="general-ded"), settings_of(ciphering="general-ded")
    seen = set()
    async with served(meter) as port:
        for _ in range(3):
            async with session(port, settings, desk_of(settings, registry)) as link:
                await link.get([VOLTAGE])
            seen.add((meter.client_challenge, meter.dedicated_key))
    assert len({challenge for challenge, _key in seen}) == len({key for _challenge, key in seen}) == 3


async def test_counters_are_on_flash_before_the_first_of_them_goes_out(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    scope = settings.security.counter_scope
    stored: list[int] = []

    def look(_message: bytes) -> None:
        stored.append(registry._connection.execute("SELECT next FROM counters WHERE scope = ?", (scope,)).fetchone()[0])

    meter.refuse = look
    async with served(meter) as port, session(port, settings, desk_of(settings, registry)) as link:
        for _ in range(BLOCK + 50):
            await link.get([VOLTAGE])
    assert all(next_free > used for used, next_free in zip(sorted(meter.heard_counters), stored, strict=False))
    assert set(stored) == {BLOCK, 2 * BLOCK}
    assert len(meter.heard_counters) == len(set(meter.heard_counters)) == BLOCK + 50 + 3


async def test_two_programs_with_one_key_never_use_a_number_twice(registry: Registry) -> None:
    """The gateway polls, a person reads the same meter by hand: the gateway is raised above, once, and goes on."""
    meter, settings = WireMeter(), settings_of()
    async with served(meter) as port:
        gateway = desk_of(settings, registry)
        async with session(port, settings, gateway) as link:
            await link.get([VOLTAGE])
        async with session(port, settings, desk_of(settings, registry)) as by_hand:
            await by_hand.get([VOLTAGE])
        assert meter.lowest > BLOCK
        async with session(port, settings, gateway) as link:
            await link.get([VOLTAGE])
    assert len(meter.heard_counters) == len(set(meter.heard_counters))


async def test_a_counter_refused_within_an_association_costs_one_failed_poll_that_may_be_tried_again(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    async with served(meter) as port, session(port, settings, desk_of(settings, registry)) as link:
        await link.get([VOLTAGE])
        meter.lowest = 70_000
        with pytest.raises(CounterTooLow) as caught:
            await link.get([VOLTAGE])
        assert caught.value.temporary
        assert not link.is_open
        await link.open()
        assert (await link.get([VOLTAGE]))[0].data == 2301
        assert meter.lowest > 70_000


async def test_resynchronised_from_the_meters_exception(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    meter.lowest = 1_000_000
    async with served(meter) as port, session(port, settings, desk_of(settings, registry)) as link:
        await link.get([VOLTAGE])
    assert min(meter.heard_counters) == 1_000_000
    assert registry.reserve_counters(settings.security.counter_scope, 1) == 1_000_000 + BLOCK


async def test_a_claim_that_would_use_the_counters_up_is_not_believed(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    meter, settings = WireMeter(), settings_of()
    meter.lowest = HIGHEST_CLAIM + 1
    async with served(meter) as port:
        with pytest.raises(CounterTooLow):
            await session(port, settings, desk_of(settings, registry)).open()
    assert "not believed" in caplog.text
    assert registry.reserve_counters(settings.security.counter_scope, 1) == BLOCK


async def test_a_meter_that_asks_for_more_each_time_is_not_followed_for_ever(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    asked: list[bytes] = []

    def always(message: bytes) -> bytes:
        asked.append(message)
        return b"\xd8\x01\x06" + (5_000 * len(asked)).to_bytes(4, "big")

    meter.refuse = always
    async with served(meter) as port:
        with pytest.raises(CounterTooLow):
            await session(port, settings, desk_of(settings, registry)).open()
    assert len(asked) == 2


async def test_nothing_is_sent_when_no_counter_can_be_reserved() -> None:
    async def reserve(_scope: str, _count: int, _at_least: int) -> int:
        raise RegistryError("registry.db: the disk is full; free some space, nothing was changed")

    meter, settings = WireMeter(), settings_of()
    async with served(meter) as port:
        with pytest.raises(CounterUnavailable, match=r"nothing is sent: registry\.db: the disk is full") as caught:
            await session(port, settings, CounterDesk("m", "s", reserve)).open()
    assert caught.value.reason is FailReason.INTERNAL
    assert meter.heard_counters == []


async def test_counter_object_is_read_as_the_public_client(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    meter.object_counter = 41_000
    async with served(meter) as port:
        lowest = await read_counter(lambda: TcpTransport.connect("127.0.0.1", port, timeout_s=2.0), settings, "0-0:43.1.0.255")
    assert lowest == 41_001


@pytest.mark.parametrize("answer", ["c401c1010b", "c401c10009024711", "c401c10010ffff", "c401c1001500000001ffffffff"])
async def test_a_counter_object_without_a_counter(answer: str, registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    meter.object_counter = 1
    served_by = meter.answer
    meter.answer = lambda message: (bytes.fromhex(answer[:4]) + message[2:3] + bytes.fromhex(answer[6:])
                                    if message[:1] == b"\xc0" else served_by(message))
    async with served(meter) as port:
        with pytest.raises(MeterError):
            await read_counter(lambda: TcpTransport.connect("127.0.0.1", port, timeout_s=2.0), settings, "0-0:43.1.0.255")


async def test_a_fleet_polls_a_ciphered_meter_and_asks_its_counter_object_first(registry: Registry) -> None:
    async def reserve(scope: str, count: int, at_least: int) -> int:
        return registry.reserve_counters(scope, count, at_least)

    async def keep(_name: str, _learned: Any) -> None:
        """Nothing is kept."""

    meter = WireMeter()
    meter.object_counter = 80_000
    meter.lowest = 80_001
    sink = Sink()
    fleet = Fleet({GENERIC_PROFILE.name: GENERIC_PROFILE}, settings=QUICK, sink=sink, on_learned=keep,
                  clock=SystemClock(trust_wall=True), promises=Promises(), rng=random.Random(1),
                  policy=RestartPolicy(vital=False, enabled=False), reserve=reserve)
    async with served(meter) as port, fleet:
        row = replace(ROW, port=port, interval_s=0.2, counter_obis="0-0:43.1.0.255", client_title="")
        change = await fleet.apply([Enrolled(row, b"", keys=KEYS, client_title=TITLE), Enrolled(replace(row, name="keyless"))])
        assert "keyless" in change.refused
        assert "set-key keyless encryption" in change.refused["keyless"]
        await sink.until(lambda records: len(records) >= 2)
        assert EK.hex() not in repr(fleet._running)
        assert repr(EK)[2:-1] not in repr(fleet._running)
    assert min(meter.heard_counters) == 80_001


# -- settings ---------------------------------------------------------------------------------------------------------------

def test_what_is_missing_is_named_and_never_shown() -> None:
    for changes, keys, text in (
        ({}, Keys(), "set-key m encryption"), ({}, Keys(EK), "set-key m authentication"),
        ({"security_suite": 2}, KEYS, "security suite 2 has keys of 32"),
        ({"authentication": "hls-sha1", "security": "none"}, Keys(), "hls-sha1 needs a secret"),
        ({"client_title": "" }, KEYS, "system title has 8 octets"),
        ({"meter_title": TITLE.hex()}, KEYS, "same system title"),
    ):
        with pytest.raises(ConfigError, match=text) as caught:
            association_settings(replace(ROW, **changes), GENERIC_PROFILE, b"", PollSettings(), keys)
        assert EK.hex() not in str(caught.value)
    with pytest.raises(ConfigError, match="no registry"):
        counter_desk("m", settings_of(), None)


def test_services_offered_follow_security_and_profile() -> None:
    assert settings_of(security="none").conformance == OFFERED
    assert settings_of().conformance == OFFERED | Conformance.GENERAL_PROTECTION
    assert settings_of(ciphering="glo").conformance == OFFERED
    assert settings_of(security="none", authentication="none").security is None
    told = GENERIC_PROFILE.quirks.__class__(general_blocks=True, gbt_window=5, attribute_0=True)
    profile = GENERIC_PROFILE.__class__(**{name: getattr(GENERIC_PROFILE, name) for name in GENERIC_PROFILE.__struct_fields__}
                                        | {"quirks": told, "association": AssociationDefaults(security="authenticated")})
    made = association_settings(replace(ROW, security=None), profile, b"", PollSettings(), KEYS)
    assert made.gbt_window == 5
    assert made.conformance == (OFFERED | Conformance.GENERAL_PROTECTION | Conformance.GENERAL_BLOCK_TRANSFER
                                | Conformance.ATTRIBUTE_0_GET)
    assert made.security is not None
    assert made.security.protection == 0x10


def test_every_secret_of_high_level_security_is_wanted() -> None:
    for name in WITH_SECRET:
        made = association_settings(replace(ROW, authentication=name, security="none"), GENERIC_PROFILE, b"s", PollSettings(), KEYS)
        assert (made.password, made.ciphered) == (b"s", False)


# -- the desk, without a meter --------------------------------------------------------------------------------------------------

@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, 2_000), st.just(-1), st.integers(-60_000, -2)), max_size=40))
def test_no_number_is_ever_used_twice_whatever_stops_in_between(steps: list[int]) -> None:
    """n: use so many; -1: the program dies and starts anew; below: the meter wants that many more."""
    import asyncio

    stored, used = 0, []

    async def reserve(_scope: str, count: int, at_least: int) -> int:
        nonlocal stored
        first = max(stored, at_least)
        stored = first + count
        return first

    async def history() -> None:
        desk = CounterDesk("m", "s", reserve)
        for step in steps:
            if step == -1:
                desk = CounterDesk("m", "s", reserve)
            elif step < 0:
                assert await desk.raise_to((used[-1] if used else 0) - step)
            else:
                for _ in range(step):
                    await desk.ensure()
                    assert desk.supply.left >= LOW
                    used.append(desk.supply.take())

    asyncio.run(history())
    assert used == sorted(set(used))
    assert not used or used[-1] < stored


async def test_a_list_that_is_refused_for_its_ciphering_says_nothing_about_lists(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    async with served(meter) as port:
        link = session(port, settings, desk_of(settings, registry))
        await link.open()
        meter.refuse = lambda _message: b"\xd8\x02\x05"
        with pytest.raises(Refused, match="deciphering error"):
            await link.get([VOLTAGE] * 9)
        assert link.lists.learned is None
        assert not link.is_open


async def test_a_wrong_key_rests_instead_of_knocking(registry: Registry) -> None:
    meter, settings = WireMeter(), settings_of()
    meter.refuse = lambda _message: b"\xd8\x01\x05"
    async with served(meter) as port:
        with pytest.raises(Refused, match="check keys") as caught:
            await session(port, settings, desk_of(settings, registry)).open()
    assert (caught.value.reason, caught.value.temporary) == (FailReason.SECURITY, False)
    meter = WireMeter(wrong_proof=True)
    async with served(meter) as port:
        with pytest.raises(NotGenuine):
            await session(port, settings, desk_of(settings, registry)).open()
