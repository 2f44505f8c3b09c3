"""What one day of a load profile costs on the way: 96 rows of a quarter of an hour, clock and nine registers, by range.

    python benchmarks/profile_day.py

Client and simulated meter joined in memory: what is counted are round trips, frames and octets, which follow from the
sizes that were negotiated and not from the machine. An information length of 128 octets is what HDLC has without
negotiation, the others are what SNRM and UA can agree to; the PDU size is what AARQ and AARE settle. "null": null-data
for times and values that follow from the row before (IEC 62056-6-2, profile generic). Seconds are round trips at 65 ms
and octets at 900 kbit/s, the "fair" HaLow link of the demo.

Exit status 1 when the rows differ between variants.
"""

import sys
from datetime import UTC, datetime
from typing import NamedTuple

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Counters
from edge.demo.meter_device import Fittings
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_manners import Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_server import Endpoint, WrapperServer
from edge.demo.meter_settings import MeterSettings
from edge.dlms.association import Answer, Association, AssociationSettings
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.datetimes import ClockTime
from edge.dlms.selection import by_clock_range
from edge.meters.loadrows import Layout, layout, rows
from edge.meters.localtime import Reckoning
from edge.meters.profile import load_profiles

NOW = 1_772_368_205.0               # 2026-03-01 12:30:05 UTC
DAY = 1_772_236_800                 # 2026-02-28
ROUND_TRIP_S, BITS_PER_S = 0.065, 900_000
PROFILE = Attribute(7, Obis(*objects.LOAD_PROFILE), 2)


class Way(NamedTuple):
    """One way to read it."""

    framing: str
    max_pdu: int
    max_info_bytes: int
    null: bool


WAYS = [Way("wrapper", pdu, 128, null) for pdu in (128, 256, 512, 1024, 4096) for null in (False, True)] + [
    Way("hdlc", pdu, info, null) for pdu, info in ((128, 128), (1024, 128), (1024, 512), (1024, 1024), (4096, 2030))
    for null in (False, True)]


class Cost(NamedTuple):
    """What the GET of the day took, and the rows that it brought."""

    round_trips: int
    frames: int
    sent_bytes: int
    received_bytes: int
    rows: tuple[tuple[object, ...], ...]

    @property
    def seconds(self) -> float:
        return self.round_trips * ROUND_TRIP_S + 8 * (self.sent_bytes + self.received_bytes) / BITS_PER_S


def carried(association: Association, endpoint: Endpoint) -> object:
    """Carry bytes to and fro until the client has nothing more to say; return its last event."""
    event: object = None
    while data := association.data_to_send():
        for frame in endpoint.receive(data, NOW):
            association.receive_data(frame, 0.0)
        event = association.next_event() or event
    return event


def read(association: Association, endpoint: Endpoint, attribute: Attribute) -> object:
    """GET one attribute."""
    association.get([attribute], 0.0)
    answer = carried(association, endpoint)
    assert isinstance(answer, Answer)
    return answer.results[0].data


def measure(way: Way) -> Cost:
    """Associate, learn the layout, read the day."""
    model = MeterModel(serial="1", seed=3, fittings=Fittings(null_time=way.null, null_same=way.null))
    manners = Manners(max_pdu=way.max_pdu, announce_own_pdu=True)
    settings = MeterSettings(framing=way.framing, max_info_bytes=way.max_info_bytes, manners=manners)
    endpoint = (WrapperServer if way.framing == "wrapper" else HdlcServer)(model, settings, Counters())
    association = Association(AssociationSettings(
        way.framing, 1, 1, authentication="lls", password=b"00000000", max_pdu=way.max_pdu,
        max_info_bytes=way.max_info_bytes))
    association.open(0.0)
    carried(association, endpoint)
    spec = load_profiles()["generic-three-phase"].load_profile
    assert spec is not None
    found = layout(spec, *(read(association, endpoint, PROFILE._replace(attribute=number)) for number in (3, 4, 5)))
    assert isinstance(found, Layout)
    first, last = (octets(DAY + second) for second in (0, 86_399))
    before = counted(association)
    buffer = read(association, endpoint, PROFILE._replace(selection=by_clock_range(first, last)))
    taken = tuple(row.cells[1:] for row in rows(found, buffer, Reckoning(), int(NOW)))
    return Cost(*(end - begin for begin, end in zip(before, counted(association), strict=True)), taken)


def counted(association: Association) -> tuple[int, int, int, int]:
    """Round trips, frames, octets out and in, so far."""
    traffic = association.traffic
    return (traffic.round_trips, traffic.sent_frames + traffic.received_frames, traffic.sent_bytes,
            traffic.received_bytes)


def octets(at: int) -> bytes:
    """Write an instant as a date-time in UTC."""
    then = datetime.fromtimestamp(at, UTC)
    return ClockTime(then.year, then.month, then.day, None, then.hour, then.minute, then.second, 0, 0, 0).encode()


def main() -> int:
    """Measure and print."""
    costs = {way: measure(way) for way in WAYS}
    print(f"{'way':22} {'':5} {'round trips':>11} {'frames':>7} {'out B':>7} {'in B':>7} {'saved':>6} {'s':>6}")
    for way, cost in costs.items():
        base = costs[WAYS[0] if way.framing == "wrapper" else next(each for each in WAYS if each.framing == "hdlc")]
        name = f"{way.framing} PDU {way.max_pdu}" + (f", info {way.max_info_bytes}" if way.framing == "hdlc" else "")
        saved = 1 - (cost.sent_bytes + cost.received_bytes) / (base.sent_bytes + base.received_bytes)
        print(f"{name:22} {'null' if way.null else '':5} {cost.round_trips:11} {cost.frames:7} {cost.sent_bytes:7,} "
              f"{cost.received_bytes:7,} {saved:6.0%} {cost.seconds:6.2f}")
    alike = {cost.rows for cost in costs.values()}
    print(f"{len(next(iter(alike)))} rows, the same by every way: {len(alike) == 1}")
    return int(len(alike) != 1)


if __name__ == "__main__":
    sys.exit(main())
