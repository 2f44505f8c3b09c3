"""Judges what reached a broker on the wire: every poll published, acknowledged, published again, or altered."""

import asyncio
import json
from collections import Counter

from wiretap import Acked, Published


def polls_of(packet: Published) -> dict[tuple[str, int], str]:
    """(device, ts) -> the element's text, for every meter's poll in a publication."""
    if packet.topic != "v1/gateway/telemetry":
        return {}
    return {(device, element["ts"]): json.dumps(element, sort_keys=True)
            for device, elements in json.loads(packet.payload).items()
            for element in elements if "poll_ok" in element["values"]}


class Judge:
    """Sees every packet that reached the broker's side, as it passes."""

    def __init__(self) -> None:
        self.acked: set[tuple[str, int]] = set()
        self.published: Counter[tuple[str, int]] = Counter()
        self.texts: dict[tuple[str, int], str] = {}
        self.altered: list[tuple[str, int]] = []
        self.again: Counter[int] = Counter()              # connection -> polls on it that were published before
        self.largest = 0
        self.news = asyncio.Event()

    def packet(self, what: str, packet: Published | Acked) -> None:
        if isinstance(packet, Acked):
            if packet.reason < 0x80:
                self.acked |= polls_of(packet.publish).keys()
                self.news.set()
            return
        polls = polls_of(packet)
        self.largest = max(self.largest, len(polls))
        for place, text in polls.items():
            if self.published[place]:
                self.again[packet.connection] += 1
            self.published[place] += 1
            if self.texts.setdefault(place, text) != text:
                self.altered.append(place)

    async def until_acked(self, count: int) -> None:
        while len(self.acked) < count:
            self.news.clear()
            await self.news.wait()
