"""What a recorded exchange brought, read from its frames: the `expected` part of a recording (pure).

Made by this project's own decoders: it holds them to what they said when the recording was made, and proves nothing
about them by itself. Whoever takes a recording into tests/captures compares it with what the meter shows.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edge.capture.cut import Frame, Message
from edge.capture.redact import AARE, AARQ, CHALLENGE, METER_TITLE, REPLY_TO_HLS, fields, inner
from edge.dlms import apdu as tags
from edge.dlms import hdlc
from edge.dlms.axdr import Integer, decode_length, encode
from edge.dlms.cosem import UNITS, Attribute, Obis
from edge.dlms.get import GetExchange, GetResult
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_link import Kind, kind_of
from edge.dlms.hdlc_parameters import LinkParameters
from edge.errors import MeterError

_INITIATE_RESPONSE = re.compile(rb"\x08(?:\x00|\x01.)\x06\x5f\x1f\x04\x00(.{3})(.{2})\x00\x07", re.DOTALL)
_RESULT, _DIAGNOSTIC = 0xA2, 0xA3
_SERVICES = {AARQ: "AARQ", AARE: "AARE", 0xC0: "GET request", 0xC4: "GET response", 0xC3: "ACTION request",
             0xC7: "ACTION response", 0xD8: "exception-response", 0x0E: "service error", 0x0F: "data-notification"}
COUNTER_EXCEPTION_BYTES = 7


class Told(NamedTuple):
    """A message, and its APDU under its seal; `initiate` is the initiate-response of an AARE in clear."""

    message: Message
    clear: bytes
    initiate: bytes = b""


def expected(frames: Sequence[Frame], told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return the results in order of time."""
    found = [*_links(frames), *_Answers().read(told)]
    return sorted(found, key=lambda item: item["rx"])


def note(frame: Frame, clear: bytes | None) -> str:
    """Name a frame for people; `clear` is the APDU that ends in it, under its seal; None where none does."""
    content = frame.content
    if isinstance(content, HdlcFrame):
        kind = kind_of(content.control)
        if kind is Kind.OTHER:
            return {hdlc.SNRM: "SNRM", hdlc.DISC: "DISC"}.get(content.control, "")
        if kind not in (Kind.I, Kind.UI):
            return str(kind.value)
    if clear is None:
        return "segment" if frame.repeats is None else "repetition"
    return _SERVICES.get(clear[0], f"APDU {clear[0]:02x}") if clear else "not understood"


def _links(frames: Sequence[Frame]) -> Iterator[dict[str, Any]]:
    """Yield what answered SNRM and DISC."""
    asked: dict[int, int] = {}
    for at, frame in enumerate(frames):
        content = frame.content
        if not isinstance(content, HdlcFrame):
            return
        if frame.sent and content.control in (hdlc.SNRM, hdlc.DISC):
            asked[frame.connection] = content.control
        elif not frame.sent and kind_of(content.control) in (Kind.UA, Kind.DM):
            question = asked.get(frame.connection)
            if question == hdlc.DISC:
                yield {"kind": "disconnect", "rx": [at], "control": f"{content.control:02x}"}
            elif question == hdlc.SNRM and content.information and kind_of(content.control) is Kind.UA:
                agreed = LinkParameters.decode(content.information)
                yield {"kind": "ua", "rx": [at], "parameters": {
                    "max_info_tx": agreed.max_info_transmit, "max_info_rx": agreed.max_info_receive}}


class _Answers:
    """Reads what answered requests; questions that were cut off have no answer."""

    def __init__(self) -> None:
        self._get: GetExchange | None = None
        self._rx: list[int] = []
        self._proves = False

    def read(self, told: Sequence[Told]) -> Iterator[dict[str, Any]]:
        for each in told:
            if not each.clear:
                continue
            if each.message.sent:
                self._asked(each.clear)
            elif each.clear[0] == AARE:
                yield _association(each)
            elif each.clear[0] == tags.EXCEPTION_RESPONSE:
                yield _exception(each)
            elif each.clear[0] == tags.ACTION_RESPONSE and self._proves:
                yield {"kind": "action", "rx": list(each.message.frames), "class": 15, "obis": "0.0.40.0.0.255",
                       "method": 1, "action_result": each.clear[3]}
            elif each.clear[0] == tags.GET_RESPONSE and self._get is not None:
                yield from self._got(self._get, each)

    def _asked(self, clear: bytes) -> None:
        self._proves = clear[:2] == b"\xc3\x01" and clear[3:12] == REPLY_TO_HLS
        if clear[0] == tags.GET_REQUEST and clear[1] != tags.BLOCK:
            asked = attributes(clear)
            self._get, self._rx = (GetExchange(asked, clear[2] & 0x0F) if asked else None), []

    def _got(self, get: GetExchange, each: Told) -> Iterator[dict[str, Any]]:
        self._rx += each.message.frames
        try:
            if get.receive(each.clear) is not None:
                return
        except MeterError:
            pass      # what the client made of it stands in the record of the poll
        else:
            yield _results(get.results, self._rx)
        self._get = None


def attributes(request: bytes) -> tuple[Attribute, ...]:
    """Read the attributes out of a GET request without selective access; () for any other."""
    if request[1] == tags.NORMAL:
        parts = [request[3:]]
    else:
        count, at = decode_length(request, 3)
        parts = [request[at + 10 * n:at + 10 * n + 10] for n in range(count)]
    if any(len(part) != 10 or part[9] for part in parts):
        return ()
    return tuple(Attribute(int.from_bytes(part[:2], "big"), Obis.from_bytes(part[2:8]), part[8]) for part in parts)


def _exception(each: Told) -> dict[str, Any]:
    told = {"kind": "exception", "rx": list(each.message.frames), "state_error": each.clear[1],
            "service_error": each.clear[2]}
    if len(each.clear) == COUNTER_EXCEPTION_BYTES:
        told["invocation_counter"] = int.from_bytes(each.clear[3:], "big")
    return told


def _association(each: Told) -> dict[str, Any]:
    aare = each.clear
    spans = fields(aare)
    told: dict[str, Any] = {"kind": "association", "rx": list(each.message.frames)}
    for name, tag in (("result", _RESULT), ("diagnostic", _DIAGNOSTIC)):
        if tag in spans:
            told[name] = aare[spans[tag].end - 1]
    for name, tag in (("server_system_title", METER_TITLE), ("server_challenge", CHALLENGE)):
        value = inner(aare, spans.get(tag))
        if value is not None:
            told[name] = aare[slice(*value)].hex()
    initiate = _INITIATE_RESPONSE.search(each.initiate or aare)
    if initiate is not None:
        told |= {"negotiated_conformance": initiate[1].hex(), "max_pdu": int.from_bytes(initiate[2], "big")}
    return told


def _results(results: Sequence[GetResult], rx: list[int]) -> dict[str, Any]:
    if len(results) != 1:
        return {"kind": "get-list", "rx": rx, "items": [_item(result) for result in results]}
    item = _item(results[0])
    return {"kind": "data-access-error" if "data_access_result" in item else "get", "rx": rx, **item}


def _item(result: GetResult) -> dict[str, Any]:
    at = result.attribute
    told: dict[str, Any] = {"class": at.class_id, "obis": ".".join(map(str, at.obis)), "attribute": at.attribute}
    if result.error is not None:
        return told | {"data_access_result": int(result.error)}
    told["data"] = encode(result.data).hex()
    match result.data:
        case Integer():
            told["raw"] = int(result.data)
        case (Integer() as scaler, Integer() as unit):
            told |= {"scaler": int(scaler), "unit": int(unit), "unit_name": UNITS.get(int(unit), "")}
    return told
