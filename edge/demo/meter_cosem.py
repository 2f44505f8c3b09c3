"""What every COSEM object of the simulated meter has in common (pure): GET, SET and ACTION by number.

Data-access-results and action-results share their numbers where this meter uses them (IEC 62056-5-3).
"""

from typing import ClassVar, NamedTuple

from edge.demo import meter_objects as objects
from edge.demo.meter_data import Item

SUCCESS, TEMPORARY_FAILURE, READ_WRITE_DENIED, OBJECT_UNDEFINED = 0, 2, 3, 4
TYPE_UNMATCHED, OTHER_REASON = 12, 250
# The recorded independent meter answers 3 for an object it does not know and 1 for an attribute it does not know;
# the standard has 4 and 9 for these, so a client must live with either.
NO_SUCH_OBJECT = 3
NO_SUCH_ATTRIBUTE = 1
NO_SUCH_METHOD = 4


class Selection(NamedTuple):
    """Selective access: the selector's number and its parameters, already read."""

    selector: int
    parameters: Item


class Outcome(NamedTuple):
    """The end of an ACTION: its action-result, and encoded return-parameters where there are any."""

    result: int
    returned: bytes = b""


class CosemObject:
    """One object. Subclasses name their class, attributes and methods; `value` gives attributes from 2 on."""

    __slots__ = ("obis",)
    class_id: ClassVar[int] = 0
    version: ClassVar[int] = 0
    attributes: ClassVar[int] = 2                          # how many, the logical name included
    methods: ClassVar[int] = 0
    writable: ClassVar[frozenset[int]] = frozenset()
    private: ClassVar[frozenset[int]] = frozenset()        # attributes not readable without authentication
    hidden: ClassVar[frozenset[int]] = frozenset()         # attributes left out of attribute 0, as too long for it

    def __init__(self, obis: bytes) -> None:
        """`obis` is the logical name, six bytes."""
        self.obis = obis

    def get(self, attribute: int, selection: Selection | None, now: float) -> bytes | int:
        """The encoded attribute, or a data-access-result. `now` is Unix time. Raises BadData for a bad selection."""
        if attribute == 1:
            return objects.octets(self.obis)
        if not 1 < attribute <= self.attributes:
            return NO_SUCH_ATTRIBUTE
        return self.select(attribute, selection, now) if selection is not None else self.value(attribute, now)

    def select(self, attribute: int, selection: Selection, now: float) -> bytes | int:
        """GET with selective access; most objects have none."""
        del attribute, selection, now
        return OTHER_REASON

    def value(self, attribute: int, now: float) -> bytes | int:
        """The encoded attribute 2 and on."""
        raise NotImplementedError

    def set(self, attribute: int, value: Item, now: float) -> int:
        """SET; returns the data-access-result. Raises BadData for a value of another shape."""
        del attribute, value, now
        return READ_WRITE_DENIED

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """ACTION. Raises BadData for an argument of another shape."""
        del method, argument, now
        return Outcome(NO_SUCH_METHOD)


def date_time_of(item: Item) -> bytes:
    """The twelve octets of a date-time that came as octet-string or as date-time; empty for anything else."""
    return item.value if isinstance(item.value, bytes) and item.tag in (0x09, 0x19) else b""
