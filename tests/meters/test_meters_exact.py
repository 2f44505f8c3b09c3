"""Raw answers as exact numbers: nothing is rounded, nothing gains digits."""

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms.axdr import BitString, Float32, Integer
from edge.meters.exact import Exact, exact, rescaled


def float32(value: float) -> Float32:
    return Float32(struct.unpack(">f", struct.pack(">f", value))[0])


@pytest.mark.parametrize(("data", "expected"), [
    (Integer(6, 56_352), Exact(56_352, 0)),
    (Integer(5, -3), Exact(-3, 0)),
    (Integer(21, 2**64 - 1), Exact(2**64 - 1, 0)),
    (True, Exact(1, 0)),
    (float32(230.1), Exact(2301, -1)),             # 230.10000610351562 as float64
    (float32(59.97), Exact(5997, -2)),
    (float32(230.4), Exact(2304, -1)),
    (230.10000000000002, Exact(23010000000000002, -14)),
    (0.1, Exact(1, -1)),
    (1e22, Exact(1, 22)),
    (1500.0, Exact(15, 2)),
    (-0.0, Exact(0, 0)),
    (float32(3.4028235e38), Exact(34028235, 31)),  # the largest
    (float32(1e-45), Exact(1, -45)),               # the smallest
    (b"HGW1234\x00", Exact("HGW1234", 0)),
    (b"\x01\xff", Exact("01ff", 0)),
    ("1234 ", Exact("1234", 0)),
])
def test_worked_examples(data: object, expected: Exact) -> None:
    assert exact(data) == expected


@pytest.mark.parametrize("data", [None, math.nan, math.inf, -math.inf, [], (), (Integer(6, 1),), BitString(3, b"\xe0")])
def test_what_is_no_single_value_is_said(data: object) -> None:
    told = exact(data)
    assert isinstance(told, str)
    assert told


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float64_comes_back_from_its_exact_form(value: float) -> None:
    number = exact(value)
    assert isinstance(number, Exact)
    assert float(Decimal(int(number.raw)).scaleb(number.shift)) == value
    assert len(str(abs(int(number.raw)))) <= 17


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_comes_back_from_its_exact_form_with_at_most_nine_digits(value: float) -> None:
    number = exact(Float32(value))
    assert isinstance(number, Exact)
    assert struct.pack(">f", float(Decimal(int(number.raw)).scaleb(number.shift))) == struct.pack(">f", value + 0.0)
    assert len(str(abs(int(number.raw)))) <= 9


@given(raw=st.integers(-2**63, 2**64 - 1), scaler=st.integers(-50, 50), to=st.integers(-50, 50))
def test_rescaling_is_exact_or_refused(raw: int, scaler: int, to: int) -> None:
    written = rescaled(raw, scaler, to)
    if written is not None:
        assert Decimal(written).scaleb(to) == Decimal(raw).scaleb(scaler)
        assert -2**63 <= written < 2**64
    elif scaler >= to and scaler - to <= 40:
        assert not -2**63 <= raw * 10**(scaler - to) < 2**64
