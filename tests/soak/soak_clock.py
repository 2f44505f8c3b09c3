"""A gateway whose time the soak directs: another boot after a cut, a wall clock that steps, weeks in an hour.

    python soak_clock.py CLOCK.json --config gateway.toml run

`Time` is what CLOCK.json says. Nothing else of the gateway is replaced; what it does by the event loop's time (polls, windows,
back-off) runs as always, and every stamp, anchor and time stamp that it gives comes from here.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from edge.clock import SystemClock
from edge.model import Stamp

LOOK_AGAIN_S = 0.1


def now_ms() -> float:
    """The machine's time since boot, the base of all that follows."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


@dataclass
class Time:
    """The directed time. `rate` seconds of it pass in a second; `began_ms` is the machine's, `utc_ms` the true time then."""

    began_ms: float
    utc_ms: float
    rate: float
    boot_id: str = ""
    booted_ms: float = 0.0            # by the machine's time
    error_ms: float = 0.0             # of the wall clock that the gateway sees
    synchronised: bool = True         # whether it is told that the wall clock is right

    def true_ms(self, machine_ms: float) -> float:
        """UTC in Unix milliseconds."""
        return self.utc_ms + (machine_ms - self.began_ms) * self.rate

    def boot(self) -> None:
        """Begin another boot."""
        self.boot_id, self.booted_ms = str(uuid4()), now_ms() - 2_000.0

    def write(self, path: Path) -> None:
        """Let a gateway that runs see it, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


class DirectedClock(SystemClock):
    """The clock port, by the file."""

    path = Path()

    def __init__(self, *, trust_wall: bool = False) -> None:
        """Read the file; the boot stays what it is now."""
        super().__init__(trust_wall=trust_wall)
        self._looked_at = 0.0
        self._look(now_ms())
        self.boot_id = self._time.boot_id

    def _look(self, machine_ms: float) -> None:
        if machine_ms - self._looked_at >= LOOK_AGAIN_S * 1000:
            self._looked_at = machine_ms
            self._time = Time(**json.loads(self.path.read_text()))

    def stamp(self) -> Stamp:
        """Return directed time; no two stamps share a millisecond."""
        machine_ms = now_ms()
        self._look(machine_ms)
        boottime_ms = int((machine_ms - self._time.booted_ms) * self._time.rate)
        wall_ms = int(self._time.true_ms(machine_ms) + self._time.error_ms)
        self._stamped_ms = max(boottime_ms, self._stamped_ms + 1)
        return Stamp(self._stamped_ms, wall_ms + self._stamped_ms - boottime_ms, self.boot_id, self._time.synchronised)

    def synchronised(self) -> bool:
        """Say what the file says."""
        self._look(now_ms())
        return self._time.synchronised


if __name__ == "__main__":
    DirectedClock.path = Path(sys.argv.pop(1))
    from edge import app, cli

    app.SystemClock = DirectedClock
    cli.main()
