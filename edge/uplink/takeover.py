"""Somebody else with this gateway's credentials: noticed, and an alarm raised once and cleared once (pure).

A server of MQTT 5 says so (0x8E). Others just close the older connection, which also looks like a bad link: it takes
some short connections in a row, each ended from the other side, until that is suspected. Both clients then come back
and push each other out again; what keeps that from being a storm is the back-off, which only a connection that lasted
begins anew.
"""

from edge.health.linkalarms import LinkAlarm
from edge.uplink.arrivals import Loss
from edge.uplink.reasons import TAKEN_OVER

NAME = "uplink_takeover"
SHORT_S = 60.0             # a connection that lasted no longer
SHORT_IN_ROW = 5
CLEAR_S = 600.0            # connected for so long: the other one is gone

SUSPECTED = (f"the last {SHORT_IN_ROW} connections were closed by the other side within a minute each: perhaps another "
             "client logs in with this gateway's credentials")


class Takeover:
    """Over all connections. Times are seconds."""

    def __init__(self) -> None:
        """What an earlier start has raised is not known here; whoever keeps alarms takes "cleared" for nothing then."""
        self.count = 0
        self._raised: bool | None = None
        self._short = 0

    def ended(self, loss: Loss | None, lasted_s: float) -> LinkAlarm | None:
        """Take the end of a connection on which the login was accepted; return the alarm that is raised now."""
        if loss is not None and loss.reason == TAKEN_OVER:
            self.count += 1
            return self._raise(loss.text)
        closed_soon = loss is not None and loss.reason is None and lasted_s < SHORT_S
        self._short = self._short + 1 if closed_soon else 0
        return self._raise(SUSPECTED) if self._short >= SHORT_IN_ROW else None

    def steady(self) -> LinkAlarm | None:
        """A connection has held for CLEAR_S; return the alarm that is cleared now."""
        self._short = 0
        if self._raised is False:
            return None
        self._raised = False
        return LinkAlarm("", NAME, raised=False, severity="major", detail=f"connected for {CLEAR_S:g} s")

    def _raise(self, detail: str) -> LinkAlarm | None:
        if self._raised:
            return None
        self._raised = True
        return LinkAlarm("", NAME, raised=True, severity="major", detail=detail)
