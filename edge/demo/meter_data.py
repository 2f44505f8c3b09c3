"""Data as the simulated meter reads it: A-XDR into small trees, with bounds (pure, the meter's own decoder).

Encoders stand in `meter_objects`. Both are the simulator's own, so that no fault is shared with the client
under test. Encoding: IEC 62056-5-3, Data.
"""

from typing import NamedTuple

NULL, ARRAY, STRUCTURE, BOOLEAN, BIT_STRING, OCTETS, VISIBLE, UTF8 = 0x00, 0x01, 0x02, 0x03, 0x04, 0x09, 0x0A, 0x0C
UNSIGNED = {BOOLEAN: 1, 0x06: 4, 0x11: 1, 0x12: 2, 0x15: 8, 0x16: 1}
SIGNED = {0x05: 4, 0x0D: 1, 0x0F: 1, 0x10: 2, 0x14: 8}
OTHER = {0x17: 4, 0x18: 8, 0x19: 12, 0x1A: 5, 0x1B: 4}      # floats, date-time, date, time: kept as bytes
MAX_DEPTH = 8


class BadData(Exception):
    """These bytes are no Data; the meter answers with an error and goes on."""


class Item(NamedTuple):
    """One value. `value` is an int, bytes (strings, floats, dates), or for arrays and structures a list of items."""

    tag: int
    value: "int | bytes | list[Item] | None"

    def number(self) -> int:
        """The integer; BadData when it is something else."""
        if not isinstance(self.value, int):
            raise BadData(f"an integer was expected, not tag {self.tag:#04x}")
        return self.value

    def octets(self) -> bytes:
        """The string or date; BadData when it is something else."""
        if not isinstance(self.value, bytes):
            raise BadData(f"a string was expected, not tag {self.tag:#04x}")
        return self.value

    def items(self, count: int | None = None) -> "list[Item]":
        """The elements, `count` of them where given; BadData otherwise."""
        if not isinstance(self.value, list) or (count is not None and len(self.value) != count):
            raise BadData(f"a list of {count} was expected, not tag {self.tag:#04x}")
        return self.value


NOTHING = Item(NULL, None)


def take_length(data: bytes, place: int) -> tuple[int, int]:
    """Read an A-XDR length at `place`: (length, where the content starts). BadData when it is cut short."""
    if place >= len(data):
        raise BadData("cut short before a length")
    first = data[place]
    if first < 0x80:
        return first, place + 1
    size = first & 0x7F
    if not 1 <= size <= 4 or place + 1 + size > len(data):
        raise BadData("a length in an impossible form")
    return int.from_bytes(data[place + 1:place + 1 + size], "big"), place + 1 + size


def take_octets(data: bytes, place: int) -> tuple[bytes, int]:
    """Read a length and as many octets: (octets, where the next thing starts). BadData when there are fewer."""
    size, start = take_length(data, place)
    if start + size > len(data):
        raise BadData("cut short in a string")
    return data[start:start + size], start + size


def take(data: bytes, place: int = 0, depth: int = 0) -> tuple[Item, int]:
    """Read one Data at `place`: (item, where the next one starts). BadData for anything else."""
    if place >= len(data) or depth > MAX_DEPTH:
        raise BadData("cut short before a tag, or nested too deep")
    tag, start = data[place], place + 1
    if tag in (ARRAY, STRUCTURE):
        return _elements(data, tag, start, depth)
    if tag in (OCTETS, VISIBLE, UTF8):
        value, start = take_octets(data, start)
        return Item(tag, value), start
    if tag == BIT_STRING:
        bits, start = take_length(data, start)
        return _fixed(data, tag, start, (bits + 7) // 8)
    if tag in UNSIGNED or tag in SIGNED:
        item, start = _fixed(data, tag, start, UNSIGNED.get(tag) or SIGNED[tag])
        return Item(tag, int.from_bytes(item.octets(), "big", signed=tag in SIGNED)), start
    if tag in OTHER:
        return _fixed(data, tag, start, OTHER[tag])
    if tag != NULL:
        raise BadData(f"unknown tag {tag:#04x}")
    return NOTHING, start


def _elements(data: bytes, tag: int, start: int, depth: int) -> tuple[Item, int]:
    count, start = take_length(data, start)
    if count > len(data) - start:
        raise BadData("more elements than octets")
    elements = []
    for _ in range(count):
        element, start = take(data, start, depth + 1)
        elements.append(element)
    return Item(tag, elements), start


def whole(data: bytes) -> Item:
    """Read one Data that fills `data`. BadData otherwise."""
    item, end = take(data)
    if end != len(data):
        raise BadData("octets after the end")
    return item


def _fixed(data: bytes, tag: int, start: int, size: int) -> tuple[Item, int]:
    if start + size > len(data):
        raise BadData("cut short in a value")
    return Item(tag, data[start:start + size]), start + size
