"""ACCESS on the simulated meter: GETs, SETs and ACTIONs in one request (sans-IO). IEC 62056-5-3, 6.10.

    D9 long-invoke-id date-time | specifications | data       ->   DA long-invoke-id date-time | 00 | data | results
"""

from edge.demo.meter_cosem import TEMPORARY_FAILURE, Selection
from edge.demo.meter_data import BadData, take, take_length, take_octets
from edge.demo.meter_get import SERVICE_UNKNOWN, Agreement
from edge.demo.meter_manners import Counters
from edge.demo.meter_model import MeterModel
from edge.demo.meter_objects import length

GET, SET, ACTION, GET_SELECTED = 1, 2, 3, 4
NULL_DATA = b"\x00"


def access(apdu: bytes, model: MeterModel, agreed: Agreement, counters: Counters, now: float) -> bytes:
    """Answer one ACCESS request; what cannot be read is an unknown service."""
    try:
        return _access(apdu, model, agreed, counters, now)
    except BadData:
        return SERVICE_UNKNOWN


def _access(apdu: bytes, model: MeterModel, agreed: Agreement, counters: Counters, now: float) -> bytes:
    number = apdu[1:5]
    _, place = take_octets(apdu, 5)                       # date-time: not looked at
    count, place = take_length(apdu, place)
    asked: list[tuple[int, bytes, Selection | None]] = []
    for _ in range(count):
        descriptor = apdu[place + 1:place + 10]
        if len(descriptor) < 9 or apdu[place] not in (GET, SET, ACTION, GET_SELECTED):
            raise BadData("a specification cut short, or of a kind this meter does not know")
        what, place, selection = apdu[place], place + 10, None
        if what == GET_SELECTED:
            selector = apdu[place:place + 1]
            parameters, place = take(apdu, place + 1)
            selection = Selection(selector[0], parameters)
        asked.append((what, descriptor, selection))
    given, place = take_length(apdu, place)
    if given != count:
        raise BadData("as many data as specifications")
    returned: list[bytes] = []
    results: list[bytes] = []
    for kind, descriptor, selection in asked:
        _, end = take(apdu, place)
        data, result = _one(kind, descriptor, selection, apdu[place:end], model, agreed, counters, now)
        returned.append(data)
        results.append(bytes((3 if kind == ACTION else 2 if kind == SET else 1, result)))
        place = end
    if place != len(apdu):
        raise BadData("octets after the end")
    return (b"\xda" + number + b"\x00\x00" + length(count) + b"".join(returned) + length(count) + b"".join(results))


def _one(kind: int, descriptor: bytes, selection: Selection | None, data: bytes, model: MeterModel, agreed: Agreement,
         counters: Counters, now: float) -> tuple[bytes, int]:
    """Carry out one specification: the data to return, and the result."""
    public = agreed.public
    if kind == SET:
        counters.sets += 1
        return NULL_DATA, model.write(descriptor, data, now, public=public)
    if kind == ACTION:
        counters.actions += 1
        outcome = model.act(descriptor, data, now, public=public)
        return outcome.returned or NULL_DATA, outcome.result
    counters.gets += 1
    counters.attributes += 1
    found = model.read(descriptor, now, public=public) if selection is None else model.select(
        descriptor, selection, now, public=public)
    if isinstance(found, bytes):
        return found, 0
    return NULL_DATA, found or TEMPORARY_FAILURE
