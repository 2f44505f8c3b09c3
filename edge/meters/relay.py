"""Disconnect control: what the object says and what each control mode allows (pure). IEC 62056-6-2, class 70.

    output_state    attribute 2: what the relay is, physically
    control_state   attribute 3: disconnected, connected, ready for reconnection (a hand at the button closes it then)
    control_mode    attribute 4: who may do what

                            mode   0    1    2    3    4    5    6
    remote_disconnect, method 1    -    yes  yes  yes  yes  yes  yes
    remote_reconnect, method 2     -    ready yes ready yes ready ready      ready: only lets somebody press the button
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from edge.dlms.action import ActionRequest
from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.meters.dutyspec import RelaySpec

CLASS_DISCONNECT_CONTROL = 70
OUTPUT, CONTROL_STATE, CONTROL_MODE = 2, 3, 4
METHODS = {"off": 1, "on": 2}
ARGUMENT = Integer(15, 0)      # integer(0), as the standard writes it; it means nothing
NO_REMOTE, CLOSES_AT_ONCE = 0, frozenset({2, 4})
MODES = range(7)

Order = Literal["on", "off"]


class ControlState(IntEnum):
    """Attribute 3."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2

    @property
    def text(self) -> str:
        """Return it in words."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class RelayState:
    """What one look at the object brought. `closed` is the output itself, `control` what the meter means it to be."""

    closed: bool
    control: ControlState
    mode: int

    def __str__(self) -> str:
        """Return it in words; where output and control state contradict each other, both."""
        output = "" if self.closed == (self.control is ControlState.CONNECTED) else (
            f", output {'closed' if self.closed else 'open'}")
        return f"{self.control.text}{output} (control mode {self.mode})"


def attributes(spec: RelaySpec) -> tuple[Attribute, ...]:
    """Return what tells the state."""
    obis = Obis.parse(spec.obis)
    return tuple(Attribute(CLASS_DISCONNECT_CONTROL, obis, number) for number in (OUTPUT, CONTROL_STATE, CONTROL_MODE))


def request(spec: RelaySpec, order: Order) -> ActionRequest:
    """Return the call that carries an order out."""
    return ActionRequest(CLASS_DISCONNECT_CONTROL, Obis.parse(spec.obis), METHODS[order], ARGUMENT)


def state_of(output: Any, control: Any, mode: Any) -> RelayState | str:
    """Read the three attributes; a plain str says why they are no state."""
    if not isinstance(output, bool):
        return f"output_state is a {type(output).__name__}, not a boolean"
    if not isinstance(control, Integer) or int(control) not in list(ControlState):
        return f"control_state {control!r} is none of 0, 1, 2"
    if not isinstance(mode, Integer) or int(mode) not in MODES:
        return f"control_mode {mode!r} is none of 0 to 6"
    return RelayState(output, ControlState(int(control)), int(mode))


def done(order: Order, state: RelayState) -> bool:
    """Tell whether an order has been carried out, as far as the control mode lets it be from afar."""
    if order == "off":
        return not state.closed and state.control is not ControlState.CONNECTED
    if state.mode in CLOSES_AT_ONCE:
        return state.closed and state.control is ControlState.CONNECTED
    return state.closed or state.control is ControlState.READY_FOR_RECONNECTION


def already(order: Order, state: RelayState) -> bool:
    """Tell whether there is nothing left to order: off and not even ready, or closed."""
    return state.closed if order == "on" else not state.closed and state.control is ControlState.DISCONNECTED
