"""Who is connected through the gateway, and who counts as active (no I/O), for demo and tests.

Sources, ThingsBoard 4.2: AbstractGatewaySessionHandler (a device's session is opened by v1/gateway/connect or by its
first message, and is closed by v1/gateway/disconnect or with the gateway's own), DefaultTransportService (activity is
recorded with telemetry and attributes, by the server's clock whatever their ts), DefaultDeviceStateService (active
while the last activity is younger than inactivityTimeout; connecting and disconnecting alone change nothing of it).
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Presence:
    """The server attributes of one device. Times by the server's clock, seconds; None: never."""

    connected: bool = False
    last_connect: float | None = None
    last_disconnect: float | None = None
    last_activity: float | None = None


class Devices:
    """The devices behind one gateway."""

    inactivity_timeout_s = 600.0

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin with none."""
        self.presences: dict[str, Presence] = {}
        self.opened: Callable[[str], object] = lambda _device: None      # a session of a device was opened
        self._now = now

    def of(self, device: str) -> Presence:
        """Return what is known of one."""
        return self.presences.setdefault(device, Presence())

    def connect(self, device: str) -> None:
        """Open a device's session, if it has none."""
        presence = self.of(device)
        if not presence.connected:
            presence.connected, presence.last_connect = True, self._now()
            self.opened(device)

    def disconnect(self, device: str) -> None:
        """Close a device's session, if it has one."""
        presence = self.of(device)
        if presence.connected:
            presence.connected, presence.last_disconnect = False, self._now()

    def disconnect_all(self) -> None:
        """The gateway's session is over."""
        for device in self.presences:
            self.disconnect(device)

    def heard(self, device: str) -> None:
        """Telemetry or attributes came."""
        self.of(device).last_activity = self._now()

    def active(self, device: str) -> bool:
        """Tell what ThingsBoard would show."""
        last = self.of(device).last_activity
        return last is not None and self._now() < last + self.inactivity_timeout_s
