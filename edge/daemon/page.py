"""Opens the local page onto the daemon's desks. Nothing else loads `edge.api`, and app imports this late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge.api.doors import Doors, Request
from edge.api.page import Page
from edge.clock import Clock
from edge.config import Settings
from edge.daemon.alarms import AlarmDesk
from edge.daemon.enrolment import Enrolment
from edge.daemon.latest import Latest
from edge.daemon.links import LinkDesk
from edge.daemon.metrics import MetricsDesk
from edge.daemon.orders import OrderDesk
from edge.daemon.status import StatusDesk
from edge.logs.level import LevelDesk
from edge.logs.tail import LogTail
from edge.meters.library import Library
from edge.model import Stream
from edge.ring.store import Ring
from halow.model import Grade
from halow.quality import Thresholds

GRADES = (Grade.EXCELLENT, Grade.GOOD, Grade.FAIR, Grade.POOR)
BOARD_FILES = {"model": Path("/proc/device-tree/model"), "os": Path("/etc/os-release")}
FACT_LIMIT_BYTES = 4_096


@asynccontextmanager
async def opened(in_force: Callable[[], Settings], *, clock: Clock, status: StatusDesk, enrolment: Enrolment,
                 library: Library, orders: OrderDesk, alarms: AlarmDesk, latest: Latest, links: LinkDesk,
                 ring: Ring, metrics: MetricsDesk, tail: LogTail, levels: LevelDesk,
                 reload_config: Request, certified: Callable[[str], object]) -> AsyncIterator[Page]:
    """Yield the page, ready to be served by its two workers."""
    thresholds = Thresholds.for_width(in_force().radio.width_mhz)

    def backlog() -> tuple[int, int, int]:
        alarm, billing, instant = (ring.backlog(stream).records for stream in (
            Stream.ALARM, Stream.BILLING, Stream.INSTANT))
        return alarm, billing, instant

    async def facts() -> dict[str, str]:
        return await asyncio.to_thread(board_facts)

    page = Page(Doors(
        in_force=in_force, clock=clock, status=status.answer, enrolment=enrolment, library=library,
        order=orders.order, order_state=orders.state,
        alarms=alarms.answer, acknowledge=alarms.acknowledge,
        reload_config=reload_config, newest=latest.of, peers=lambda: links.states,
        peer_of=links.peer_of, backlog=backlog,
        bands=tuple((grade.label, thresholds.floor_dbm(grade)) for grade in GRADES),
        metrics=metrics.text, tail=tail, levels=levels, facts=facts, certified=certified))
    async with page.opened():
        yield page


def board_facts() -> dict[str, str]:
    """Return what the board and its system call themselves, as far as they say."""
    found: dict[str, str] = {}
    for key, path in BOARD_FILES.items():
        try:
            with path.open("rb") as file:
                text = file.read(FACT_LIMIT_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        if key == "os":
            named = [line for line in text.splitlines() if line.startswith("PRETTY_NAME=")]
            text = named[0].partition("=")[2].strip('"') if named else ""
        found[key] = text.strip("\0 \n")
    return found
