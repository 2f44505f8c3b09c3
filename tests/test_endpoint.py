"""Where a meter is: what may stand as its host, and what it means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.endpoint import (
    BAUDS,
    FORMATS,
    SerialLine,
    TcpAddress,
    endpoint,
    is_serial,
    normal_host,
    parse_serial,
    port_at,
    where,
)

devices = st.from_regex(r"/dev/[a-zA-Z0-9][A-Za-z0-9._:-]{0,20}(/[A-Za-z0-9][A-Za-z0-9._:-]{0,20}){0,2}", fullmatch=True)


def test_a_serial_line_is_a_device_and_its_settings() -> None:
    assert parse_serial("serial:/dev/ttyUSB0") == SerialLine("/dev/ttyUSB0", 9600, "8N1")
    assert parse_serial("serial:/dev/ttyS1?baud=300&format=8E1") == SerialLine("/dev/ttyS1", 300, "8E1")
    assert endpoint("10.0.0.1", 3333) == TcpAddress("10.0.0.1", 3333)
    assert (where("10.0.0.1", 3333), where("serial:/dev/ttyS1?baud=300", 0), where("serial:nonsense", 0)) == (
        "10.0.0.1:3333", "/dev/ttyS1", "serial:nonsense")
    assert (port_at("serial:/dev/ttyS1", 4059), port_at("10.0.0.1", 4059)) == (0, 4059)


@settings(deadline=None)
@given(devices, st.sampled_from(BAUDS), st.sampled_from(FORMATS), st.booleans())
def test_every_line_has_one_way_of_writing(device: str, baud: int, shape: str, reverse: bool) -> None:
    told = [f"baud={baud}", f"format={shape.lower()}"]
    host = f"SERIAL:{device}?{'&'.join(reversed(told) if reverse else told)}"
    normal = normal_host(host)
    assert parse_serial(normal) == parse_serial(host) == SerialLine(device, baud, shape)
    assert normal_host(normal) == normal
    assert len(normal) <= len(host)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_line_or_said_to_be_none(text: str) -> None:
    host = f"serial:{text}"
    assert is_serial(host)
    told = ""
    try:
        line = parse_serial(host)
    except ValueError as error:
        told = str(error)
    if told:
        assert "\n" not in told
        assert normal_host(host) == host
    else:
        assert line.device.startswith("/dev/")
        assert ".." not in line.device.split("/")


@pytest.mark.parametrize(("host", "what"), [
    ("serial:", "must be serial: and a device"),
    ("serial:ttyUSB0", "must be serial: and a device"),
    ("serial:/dev/../etc/shadow", "must be serial: and a device"),
    ("serial:/etc/shadow", "must be serial: and a device"),
    ("serial:/dev/ttyUSB0 ", "must be serial: and a device"),
    ("serial:/dev/ttyUSB0?baud=9601", "baud must be one of 300, "),
    ("serial:/dev/ttyUSB0?baud=", "baud must be one of 300, "),
    ("serial:/dev/ttyUSB0?format=7E1", "HDLC needs eight data bits"),
    ("serial:/dev/ttyUSB0?baud=300&baud=600", "once each"),
    ("serial:/dev/ttyUSB0?parity=even", "only baud=... and format=..."),
])
def test_what_is_wrong_is_said(host: str, what: str) -> None:
    with pytest.raises(ValueError, match=what.replace(".", r"\.")):
        parse_serial(host)
