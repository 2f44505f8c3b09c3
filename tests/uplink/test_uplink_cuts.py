"""The whole list of what goes over the connection, cut behind every packet in either direction.

Whatever packet was the last one: nothing is lost, nothing invented, each call done once, the package whole, the
attributes there. `make test` takes a sample of the cuts (UPLINK_CUTS=all, `make cuts`: every one).
"""

import asyncio
import os
import random
from collections import Counter
from dataclasses import fields
from types import SimpleNamespace

import pytest
from cutter import BACK, FORTH, Cutter
from uplink_bench import EVENT, READING, TOKEN, settings

from edge.config import RemoteSettings
from edge.credentials import Login
from edge.daemon.remote import Parts, RemoteDesk
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.demo.thingsboard_ota import Package
from edge.demo.thingsboard_rules import text_cast
from edge.errors import OrderRefused
from edge.model import Record, Stream
from edge.ota.chunks import Chunks
from edge.ota.offer import KEYS, offered
from edge.remote.hands import Hands
from edge.uplink.attributes import Attributes
from edge.uplink.claiming import Claiming
from edge.uplink.shared import SharedAttributes
from edge.uplink.thingsboard import values_of
from edge.uplink.uplink import Uplink

SAMPLE = 5                 # cuts in each direction
METERS = ("m0", "m1", "m2")
IMAGE = bytes(range(256)) * 10
ABOUT = {"": {"identity": "board-1"}, "m0": {"meter_identity": "A1"}, "m1": {"meter_identity": "B2"}}


class Gateway:
    """Everything that has something to say, on one uplink."""

    def __init__(self, path, ring, clock, port):
        self.image, self.done, self.followed, self.woken = bytearray(), [], {}, asyncio.Event()
        self.attributes, self.hands, self.claiming, self.shared = Attributes(), Hands(), Claiming(), SharedAttributes()
        self.chunks = Chunks(512, timeout_s=2.0, link_share=1.0)
        self.chunks.arrived = self._piece
        self.shared.follow(KEYS, self._offered)
        self.shared.follow(("rate",), self._followed)
        for device, values in ABOUT.items():
            self.attributes.tell(device, values)
        enrolment = SimpleNamespace(meters=tuple(SimpleNamespace(name=name) for name in METERS), profile_of=lambda _name: "three-phase",
                                    set_paused=self._paused, reload=lambda: asyncio.sleep(0))
        means = SimpleNamespace(clock=clock, keep=lambda _stream, _record: None)
        unused = dict.fromkeys(field.name for field in fields(Parts))
        parts = Parts(**unused | {"enrolment": enrolment, "means": means})
        self.desk = RemoteDesk(RemoteSettings(allow=("pause", "resume_meter")), self.hands, path, parts)
        quick = settings(port, backoff_first_s=0.01, backoff_max_s=0.02, ack_timeout_s=20.0, connect_timeout_s=10.0, window_messages=4)
        self.uplink = Uplink(ring, quick, gateway_name="gw", login=Login("a test", TOKEN), clock=clock, promise=lambda _s: None,
                             rng=random.Random(1), attributes=self.attributes, talks=(self.hands, self.claiming, self.shared, self.chunks))

    async def _paused(self, name, *, paused):
        self.done.append((name, paused))
        return True

    def _offered(self, attributes):
        if (offer := offered("fw", attributes)) and not self.image and self.chunks._offer is None:
            self.chunks.begin(offer, 0)

    def _piece(self, piece):
        assert piece.offset <= len(self.image), "a gap"
        self.image[piece.offset:] = piece.data
        if len(self.image) == len(IMAGE):
            self.chunks.stop()
        self.chunks.taken(len(self.image))
        self.woken.set()

    def _followed(self, attributes):
        self.followed = dict(attributes)
        self.woken.set()

    async def claim(self):
        while True:
            try:
                return await self.claiming.answer({"secret": "s", "duration_s": 60.0})
            except OrderRefused:      # not connected, or cut: somebody types the command again
                await asyncio.sleep(0.01)


async def whole_run(path, ring, clock, cut):
    """Run the script; return the proxy, for its counts. Every assertion of the module is here."""
    rules = Rules(TOKEN, gateway_name="gw", limits={"maxPayloadSize": 65_536, "rateLimits": {}, "gatewayRateLimits": {}}, acks_together=2)
    rules.packages.assigned["fw"] = Package("fw", "2.0.0", IMAGE)
    records = [Record(READING, METERS[n % 3], clock.stamp(), (23_000 + n, n, "x" * 60)) for n in range(60)]
    records.append(Record(EVENT, "", clock.stamp(), ("tamper", "cover")))
    for record in records:
        ring.put(Stream.ALARM if record.schema is EVENT else Stream.INSTANT, record)
    async with ThingsBoard(rules) as server, Cutter(server.port, cut) as proxy:
        contract, gateway = server.contract, Gateway(path, ring, clock, proxy.port)
        calls = [contract.call("m0", "pause", persistent=True, timeout_s=60), contract.call("m1", "pause", timeout_s=60),
                 contract.call("", "resume_meter", {"meter": "m2"}, persistent=True, timeout_s=60)]
        tasks = [asyncio.create_task(gateway.uplink.run()), asyncio.create_task(gateway.desk.run(lambda _s: None))]
        try:
            async with asyncio.timeout(30):
                await gateway.uplink.drained()
                await gateway.claim()
                contract.set_shared("", {"rate": 5})
                while not (all(call.answers for call in calls) and bytes(gateway.image) == IMAGE and gateway.followed == {"rate": 5}
                           and contract.store.attributes == {device or "gw": values for device, values in ABOUT.items()}):
                    await asyncio.sleep(0.002)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        store = contract.store
    expected = Counter((record.device or "gw", key, text_cast(value)) for record in records for key, value in values_of(record).items())
    assert Counter((device, key, value) for (device, key, _), value in store.points.items()) == expected
    assert store.conflicts == []
    assert set(store.profiles.items()) == {(name, "three-phase") for name in METERS}
    assert sorted(gateway.done) == [("m0", True), ("m1", True), ("m2", False)], "each call once"
    assert [call.answers for call in calls] == [[{"changed": True, "summary": "m0 is paused"}], [{"changed": True, "summary": "m1 is paused"}],
                                                [{"changed": True, "summary": "m2 is polled"}]]
    assert {claim["secretKey"] for claim in store.claims} == {"s"}
    assert proxy.cuts == (cut is not None)
    return proxy


@pytest.fixture
async def runs(tmp_path, clock):
    """`await run(cut)`: each in a ring and a state directory of its own."""
    from uplink_bench import QUICK

    from edge.ring.store import Ring

    async def run(cut):
        place = tmp_path / f"{cut}"
        place.mkdir()
        async with Ring.open(place / "ring", QUICK, clock) as ring:
            return await whole_run(place, ring, clock, cut)
    return run


async def test_the_whole_list_survives_a_cut_behind_any_packet(runs):
    counted = (await runs(None)).passed
    assert counted[FORTH] > 30
    assert counted[BACK] > 30
    shortest = {direction: count - 8 for direction, count in counted.items()}      # packets: two runs need not pack alike
    for direction in (FORTH, BACK):
        every = range(1, shortest[direction] + 1)
        chosen = every if os.environ.get("UPLINK_CUTS") == "all" else sorted(random.Random(7).sample(every, SAMPLE))
        for n in chosen:
            await runs((direction, n))
