"""Asks whoever answers at an address for one object: who it is (I/O edge).

As the public client, and nothing but that: a password of one meter sent to another counts as a wrong one there.
"""

from edge.discovery.contact import Dial
from edge.discovery.doors import Door, public_settings
from edge.dlms.cosem import Attribute
from edge.errors import MeterError, Refused, Unreachable
from edge.meters.reading import identity_text
from edge.poll.counter_object import PUBLIC_CLIENT
from edge.poll.session import MeterSession

UNTOLD = ""
"""A meter answers and does not tell."""


async def identify(dial: Dial, door: Door, at: Attribute, *, answer_s: float, settle_s: float = 0.0) -> str | None:
    """Return the identity told, UNTOLD, or None where no meter answers. Raises Unreachable where nothing listens.

    Cancelling leaves nothing open.
    """
    door = door._replace(client_sap=PUBLIC_CLIENT)
    session = MeterSession(dial, public_settings(door, opening_s=answer_s, exchange_s=answer_s), settle_s=settle_s)
    try:
        await session.open()
    except Unreachable:
        raise
    except Refused:
        return UNTOLD
    except MeterError:
        return None
    try:
        (result,) = await session.get([at])
    except MeterError:
        return UNTOLD
    finally:
        await session.close()
    return identity_text(result)
