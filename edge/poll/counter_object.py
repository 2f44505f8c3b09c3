"""Asks a meter for the invocation counter that it has last taken from us, where it keeps it for all to read.

Data objects 0-0:43.1.x.255 (IEC 62056-6-2, invocation counter objects), read as the public client: no authentication,
no ciphering, a connection of its own. What it tells is a claim, as the exception-response with a counter in it is.
"""

from dataclasses import replace

from edge.dlms.association import AssociationSettings
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.errors import FailReason, Refused, Violation
from edge.poll.conversation import Trace
from edge.poll.session import Connect, MeterSession

PUBLIC_CLIENT = 16
_DATA_CLASS, _VALUE = 1, 2


async def read_counter(connect: Connect, settings: AssociationSettings, obis: str, trace: Trace | None = None) -> int:
    """Return the lowest counter that the meter should take: one above what it tells. Raises MeterError.

    Cancelling leaves nothing open.
    """
    public = replace(settings, client_sap=PUBLIC_CLIENT, authentication="none", password=b"", security=None,
                     conformance=Conformance.GET)
    async with MeterSession(connect, public, trace=trace) as session:
        (result,) = await session.get([Attribute(_DATA_CLASS, Obis.parse(obis), _VALUE)])
    if result.error is not None:
        raise Refused(f"the meter does not tell its invocation counter at {obis}: {result.error.text}",
                      reason=FailReason.SECURITY)
    if not isinstance(result.data, int) or isinstance(result.data, bool) or not 0 <= result.data <= 0xFFFF_FFFF:
        raise Violation(f"the object {obis} holds no invocation counter")
    return int(result.data) + 1
