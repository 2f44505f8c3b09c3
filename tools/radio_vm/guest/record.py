"""nl80211 as this kernel speaks it: python3 record.py INTERFACE SECONDS. Prints JSON of hexadecimal messages.

One dump each of interfaces, stations and survey, and the events of so many seconds, as they came.
"""

import asyncio
import json
import socket
import sys

from halow.netlink import GENERIC, NetlinkSocket, attribute, resolve_family, split

NETLINK_GENERIC, IFINDEX = 16, 3
ASKED = {"interface": 5, "station": 17, "survey": 50}


async def main(interface: str, seconds: float) -> None:
    """Record and print."""
    asks, hears = NetlinkSocket(NETLINK_GENERIC), NetlinkSocket(NETLINK_GENERIC)
    family, groups = await resolve_family(asks, "nl80211")
    for name in ("mlme", "config"):
        hears.join(groups[name])
    about = attribute(IFINDEX, socket.if_nametoindex(interface).to_bytes(4, sys.byteorder))
    said: dict[str, object] = {"family": family}
    for name, command in ASKED.items():
        scope = b"" if name == "interface" else about
        said[name] = [one.hex() for one in await asks.dump(family, GENERIC.pack(command, 0, 0) + scope)]
    events: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                events += [one.hex() for _, _, _, one in split(await hears.receive())]
    except TimeoutError:
        said["event"] = events
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
