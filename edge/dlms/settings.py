"""What one association needs to know about its meter."""

from dataclasses import dataclass, field
from typing import Literal

from edge.dlms import hdlc
from edge.dlms.conformance import OFFERED
from edge.dlms.hdlc_parameters import DEFAULT_INFO_BYTES, SMALLEST_INFO_BYTES

LARGEST_INFO_BYTES = 2030      # what fits the 11-bit length field with addresses, control and checksums


@dataclass(frozen=True)
class AssociationSettings:
    """How to reach and speak to one meter. Raises ValueError for what cannot be written on the wire.

    `server_physical` and `address_bytes` are for HDLC. `first_invoke_id` (0..15) had better differ from one connection
    to the next, so that a late answer of the last one cannot be taken for one of this. After `link_repeat_s` of silence
    the HDLC layer repeats SNRM or polls the meter, `link_repeats` times at most, within the time-outs.
    `snrm_parameters` None proposes an information length only if it is not the standard's 128.
    """

    framing: Literal["wrapper", "hdlc"]
    client_sap: int
    server_logical: int
    server_physical: int | None = None
    address_bytes: Literal[1, 2, 4] = 1
    authentication: Literal["none", "lls"] = "none"
    password: bytes = field(default=b"", repr=False)
    max_pdu: int = 1024
    max_info_bytes: int = DEFAULT_INFO_BYTES
    association_timeout_s: float = 8.0
    exchange_timeout_s: float = 8.0
    conformance: int = OFFERED
    first_invoke_id: int = 1
    snrm_parameters: bool | None = None
    link_repeat_s: float = 3.0
    link_repeats: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.framing == "hdlc":
            hdlc.encode_address(self.client_sap)
            hdlc.encode_address(self.server_logical, self.server_physical, self.address_bytes)
        elif not (0 <= self.client_sap <= 0xFFFF and 0 <= self.server_logical <= 0xFFFF):
            raise ValueError(f"wrapper ports {self.client_sap} and {self.server_logical} must be 0..65535")
        if self.authentication == "lls" and not 0 < len(self.password) <= 64:
            raise ValueError("a low-level security password has 1 to 64 octets")
        if not 64 <= self.max_pdu <= 0xFFFF:
            raise ValueError(f"max_pdu {self.max_pdu} must be 64..65535")
        if not SMALLEST_INFO_BYTES <= self.max_info_bytes <= LARGEST_INFO_BYTES:
            raise ValueError(
                f"max_info_bytes {self.max_info_bytes} must be {SMALLEST_INFO_BYTES}..{LARGEST_INFO_BYTES}")
        if not 0 <= self.first_invoke_id <= 15:
            raise ValueError(f"first_invoke_id {self.first_invoke_id} must be 0..15")
        if min(self.association_timeout_s, self.exchange_timeout_s, self.link_repeat_s) <= 0 or self.link_repeats < 0:
            raise ValueError("time-outs must be positive and link_repeats not negative")
