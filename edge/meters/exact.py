"""Raw A-XDR answers as what a record can hold: exact integers with a decimal scaler, or text (pure)."""

import math
import struct
import sys
from decimal import Decimal
from typing import Any, NamedTuple

from edge.dlms.axdr import Float32, Integer, Utf8
from edge.dlms.cosem import UNITS
from edge.dlms.data import INTEGERS

MAX_DIGITS = 17
"""Significant decimal digits after which every float64 is told from its neighbours (IEEE 754)."""

BCD = 13

PLAIN_NUMBERS = frozenset(tag for tag in INTEGERS if tag != BCD and tag < 28)
"""Tags of integers that are what they say: no packed digits, and no differences to an earlier element (28 to 33)."""

INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1
"""What a record keeps: msgpack's integers."""

LARGEST = int(sys.float_info.max)
MAX_EXPONENT = sys.float_info.max_10_exp
"""What any receiver of JSON can hold as a number; only a float with a large scaler on top is above."""


class Exact(NamedTuple):
    """A number as `raw * 10**shift`, or a text (`shift` 0)."""

    raw: int | str
    shift: int


def exact(data: Any) -> Exact | str:
    """Turn one decoded value into an exact one; a plain str says why that cannot be.

    A float becomes the shortest decimal number that reads back as the same float: 230.1 as float32 is 2301 * 10**-1,
    not 23010000610351562 * 10**-14.
    """
    match data:
        case Integer() if data.tag not in PLAIN_NUMBERS:
            return _packed_digits(int(data)) if data.tag == BCD else "a difference is no value"
        case Integer() | bool():
            return Exact(int(data), 0)
        case float():
            return _decimal(data)
        case str() | bytes():
            return Exact(octets_as_text(data) if isinstance(data, bytes) else _as_text(data), 0)
        case None:
            return "no value (null)"
    return f"a {type(data).__name__} is no single value"


def octets_as_text(data: bytes) -> str:
    """Return printable ASCII as it is, anything else in hexadecimal."""
    stripped = data.strip(b"\x00 ")
    if stripped and all(0x20 <= octet < 0x7F for octet in stripped):
        return stripped.decode("ascii")
    return data.hex()


def scaler_unit(data: Any) -> tuple[int, int] | None:
    """Read scaler_unit, a structure of integer and enum (IEC 62056-6-2, 4.3.2); None when it is something else."""
    match data:
        case (Integer() as scaler, Integer() as unit) if -128 <= scaler <= 127 and 0 <= unit <= 255:
            return int(scaler), int(unit)
    return None


def other_unit(code: int, unit: str) -> str:
    """Return "" where a COSEM unit code is the unit that a profile says, else what is wrong."""
    told = UNITS.get(code, f"code {code}")
    return "" if told == unit else f"unit {told or '(none)'} instead of {unit or '(none)'}"


def _as_text(data: str) -> str:
    """Return printable text as it is; what could break a line or steer a terminal in hexadecimal, as it travelled."""
    text = data.strip("\x00 ")
    if text.isprintable():
        return text
    return text.encode("utf-8" if isinstance(data, Utf8) else "latin-1", "replace").hex()


def _packed_digits(octet: int) -> Exact | str:
    high, low = divmod(octet, 16)
    return Exact(high * 10 + low, 0) if max(high, low) <= 9 else f"bcd {octet:02x} holds no two digits"


def rescaled(raw: int, scaler: int, to: int) -> int | None:
    """Write `raw * 10**scaler` with the scaler `to`; None where that is not exact or does not fit a record."""
    if scaler < to:
        return None
    value = raw * 10 ** min(scaler - to, 40)
    return value if scaler - to <= 40 and INT64_MIN <= value <= UINT64_MAX else None


def steady(fractions: dict[int, int], index: int, raw: int, scaler: int) -> tuple[int | None, int, str]:
    """Return a float's digits with the finest scaler it has needed, so that the schema does not change with each value.

    The third is "", or why the number cannot be kept. `fractions` keeps that scaler by column.
    """
    if scaler > 0 and abs(raw) * 10**scaler > LARGEST:
        return None, scaler, f"a number of more than {MAX_EXPONENT} digits"
    finest = min(scaler, fractions.get(index, scaler))
    written = rescaled(raw, scaler, finest)
    if written is None:
        return raw, scaler, ""
    fractions[index] = finest
    return written, finest, ""


def _decimal(number: float) -> Exact | str:
    if not math.isfinite(number):
        return f"{number} is no number"
    text = _shortest32(number) if isinstance(number, Float32) else repr(number)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    raw, shift = int(whole + fraction), int(exponent or 0) - len(fraction)
    while raw and raw % 10 == 0:
        raw, shift = raw // 10, shift + 1
    return Exact(raw, shift if raw else 0)


def _shortest32(number: float) -> str:
    wanted = struct.pack(">f", number)
    for digits in range(1, MAX_DIGITS):
        text = f"{number:.{digits}g}"
        try:
            if struct.pack(">f", float(text)) == wanted:
                return text
        except OverflowError:      # the largest float32 rounded up to fewer digits is none any more
            continue
    return repr(number)


def exact_text(raw: int, scaler: int) -> str:
    """Write `raw * 10**scaler` in full, without rounding and without an exponent."""
    return f"{Decimal(raw).scaleb(scaler):f}"
