"""What the simulated meter says unasked: data-notification, event-notification, and class 40, push setup (pure).

IEC 62056-5-3, DataNotification and EventNotificationRequest; IEC 62056-6-2, 4.4.8. Ciphering is the caller's
(`meter_security.Cipher.seal_push`), framing and sending are `meter_pusher`'s.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import NO_SUCH_METHOD, READ_WRITE_DENIED, SUCCESS, TYPE_UNMATCHED, CosemObject, Outcome
from edge.demo.meter_data import Item
from edge.demo.meter_device import Device
from edge.demo.meter_profile import CLOCK_COLUMN, Column

TCP, UDP = 0, 1
PRIORITY_CONFIRMED = 0xC0000000            # the upper octet of long-invoke-id-and-priority, as recorded


def notification(body: bytes, *, invoke_id: int, moment: bytes = b"") -> bytes:
    """A data-notification: `body` is one encoded Data, `moment` twelve octets of date-time or nothing."""
    number = PRIORITY_CONFIRMED | (invoke_id & 0xFFFFFF)
    return b"\x0f" + number.to_bytes(4, "big") + bytes((len(moment),)) + moment + body


def event(class_id: int, obis: bytes, attribute: int, value: bytes, *, moment: bytes = b"") -> bytes:
    """An event-notification-request of one attribute and its encoded value."""
    time = b"\x01" + bytes((len(moment),)) + moment if moment else b"\x00"
    return b"\xc2" + time + class_id.to_bytes(2, "big") + obis + bytes((attribute,)) + value


class PushSetup(CosemObject):
    """Attributes: push_object_list, send_destination_and_method, window, delays, retries. Method: push."""

    __slots__ = ("_device", "_numbers", "columns", "destination", "retries", "transport")
    class_id = objects.CLASS_PUSH
    attributes, methods = 7, 1
    writable: ClassVar[frozenset[int]] = frozenset({2, 3, 6})

    def __init__(self, device: Device, columns: Sequence[Column]) -> None:
        """Push `columns`; nobody to push to yet."""
        super().__init__(objects.PUSH_SETUP)
        self._device = device
        self._numbers = 0
        self.columns = (CLOCK_COLUMN, *columns)
        self.destination = ""                    # host:port
        self.transport = TCP
        self.retries = 0

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        del now
        return (
            objects.sequence([column.encoded() for column in self.columns], 0x01),
            objects.sequence(
                [bytes((0x16, self.transport)), objects.octets(self.destination.encode()), b"\x16\x00"], 0x02),
            objects.sequence([], 0x01),
            objects.integer(0x12, 0),
            objects.integer(0x11, self.retries),
            objects.integer(0x12, 0),
        )[attribute - 2]

    def set(self, attribute: int, value: Item, now: float) -> int:
        """Object list, destination and retries may be set."""
        del now
        if attribute == 2:
            columns = []
            for item in value.items():
                class_id, obis, number, index = item.items(4)
                columns.append(Column(class_id.number(), obis.octets(), number.number(), index.number()))
            self.columns = tuple(columns)
        elif attribute == 3:
            transport, destination, message = value.items(3)
            if transport.number() not in (TCP, UDP) or message.number() != 0:
                return TYPE_UNMATCHED
            self.transport, self.destination = transport.number(), destination.octets().decode("ascii", "replace")
        elif attribute == 6:
            self.retries = value.number()
        else:
            return READ_WRITE_DENIED
        return SUCCESS

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """push: noted on the device; whoever sends for the meter carries it out."""
        del argument, now
        if method != 1:
            return Outcome(NO_SUCH_METHOD)
        self._device.pushes += 1
        return Outcome(SUCCESS)

    def message(self, read: Callable[[bytes, float], bytes | int], now: float, *, dated: bool = True) -> bytes:
        """The data-notification of now, plain. `read` gives the encoded attribute of a nine-byte descriptor."""
        cells = []
        for column in self.columns:
            found = read(column.class_id.to_bytes(2, "big") + column.obis + bytes((column.attribute,)), now)
            cells.append(found if isinstance(found, bytes) else b"\x00")
        self._numbers += 1
        device = self._device
        moment = device.style.octets(device.shown(now), device.zone) if dated else b""
        return notification(objects.sequence(cells, 0x02), invoke_id=self._numbers, moment=moment)
