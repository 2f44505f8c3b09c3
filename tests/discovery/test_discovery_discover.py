"""A whole discovery: what the public client is told, what a password adds, what a meter refuses, trips over or hides."""

import asyncio
from dataclasses import replace

import pytest
from discovery_bench import KEY, NAME, PASSWORD, QUICK, ciphered, hdlc, impostor, standing
from poll_bench import PROFILES, meter_settings
from serial_site import serial_line

from edge.demo.bridge import Quirks
from edge.demo.meter_furnish import Live
from edge.demo.meter_manners import MICROSTAR
from edge.demo.meter_objects import octets, sequence
from edge.demo.meter_tcp import SimulatedMeter
from edge.discovery.contact import Verdict
from edge.discovery.discover import Discovery, Entry, Place, discover, discover_registered
from edge.discovery.doors import Door, Search
from edge.discovery.objects import PROFILE, REGISTER
from edge.discovery.pace import Pace
from edge.dlms.ciphering import Protection
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.settings import AssociationSettings, Security
from edge.poll.counters import CounterDesk

WRAPPER = Search(framings=("wrapper",))
VOLTAGE = Attribute(3, Obis(1, 0, 32, 7, 0), 2)


class SapAssignment(Live):
    class_id = 17


async def found_at(meter: SimulatedMeter, entry: Entry | None = None, search: Search = WRAPPER, pace: Pace = QUICK,
                   notes: list[str] | None = None) -> Discovery:
    return await discover(Place(*meter.address), search, pace, list(PROFILES.values()), (notes if notes is not None else []).append, entry)


async def test_the_public_client_is_told_name_serial_objects_units_and_values() -> None:
    async with standing(meter_settings("wrapper")) as meter:
        meter.model.hold(bytes((1, 0, 32, 7, 0, 255)), 2301)
        notes: list[str] = []
        found = await found_at(meter, notes=notes)
        assert meter.counters.rejected == 0
    survey = found.survey
    assert survey is not None
    assert (survey.device_name, survey.serial, survey.complete, found.problems) == ("HGW1234567890", "1234567890", True, [])
    assert survey.listing is not None
    assert len(survey.listing.of_class(REGISTER)) == 11
    assert {str(each.obis) for each in survey.listing.of_class(PROFILE)} >= {"1-0:99.1.0.255", "0-0:99.98.0.255"}
    voltage = survey.registers[VOLTAGE]
    assert (voltage.scaler, voltage.unit, voltage.value, voltage.why) == (-1, 35, (2301, 0), "")
    assert [(fit.profile, fit.matched, fit.whole, fit.good) for fit in found.fits] == [
        ("generic-three-phase", 9, True, True), ("microstar", 0, False, False)]
    assert any("9 registers" in note for note in notes)


@pytest.mark.parametrize("max_pdu", [128, 1024])
async def test_a_long_object_list_comes_in_blocks(max_pdu: int) -> None:
    settings = hdlc(17, 4)
    settings.manners.max_pdu = max_pdu
    async with standing(settings) as meter:
        found = await found_at(meter, search=Search(framings=("hdlc",), physical=(17,)))
    assert found.survey is not None
    assert found.survey.listing is not None
    assert (len(found.survey.listing.objects), found.survey.listing.strange) == (34, 0)


async def test_the_type_is_told_by_its_objects_not_by_its_address() -> None:
    settings = meter_settings("microstar")
    settings.manners.conformance = MICROSTAR
    async with standing(settings, microstar=True) as meter:
        found = await found_at(meter, search=Search(framings=("hdlc",)))
    assert [(fit.profile, fit.matched) for fit in found.fits] == [("microstar", 9), ("generic-three-phase", 0)]
    assert found.fits[0].identity == "1234567890"
    assert found.survey is not None
    assert not found.survey.offers_list


async def test_logical_devices_of_the_sap_assignment() -> None:
    async with standing(meter_settings("wrapper")) as meter:
        devices = sequence([sequence([b"\x12\x00\x01", octets(b"HGW1234567890")], 2), sequence([b"\x12\x00\x11", octets(b"gas")], 2)], 1)
        meter.model.install(SapAssignment(bytes((0, 0, 41, 0, 0, 255)), lambda _now: devices))
        found = await found_at(meter)
    assert found.survey is not None
    assert found.survey.devices == ((1, "HGW1234567890"), (17, "gas"))


async def test_a_password_opens_what_the_public_client_may_not_see() -> None:
    settings = meter_settings("wrapper")
    settings.manners.public_reads = frozenset({NAME})
    async with standing(settings) as meter:
        found = await found_at(meter, Entry(PASSWORD, 1))
        assert (meter.counters.rejected, found.problems) == (0, [])
    assert (found.authentication, found.door and found.door.client_sap) == ("lls", 1)
    assert found.fits[0].whole


async def test_a_wrong_password_is_sent_once() -> None:
    settings = meter_settings("wrapper")
    settings.manners.lock_after = 2
    async with standing(settings) as meter:
        found = await found_at(meter, Entry(b"87654321", 1))
        assert meter.counters.rejected == 1
        assert (await found_at(meter, Entry(PASSWORD, 1))).authentication == "lls", "one wrong try has locked nothing"
    assert (found.authentication, found.found) == ("none", True)
    (problem,) = found.problems
    assert "the password is refused for client 1" in problem
    assert "sent once" in problem
    assert "87654321" not in repr(found) + problem
    assert found.survey is not None, "what the public client was told stands"


async def test_a_ciphered_meter_tells_the_public_client_its_name_only() -> None:
    settings = ciphered(meter_settings("wrapper"))
    settings.manners.list_stops_at_error = False
    async with standing(settings) as meter:
        found = await found_at(meter)
        assert meter.counters.security_faults == 0
    assert found.survey is not None
    assert (found.survey.device_name, found.survey.serial, found.survey.listing) == ("HGW1234567890", "", None)
    assert any("object list: read write denied" in note for note in found.survey.notes)
    assert [fit.good for fit in found.fits] == [False, False]
    assert "read write denied" in found.fits[0].against[0]


async def test_the_same_meter_as_it_is_registered_tells_everything() -> None:
    reserved: list[int] = []

    async def reserve(_scope: str, count: int, at_least: int) -> int:
        reserved.append(count)
        return at_least

    async with standing(ciphered(meter_settings("wrapper"))) as meter:
        security = Security(b"HGWCLI01", KEY, KEY, protection=Protection.BOTH)
        settings = AssociationSettings("wrapper", 1, 1, authentication="hls-gmac", security=security, conformance=0x40121D)
        found = await discover_registered(Place(*meter.address), settings, CounterDesk("m", "scope", reserve), QUICK,
                                          list(PROFILES.values()), lambda _line: None)
        assert meter.counters.security_faults == 0
    assert reserved
    assert found.fits[0].whole
    assert found.authentication == "hls-gmac"


async def test_a_meter_without_an_object_list_is_asked_for_what_the_types_have() -> None:
    settings = meter_settings("wrapper")
    async with standing(settings) as meter:
        registers = {meter.model.registers.obis(spec) for spec in meter.model.registers.specs}
        settings.manners.public_reads = frozenset({NAME, *registers})
        found = await found_at(meter)
    assert found.survey is not None
    assert found.survey.listing is None
    assert found.fits[0].whole
    assert found.fits[1].matched == 0


async def test_a_meter_that_hangs_up_over_questions_is_asked_a_few_more_times_and_no_more() -> None:
    async with standing(meter_settings("wrapper"), Quirks(after_requests=2, then="close")) as meter:
        found = await found_at(meter)
        assert meter.counters.associations <= 1 + 1 + 4
    assert found.survey is not None
    assert found.survey.device_name == "HGW1234567890"
    assert not found.survey.complete
    assert any("no more were asked" in note for note in found.survey.notes)


async def test_a_client_that_is_let_in_no_more_is_not_sent_again() -> None:
    """The password was right a moment ago; whatever the meter means, each try more may count as a wrong one."""
    settings = meter_settings("wrapper")
    notes: list[str] = []
    async with standing(settings) as meter:
        def heard(line: str) -> None:
            notes.append(line)
            if line == "reading the object list" and "with the password, client 1" in notes:
                settings.manners.passwords[1] = b"changed!"
                meter.drop_connections()

        found = await discover(Place(*meter.address), WRAPPER, QUICK, list(PROFILES.values()), heard, Entry(PASSWORD, 1))
        assert meter.counters.rejected == 1
    assert found.survey is not None
    assert found.problems == []


async def test_a_meter_that_falls_silent_over_a_question() -> None:
    async with standing(meter_settings("wrapper"), Quirks(after_requests=3, then="silent")) as meter:
        found = await found_at(meter, pace=replace(QUICK, quiet_s=0.3))
    assert found.survey is not None
    assert found.survey.device_name == "HGW1234567890"
    assert any("nothing more came for" in note for note in found.survey.notes)


async def test_a_slow_long_answer_is_not_taken_for_silence() -> None:
    """One byte at a time, longer than `quiet_s` in all: it goes on as long as something comes."""
    settings = meter_settings("wrapper")
    async with standing(settings, Quirks(chunk_bytes=64, chunk_gap_s=0.02)) as meter:
        began = asyncio.get_running_loop().time()
        found = await found_at(meter, pace=replace(QUICK, quiet_s=0.45))
        took_s = asyncio.get_running_loop().time() - began
    assert found.survey is not None
    assert found.survey.complete, (found.survey.notes, took_s)
    assert took_s > 0.45


async def test_the_time_limit_keeps_what_was_found() -> None:
    async with standing(meter_settings("wrapper"), Quirks(latency_s=(0.15, 0.15))) as meter:
        found = await found_at(meter, pace=replace(QUICK, limit_s=0.9))
    assert found.found
    assert found.problems == ["not finished within 0.9 s; --within gives it more"]
    assert found.survey is None or not found.survey.complete
    async with impostor() as other:
        nothing = await discover(Place(other.host, other.port), Search(), replace(QUICK, limit_s=0.3), [], lambda _line: None)
    assert (nothing.found, nothing.problems) == (False, ["not finished within 0.3 s; --within gives it more"])


async def test_a_meter_that_does_not_let_the_public_client_in() -> None:
    settings = hdlc(None, 1)
    del settings.manners.passwords[16]
    async with standing(settings) as meter:
        search = Search(framings=("hdlc",))
        found = await found_at(meter, search=search)
        assert (found.found, found.survey) == (True, None)
        assert "association refused" in found.problems[0]
        found = await found_at(meter, Entry(PASSWORD, 1), search=search)
        assert found.fits[0].whole


async def test_only_the_management_client_is_answered() -> None:
    """A meter that has no public client meets its SNRM with silence: the address is found by the other client's."""
    async with standing(hdlc(None, 1)) as meter:
        found = await found_at(meter, search=Search(framings=("hdlc",), client_sap=1), pace=QUICK)
    assert "the public client (16) is not answered" in found.problems[0]


async def test_two_discoveries_never_overlap_connections() -> None:
    async with impostor() as other:
        found = await discover(Place(other.host, other.port), Search(quick=True), replace(QUICK, answer_s=0.05, tail_s=0.05), [], lambda _line: None)
        assert other.most_at_once == 1
    assert found.contact is not None
    assert found.contact.verdict is Verdict.SILENT


async def test_a_meter_on_a_serial_line_of_this_board() -> None:
    notes: list[str] = []
    with serial_line((17,)) as (_line, (row,)):
        found = await discover(Place(row.host, 0), Search(), QUICK, list(PROFILES.values()), notes.append)
    assert found.door == Door("hdlc", 16, 1, 17, 4)
    assert found.fits[0].whole
    assert not any("wrapper" in note for note in notes)
