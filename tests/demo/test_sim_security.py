"""A foreign client meets the simulated meter's security: every authentication, protection, form and suite; and what is refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gurux_client import GuruxReader
from gurux_dlms import GXDLMSException
from gurux_dlms.enums import Authentication, ObjectType, Security
from gurux_dlms.GXDLMSConfirmedServiceError import GXDLMSConfirmedServiceError
from gurux_dlms.GXDLMSExceptionResponse import GXDLMSExceptionResponse
from gurux_secure import KEYS, TITLE, Access, SecureReader

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import EVERYTHING, Manners, Secured
from edge.demo.meter_manners import AUTHENTICATED, ENCRYPTED
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter

NOW = 1_772_368_205.0           # 2026-03-01 12:30:05 UTC
CODES = [".".join(str(group) for group in objects.GENERIC.obis(spec)) for spec in objects.GENERIC.specs]
REFUSALS = (GXDLMSException, GXDLMSExceptionResponse, GXDLMSConfirmedServiceError, ValueError, ConnectionError, TimeoutError)
BOTH = Security.AUTHENTICATION_ENCRYPTION
HLS = {3: Authentication.HIGH_MD5, 4: Authentication.HIGH_SHA1, 5: Authentication.HIGH_GMAC, 6: Authentication.HIGH_SHA256}


def secured(mechanism: int = 5, suite: int | None = 0, **more: Any) -> Secured:
    keys = {} if suite is None else dict(zip(("encryption_key", "authentication_key"), KEYS[suite], strict=True))
    return Secured(mechanism, Access().secret, suite, **keys, **more)


def new_meter(client: Secured, *, framing: str = "wrapper", conformance: int = EVERYTHING, now: float = NOW) -> SimulatedMeter:
    manners = Manners(passwords={16: None}, secured={3: client}, conformance=conformance)
    return SimulatedMeter("m", MeterModel(serial="0000123456", seed=3), MeterSettings(framing=framing, manners=manners),
                          now=lambda: now)


async def meet(meter: SimulatedMeter, access: Access, work: Callable[[SecureReader], None], *, max_pdu: int = 1024,
               client_sap: int = 3) -> None:
    """Run `work` with an associated foreign reader in a thread."""
    host, port = await meter.start()

    def run() -> None:
        reader = SecureReader(host, port, meter.settings.framing, access, max_pdu=max_pdu, client_sap=client_sap)
        try:
            reader.connect()
            work(reader)
        finally:
            reader.close()

    try:
        await asyncio.to_thread(run)
    finally:
        await meter.close()


def reads_all(meter: SimulatedMeter) -> Callable[[SecureReader], None]:
    """Registers one by one and as a list, scalers, a long value: all as the meter holds them."""
    expected = list(meter.model.raw_values(NOW).values())

    def work(reader: SecureReader) -> None:
        assert reader.read_values(CODES) == expected
        assert reader.read_scalers(CODES) == [(spec.scaler, spec.unit) for spec in objects.GENERIC.specs]
        assert reader.read_list(CODES) == expected
        assert reader.raw(ObjectType.DATA, "0.0.96.50.1.255", 2) == b"x" * 300
    return work


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("mechanism", [3, 4, 6])
async def test_high_level_security_without_ciphering(mechanism: int, framing: str) -> None:
    meter = new_meter(secured(mechanism, None), framing=framing)
    await meet(meter, Access(HLS[mechanism]), reads_all(meter))
    assert (meter.counters.associations, meter.counters.rejected) == (1, 0)


async def test_gmac_without_ciphering() -> None:
    meter = new_meter(secured())
    await meet(meter, Access(HLS[5]), reads_all(meter))
    assert meter.counters.associations == 1


@pytest.mark.parametrize("suite", [0, 1, 2])
@pytest.mark.parametrize("protection", [Security.AUTHENTICATION, Security.ENCRYPTION, BOTH], ids=["auth", "enc", "both"])
@pytest.mark.parametrize("form", ["general", "service"])
async def test_every_protection_form_and_suite(form: Any, protection: Security, suite: int) -> None:
    meter = new_meter(secured(5, suite))
    access = Access(HLS[5], protection, suite, form)
    await meet(meter, access, reads_all(meter))
    assert (meter.counters.associations, meter.counters.security_faults) == (1, 0)


@pytest.mark.parametrize(("form", "protection", "suite"), [
    ("general", BOTH, 0), ("service", BOTH, 1), ("general", Security.AUTHENTICATION, 2), ("service", Security.ENCRYPTION, 0)])
async def test_ciphering_over_hdlc(form: Any, protection: Security, suite: int) -> None:
    meter = new_meter(secured(5, suite), framing="hdlc")
    await meet(meter, Access(HLS[5], protection, suite, form), reads_all(meter))
    assert (meter.counters.associations, meter.counters.security_faults) == (1, 0)


@pytest.mark.parametrize("form", ["general", "service"])
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_dedicated_key(form: Any, framing: str) -> None:
    meter = new_meter(secured(), framing=framing)
    await meet(meter, Access(HLS[5], BOTH, form=form, dedicated_key=bytes(range(0x30, 0x40))), reads_all(meter))
    assert meter.counters.security_faults == 0
    assert meter.model.device.own_counters[3] <= 5, "answers used the dedicated key's counter"


@pytest.mark.parametrize("mechanism", [3, 4, 6])
async def test_ciphering_with_other_authentications(mechanism: int) -> None:
    meter = new_meter(secured(mechanism))
    await meet(meter, Access(HLS[mechanism], BOTH), reads_all(meter))
    assert meter.counters.associations == 1


@pytest.mark.parametrize("max_pdu", [128, 200, 1024])
async def test_ciphered_answers_in_blocks(max_pdu: int) -> None:
    meter = new_meter(secured(), conformance=EVERYTHING & ~0x200000)

    def work(reader: SecureReader) -> None:
        assert reader.raw(ObjectType.DATA, "0.0.96.50.1.255", 2) == b"x" * 300
        found = reader.object_list()
        assert (ObjectType.CLOCK, "0.0.1.0.0.255") in found
    await meet(meter, Access(HLS[5], BOTH), work, max_pdu=max_pdu)


# -- what is refused ---------------------------------------------------------------------------------------------------

async def refused(meter: SimulatedMeter, access: Access) -> None:
    with pytest.raises(Exception) as caught:
        await meet(meter, access, lambda reader: None)
    assert not isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("mechanism", [3, 4, 6])
async def test_a_wrong_secret_fails_in_pass_three(mechanism: int) -> None:
    meter = new_meter(secured(mechanism, None))
    await refused(meter, Access(HLS[mechanism], secret=b"another secret!!"))
    assert (meter.counters.associations, meter.counters.rejected) == (0, 1)


@pytest.mark.parametrize("mechanism", [3, 4, 5, 6])
async def test_a_meter_that_cannot_prove_itself_is_not_believed(mechanism: int) -> None:
    meter = new_meter(secured(mechanism, 0, wrong_proof=True))
    await refused(meter, Access(HLS[mechanism]))


async def test_wrong_keys_wrong_suite_wrong_mechanism() -> None:
    meter = new_meter(Secured(5, suite=0, encryption_key=bytes(16), authentication_key=KEYS[0][1]))
    await refused(meter, Access(HLS[5], BOTH))
    assert meter.counters.security_faults == 1
    await refused(new_meter(secured(5, 1)), Access(HLS[5], BOTH, 0))
    meter = new_meter(secured(6))
    await refused(meter, Access(HLS[5], BOTH))
    assert meter.counters.rejected == 1
    await refused(new_meter(secured(client_title=b"SOMEBODY")), Access(HLS[5], BOTH))


@pytest.mark.parametrize(("policy", "protection", "good"), [
    (AUTHENTICATED, Security.AUTHENTICATION, True), (AUTHENTICATED, BOTH, True), (AUTHENTICATED, Security.ENCRYPTION, False),
    (ENCRYPTED, Security.ENCRYPTION, True), (ENCRYPTED, Security.AUTHENTICATION, False), (ENCRYPTED, Security.NONE, False),
    (AUTHENTICATED | ENCRYPTED, BOTH, True), (AUTHENTICATED | ENCRYPTED, Security.AUTHENTICATION, False)])
async def test_policy_is_the_least_protection(policy: int, protection: Security, good: bool) -> None:
    meter = new_meter(secured(policy=policy))
    if good:
        await meet(meter, Access(HLS[5], protection), reads_all(meter))
    else:
        await refused(meter, Access(HLS[5], protection))
        assert meter.counters.associations == 0


async def test_a_counter_used_before_is_refused_and_the_next_one_is_told() -> None:
    meter = new_meter(secured())
    await meet(meter, Access(HLS[5], BOTH, counter=500), lambda reader: None)
    used = meter.model.device.client_counters[3]
    assert used >= 502
    with pytest.raises(GXDLMSExceptionResponse) as caught:
        await meet(meter, Access(HLS[5], BOTH, counter=10), lambda reader: None)
    assert caught.value.serviceErrorValue == used + 1
    await meet(meter, Access(HLS[5], BOTH, counter=used + 1), reads_all(meter))


@pytest.mark.parametrize(("manner", "error"), [("untold", 5), ("silent", None)])
async def test_a_counter_used_before_need_not_be_told(manner: Any, error: int | None) -> None:
    meter = new_meter(secured(counter_fault=manner))
    await meet(meter, Access(HLS[5], BOTH, counter=500), lambda reader: None)
    with pytest.raises(TimeoutError if error is None else GXDLMSExceptionResponse) as caught:
        await meet(meter, Access(HLS[5], BOTH, counter=10, timeout_s=0.3), lambda reader: None)
    if error is not None:
        assert caught.value.exceptionServiceError == error


@pytest.mark.parametrize("shows_last", [False, True])
async def test_counter_object_is_there_for_the_public_client(shows_last: bool) -> None:
    meter = new_meter(secured())
    meter.model.device.fittings.counter_shows_last = shows_last
    await meet(meter, Access(HLS[5], BOTH, counter=700), lambda reader: None)
    used = meter.model.device.client_counters[3]
    host, port = await meter.start()

    def run() -> int:
        with GuruxReader(host, port, "wrapper", 16) as reader:
            return reader.raw(ObjectType.DATA, "0.0.43.1.0.255", 2)
    assert await asyncio.to_thread(run) == (used if shows_last else used + 1)
    await meter.close()


@pytest.mark.parametrize("fault", [
    {"answer_damaged": True}, {"answer_counter": "repeats"}, {"answer_protection": 0}, {"answer_protection": AUTHENTICATED},
    {"answer_form": "service"}], ids=str)
async def test_faulty_answers_are_as_asked_for(fault: dict[str, Any]) -> None:
    """What each switch does to the answer's bytes; a client has to notice."""
    from edge.demo.meter_security import Cipher, SecurityFault, seal, unseal

    client = secured(**fault)
    counters: dict[int, int] = {}
    cipher = Cipher(client, 3, b"METER001", TITLE, {}, counters)
    request = bytes((0xC0, 1, 0xC1, 0, 8)) + objects.CLOCK + b"\x02\x00"
    for counter in (5, 6):
        body = seal(*KEYS[0], TITLE, 0x30, counter, request)
        assert cipher.open(bytes((0xDB, 8)) + TITLE + bytes((len(body),)) + body) == request
        answer = cipher.seal(b"\xc4\x01\xc1\x00\x11\x05")
        if fault == {"answer_protection": 0}:
            assert answer == b"\xc4\x01\xc1\x00\x11\x05"
            continue
        assert answer[0] == (0xCC if "answer_form" in fault else 0xDB)
        sealed = answer[2:] if answer[0] == 0xCC else answer[11:]
        if "answer_damaged" in fault:
            with pytest.raises(SecurityFault):
                unseal(*KEYS[0], b"METER001", sealed)
            continue
        control, used, plain = unseal(*KEYS[0], b"METER001", sealed)
        assert plain == b"\xc4\x01\xc1\x00\x11\x05"
        assert control == (0x10 if "answer_protection" in fault else 0x30)
        assert used == (0 if "answer_counter" in fault else counter - 5)


def test_keys_must_fit_their_suite_and_stay_out_of_sight() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        Secured(5, suite=2, encryption_key=bytes(16), authentication_key=bytes(16))
    with pytest.raises(ValueError, match="GMAC needs keys"):
        Secured(5, suite=None)
    assert "highlevelsecret" not in repr(secured())
    assert repr(KEYS[0][0]) not in repr(Manners(secured={3: secured()}))
