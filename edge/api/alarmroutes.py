"""Routes about alarms: what stands, what was, and acknowledging it; the alarm desk decides, as for the command."""

from edge.api import wire
from edge.api.doors import Doors
from edge.api.sessions import Role
from edge.api.table import BASE, Call, Route


class AlarmRoutes:
    """The handlers."""

    def __init__(self, doors: Doors) -> None:
        """`doors` lead to the alarm desk."""
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the rows of the table."""
        return [
            Route("GET", f"{BASE}/alarms", Role.VIEW, self.all, "The alarms that stand, and the newest changes.",
                  wire.Alarms, fails=(422,)),
            Route("POST", f"{BASE}/alarms/acknowledge", Role.ADMIN, self.acknowledge,
                  "Acknowledge an alarm that stands.", wire.Done, wire.AcknowledgeBody, fails=(422,)),
        ]

    async def all(self, _call: Call) -> dict[str, object]:
        """Return what stands and what was."""
        return await self._doors.alarms({})

    async def acknowledge(self, call: Call) -> wire.Done:
        """Acknowledge one; `by` is who is logged in, and from where."""
        await self._doors.acknowledge({"device": call.body.device, "name": call.body.name,
                                       "by": f"{call.who.name} at {call.address}"})
        return wire.Done()
