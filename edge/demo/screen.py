"""What the demo looks like: a live table in a terminal, plain lines elsewhere."""

import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.demo.director import View

PLAIN_EVERY_S = 4.0
GRADE_STYLE = {"excellent": "green", "good": "green", "fair": "yellow", "poor": "red", "lost": "bold red"}
COLUMNS = ("voltage_l1", "current_l1", "active_power", "active_energy")


class PlainScreen:
    """One line per act, and one every few seconds with the figures."""

    def __init__(self) -> None:
        """Write to standard output."""
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Nothing to give back."""

    def say(self, t_s: float, text: str) -> None:
        """Print an act."""
        print(f"{t_s:5.1f} s  {text}", flush=True)

    def show(self, view: View) -> None:
        """Print the figures when it is time."""
        if view.t_s - self._shown_at >= PLAIN_EVERY_S:
            self._shown_at = view.t_s
            self.say(view.t_s, "        " + figures(view))


class LiveScreen:
    """Redraws one table of meters below the acts."""

    def __init__(self) -> None:
        """Draw on standard output."""
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Give the terminal back."""
        self._live.stop()

    def say(self, t_s: float, text: str) -> None:
        """Print an act above the table."""
        self._console.print(Text(f"{t_s:5.1f} s  {text}", style="bold"))

    def show(self, view: View) -> None:
        """Redraw."""
        self._live.update(Group(_meters(view), Text(figures(view))))


def screen() -> PlainScreen | LiveScreen:
    """Return the screen that fits standard output."""
    return LiveScreen() if sys.stdout.isatty() else PlainScreen()


def figures(view: View) -> str:
    """Return the one line that tells how it stands."""
    received = len(view.ledger.arrivals)
    if view.status is None:
        return f"gateway: not running; server: {received} polls received"
    backlog = sum(view.status["ring"]["backlog"].values())
    uplink = "up" if view.status["uplink"]["connected"] else "down"
    return f"gateway: uplink {uplink}, {backlog} records wait in the ring; server: {received} polls received"


def _meters(view: View) -> Table:
    table = Table(title="as the server sees it" if view.status else "the gateway is not running")
    for column in ("meter", "state", "RSSI dBm", "link", *COLUMNS, "polls received"):
        table.add_column(column, justify="left" if column in ("meter", "state", "link") else "right")
    known = {meter["name"]: meter for meter in (view.status or {}).get("meters", [])}
    received: dict[str, int] = {}
    for device, _ in view.ledger.arrivals:
        received[device] = received.get(device, 0) + 1
    for name in sorted(known.keys() | received.keys()):
        meter = known.get(name, {})
        grade = meter.get("link_grade") or "-"
        rssi = meter.get("rssi_dbm")
        table.add_row(name, meter.get("state", "-"), "-" if rssi is None else f"{rssi:.0f}",
                      Text(grade, style=GRADE_STYLE.get(grade, "")),
                      *(_latest(view, name, key) for key in COLUMNS), str(received.get(name, 0)))
    return table


def _latest(view: View, device: str, key: str) -> str:
    ts = view.ledger.latest_of.get((device, key))
    value: Any = view.ledger.points.get((device, key, ts)) if ts is not None else None
    return "-" if value is None else f"{value:,}"
