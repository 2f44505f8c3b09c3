"""Values move as on a real network, repeat from their seed, and stand in their registers with the right scaler."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import meter_objects as objects
from edge.demo.meter_model import MeterModel, key
from edge.demo.meter_physics import Supply, SupplyData
from edge.demo.meter_zone import STANDARD, Zone, read_date_time
from edge.dlms import axdr
from edge.dlms.data import AxdrValue

START = SupplyData().started_at
moments = st.floats(min_value=START, max_value=START + 3e8)


@given(seed=st.integers(0, 2**32), now=moments)
@settings(max_examples=200)
def test_values_are_plausible(seed: int, now: float) -> None:
    supply = Supply(seed)
    snapshot = supply.at(now)
    assert all(0.97 * 230 < volts < 1.03 * 230 for volts in snapshot.voltage_v)
    assert 49.9 < snapshot.frequency_hz < 50.1
    assert 0 < snapshot.active_power_w < 2 * supply.data.mean_power_w
    apparent = sum(volts * amps for volts, amps in zip(snapshot.voltage_v, snapshot.current_a, strict=True))
    assert math.isclose(apparent * supply.data.power_factor, snapshot.active_power_w, rel_tol=1e-9)


@given(seed=st.integers(0, 2**32), now=moments, step=st.floats(min_value=0.0, max_value=1e6))
def test_energy_is_the_integral_of_power_and_never_falls(seed: int, now: float, step: float) -> None:
    supply = Supply(seed)
    gained = supply.energy_wh(now + step) - supply.energy_wh(now)
    least, most = 0.25 * supply.data.mean_power_w, 1.75 * supply.data.mean_power_w
    assert least * step / 3600 - 0.01 <= gained <= most * step / 3600 + 0.01


def test_energy_agrees_with_a_sum_over_power() -> None:
    supply = Supply(11)
    summed = sum(supply.power_w(START + second + 0.5) for second in range(7200)) / 3600
    assert math.isclose(supply.energy_wh(START + 7200) - supply.energy_wh(START), summed, rel_tol=1e-6)


def test_same_seed_same_meter_other_seed_other_values() -> None:
    same = [MeterModel(serial="1", seed=7).raw_values(START + 100) for _ in range(2)]
    assert same[0] == same[1]
    assert MeterModel(serial="1", seed=8).raw_values(START + 100) != same[0]


def decoded(model: MeterModel, class_id: int, obis: bytes, attribute: int, now: float) -> AxdrValue:
    found = model.read(key(class_id, obis, attribute), now, public=False)
    assert isinstance(found, bytes)
    return axdr.decode(found)


def test_every_attribute_is_one_well_formed_value() -> None:
    for registers in (objects.GENERIC, objects.MICROSTAR):
        model = MeterModel(serial="1234567890", seed=7, registers=registers)
        listed = decoded(model, 15, objects.ASSOCIATION, 2, START)
        assert isinstance(listed, list)
        assert len(listed) == len({(item[0].value, item[2]) for item in listed}) >= 28
        for class_id, _, obis, (attributes, _) in listed:
            for number, _, _ in attributes:
                decoded(model, class_id.value, obis, number.value, START + 86_400)


def test_registers_show_their_measurand_in_steps_of_their_scaler() -> None:
    model = MeterModel(serial="1", seed=7, registers=objects.MICROSTAR, supply=SupplyData(nominal_v=127, nominal_hz=60))
    snapshot = model.supply.at(START + 50)
    raw = list(model.raw_values(START + 50.7).values())       # registers are renewed once a second
    assert math.isclose(raw[0] * 0.01, snapshot.voltage_v[0], abs_tol=0.01)
    assert math.isclose(raw[3] * 0.001, snapshot.current_a[0], abs_tol=0.001)
    assert math.isclose(raw[7] * 0.1, snapshot.active_power_w, abs_tol=0.1)
    assert raw[8] == int(snapshot.active_energy_wh)


@pytest.mark.parametrize("octets", ["090c270f0c1f05173b3b007fff00", "090c000101010100000000fe0c00", "090c270f0c1f05173b3b00000000"])
def test_a_clock_that_no_calendar_holds_is_refused(octets: str) -> None:
    model, clock = MeterModel(serial="1", seed=7), key(8, objects.CLOCK, 2)
    assert model.write(clock, bytes.fromhex(octets), START, public=False) == 12          # type-unmatched
    assert isinstance(model.read(clock, START + 86_400, public=True), bytes)


def test_clock_drifts_and_can_be_set() -> None:
    model = MeterModel(serial="1", seed=7, clock_drift_s=90.0)
    clock = key(8, objects.CLOCK, 2)
    shown = model.read(clock, START, public=True)
    assert isinstance(shown, bytes)
    assert read_date_time(shown[2:], Zone()) == START + 90
    right = STANDARD.encode(START, Zone())
    assert model.write(clock, right, START, public=True) == 3          # read-write-denied
    assert model.write(clock, right, START, public=False) == 0
    assert model.read(clock, START, public=True) == right
    assert model.write(clock, b"\x09\x0c" + b"\xff" * 12, START, public=False) == 12
    assert model.write(key(3, objects.GENERIC.obis(objects.GENERIC.specs[0]), 2), b"", START, public=False) == 12
