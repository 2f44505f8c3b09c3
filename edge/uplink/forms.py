"""Records of one schema as JSON, quickly (pure): what is the same for all of them is worked out once.

Nearly every record of a backlog is a row of whole numbers of moderate size. Their decimals come out of one division
each and the JSON out of one call, both in C. Whoever has anything else to say (text, a missing or a huge value, a time
in doubt) is left to who knows how to say everything, and gets the same bytes as ever.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import truediv
from typing import Any

import msgspec

from edge.model import Record

EXACT = 10**15
"""A whole number below it (15 digits) divided by a power of ten is the double nearest to the decimal, and its shortest
form has the decimal's own digits, without trailing zeros: nothing is lost on the way through a double."""

MAX_FAST_DECIMALS = 5      # more of them and small numbers get an exponent, which ThingsBoard may take for text
MAX_FAST_ZEROS = 3         # behind a number of 15 digits: it stays within 64 bits

Form = Callable[[Record], tuple[bytes, int]]
"""What makes a record `{"ts":ms,"values":{..}}`, and counts its values."""

_json = msgspec.json.Encoder().encode


class _Element(msgspec.Struct, gc=False):
    ts: int
    values: object


def form_of(keys: Sequence[str], scalers: Sequence[int], said: Mapping[str, object], otherwise: Form) -> Form:
    """Return the form of records with these columns, `said` of each before them.

    `otherwise` is the form of those that take more than this, or of all: keys that JSON would escape, and one that two
    columns share, are not for here.
    """
    names = (*said, *keys)
    plain = all(key.isprintable() and not set(key) & set('"\\') for key in names)
    moderate = all(-MAX_FAST_DECIMALS <= scaler <= MAX_FAST_ZEROS for scaler in scalers)
    if not keys or not plain or not moderate or len(set(names)) < len(names):
        return otherwise
    attributes = [f"_{at}" for at in range(len(names))]
    make: Callable[..., object] = msgspec.defstruct("Values", attributes, gc=False,
                                                    rename=dict(zip(attributes, names, strict=True)))
    before, columns, points = tuple(said.values()), len(keys), len(names)
    divisors = tuple(10 ** max(0, -scaler) for scaler in scalers)
    whole = tuple((column, len(said) + column, 10**scaler) for column, scaler in enumerate(scalers) if scaler >= 0)

    def form(record: Record) -> tuple[bytes, int]:
        stamp = record.stamp
        values: Any = record.values
        try:
            size = math.hypot(*values)      # no smaller than any of them, which are all numbers then
        except (TypeError, OverflowError):
            return otherwise(record)
        if size >= EXACT or len(values) != columns or not stamp.synchronised:
            return otherwise(record)
        told = [*before, *map(truediv, values, divisors)]
        for column, at, factor in whole:
            told[at] = values[column] * factor
        return _json(_Element(stamp.wall_ms, make(*told))), points

    return form
