"""What one association needs to know about its meter."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from edge.dlms import hdlc
from edge.dlms.ciphering import TITLE_BYTES, Protection, check_keys
from edge.dlms.conformance import OFFERED
from edge.dlms.hdlc_parameters import DEFAULT_INFO_BYTES, SMALLEST_INFO_BYTES
from edge.dlms.hls import CHALLENGE_BYTES, HLS, WITH_SECRET

Authentication = Literal["none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"]
Form = Literal["general-glo", "glo", "general-ded", "ded"]
SECRET_BYTES = 64              # longest password or secret; what the registry keeps and one BER length octet carries

LARGEST_INFO_BYTES = 2030      # what fits the 11-bit length field with addresses, control and checksums


@dataclass(frozen=True)
class Security:
    """Keys, titles and how APDUs are protected. Raises ValueError, without any key in its text.

    `protection` NONE leaves APDUs in clear: the keys are for hls-gmac alone. `form` says which ciphered APDUs are sent;
    any of them is understood. `meter_title` b"" takes what the meter tells. `dedicated_key` must be random and new for
    each association (the forms "ded" and "general-ded" need it).
    """

    client_title: bytes
    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(repr=False)
    suite: int = 0
    protection: Protection = Protection.BOTH
    form: Form = "general-glo"
    meter_title: bytes = b""
    dedicated_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        """Check lengths and that form and keys belong together."""
        check_keys(self.suite, self.encryption_key, self.authentication_key)
        if self.dedicated_key:
            check_keys(self.suite, self.dedicated_key)
        if len(self.client_title) != TITLE_BYTES or len(self.meter_title) not in (0, TITLE_BYTES):
            raise ValueError(f"a system title has {TITLE_BYTES} octets")
        if self.client_title == self.meter_title:
            raise ValueError("client and meter have the same system title")
        if self.wants_dedicated_key and self.dedicated_key == self.encryption_key:
            raise ValueError("the dedicated key must be another than the global one")

    @property
    def counter_scope(self) -> str:
        """What invocation counters must never repeat under: this key with this title, whichever meters share them.

        A digest, so that it can be stored without telling the key.
        """
        return hashlib.sha256(b"invocation counter\0" + self.client_title + self.encryption_key).hexdigest()

    @property
    def wants_dedicated_key(self) -> bool:
        """Tell whether each association needs a fresh dedicated key."""
        return bool(self.protection) and self.form in ("ded", "general-ded")


@dataclass(frozen=True)
class AssociationSettings:
    """How to reach and speak to one meter. Raises ValueError for what cannot be written on the wire.

    `server_physical` and `address_bytes` are for HDLC. `first_invoke_id` (0..15) had better differ from one connection
    to the next, so that a late answer of the last one cannot be taken for one of this. After `link_repeat_s` of silence
    the HDLC layer repeats SNRM or polls the meter, `link_repeats` times at most, within the time-outs.
    `snrm_parameters` None proposes an information length only if it is not the standard's 128. `password` is the LLS
    password or the HLS secret. `challenge` (CtoS, for HLS) must be random and new for each association.
    `gbt_window` (1..63) is how many blocks of a general block transfer may come in a row. `opening` "mode-e": a sign-on
    (`mode_e`) comes before the link, to `device_address` where it is not empty.
    """

    framing: Literal["wrapper", "hdlc"]
    client_sap: int
    server_logical: int
    server_physical: int | None = None
    address_bytes: Literal[1, 2, 4] = 1
    authentication: Authentication = "none"
    password: bytes = field(default=b"", repr=False)
    security: Security | None = None
    challenge: bytes = field(default=b"", repr=False)
    max_pdu: int = 1024
    max_info_bytes: int = DEFAULT_INFO_BYTES
    association_timeout_s: float = 8.0
    exchange_timeout_s: float = 8.0
    conformance: int = OFFERED
    first_invoke_id: int = 1
    snrm_parameters: bool | None = None
    link_repeat_s: float = 3.0
    link_repeats: int = 2
    gbt_window: int = 1
    opening: Literal["direct", "mode-e"] = "direct"
    device_address: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.framing == "hdlc":
            hdlc.encode_address(self.client_sap)
            hdlc.encode_address(self.server_logical, self.server_physical, self.address_bytes)
        elif not (0 <= self.client_sap <= 0xFFFF and 0 <= self.server_logical <= 0xFFFF):
            raise ValueError(f"wrapper ports {self.client_sap} and {self.server_logical} must be 0..65535")
        if self.opening == "mode-e" and self.framing != "hdlc":
            raise ValueError("a sign-on of mode E leads to HDLC, not to the TCP wrapper")
        self._check_authentication()
        if not 64 <= self.max_pdu <= 0xFFFF:
            raise ValueError(f"max_pdu {self.max_pdu} must be 64..65535")
        if not SMALLEST_INFO_BYTES <= self.max_info_bytes <= LARGEST_INFO_BYTES:
            raise ValueError(
                f"max_info_bytes {self.max_info_bytes} must be {SMALLEST_INFO_BYTES}..{LARGEST_INFO_BYTES}")
        if not 0 <= self.first_invoke_id <= 15 or not 1 <= self.gbt_window <= 63:
            raise ValueError(
                f"first_invoke_id {self.first_invoke_id} must be 0..15, gbt_window {self.gbt_window} 1..63")
        if min(self.association_timeout_s, self.exchange_timeout_s, self.link_repeat_s) <= 0 or self.link_repeats < 0:
            raise ValueError("time-outs must be positive and link_repeats not negative")

    @property
    def ciphered(self) -> bool:
        """Tell whether APDUs travel ciphered."""
        return self.security is not None and bool(self.security.protection)

    def _check_authentication(self) -> None:
        if self.authentication == "lls" and not 0 < len(self.password) <= SECRET_BYTES:
            raise ValueError(f"a low-level security password has 1 to {SECRET_BYTES} octets")
        if self.authentication in WITH_SECRET and not 0 < len(self.password) <= SECRET_BYTES:
            raise ValueError(f"the secret of {self.authentication} has 1 to {SECRET_BYTES} octets")
        if self.authentication in HLS and self.challenge and not (
                CHALLENGE_BYTES[0] <= len(self.challenge) <= CHALLENGE_BYTES[1]):
            raise ValueError(f"a challenge has {CHALLENGE_BYTES[0]} to {CHALLENGE_BYTES[1]} octets")
        if self.authentication == "hls-gmac" and self.security is None:
            raise ValueError("hls-gmac needs keys and system titles")
