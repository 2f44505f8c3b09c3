"""The port by which polling keeps to what may be sent over the air; who knows the radio stands behind it."""

from typing import Protocol


class Air(Protocol):
    """How much of the air a meter may use. Every `now` is the clock's monotonic seconds."""

    def ready_at(self, meter: str, now: float) -> float:
        """Return when this meter may be asked next, `now` at the earliest."""

    def spent(self, meter: str, out_bytes: int, in_bytes: int, now: float, *, connections: int = 0) -> None:
        """Note what asking it took, in octets of TCP's payload either way; `connections`: so many were tried for it."""


class FreeAir:
    """No limit: a wired meter, a country without a duty cycle, no radio."""

    def ready_at(self, _meter: str, now: float) -> float:
        """See `Air`."""
        return now

    def spent(self, _meter: str, _out_bytes: int, _in_bytes: int, _now: float, *, connections: int = 0) -> None:
        """See `Air`."""
