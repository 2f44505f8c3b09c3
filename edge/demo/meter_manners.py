"""How a simulated meter behaves to its clients: who may associate, what it offers, its faults on request."""

from dataclasses import dataclass, field
from typing import Literal

# Conformance bits (IEC 62056-5-3, Conformance; the 24 bits as one number)
GENERAL_PROTECTION, GENERAL_BLOCK_TRANSFER, ATTRIBUTE_0_GET = 0x400000, 0x200000, 0x002000
BLOCK_GET, BLOCK_SET, BLOCK_ACTION, MULTIPLE_REFERENCES = 0x001000, 0x000800, 0x000400, 0x000200
DATA_NOTIFICATION, ACCESS, GET, SET, SELECTIVE, EVENT_NOTIFICATION, ACTION = 0x80, 0x40, 0x10, 0x08, 0x04, 0x02, 0x01
WITH_LIST = 0x00121D       # block GET, multiple references, GET, SET, selective access, ACTION: the recorded meter
MICROSTAR = 0x00301D       # attribute-0 GET instead of multiple references
EVERYTHING = (WITH_LIST | GENERAL_PROTECTION | GENERAL_BLOCK_TRANSFER | ATTRIBUTE_0_GET | BLOCK_SET | BLOCK_ACTION
              | DATA_NOTIFICATION | ACCESS | EVENT_NOTIFICATION)

# Authentication mechanisms (IEC 62056-5-3, mechanism_id)
LOW, HLS_MD5, HLS_SHA1, HLS_GMAC, HLS_SHA256 = 1, 3, 4, 5, 6
KEY_BYTES = {0: 16, 1: 16, 2: 32}      # per security suite
AUTHENTICATED, ENCRYPTED = 0x10, 0x20  # bits of the security control octet


@dataclass(slots=True)
class Secured:
    """What the meter holds of one client SAP with high-level security.

    `suite` None: no ciphering, only the authentication (not possible with GMAC). `policy`: the bits that every request
    must carry at least. `client_title` empty: whoever has the keys. Keys are 16 octets, 32 with suite 2.
    """

    mechanism: Literal[3, 4, 5, 6] = 5
    secret: bytes = field(default=b"", repr=False)
    suite: Literal[0, 1, 2] | None = 0
    encryption_key: bytes = field(default=b"", repr=False)
    authentication_key: bytes = field(default=b"", repr=False)
    policy: int = 0
    client_title: bytes = b""
    challenges: list[bytes] = field(default_factory=list)  # to use first, in this order; after them new ones
    # faults on request
    answer_protection: int | None = None                   # security control of answers; None: as the request, 0: plain
    answer_form: Literal["same", "general", "service"] = "same"
    answer_counter: Literal["rises", "repeats"] = "rises"  # repeats: the meter uses its last counter again
    answer_damaged: bool = False                           # the authentication tag of answers is wrong
    counter_fault: Literal["told", "untold", "silent"] = "told"     # told: the exception names the next counter
    wrong_proof: bool = False                              # f(CtoS) is wrong: this is not the meter it says it is

    def __post_init__(self) -> None:
        """ValueError for keys that do not fit the suite."""
        if self.suite is None and self.mechanism == HLS_GMAC:
            raise ValueError("GMAC needs keys, and so a security suite")
        sizes = {len(self.encryption_key), len(self.authentication_key)}
        if self.suite is not None and sizes != {KEY_BYTES[self.suite]}:
            raise ValueError(f"suite {self.suite} takes keys of {KEY_BYTES[self.suite]} octets")


@dataclass(slots=True)
class Counters:
    """What one meter was asked, over all its clients and connections."""

    connections: int = 0
    refused_connections: int = 0
    associations: int = 0
    rejected: int = 0
    requests: int = 0
    gets: int = 0
    attributes: int = 0
    sets: int = 0
    actions: int = 0
    security_faults: int = 0             # requests refused for what protects them


@dataclass(slots=True)
class Manners:
    """How the application layer behaves; every field may be changed while the meter runs.

    `passwords`: client SAP -> password, None = no authentication for this SAP. `secured`: SAPs with high-level
    security. Busy bursts: of every `busy_every` requests the first `busy_length` are answered with `busy_answer`.
    """

    passwords: dict[int, bytes | None] = field(default_factory=lambda: {16: None, 1: b"00000000"}, repr=False)
    secured: dict[int, Secured] = field(default_factory=dict)
    system_title: bytes = b"HGW\x00\x00\x00\x00\x01"
    public_reads: frozenset[bytes] | None = None           # OBIS codes for a client without authentication; None: all
    conformance: int = WITH_LIST
    max_pdu: int = 1024
    announce_own_pdu: bool = False        # True: the AARE names `max_pdu` even if the client's is smaller (Microstar)
    list_limit: int = 64                  # more attributes in one list than this: exception-response
    list_stops_at_error: bool = True      # after the first refused item the rest is refused with 4, as recorded
    busy_every: int = 0
    busy_length: int = 0
    busy_answer: Literal["temporary-failure", "exception"] = "temporary-failure"
    whole_rows: bool = False              # no row of a profile is cut by a GET block, as recorded
    lock_after: int = 0                   # after so many wrong passwords in a row the SAP is refused for `lock_s`
    lock_s: float = 300.0
    gbt_window: int = 4                   # blocks that this meter takes without an acknowledgement
    # faults on request
    announce_no_limit: bool = False       # the AARE names a PDU size of 0, which means no limit
    long_aare: bool = False               # lengths in the AARE in two octets although one would do
    invoke_id: Literal["same", "other"] = "same"           # other: the answer names another request's id
    blocks: Literal["right", "skipped", "doubled"] = "right"     # numbers of GET blocks
    gbt_loses: set[int] = field(default_factory=set)       # general blocks by number that are lost once
    notify_before: bytes = b""            # an unsolicited APDU put before each answer
    refuse_release: bool = False          # RLRQ is met with an exception-response
    wrong_conformance: bool = False       # the AARE says yes to all that was proposed, and yet it is not there
