"""GET on the simulated meter: normal, next block, with list; selective access in each (sans-IO). IEC 62056-5-3, 6.6.

What the standard leaves open follows the recorded independent meter (tests/captures).
"""

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import OBJECT_UNDEFINED, OTHER_REASON, READ_WRITE_DENIED, Selection
from edge.demo.meter_data import BadData, take
from edge.demo.meter_manners import (
    ATTRIBUTE_0_GET,
    BLOCK_GET,
    GENERAL_BLOCK_TRANSFER,
    MULTIPLE_REFERENCES,
    SELECTIVE,
    Counters,
    Manners,
)
from edge.demo.meter_model import MeterModel
from edge.demo.meter_profile import Rows

SERVICE_UNKNOWN = bytes((0xD8, 0x02, 0x02))        # service-unknown, service-not-supported
# Data-Access-Result
NO_LONG_GET, BLOCK_NUMBER_INVALID = 16, 19
BLOCK_HEADER_BYTES = 12    # tag, choice, invoke-id, last, number (4), result, length of up to three bytes


class Agreement:
    """What one association agreed on, as the services need it."""

    __slots__ = ("client_max_pdu", "conformance", "overhead_bytes", "public")

    def __init__(self) -> None:
        """Nothing agreed."""
        self.conformance = 0
        self.client_max_pdu = 0                    # 0: no limit
        self.public = True                         # came without authentication
        self.overhead_bytes = 0                    # what ciphering adds to an APDU

    def room(self) -> int:
        """The largest plain APDU the client can take; 0 for any."""
        return max(self.client_max_pdu - self.overhead_bytes, 32) if self.client_max_pdu else 0


class Getter:
    """GET for one association; it holds the blocks not fetched yet."""

    def __init__(self, model: MeterModel, manners: Manners, counters: Counters, agreement: Agreement) -> None:
        """The agreement is the association's, and changes with it."""
        self._model = model
        self._manners = manners
        self._counters = counters
        self._agreed = agreement
        self._blocks: list[bytes] = []
        self._block = 0

    def forget(self) -> None:
        """Drop the rest of a long answer."""
        self._blocks = []

    def get(self, apdu: bytes, now: float) -> bytes:
        """Answer one GET request (at least four octets)."""
        choice = apdu[1]
        if choice == 2 and len(apdu) == 7:
            return self._next_block(apdu)
        self._blocks = []
        try:
            if choice == 1:
                return self._normal(apdu, now)
            if choice == 3 and self._agreed.conformance & MULTIPLE_REFERENCES:
                return self._list(apdu, now)
        except BadData:
            pass                       # what cannot be read is an unknown service
        return SERVICE_UNKNOWN

    def _normal(self, apdu: bytes, now: float) -> bytes:
        result, end = self._one(apdu, 3, now)
        if end != len(apdu):
            raise BadData("octets after the descriptor")
        self._counters.gets += 1
        self._counters.attributes += 1
        if isinstance(result, int):
            return bytes((0xC4, 0x01, apdu[2], 0x01, result))
        return self._fit(apdu[2], bytes((0xC4, 0x01, apdu[2], 0x00)), result)

    def _one(self, apdu: bytes, place: int, now: float) -> tuple[bytes | int, int]:
        """Read the attribute whose descriptor stands at `place`; also where the next thing starts. Raises BadData."""
        descriptor, flag = apdu[place:place + 9], apdu[place + 9:place + 10]
        if flag not in (b"\x00", b"\x01"):
            raise BadData("a descriptor cut short")
        if flag == b"\x00":
            return self.read(descriptor, now), place + 10
        selector = apdu[place + 10:place + 11]
        parameters, end = take(apdu, place + 11)
        if not self._agreed.conformance & SELECTIVE:
            return OTHER_REASON, end
        return self._model.select(descriptor, Selection(selector[0], parameters), now, public=self._agreed.public), end

    def read(self, descriptor: bytes, now: float) -> bytes | int:
        """Read one attribute whole."""
        if descriptor[8] == 0 and not self._agreed.conformance & ATTRIBUTE_0_GET:
            return OBJECT_UNDEFINED
        readable = self._manners.public_reads
        if self._agreed.public and readable is not None and descriptor[2:8] not in readable:
            return READ_WRITE_DENIED
        return self._model.read(descriptor, now, public=self._agreed.public)

    def _list(self, apdu: bytes, now: float) -> bytes:
        count, place = apdu[3], 4
        if not 0 < count <= self._manners.list_limit:
            raise BadData("a longer list than this meter takes")
        results: list[bytes] = []
        refused = False
        for _ in range(count):
            result, place = self._one(apdu, place, now)
            if refused or isinstance(result, int):
                # The recorded meter names the first refusal 4 as well, whatever a single GET would say.
                refused = self._manners.list_stops_at_error
                code = OBJECT_UNDEFINED if refused or not isinstance(result, int) else result
                results.append(bytes((0x01, code)))
            else:
                results.append(b"\x00" + result)
        if place != len(apdu):
            raise BadData("octets after the list")
        self._counters.gets += 1
        self._counters.attributes += count
        return self._fit(apdu[2], bytes((0xC4, 0x03, apdu[2])), bytes((count,)) + b"".join(results))

    # -- blocks ----------------------------------------------------------------------------------------------------

    def _fit(self, invoke_id: int, header: bytes, data: bytes) -> bytes:
        """Send whole what the client can take, else the first of several blocks."""
        limit = self._agreed.room()
        if not limit or len(header) + len(data) <= limit or self._agreed.conformance & GENERAL_BLOCK_TRANSFER:
            return header + data
        if not self._agreed.conformance & BLOCK_GET:
            return bytes((0xC4, 0x01, invoke_id, 0x01, OTHER_REASON))
        size = max(limit - BLOCK_HEADER_BYTES, 1)
        if self._manners.whole_rows and isinstance(data, Rows):
            self._blocks = _by_rows(data, size)
        else:
            self._blocks = [data[start:start + size] for start in range(0, len(data), size)]
        self._block = 1
        return self._block_response(invoke_id)

    def _next_block(self, apdu: bytes) -> bytes:
        number = int.from_bytes(apdu[3:7], "big")
        if not self._blocks:
            return _block_refused(apdu[2], number, NO_LONG_GET)
        if number != self._block:
            self._blocks = []
            return _block_refused(apdu[2], number, BLOCK_NUMBER_INVALID)
        self._block += 1
        return self._block_response(apdu[2])

    def _block_response(self, invoke_id: int) -> bytes:
        last = self._block == len(self._blocks)
        raw = self._blocks[self._block - 1]
        number = self._block
        if number > 1 and self._manners.blocks != "right":
            number += 1 if self._manners.blocks == "skipped" else -1
        if last:
            self._blocks = []
        header = bytes((0xC4, 0x02, invoke_id, last)) + number.to_bytes(4, "big") + b"\x00"
        return header + objects.length(len(raw)) + raw


def _by_rows(rows: Rows, size: int) -> list[bytes]:
    """Cut so that no row is in two blocks, unless it is longer than one."""
    blocks: list[bytes] = []
    start = 0
    for end, following in zip(rows.ends, (*rows.ends[1:], None), strict=True):
        if following is None or following - start > size:
            blocks += [rows[place:min(place + size, end)] for place in range(start, end, size)]
            start = end
    return blocks


def _block_refused(invoke_id: int, number: int, result: int) -> bytes:
    return bytes((0xC4, 0x02, invoke_id, 0x01)) + number.to_bytes(4, "big") + bytes((0x01, result))
