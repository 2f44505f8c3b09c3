"""JSON that somebody else wrote (pure): whatever the bytes are, it is read or it is a ValueError."""

from typing import TypeVar

import msgspec

Kind = TypeVar("Kind")


def heard(payload: bytes, kind: type[Kind]) -> Kind:
    """Return what a payload says, as `kind`. Raises ValueError: no JSON, no UTF-8, another form, nested too deep."""
    try:
        return msgspec.json.decode(payload, type=kind)      # its errors are ValueErrors, those of UTF-8 too
    except RecursionError:
        raise ValueError("nested too deep") from None
