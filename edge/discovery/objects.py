"""What a meter says about itself: object list, logical devices (pure; IEC 62056-6-2, 4.4.4 and 4.4.5).

    Association LN, class 15, attribute 2:   array of {class, version, logical name, access rights}
    SAP assignment, class 17, attribute 2:   array of {SAP, logical device name}

Both come from a meter, so nothing of their form is believed: what does not fit is counted and left out.
"""

from typing import Any, NamedTuple

from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.meters.exact import octets_as_text

DATA, REGISTER, EXTENDED, DEMAND, PROFILE, CLOCK = 1, 3, 4, 5, 7, 8
ASSOCIATION, SAP_ASSIGNMENT, IMAGE, DISCONNECT = 15, 17, 18, 70
REGISTERS = (REGISTER, EXTENDED, DEMAND)
VALUE = 2

CLASS_NAMES = {
    1: "data", 3: "register", 4: "extended register", 5: "demand register", 6: "register activation",
    7: "profile", 8: "clock", 9: "script table", 11: "special days", 15: "association", 17: "SAP assignment",
    18: "image transfer", 20: "activity calendar", 21: "register monitor", 22: "single action schedule",
    23: "HDLC setup", 40: "push setup", 41: "TCP-UDP setup", 42: "IPv4 setup", 48: "IPv6 setup", 64: "security setup",
    70: "disconnect control", 71: "limiter",
}

DEVICE_NAME = Attribute(DATA, Obis(0, 0, 42, 0, 0), VALUE)
SERIALS = (Attribute(DATA, Obis(0, 0, 96, 1, 0), VALUE), Attribute(DATA, Obis(1, 0, 0, 0, 0), VALUE))
"""Device ID 1 and, as some makers have it, the first electricity ID (IEC 62056-6-1, abstract and electricity IDs)."""
LOGICAL_DEVICES = Attribute(SAP_ASSIGNMENT, Obis(0, 0, 41, 0, 0), VALUE)
OBJECT_LIST = Attribute(ASSOCIATION, Obis(0, 0, 40, 0, 0), VALUE)      # of the current association

_LOAD_PROFILE = (1, 99, 1)      # A, C, D
CAPTURE_OBJECTS = 3             # attribute of class 7

MOST_OBJECTS = 5_000
"""Of one list that are looked at; the largest meters have some hundreds."""


class Listed(NamedTuple):
    """One object. `readable` are the attributes that this client may read; None where the list does not tell."""

    class_id: int
    version: int
    obis: Obis
    readable: frozenset[int] | None

    def may_read(self, attribute: int) -> bool:
        """Tell whether reading an attribute is worth trying."""
        return self.readable is None or attribute in self.readable


class ObjectList(NamedTuple):
    """A list as it was understood; `strange` entries were not."""

    objects: tuple[Listed, ...]
    strange: int

    @property
    def load_profile(self) -> Obis | None:
        """Return the load profile with recording period 1 (IEC 62056-6-1: C = 99, D = 1), None without one."""
        return next((listed.obis for listed in self.of_class(PROFILE)
                     if (listed.obis.a, *listed.obis[2:4]) == _LOAD_PROFILE), None)

    def of_class(self, *classes: int) -> tuple[Listed, ...]:
        """Return the objects of some classes, in the meter's order."""
        return tuple(listed for listed in self.objects if listed.class_id in classes)


def object_list(data: Any) -> ObjectList | None:
    """Read attribute 2 of an association; None for what is no list at all. An object named twice is there once."""
    if not isinstance(data, list):
        return None
    found: dict[tuple[int, Obis], Listed] = {}
    strange = max(0, len(data) - MOST_OBJECTS)
    for entry in data[:MOST_OBJECTS]:
        match entry:
            case (Integer() as class_id, Integer() as version, bytes() as name, rights) if (
                    len(name) == 6 and 0 < class_id <= 0xFFFF and 0 <= version <= 0xFF):
                obis = Obis.from_bytes(name)
                found.setdefault((int(class_id), obis), Listed(int(class_id), int(version), obis, _readable(rights)))
            case _:
                strange += 1
    return ObjectList(tuple(found.values()), strange)


def logical_devices(data: Any) -> tuple[tuple[int, str], ...]:
    """Read attribute 2 of the SAP assignment: (SAP, logical device name) of each; () for anything else."""
    found = []
    for entry in data[:MOST_OBJECTS] if isinstance(data, list) else ():
        match entry:
            case (Integer() as sap, bytes() | str() as name) if 0 <= sap <= 0xFFFF:
                found.append((int(sap), octets_as_text(name) if isinstance(name, bytes) else name))
    return tuple(found)


def _readable(rights: Any) -> frozenset[int] | None:
    """Return the attributes that may be read, by `attribute_access`: array of {attribute, mode, selectors}.

    Modes (association versions 0 to 2): 0 none, 1 read, 2 write, 3 read and write, 4 to 6 the same authenticated.
    Version 3 has bits, the lowest of which is "read". In every version 0 and 2 give nothing to read.
    """
    match rights:
        case (list() as attributes, *_):
            pass
        case _:
            return None
    readable = set()
    for entry in attributes:
        match entry:
            case (Integer() as attribute, Integer() as mode, *_):
                if mode not in (0, 2):
                    readable.add(int(attribute))
            case _:
                return None
    return frozenset(readable)
