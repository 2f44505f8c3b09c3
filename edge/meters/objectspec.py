"""One value of a meter as a profile's tables name it: which attribute, under which key, in which unit (pure)."""

from functools import cached_property
from typing import Annotated

from msgspec import Meta

from edge.dlms.cosem import Attribute, Obis
from edge.dlms.selection import Column
from edge.meters.table import Key, ObisText, Table

SCALER_ATTRIBUTE = {3: 3, 4: 3, 5: 4}
"""Where a class keeps scaler_unit: Register, Extended register, Demand register (IEC 62056-6-2, 4.3.2 to 4.3.4)."""

SCALED_ATTRIBUTES = {3: (2,), 4: (2,), 5: (2, 3)}
"""Which attributes of these classes are numbers that scaler and unit belong to."""

TIME_ATTRIBUTES = frozenset(((4, 5), (5, 6), (5, 7)))
"""Class and attribute of what is a date-time: capture times, and when a demand period began."""


class ObjectSpec(Table, frozen=True):
    """One value to read. `unit` is what the meter must say; `scaler` is set only where the meter cannot be asked."""

    key: Key
    obis: ObisText
    class_id: Annotated[int, Meta(ge=1, le=0xFFFF)] = 3
    attribute: Annotated[int, Meta(ge=1, le=127)] = 2
    unit: str = ""
    scaler: Annotated[int, Meta(ge=-128, le=127)] | None = None

    @cached_property
    def target(self) -> Attribute:
        """The attribute that holds the value."""
        return Attribute(self.class_id, Obis.parse(self.obis), self.attribute)

    @cached_property
    def scaler_target(self) -> Attribute | None:
        """The attribute that holds scaler and unit; None where the class has none or the profile states the scaler."""
        where = SCALER_ATTRIBUTE.get(self.class_id)
        if where is None or self.scaler is not None or self.attribute not in SCALED_ATTRIBUTES[self.class_id]:
            return None
        return Attribute(self.class_id, Obis.parse(self.obis), where)

    @property
    def tells_time(self) -> bool:
        """Tell whether the value is a date-time."""
        return (self.class_id, self.attribute) in TIME_ATTRIBUTES

    @cached_property
    def canonical(self) -> str:
        """OBIS with all six groups, as records and the registry write it."""
        return str(Obis.parse(self.obis))

    @cached_property
    def learned_key(self) -> str:
        """Under which `Learned.scalers` keeps this object's scaler and unit."""
        return f"{self.canonical} {self.attribute}"


class ColumnSpec(ObjectSpec, frozen=True):
    """One column of a load profile: a captured object, under which key its values go upstream.

    `data_index` 0 is the whole attribute, n its n-th part (IEC 62056-6-2, 4.3.6, capture_object_definition).
    """

    data_index: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0

    @cached_property
    def column(self) -> Column:
        """The capture object as the meter names it."""
        return Column(self.class_id, Obis.parse(self.obis), self.attribute, self.data_index)
