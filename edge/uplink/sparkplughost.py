"""What a Sparkplug host application says to an edge node, as far as this one listens (pure): STATE, and rebirth.

    spBv1.0/STATE/{host}                  {"online":true,"timestamp":1764288000000}     retained
    spBv1.0/{group}/NCMD/{node}           a payload with `Node Control/Rebirth` = true

Source: Sparkplug 3.0.0, 5.4 (the primary host) and 5.16 (commands). Nothing else is writable: any other metric of a
command is left alone, and DCMD is not even subscribed to.
"""

import logging
from typing import Any

from edge.uplink.heard import heard
from edge.uplink.sparkplugwire import metrics_of

log = logging.getLogger(__name__)

REBIRTH = "Node Control/Rebirth"


class PrimaryHost:
    """The host application that must be there, on one connection; "" for none: then it always is.

    A STATE older than the last one is that of a session which the host has left behind, and is ignored
    (tck-id-operational-behavior-edge-node-termination-host-offline-timestamp).
    """

    def __init__(self, host_id: str) -> None:
        """Nothing was heard of it."""
        self.host_id = host_id
        self.topic = f"spBv1.0/STATE/{host_id}"
        self._online: bool | None = None
        self._at_ms = float("-inf")

    @property
    def online(self) -> bool:
        """Whether it is known to be there."""
        return not self.host_id or self._online is True

    @property
    def why(self) -> str:
        """Say why it is not."""
        told = "has not told its STATE" if self._online is None else "is offline by its STATE"
        return f"the primary host {self.host_id!r} {told}"

    def began(self) -> None:
        """A connection is there: the broker tells the retained STATE anew."""
        self._online, self._at_ms = None, float("-inf")

    def heard(self, payload: bytes) -> None:
        """Take a STATE; what is none changes nothing."""
        try:
            state = heard(payload, dict[str, Any])
        except ValueError:
            state = {}
        online, at_ms = state.get("online"), state.get("timestamp")
        if not isinstance(online, bool) or isinstance(at_ms, bool) or not isinstance(at_ms, int):
            log.info("a STATE of host %r is none of Sparkplug 3.0: it wants online and timestamp", self.host_id)
        elif at_ms >= self._at_ms:
            self._online, self._at_ms = online, at_ms


def wants_rebirth(payload: bytes) -> bool:
    """Tell whether a command asks for a new birth (tck-id-operational-behavior-data-commands-ncmd-rebirth-value)."""
    try:
        metrics = metrics_of(payload)
    except ValueError as error:
        log.info("a command that is no Sparkplug payload: %s", error)
        return False
    others = [metric.name for metric in metrics if metric.name != REBIRTH]
    if others:
        log.info("a host wants to write %d metrics that cannot be written, the first: %.100r", len(others), others[0])
    return any(metric.name == REBIRTH and metric.value is True for metric in metrics)
