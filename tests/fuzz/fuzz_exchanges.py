"""Targets: every answer that the client parses, in an association in the clear that waits for just that answer.

What must hold for each (`_answered`): MeterError kinds and nothing else, the association is finished then and tells
nothing more; what comes out are as many results as were asked for, in the order of the request, and only when the APDU
that completes it carries the invoke-id that was asked under; each answer brings about a bounded number of octets to
send; and what is held of an unfinished answer has a bound.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fuzz_corpus import answers, conversations, hostile
from fuzz_engine import ending
from fuzz_mutation import Case

from edge.dlms import axdr, wrapper
from edge.dlms.access import AccessPart
from edge.dlms.acse import Accepted
from edge.dlms.action import NO_DATA, ActionRequest
from edge.dlms.association import Answer, Association, AssociationSettings, Event, State
from edge.dlms.blocks import MAX_ANSWER_BYTES
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.data import Integer
from edge.dlms.events import Accessed, Invoked, Pushed, Written
from edge.dlms.get import GetResult

VOLTAGES = tuple(Attribute(3, Obis(1, 0, group, 7, 0), 2) for group in (32, 52, 72))
RELAY = ActionRequest(70, Obis(0, 0, 96, 3, 10), 1, Integer(15, 0))
CLOCK = ActionRequest(8, Obis(0, 0, 1, 0, 0), 3)
ALL = Conformance(0x7E_FF_FF)
MAX_PDU = 256
_SETTINGS = AssociationSettings(framing="wrapper", client_sap=1, server_logical=1, conformance=int(ALL), max_pdu=MAX_PDU, gbt_window=4)


def ready(*, general_blocks: bool = False) -> Association:
    """An association as it stands after an AARE that offers everything; made by hand, because 200 us for each are many."""
    association = Association(_SETTINGS)
    association.state = State.READY
    association._settle(Accepted(ALL if general_blocks else ALL & ~Conformance.GENERAL_BLOCK_TRANSFER, MAX_PDU))
    return association


def hear(association: Association, case: Case, *, source: int = 1, destination: int = 1) -> tuple[str, list[Event], bytes]:
    """Let the pieces be APDUs from the meter; return a word for the end, the events, and the APDU that brought the last."""
    events: list[Event] = []
    last = b""

    def play() -> str:
        nonlocal last
        for apdu in case:
            if not apdu:
                continue
            last = apdu
            association.receive_data(wrapper.encode(source, destination, apdu[:0xFFFF]), 1.0)
            sent = association.data_to_send()
            assert len(sent) <= 63 * (MAX_PDU + 40), "an answer brings about too much to send"
            while (event := association.next_event()) is not None:
                events.append(event)
            if association.state is not State.WAITING:
                break
        return association.state.value

    word = ending(play)
    if association.state is State.FAILED:
        assert association.next_event() is None
        assert association._exchange is None
    return word, events, last


def _answered(association: Association, case: Case, wanted: type[Event], asked: Sequence[object], *, by_blocks: bool = False) -> str:
    """Play a case and hold what came out to the rules at the top of this file."""
    invoke_id = (association._invoke_id - 1) & 0x0F
    exchange = association._exchange
    association.data_to_send()
    word, events, last = hear(association, case)
    done = [event for event in events if not isinstance(event, Pushed)]
    for event in done:
        assert type(event) is wanted
        assert [_fields(result)[0] for result in event.results] == list(asked)
        if not by_blocks:
            assert (int.from_bytes(last[2:5], "big") if wanted is Accessed else last[2] & 0x0F) == invoke_id
    assert len(done) == (association.state is State.READY)
    reader = getattr(exchange, "_reader", None)
    assert reader is None or reader._bytes <= MAX_ANSWER_BYTES + 0xFFFF
    shown = "".join(_shown(_fields(result)) for event in done for result in event.results)
    return f"{word}, {len(events) - len(done)} pushed, {shown}"


def _fields(result: Any) -> tuple[object, ...]:
    return msgspec.structs.astuple(result) if isinstance(result, GetResult) else tuple(result)


def _shown(result: tuple[object, ...]) -> str:
    """A letter for what came of one thing that was asked."""
    return "e" if isinstance(result[1], int) and type(result[1]).__name__.endswith("Error") else type(result[-1]).__name__[:4]


def get(case: Case) -> str:
    """An answer to GET-normal, in one piece or in blocks."""
    association = ready()
    association.get(VOLTAGES[:1], 0.0)
    return _answered(association, case, Answer, VOLTAGES[:1])


def get_list(case: Case) -> str:
    """An answer to GET-with-list, in one piece or in blocks; read the same whether the list is asked for the first time or again."""
    words = []
    for before in ((), (b"\xc4\x03\xc0\x03" + b"\x00\x12\x08\xfd" * 3,)):
        association = ready()
        association._invoke_id = 1 - len(before)
        for apdu in before:
            association.get(VOLTAGES, 0.0)
            hear(association, (apdu,))
        association.get(VOLTAGES, 0.0)
        words.append(_answered(association, case, Answer, VOLTAGES))
    assert words[0] == words[1]
    return words[0]


def set_one(case: Case) -> str:
    """Answers to a SET in blocks: the acknowledgement of each, then the result."""
    association = ready()
    association.set([(VOLTAGES[0], bytes(600))], 0.0)
    return _answered(association, case, Written, VOLTAGES[:1])


def set_list(case: Case) -> str:
    """The answer to SET-with-list."""
    association = ready()
    association.set([(attribute, Integer(18, 1)) for attribute in VOLTAGES], 0.0)
    return _answered(association, case, Written, VOLTAGES)


def action(case: Case) -> str:
    """Answers to an ACTION in blocks, and its result in blocks."""
    association = ready()
    request = RELAY._replace(data=bytes(600))
    association.action([request], 0.0)
    return _answered(association, case, Invoked, [request])


def action_list(case: Case) -> str:
    """The answer to ACTION-with-list, in one piece or in blocks."""
    association = ready()
    association.action([RELAY, CLOCK, RELAY], 0.0)
    return _answered(association, case, Invoked, [RELAY, CLOCK, RELAY])


def access(case: Case) -> str:
    """The answer to an ACCESS of a GET, a SET and an ACTION."""
    association = ready()
    parts = (AccessPart("get", VOLTAGES[0]), AccessPart("set", VOLTAGES[1], Integer(18, 1)), AccessPart("action", VOLTAGES[2], b"x"))
    association.access(parts, 0.0)
    return _answered(association, case, Accessed, parts)


def general_blocks(case: Case) -> str:
    """General blocks in answer to a request in general blocks; the invoke-id then stands inside them."""
    association = ready(general_blocks=True)
    association.set([(VOLTAGES[0], bytes(600))], 0.0)
    return _answered(association, case, Written, VOLTAGES[:1], by_blocks=True)


# -- seeds -------------------------------------------------------------------------------------------------------------

def _hexed(*texts: str) -> Case:
    return tuple(map(bytes.fromhex, texts))


PUSHES = _hexed("0fc00000010002031208fd12090106075bcd15", "c200 0003 0100200700ff 02 1208fd", "d80102", "d8020600000010", "0e010600")


def get_answers() -> list[Case]:
    """All recorded answers to GETs, and the same among pushes and refusals."""
    found = answers(0xC4)
    return [*found, *[(push, *found[0]) for push in PUSHES], (found[0][0], found[0][0])]


def set_answers() -> list[Case]:
    """Answers to SETs, normal, in blocks and with list."""
    blocks = [bytes.fromhex("c502c1") + number.to_bytes(4, "big") for number in range(1, 4)]
    return [*answers(0xC5), (*blocks, *_hexed("c503c1 00 00000003")), (blocks[0], *_hexed("c501c1 03")), (PUSHES[0], *blocks),
            _hexed("c505c1 03 00 03 00"), _hexed("c504c1 03 00 00 02 00000003"), _hexed("c501c1 00")]


def action_answers() -> list[Case]:
    """Answers to ACTIONs: with and without data, with list, in blocks both ways."""
    going_on = [bytes.fromhex("c704c1") + number.to_bytes(4, "big") for number in range(1, 4)]
    back = _hexed("c702c1 00 00000001 04 09060102", "c702c1 01 00000002 04 03040506")
    listed = "03 00 00 04 00 00 01 00 1208fd"
    return [*answers(0xC7), (*going_on, *_hexed("c701c1 00 00")), (*going_on, *back), (*going_on, *_hexed("c701c1 00 01 00 1208fd")),
            (going_on[0], *_hexed("c701c1 03")), _hexed(f"c703c1 {listed}"), _hexed(f"c702c1 01 00000001 0b {listed}"), _hexed("c701c1 fa 00"),
            _hexed("c701c1 00 01 01 04"), (*PUSHES[:2], *_hexed(f"c703c1 {listed}"))]


def access_answers() -> list[Case]:
    """Answers to ACCESS, with and without date-time and echo of the request."""
    data, results = "03 1208fd 00 0902abcd", "03 01 00 02 00 03 00"
    echo = "01 03 01 0003 0100200700ff 02 02 0003 0100340700ff 02 03 0003 0100480700ff 02"
    return [_hexed(f"da 40 000001 00 00 {data} {results}"), _hexed(f"da 40 000001 0c 07ea0b160707021f00000000 00 {data} {results}"),
            _hexed(f"da 40 000001 00 {echo} {data} {results}"), _hexed(f"da 40 000001 00 00 {data} 03 01 04 02 03 03 fa"),
            _hexed(f"da 40 000002 00 00 {data} {results}"), (*PUSHES[:2], *_hexed(f"da 40 000001 00 00 {data} {results}"))]


def block_answers() -> list[Case]:
    """Conversations in general blocks: acknowledged one by one, in windows, with losses, streamed, whole."""
    def block(control: int, number: int, acknowledged: int, data: str = "") -> bytes:
        octets = bytes.fromhex(data)
        return bytes((0xE0, control)) + number.to_bytes(2, "big") + acknowledged.to_bytes(2, "big") + axdr.encode_length(len(octets)) + octets

    return [
        (block(4, 1, 1), block(4, 2, 2), block(4, 3, 3), block(0x84, 4, 3, "c501c100")),
        (block(0x3F, 1, 1), block(0x84, 2, 3, "c501c100")), (block(2, 1, 1), block(2, 2, 1), block(2, 3, 3), block(0x81, 4, 3, "c501c100")),
        (block(0x84, 1, 3, "c501c100"),), (block(4, 1, 3, "c5"), block(4, 2, 3, "01"), block(4, 3, 3, "c1"), block(0x84, 4, 3, "00")),
        (block(0x44, 1, 3, "c5"), block(0x44, 2, 3, "01"), block(0x84, 4, 3, "00"), block(4, 3, 3, "c1"), block(0x84, 4, 3, "00")),
        (block(4, 1, 1),) * 6, _hexed("c501c100"), (block(0x80, 1, 1), block(0x84, 1, 3, "0fc000000100 0203")), (block(0, 1, 0),)]


def everything_else() -> list[Case]:
    """APDUs that answer no request of a target: whole recorded conversations and the hostile ones."""
    return [case[:6] for case in conversations()] + hostile("apdu")


def with_all(seeds: Callable[[], list[Case]]) -> Callable[[], list[Case]]:
    """Put `everything_else` behind the seeds of a target."""
    return lambda: [*seeds(), *everything_else()]


assert NO_DATA is not None
