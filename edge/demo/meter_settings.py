"""How a simulated meter is reached: framing, addresses, sizes, time-outs, and the manners of its application layer."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from edge.demo.meter_manners import Manners
from edge.dlms import hdlc


@dataclass(slots=True)
class MeterSettings:
    """Fields may be changed while the meter runs. `server_physical` None: there is only the 1-byte HDLC address.

    `also_one_byte`: the meter answers the 1-byte form besides its full address, as the one Microstar in the field does.
    """

    framing: Literal["wrapper", "hdlc"] = "wrapper"
    server_logical: int = 1
    server_physical: int | None = None
    address_bytes: Literal[1, 2, 4] = 1
    also_one_byte: bool = False
    max_info_bytes: int = 128             # HDLC information field, both directions
    segment_spare_bytes: int = 0          # of the information field, left unused by segments (recorded meter: 3)
    mode_e: str = ""                      # an IEC 62056-21 identification: HDLC only after its sign-on
    inactivity_s: float | None = 180.0    # the meter drops association and link after so much silence
    manners: Manners = field(default_factory=Manners)

    @property
    def hdlc_addresses(self) -> frozenset[bytes]:
        """The address octets this meter answers to."""
        return _addresses(self.server_logical, self.server_physical, self.address_bytes, self.also_one_byte)


@lru_cache
def _addresses(logical: int, physical: int | None, size: int, also_one_byte: bool) -> frozenset[bytes]:  # noqa: FBT001 - a cache key
    forms = {hdlc.encode_address(logical, physical, size)}
    if also_one_byte:
        forms.add(hdlc.encode_address(logical))
    return frozenset(forms)
