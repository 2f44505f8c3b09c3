"""nl80211 as this kernel speaks it: python3 record.py INTERFACE FILE. Writes JSON of hexadecimal messages at its end.

One dump each of interfaces, stations and survey, the regulatory domain, and the events meanwhile, as they came.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path

from telling import ready

from halow.netlink import GENERIC, NetlinkSocket, attribute, resolve_family, split

NETLINK_GENERIC, IFINDEX = 16, 3
GET_REG = 31
ASKED = {"interface": 5, "station": 17, "survey": 50}


async def record(interface: str) -> dict[str, object]:
    """Record until SIGTERM; return everything."""
    asks, hears = NetlinkSocket(NETLINK_GENERIC), NetlinkSocket(NETLINK_GENERIC)
    family, groups = await resolve_family(asks, "nl80211")
    for name in ("mlme", "config"):
        hears.join(groups[name])
    ifindex = socket.if_nametoindex(interface)
    about = attribute(IFINDEX, ifindex.to_bytes(4, sys.byteorder))
    said: dict[str, object] = {"family": family, "ifindex": ifindex}
    for name, command in ASKED.items():
        scope = b"" if name == "interface" else about
        said[name] = [one.hex() for one in await asks.dump(family, GENERIC.pack(command, 0, 0) + scope)]
    said["regulatory"] = [one.hex() for one in await asks.request(family, GENERIC.pack(GET_REG, 0, 0))]
    events: list[str] = []

    async def listen() -> None:
        while True:
            events.extend(one.hex() for _, _, _, one in split(await hears.receive()))

    listening = asyncio.create_task(listen())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, listening.cancel)
    ready()
    with contextlib.suppress(asyncio.CancelledError):
        await listening
    return {**said, "event": events}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(record(sys.argv[1]))))
