"""Events that come from meters, as records (pure): event-notifications, and pushes that cannot be read, or not wholly.

    event          "meter_notification"                             "push_unread"
    event_object   key of the profile, else OBIS and attribute      -
    event_value    the value, where it is a number                  -
    event_time     the meter's own time, as it tells it             the same
    event_detail   the attribute and its value in words             why, and what came

They are stamped with their receipt: a meter may tell two events within one second, and upstream keeps one value for
each device, key and time.
"""

from collections.abc import Iterator, Sequence

from edge.dlms.axdr import AxdrValue, BitString, CompactArray
from edge.dlms.datetimes import ClockTime
from edge.dlms.push import Pushed
from edge.errors import Violation
from edge.meters.exact import Exact, exact
from edge.meters.profile import Profile
from edge.meters.reading import DETAIL_LIMIT, cut
from edge.model import Field, Kind, Record, Scalar, Schema, Stamp

NOTIFICATION, UNREAD, UNKNOWN_OBJECTS = "meter_notification", "push_unread", "push_unknown_objects"

_CONTAINERS = {list: "array", tuple: "structure"}


def notification(pushed: Pushed, profile: Profile, stamp: Stamp, device: str) -> Record:
    """Return the EVENT record of an event-notification."""
    assert pushed.attribute is not None
    spec = next((spec for spec in profile.objects if spec.target == pushed.attribute), None)
    named = spec.key if spec is not None else f"{pushed.attribute.obis} attribute {pushed.attribute.attribute}"
    number = exact(pushed.data)
    value: Scalar = number.raw if isinstance(number, Exact) and isinstance(number.raw, int) else None
    shift = number.shift if isinstance(number, Exact) else 0
    detail = cut(f"{pushed.attribute} = {sketch(pushed.data)}")
    return Record(_schema(profile, shift), device, stamp, (NOTIFICATION, detail, named, value, _told(pushed)))


def unread(pushed: Pushed, why: str, profile: Profile, stamp: Stamp, device: str) -> Record:
    """Return the EVENT record of a push whose values have no names: what came, as far as there is room."""
    detail = cut(f"{why}: {sketch(pushed.data)}")
    return Record(_schema(profile, 0), device, stamp, (UNREAD, detail, None, None, _told(pushed)))


def unknown_objects(names: Sequence[str], profile: Profile, stamp: Stamp, device: str) -> Record:
    """Return the EVENT record that tells of objects in a push for which the profile has no key."""
    detail = cut(f"not in the profile {profile.name}: {', '.join(names)}")
    return Record(_schema(profile, 0), device, stamp, (UNKNOWN_OBJECTS, detail, None, None, None))


def sketch(value: AxdrValue) -> str:
    """Write a value down in words, as far as DETAIL_LIMIT goes: types of containers, numbers, texts, else octets."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > DETAIL_LIMIT:
            break
    return text


def _pieces(value: AxdrValue) -> Iterator[str]:
    if isinstance(value, list | tuple):
        yield f"{_CONTAINERS[type(value)]} of {len(value)} ("
        for at, each in enumerate(value):
            yield ", " if at else ""
            yield from _pieces(each)
        yield ")"
    elif isinstance(value, CompactArray):
        yield "compact-array of "
        yield from _pieces(list(value.items))
    elif isinstance(value, BitString):
        yield f"bits {value.octets[:DETAIL_LIMIT].hex()}"
    elif isinstance(value, str | bytes):
        number = exact(value[:DETAIL_LIMIT])
        yield str(number.raw) if isinstance(number, Exact) else ""
    else:
        yield "null" if value is None else str(value)


def _told(pushed: Pushed) -> str | None:
    """Return the meter's time of a push as text, None where it tells none."""
    if not pushed.date_time:
        return None
    try:
        return ClockTime.parse(pushed.date_time).text()
    except Violation:
        return pushed.date_time.hex()


def _schema(profile: Profile, shift: int) -> Schema:
    return Schema(Kind.EVENT, (Field("event"), Field("detail"), Field("object"), Field("value", shift), Field("time")),
                  profile.name)
