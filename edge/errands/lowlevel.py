"""An engineer's own requests: any attribute read, and, where the settings allow it, any written, any method called.

What has a command with interlocks of its own is not to be had by the back door: see `GUARDED`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from edge.dlms.action import NO_DATA, ActionRequest
from edge.dlms.axdr import AxdrValue, Integer
from edge.dlms.cosem import UNITS, Attribute
from edge.dlms.get import GetResult
from edge.errors import OrderRefused
from edge.meters import typed
from edge.meters.objectspec import SCALED_ATTRIBUTES, SCALER_ATTRIBUTE
from edge.poll.errand import Ask

GUARDED = {70: "halow-gateway meter relay", 18: "halow-gateway meter image"}
"""Classes whose methods have a command of their own."""


@dataclass(frozen=True, slots=True)
class Get:
    """The task of reading attributes, with scaler and unit where their class has them."""

    targets: tuple[Attribute, ...]
    recorded: bool = False
    lasts_s: float = 2.0

    @property
    def words(self) -> str:
        """See `Task`."""
        return f"get {', '.join(map(str, self.targets))}"

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`. An attribute that is refused is told as such; the others are read."""
        scalers = {target: where for target in self.targets if (where := scaler_of(target)) is not None}
        wanted = (*self.targets, *dict.fromkeys(where for where in scalers.values() if where not in self.targets))
        results = dict(zip(wanted, await ask.get(wanted), strict=True))
        values = [told(results[target], results.get(scalers[target]) if target in scalers else None)
                  for target in self.targets]
        return {"values": values}


@dataclass(frozen=True, slots=True)
class Set:
    """The task of writing one attribute."""

    target: Attribute
    value: AxdrValue
    recorded: bool = True
    lasts_s: float = 1.0

    @property
    def words(self) -> str:
        """See `Task`."""
        return f"set {self.target} to {typed.discreet(self.value)}"

    def __repr__(self) -> str:
        """Leave the value out: it may be a key."""
        return f"Set({self.target})"

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`."""
        [result] = await ask.set(((self.target, self.value),))
        if result.error is not None:
            raise OrderRefused(f"the meter refuses: {result.error.text}")
        return {"summary": "the meter has taken it"}


@dataclass(frozen=True, slots=True)
class Action:
    """The task of calling one method."""

    request: ActionRequest
    recorded: bool = True
    lasts_s: float = 1.0

    @property
    def words(self) -> str:
        """See `Task`."""
        given = "" if self.request.data is NO_DATA else f" with {typed.discreet(self.request.data)}"
        return f"action {self.request}{given}"

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`."""
        [result] = await ask.action((self.request,))
        if result.error is not None:
            raise OrderRefused(f"the meter refuses: {result.error.text}")
        came: dict[str, Any] = {"summary": "the meter has done it"}
        if result.data_error is not None:
            came["summary"] += f"; what it returns cannot be read: {result.data_error.text}"
        elif result.data is not NO_DATA:
            came["data"] = typed.described(result.data)
        return came


def guarded(class_id: int) -> str:
    """Return why methods of a class are not called from here, "" = they are."""
    command = GUARDED.get(class_id)
    return f"class {class_id} has a command with interlocks: {command}" if command else ""


def scaler_of(target: Attribute) -> Attribute | None:
    """Return where scaler and unit of an attribute stand; None where it has none."""
    if target.attribute not in SCALED_ATTRIBUTES.get(target.class_id, ()):
        return None
    return Attribute(target.class_id, target.obis, SCALER_ATTRIBUTE[target.class_id])


def told(result: GetResult, scaler: GetResult | None) -> dict[str, Any]:
    """Return one answer as plain data: typed, and for a register also scaled, exactly, with its unit."""
    target = result.attribute
    named = {"class": target.class_id, "obis": str(target.obis), "attribute": target.attribute}
    if result.error is not None:
        return named | {"error": result.error.text}
    found = named | typed.described(result.data)
    match scaler.data if scaler is not None else None:
        case (Integer() as power, Integer() as unit) if isinstance(result.data, Integer) and -128 <= power <= 127:
            found |= {"scaled": f"{Decimal(int(result.data)).scaleb(int(power)):f}", "unit": UNITS.get(int(unit), "")}
    return found
