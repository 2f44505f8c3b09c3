"""A modem's link in front of a port of this machine, for `benchmarks/drain.py`: prints its own port, runs until killed.

    python benchmarks/drain_link.py PORT RTT_MS MBIT
"""

import asyncio
import sys

import uvloop

from edge.demo.linkprofile import LinkProfile
from edge.demo.linkproxy import LinkProxy


async def carry(port: int, rtt_s: float, rate_bps: float) -> None:
    """Carry what comes, whole and in order."""
    link = LinkProxy(LinkProfile("modem", 0, (rtt_s / 2, rtt_s / 2), 0.0, 0.0, 1.0, rate_bps))
    print((await link.start(("127.0.0.1", port)))[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(carry(int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) * 1e6))
