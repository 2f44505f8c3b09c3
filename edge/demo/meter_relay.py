"""Class 70, disconnect control: the supply relay of the simulated meter (pure). IEC 62056-6-2, 4.5.8."""

from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import (
    NO_SUCH_METHOD,
    OTHER_REASON,
    READ_WRITE_DENIED,
    SUCCESS,
    CosemObject,
    Outcome,
)
from edge.demo.meter_data import Item
from edge.demo.meter_device import Device

DISCONNECTED, CONNECTED, READY = 0, 1, 2
REMOTE_BOTH_WAYS = 4                   # the control mode in which remote_reconnect closes the relay at once
MODES_WITH_REMOTE_DISCONNECT = frozenset({1, 2, 3, 4, 5, 6})
MODES_READY_FIRST = frozenset({1, 3, 5, 6})        # remote_reconnect only allows closing, a hand must press the button


class Relay(CosemObject):
    """Attributes: output_state, control_state, control_mode. Methods: remote_disconnect, remote_reconnect."""

    __slots__ = ("_device", "_mode", "_ready")
    class_id = objects.CLASS_DISCONNECT
    attributes, methods = 4, 2
    private: ClassVar[frozenset[int]] = frozenset({2, 3, 4})

    def __init__(self, device: Device) -> None:
        """The relay of `device`."""
        super().__init__(objects.DISCONNECT)
        self._device = device
        self._mode = REMOTE_BOTH_WAYS
        self._ready = False

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        del now
        connected = self._device.connected
        if attribute == 2:
            return bytes((0x03, connected))
        if attribute == 3:
            return bytes((0x16, CONNECTED if connected else READY if self._ready else DISCONNECTED))
        return bytes((0x16, self._mode))

    def set(self, attribute: int, value: Item, now: float) -> int:
        """control_mode may be set."""
        del now
        if attribute != 4:
            return READ_WRITE_DENIED
        mode = value.number()
        if not 0 <= mode <= 6:
            return OTHER_REASON
        self._mode = mode
        return SUCCESS

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """See `CosemObject`; the argument is an integer that means nothing."""
        del argument
        if method not in (1, 2):
            return Outcome(NO_SUCH_METHOD)
        if self._mode not in MODES_WITH_REMOTE_DISCONNECT:
            return Outcome(READ_WRITE_DENIED)
        if method == 1:
            self._device.switch(now, on=False)
            self._ready = False
        elif self._mode in MODES_READY_FIRST:
            self._ready = not self._device.connected
        else:
            self._device.switch(now, on=True)
        return Outcome(SUCCESS)

    def press(self, now: float) -> bool:
        """A hand presses the button: closes the relay if remote_reconnect allowed it. Tells whether it is closed."""
        if self._ready:
            self._device.switch(now, on=True)
            self._ready = False
        return self._device.connected
