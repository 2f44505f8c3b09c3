"""Object lists and logical devices as meters tell them: the recorded one, wrong ones, and any bytes at all."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.discovery.objects import MOST_OBJECTS, OBJECT_LIST, PROFILE, REGISTER, Listed, logical_devices, object_list
from edge.discovery.quantities import key_of, spelled, usual
from edge.dlms import axdr
from edge.dlms.axdr import Integer
from edge.dlms.cosem import Obis
from edge.dlms.get import GetExchange

CAPTURES = Path(__file__).parent.parent / "captures"


def u8(value: int) -> Integer:
    return Integer(17, value)


def u16(value: int) -> Integer:
    return Integer(18, value)


def entry(class_id: int, obis: str, rights: object = None) -> tuple:
    return (u16(class_id), u8(0), Obis.parse(obis).to_bytes(), rights)


def recorded_list() -> object:
    script = json.loads((CAPTURES / "wrapper_lls_object_list.json").read_text())
    expected = next(item for item in script["expected"] if item["kind"] == "object-list")
    invoke_id = bytes.fromhex(script["exchange"][expected["rx"][0]]["hex"])[10] & 0x0F
    exchange = GetExchange((OBJECT_LIST,), invoke_id)
    for index in expected["rx"]:
        exchange.receive(bytes.fromhex(script["exchange"][index]["hex"])[8:])
    return exchange.results[0].data


def test_the_recorded_list_in_blocks() -> None:
    found = object_list(recorded_list())
    assert found is not None
    assert found.strange == 0
    names = [(listed.class_id, listed.obis) for listed in found.objects]
    assert len(names) == len(set(names)), "that meter names its association twice"
    assert [str(listed.obis) for listed in found.of_class(PROFILE)] == ["1-0:99.1.0.255"]
    voltage = next(listed for listed in found.objects if listed.obis == Obis(1, 0, 32, 7, 0))
    assert voltage.class_id == REGISTER
    assert voltage.may_read(2)
    assert voltage.may_read(3)
    assert not voltage.may_read(9)


def test_rights_say_what_is_worth_asking() -> None:
    rights = ([(Integer(15, 1), Integer(22, 1), None), (Integer(15, 2), Integer(22, 3), None), (Integer(15, 3), Integer(22, 0), None),
               (Integer(15, 4), Integer(22, 2), None), (Integer(15, 5), Integer(22, 5), None)], [])
    found = object_list([entry(3, "1-0:1.8.0", rights), entry(3, "1-0:2.8.0"), entry(3, "1-0:3.8.0", ([(1,)], []))])
    assert found is not None
    first, second, third = found.objects
    assert first.readable == {1, 2, 5}
    assert second.readable is None
    assert third.readable is None
    assert third.may_read(2)


def test_what_does_not_fit_is_counted() -> None:
    found = object_list([entry(3, "1-0:1.8.0"), (u16(3), u8(0), b"short", None), (u16(0), u8(0), bytes(6), None), 7, None,
                         entry(3, "1-0:1.8.0"), (u16(3), u8(0), bytes(6))])
    assert found is not None
    assert (len(found.objects), found.strange) == (1, 5)
    for other in (None, 5, b"", (1, 2), "list"):
        assert object_list(other) is None


def test_a_list_without_end_is_cut() -> None:
    found = object_list([entry(3, "1-0:1.8.0")] * (MOST_OBJECTS + 10))
    assert found is not None
    assert (len(found.objects), found.strange) == (1, 10)


def test_logical_devices() -> None:
    assert logical_devices([(u16(1), b"HGW123"), (u16(17), "second"), (u16(18), b"\x01\xff"), (5, b"x"), 3, (u16(1),)]) == (
        (1, "HGW123"), (17, "second"), (18, "01ff"))
    assert logical_devices(None) == ()


values = st.recursive(
    st.none() | st.booleans() | st.binary(max_size=8) | st.text(max_size=4) | st.integers(0, 255).map(u8) | st.integers(0, 65535).map(u16),
    lambda inner: st.lists(inner, max_size=5) | st.lists(inner, max_size=5).map(tuple), max_leaves=30)


@given(values)
def test_whatever_a_meter_lists_gives_a_list_or_none(data: object) -> None:
    found = object_list(data)
    assert found is None or all(isinstance(listed, Listed) and len(listed.obis) == 6 for listed in found.objects)
    assert all(isinstance(name, str) for _, name in logical_devices(data))


@given(st.binary(max_size=60))
def test_whatever_bytes_decode_to_is_judged(octets: bytes) -> None:
    from edge.errors import Violation

    try:
        data = axdr.decode(octets)
    except Violation:
        return
    object_list(data)
    logical_devices(data)


def test_keys_of_standard_quantities() -> None:
    told = {"1-0:32.7.0": "voltage_l1", "1-1:72.7.0": "voltage_l3", "1-0:51.7.0": "current_l2", "1-0:14.7.0": "frequency",
            "1-0:1.7.0": "active_power", "1-0:1.8.0": "active_energy", "1-0:2.8.0": "active_energy_export", "1-0:3.8.0": "reactive_energy",
            "1-0:9.7.0": "apparent_power", "1-0:13.7.0": "power_factor", "1-0:21.7.0": "active_power_l1", "1-0:62.8.0": "active_energy_export_l3",
            "1-0:1.8.2": "active_energy_t2", "1-0:1.6.0": "", "0-0:1.8.0": "", "1-0:1.8.0.0": "", "1-0:99.1.0": "", "1-0:1.8.64": ""}
    assert {obis: key_of(Obis.parse(obis)) for obis in told} == told
    assert usual(Obis.parse("1-0:1.8.0"))
    assert not usual(Obis.parse("1-0:1.8.1"))
    assert spelled(Obis.parse("1-0:1.6.0")) == "obis_1_0_1_6_0"
    assert spelled(Obis.parse("1-0:1.8.0.3")) == "obis_1_0_1_8_0_3"


def test_no_two_quantities_share_a_key() -> None:
    keys = [key_of(Obis(1, 0, c, d, 0)) for c in range(256) for d in (7, 8)]
    told = [key for key in keys if key]
    assert len(told) == len(set(told))
