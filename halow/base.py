"""The port that a monitor sees a radio through. Implementations: `radios/kernel.py`, `radios/simulated.py`."""

from typing import Protocol

from halow.model import LinkEvent, RadioSample


class Radio(Protocol):
    """A radio to look at. One task uses it; `wait_event` may run beside `sample`."""

    async def open(self) -> None:
        """Get ready. Raises RadioAbsent with a reason; may be tried again later."""

    async def close(self) -> None:
        """Give everything back; harmless when not open. Whoever waits for an event must be cancelled first."""

    async def sample(self) -> RadioSample:
        """Look once. Raises RadioAbsent; the radio stays open, so that a later try finds one that came back.

        Cancelling leaves the radio usable.
        """

    async def wait_event(self) -> LinkEvent:
        """Wait until something happens. Raises RadioAbsent when events cannot be had any more: close and open again.

        Cancelling loses no event.
        """
