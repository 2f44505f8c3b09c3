"""COSEM values as an engineer reads and writes them: typed, exact, in plain data or on one line (pure).

    described(value)  {"type": "double-long-unsigned", "value": 5}, nested for arrays and structures: for JSON
    line(described)   double-long-unsigned 5: for a person
    written("u32:5")  the value back: TYPE:VALUE for what has one value, axdr:HEX for anything else
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from edge.dlms.axdr import AxdrValue, Float32, Integer, Utf8, decode
from edge.dlms.data import DONT_CARE, INTEGERS, BitString, CompactArray, Date, DateTime, Time
from edge.dlms.datetimes import ClockTime
from edge.errors import Violation
from edge.meters.exact import octets_as_text

CLOCK_OCTETS = 12
LINE_LIMIT = 200
"""Characters of a value on one line."""


def described(value: AxdrValue) -> dict[str, Any]:
    """Return a value as plain data that JSON can hold, with its type's name."""
    kind = "dont-care"
    plain: Any = None
    match value:
        case None:
            kind = "null-data"
        case bool():
            kind, plain = "boolean", value
        case Integer():
            kind, plain = value.name, int(value)
        case float():
            kind, plain = "float32" if isinstance(value, Float32) else "float64", _finite(value)
        case str():
            kind, plain = "utf8-string" if isinstance(value, Utf8) else "visible-string", value
        case bytes():
            return _octets(value)
        case list() | tuple():
            kind = "array" if isinstance(value, list) else "structure"
            plain = [described(each) for each in value]
        case BitString():
            kind, plain = "bit-string", bits(value)
        case CompactArray():
            kind, plain = "compact-array", [described(each) for each in value.items]
    return {"type": kind, "value": plain}


def line(told: Mapping[str, Any]) -> str:
    """Return a described value on one line, cut where it is long. Nothing in it steers a terminal."""
    text = "".join(char if char.isprintable() else "?" for char in _line(told))
    return text if len(text) <= LINE_LIMIT else text[:LINE_LIMIT - 1] + "…"


def discreet(value: AxdrValue) -> str:
    """Return what a log may say of a value that is written: numbers as they are, of all else only type and size.

    Passwords and keys travel as octet-strings and in structures.
    """
    told = described(value)
    if value is None or isinstance(value, bool | int | float):
        return _line(told)
    size = len(value) if isinstance(value, bytes) else len(told["value"] or ())
    return f"{told['type']} of {size}"


def bits(value: BitString) -> str:
    """Return a bit-string as 0 and 1, the first bit first."""
    return "".join(f"{octet:08b}" for octet in value.octets)[:value.length]


def written(text: str) -> AxdrValue:
    """Read TYPE:VALUE. ValueError says what is wrong, or which types there are."""
    kind, colon, rest = text.partition(":")
    reader = _READERS.get(kind.strip().lower())
    if reader is None or not (colon or kind == "null"):
        raise ValueError(f"{text[:40]!r}: write TYPE:VALUE; types are {', '.join(_READERS)}")
    try:
        return reader(rest)
    except (ValueError, Violation) as wrong:
        raise ValueError(f"{text[:40]!r}: {wrong}") from None


def _line(told: Mapping[str, Any]) -> str:
    kind, value = told["type"], told["value"]
    if isinstance(value, list):
        begin, end = "{}" if kind == "structure" else "[]"
        return f"{begin}{', '.join(map(_line, value))}{end}"
    extra = told.get("time") or told.get("text")
    shown = "" if value is None else f" {value if value != '' else '(empty)'}"
    return f"{kind}{shown}{f' ({extra})' if extra else ''}"


def _octets(value: bytes) -> dict[str, Any]:
    kinds = {DateTime: "date-time", Date: "date", Time: "time"}
    told: dict[str, Any] = {"type": kinds.get(type(value), "octet-string"), "value": value.hex()}
    text = octets_as_text(value)
    if text != value.hex():
        told["text"] = text
    elif len(value) == CLOCK_OCTETS:
        with contextlib.suppress(Violation):      # twelve octets of something else
            clock = ClockTime.parse(value)
            told |= {"time": clock.text()} if clock.local() is not None else {}
    return told


def _finite(value: float) -> float | str:
    return value if value - value == 0 else str(value)      # JSON knows no infinity


def _integer(tag: int) -> Callable[[str], AxdrValue]:
    return lambda text: Integer(tag, int(text.strip(), 0))


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _null(text: str) -> None:
    if text.strip():
        raise ValueError("null has no value")


def _hexadecimal(text: str) -> bytes:
    digits = re.sub(r"[\s:-]", "", text)
    if len(digits) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", digits):
        raise ValueError("pairs of hexadecimal digits are needed")
    return bytes.fromhex(digits)


def _moment(kind: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        octets = _hexadecimal(text)
        ClockTime.parse(octets)
        return kind(octets)
    return read


def _bit_string(text: str) -> BitString:
    digits = text.strip()
    if not re.fullmatch(r"[01]*", digits):
        raise ValueError("only 0 and 1")
    padded = digits.ljust(-(-len(digits) // 8) * 8, "0")
    return BitString(len(digits), bytes(int(padded[at:at + 8], 2) for at in range(0, len(padded), 8)))


_SHORT = {"i8": 15, "i16": 16, "i32": 5, "i64": 20, "u8": 17, "u16": 18, "u32": 6, "u64": 21, "enum": 22, "bcd": 13}
_READERS: dict[str, Callable[[str], AxdrValue]] = {
    "null": _null, "bool": _boolean, **{name: _integer(tag) for name, tag in _SHORT.items()},
    **{INTEGERS[tag].name: _integer(tag) for tag in _SHORT.values()},
    "float32": Float32, "float64": float, "octets": _hexadecimal, "text": str, "utf8": Utf8, "bits": _bit_string,
    "date-time": _moment(DateTime), "dont-care": lambda _: DONT_CARE, "axdr": lambda text: decode(_hexadecimal(text)),
}
