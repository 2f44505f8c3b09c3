"""How a simulated meter is reached: framing, addresses, sizes, time-outs, and the manners of its application layer."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from edge.demo.meter_manners import Manners
from edge.dlms import hdlc


@dataclass(slots=True)
class SignOn:
    """The text of IEC 62056-21 mode E before HDLC. `identification` as it follows the slash: maker, speed, name.

    `address`: the meter answers to it, and to a request without one. `parity`: seven bits and even parity, as on a real
    line; without, eight plain bits, as from a bridge that is set so. `confirms`: whether ACK 2 Z 2 is answered.
    """

    identification: bytes
    address: bytes = b""
    parity: bool = False
    confirms: bool = True
    mode_e: bool = True               # False: it knows text only, and answers with a readout

    def __post_init__(self) -> None:
        """ValueError when the identification is too short."""
        if len(self.identification) < 5:
            raise ValueError("an identification has a maker, a speed and a name")


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
    sign_on: SignOn | None = None         # HDLC only after it
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
