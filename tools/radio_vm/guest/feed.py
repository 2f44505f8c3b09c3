"""The product's own reader of a daemon's control socket: python3 feed.py INTERFACE DIRECTORY, as whatever user.

Says READY once it has looked, prints {"facts", "problem"} as JSON, then each event; until it is stopped.
"""

import asyncio
import json
import sys
from dataclasses import asdict

from telling import ready

from halow.watched import DaemonFeed


async def main(interface: str, directory: str) -> None:
    """Follow and print."""
    feed = DaemonFeed([directory])
    following = asyncio.create_task(feed.run(interface))
    await feed.tried.wait()
    print(json.dumps({"facts": None if feed.facts is None else asdict(feed.facts), "problem": feed.problem}))
    ready()
    while not following.done():
        feed.news.clear()
        while feed.events:
            print(json.dumps(asdict(feed.events.popleft())))
        await feed.news.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
