"""SET and ACTION on the simulated meter: normal, with list, in blocks, and lists in blocks (sans-IO).

A long request is gathered block by block; what is refused is said in the answer to its last block.
IEC 62056-5-3, 6.7 and 6.8.
"""

from dataclasses import dataclass, field

from edge.demo.meter_cosem import OTHER_REASON, Outcome
from edge.demo.meter_data import BadData, take, take_length, take_octets
from edge.demo.meter_get import BLOCK_NUMBER_INVALID, SERVICE_UNKNOWN, Agreement
from edge.demo.meter_manners import BLOCK_ACTION, BLOCK_SET, MULTIPLE_REFERENCES, Counters
from edge.demo.meter_model import MeterModel

LONG_REQUEST_BYTES = 1 << 16       # a longer request is dropped
LONG_SET_ABORTED, NO_LONG_SET = 17, 18
SET_TAG, ACTION_TAG = 0xC1, 0xC3


@dataclass(slots=True)
class Gathering:
    """A long request under way."""

    tag: int
    descriptors: list[bytes]
    listed: bool
    data: bytearray = field(default_factory=bytearray)
    blocks: int = 0


class Setter:
    """SET and ACTION for one association; it holds the long request under way."""

    def __init__(self, model: MeterModel, counters: Counters, agreement: Agreement) -> None:
        """The agreement is the association's, and changes with it."""
        self._model = model
        self._counters = counters
        self._agreed = agreement
        self._gathering: Gathering | None = None

    def forget(self) -> None:
        """Drop a long request."""
        self._gathering = None

    def serve(self, apdu: bytes, now: float) -> bytes:
        """Answer one SET or ACTION request."""
        try:
            return self._set(apdu, now) if apdu[0] == SET_TAG else self._action(apdu, now)
        except BadData:
            self._gathering = None
            return SERVICE_UNKNOWN

    # -- SET -------------------------------------------------------------------------------------------------------

    def _set(self, apdu: bytes, now: float) -> bytes:
        choice, invoke_id, conformance = apdu[1], apdu[2], self._agreed.conformance
        if choice == 1:
            descriptor, place = _descriptor(apdu, 3, selectable=True)
            return bytes((0xC5, 0x01, invoke_id, self._write(descriptor, apdu[place:], now)))
        if choice == 4 and conformance & MULTIPLE_REFERENCES:
            descriptors, place = _descriptors(apdu, 3, selectable=True)
            results = self._write_list(descriptors, apdu[place:], now)
            return bytes((0xC5, 0x05, invoke_id, len(results))) + bytes(results)
        if not conformance & BLOCK_SET:
            return SERVICE_UNKNOWN
        if choice in (2, 5):
            listed = choice == 5
            descriptors, place = _descriptors(apdu, 3, selectable=True) if listed else _first(apdu, selectable=True)
            self._gathering = Gathering(SET_TAG, descriptors, listed)
            return self._set_block(invoke_id, apdu[place:], now)
        return self._set_block(invoke_id, apdu[3:], now) if choice == 3 else SERVICE_UNKNOWN

    def _set_block(self, invoke_id: int, block: bytes, now: float) -> bytes:
        gathering = self._gathering
        number = block[1:5]
        if gathering is None or gathering.tag != SET_TAG:
            return bytes((0xC5, 0x03, invoke_id, NO_LONG_SET)) + number
        last = self._gather(gathering, block)
        if last is None:
            return bytes((0xC5, 0x03, invoke_id, BLOCK_NUMBER_INVALID)) + number
        if not last:
            return bytes((0xC5, 0x02, invoke_id)) + number
        self._gathering = None
        if not gathering.listed:
            result = self._write(gathering.descriptors[0], bytes(gathering.data), now)
            return bytes((0xC5, 0x03, invoke_id, result)) + number
        results = self._write_list(gathering.descriptors, bytes(gathering.data), now)
        return bytes((0xC5, 0x04, invoke_id, len(results))) + bytes(results) + number

    def _write(self, descriptor: bytes, value: bytes, now: float) -> int:
        self._counters.sets += 1
        return self._model.write(descriptor, value, now, public=self._agreed.public)

    def _write_list(self, descriptors: list[bytes], values: bytes, now: float) -> list[int]:
        count, place = take_length(values, 0)
        if count != len(descriptors):
            raise BadData("as many values as attributes")
        parts = []
        for _ in range(count):
            _, end = take(values, place)
            parts.append(values[place:end])
            place = end
        return [self._write(descriptor, part, now) for descriptor, part in zip(descriptors, parts, strict=True)]

    # -- ACTION ----------------------------------------------------------------------------------------------------

    def _action(self, apdu: bytes, now: float) -> bytes:
        choice, invoke_id, conformance = apdu[1], apdu[2], self._agreed.conformance
        if choice == 1:
            descriptor, place = _descriptor(apdu, 3, selectable=False)
            outcome = self._act(descriptor, apdu[place + 1:] if apdu[place:place + 1] == b"\x01" else b"", now)
            return bytes((0xC7, 0x01, invoke_id)) + _encoded(outcome)
        if choice == 3 and conformance & MULTIPLE_REFERENCES:
            descriptors, place = _descriptors(apdu, 3, selectable=False)
            return self._act_list(invoke_id, descriptors, apdu[place:], now)
        if not conformance & BLOCK_ACTION:
            return SERVICE_UNKNOWN
        if choice in (4, 5):
            listed = choice == 5
            descriptors, place = _descriptors(apdu, 3, selectable=False) if listed else _first(apdu, selectable=False)
            self._gathering = Gathering(ACTION_TAG, descriptors, listed)
            return self._action_block(invoke_id, apdu[place:], now)
        return self._action_block(invoke_id, apdu[3:], now) if choice == 6 else SERVICE_UNKNOWN

    def _action_block(self, invoke_id: int, block: bytes, now: float) -> bytes:
        gathering = self._gathering
        if gathering is None or gathering.tag != ACTION_TAG:
            return bytes((0xC7, 0x01, invoke_id, OTHER_REASON, 0x00))
        last = self._gather(gathering, block)
        if last is None:
            return bytes((0xC7, 0x01, invoke_id, LONG_SET_ABORTED, 0x00))
        if not last:
            return bytes((0xC7, 0x04, invoke_id)) + block[1:5]
        self._gathering = None
        if not gathering.listed:
            return bytes((0xC7, 0x01, invoke_id)) + _encoded(
                self._act(gathering.descriptors[0], bytes(gathering.data), now))
        return self._act_list(invoke_id, gathering.descriptors, bytes(gathering.data), now)

    def _act(self, descriptor: bytes, argument: bytes, now: float) -> Outcome:
        self._counters.actions += 1
        return self._model.act(descriptor, argument, now, public=self._agreed.public)

    def _act_list(self, invoke_id: int, descriptors: list[bytes], arguments: bytes, now: float) -> bytes:
        count, place = take_length(arguments, 0)
        if count != len(descriptors):
            raise BadData("as many parameters as methods")
        answers = b""
        for descriptor in descriptors:
            _, end = take(arguments, place)
            answers += _encoded(self._act(descriptor, arguments[place:end], now), listed=True)
            place = end
        return bytes((0xC7, 0x03, invoke_id, count)) + answers

    # -- blocks ----------------------------------------------------------------------------------------------------

    def _gather(self, gathering: Gathering, block: bytes) -> bool | None:
        """Take one block (last flag, number, raw data). True: that was all. None: out of order or too long; dropped."""
        if len(block) < 6:
            raise BadData("a block cut short")
        raw, end = take_octets(block, 5)
        if end != len(block):
            raise BadData("octets after a block")
        gathering.blocks += 1
        if int.from_bytes(block[1:5], "big") != gathering.blocks or len(gathering.data) + len(raw) > LONG_REQUEST_BYTES:
            self._gathering = None
            return None
        gathering.data += raw
        return block[0] != 0


def _descriptor(apdu: bytes, place: int, *, selectable: bool) -> tuple[bytes, int]:
    """Read one attribute or method descriptor; selective access in a SET is more than this meter does."""
    descriptor, end = apdu[place:place + 9], place + 9
    if len(descriptor) < 9 or (selectable and apdu[end:end + 1] != b"\x00"):
        raise BadData("a descriptor cut short, or with selective access")
    return descriptor, end + selectable


def _first(apdu: bytes, *, selectable: bool) -> tuple[list[bytes], int]:
    descriptor, place = _descriptor(apdu, 3, selectable=selectable)
    return [descriptor], place


def _descriptors(apdu: bytes, place: int, *, selectable: bool) -> tuple[list[bytes], int]:
    count, place = take_length(apdu, place)
    descriptors = []
    for _ in range(count):
        descriptor, place = _descriptor(apdu, place, selectable=selectable)
        descriptors.append(descriptor)
    return descriptors, place


def _encoded(outcome: Outcome, *, listed: bool = False) -> bytes:
    """Action-response: result, then return-parameters where there are any."""
    if outcome.returned:
        return bytes((outcome.result, 0x01, 0x00)) + outcome.returned
    # The recorded meter sends a refused method (4) without even the flag that says there are no return-parameters.
    return bytes((outcome.result,)) if outcome.result == 4 and not listed else bytes((outcome.result, 0x00))
