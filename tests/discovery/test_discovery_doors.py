"""Which addresses are tried, in which order, and that trying them harms nobody."""

import pytest

from edge.discovery.doors import (
    DLMS_PORT,
    MOST_PHYSICAL,
    Door,
    Search,
    door_of,
    hdlc_doors,
    public_settings,
    stages,
    wrapper_doors,
)
from edge.discovery.greeting import Speaker, greeting
from edge.discovery.pace import Pace
from edge.dlms import hdlc
from edge.dlms.association import Association

USUAL = [(1, None, 1), (1, 17, 4), (1, 17, 2), (1, 16, 4), (1, 16, 2), (1, 1, 4), (1, 1, 2), (16, None, 1), (17, None, 1)]


def addresses(doors: list[Door]) -> list[tuple]:
    return [door[2:] for door in doors]


def test_the_public_client_comes_first_at_every_address() -> None:
    doors = hdlc_doors(Search())
    assert [door.client_sap for door in doors] == [16] * 9 + [1] * 9
    assert addresses(doors[:9]) == addresses(doors[9:]) == USUAL


def test_a_serial_number_comes_right_after_the_short_form() -> None:
    assert addresses(hdlc_doors(Search(serial="0001234")))[:2] == [(1, None, 1), (1, 1234, 4)]
    assert addresses(hdlc_doors(Search(serial="AB0017")))[:3] == [(1, None, 1), (1, 17, 4), (1, 17, 2)], "no address twice"
    for useless in ("0000", "12X4", "", "٣٣٣٣"):
        assert addresses(hdlc_doors(Search(serial=useless)))[:9] == USUAL


def test_told_lower_addresses_are_all_that_is_tried() -> None:
    assert addresses(hdlc_doors(Search(physical=(5, 200))))[:3] == [(1, 5, 4), (1, 5, 2), (1, 200, 4)]
    assert len(hdlc_doors(Search(physical=tuple(range(300, 10_000))))) == 2 * MOST_PHYSICAL


def test_a_large_logical_device_fits_only_the_long_form() -> None:
    assert {door.address_bytes for door in hdlc_doors(Search(logical=300))} == {4}
    assert wrapper_doors(Search(logical=300)) == [Door("wrapper", 16, 300)]


def test_the_port_tells_what_is_likelier() -> None:
    assert [stage[0].framing for stage in stages(Search(), DLMS_PORT)] == ["wrapper", "hdlc"]
    first, second, third = stages(Search(), 3333)
    assert (addresses(first), second[0].framing, len(third)) == (USUAL[:3], "wrapper", 15)
    assert [stage[0].framing for stage in stages(Search(physical=(9,)), 3333)] == ["hdlc", "wrapper"]
    assert [stage[0].framing for stage in stages(Search(framings=("hdlc",)), DLMS_PORT)] == ["hdlc"]
    assert sum(map(len, stages(Search(quick=True), 3333))) == 4


@pytest.mark.parametrize("door", hdlc_doors(Search()) + wrapper_doors(Search()), ids=str)
def test_every_door_can_be_written_and_read_back(door: Door) -> None:
    settings = public_settings(door, opening_s=1, exchange_s=1)
    assert (settings.authentication, settings.password) == ("none", b"")
    if door.framing == "hdlc":
        assert door_of(hdlc.encode_address(door.logical, door.physical, door.address_bytes), door.client_sap) == door
    assert str(door.client_sap) in str(door)


def test_what_the_wrapper_is_tried_with_holds_no_flag_of_hdlc() -> None:
    """It travels over a serial line where HDLC meters listen: no part of it may look like a frame."""
    for door in wrapper_doors(Search()):
        association = Association(public_settings(door, opening_s=1, exchange_s=1))
        association.open(0.0)
        assert hdlc.FLAG not in association.data_to_send()


def test_three_octets_are_no_address() -> None:
    assert door_of(bytes.fromhex("0212a5"), 16) is None


def test_a_scan_is_less_patient() -> None:
    assert Pace().quicker().tail_s < Pace().tail_s
    assert Pace(connect_s=1).quicker().connect_s == 1


@pytest.mark.parametrize(("octets", "speaker"), [
    (b"", Speaker.NOBODY), (b"\x7e\xa0\x07\x21\x03\x73\x1e\x4c\x7e", Speaker.NOBODY), (b"Port already in use\r\n", Speaker.BRIDGE),
    (b"Closing socket due to inactivity (30 sec)\r\nCLOSE\r\n", Speaker.BRIDGE), (b"SSH-2.0-OpenSSH_9.2p1\r\n", Speaker.STRANGER),
    (b"220 mail ready\r\n", Speaker.STRANGER), (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", Speaker.STRANGER),
    (b"login: ", Speaker.STRANGER), (bytes.fromhex("fffb01fffb03"), Speaker.TELNET), (b"\xff", Speaker.NOBODY),
])
def test_who_speaks_first(octets: bytes, speaker: Speaker) -> None:
    assert greeting(octets).speaker is speaker
