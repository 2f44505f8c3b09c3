"""Targets: notifications that come unasked."""

from fuzz_corpus import answers
from fuzz_engine import ending
from fuzz_exchanges import PUSHES, everything_else
from fuzz_mutation import Case

from edge.dlms import axdr
from edge.dlms.cosem import Attribute
from edge.dlms.push import PUSH_TAGS, Pushed, notification
from edge.errors import Violation


def push(case: Case) -> str:
    """A notification read by itself: Violation and nothing else; what is read was all there, and only ever what it begins as."""
    apdu = b"".join(case)
    told: Pushed | None = None

    def read() -> str:
        nonlocal told
        told = notification(apdu)
        return "notification"

    word = ending(read)
    if told is None:
        assert word.split(":")[0] == Violation.__name__
        return word
    assert apdu[0] in PUSH_TAGS
    assert not told.genuine
    assert len(told.date_time) in (0, 12)
    assert told.attribute is None or isinstance(told.attribute, Attribute)
    assert len(axdr.encode(told.data)) <= len(apdu)
    return f"{word} {type(told.data).__name__} {len(told.date_time)} {told.attribute is None}"


def pushes() -> list[Case]:
    """Recorded notifications, and event-notifications with and without their time."""
    recorded = [case for tag in (0x0F, 0xC2) for case in answers(tag, 0)]
    return [*recorded, *((apdu,) for apdu in PUSHES), (bytes.fromhex("c201 0c 07ea0b160707021f00000000 0003 0100200700ff 02 1208fd"),),
            *everything_else()[:20]]
