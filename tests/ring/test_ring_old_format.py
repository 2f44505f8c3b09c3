"""Rings that earlier versions wrote, and that must be read for ever.

`rings/format1.zip` was written by commit a224f2b: three boots, one of them without a time, acknowledgements out of order,
an integer beyond 64 bit, large records; beside the slots stands what that version read out of them.
"""

import json
import zipfile
from pathlib import Path

from ring_sim import FakeClock

from edge.commands.ring import row
from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.look import RingLook
from edge.ring.store import Ring

FIXTURE = Path(__file__).parent / "rings" / "format1.zip"
SETTINGS = RingSettings(size_mib=2, slot_mib=0.03125, billing_commit_window_s=0.01)      # with room for more than there was
NEW = Schema(Kind.READING, (Field("energy"),))


def unpacked(place: Path) -> tuple[list[dict], dict[str, int]]:
    with zipfile.ZipFile(FIXTURE) as archive:
        archive.extractall(place)
    expected = [json.loads(line) for line in (place / "expected.jsonl").read_text().splitlines()]
    return expected, json.loads((place / "lost.json").read_text())


def without_new_keys(line: dict, known: dict) -> dict:
    return {key: value for key, value in line.items() if key in known}


def test_every_record_is_read_as_it_was(tmp_path: Path) -> None:
    expected, lost = unpacked(tmp_path)
    look = RingLook(tmp_path)
    found = [json.loads(json.dumps(row(stored, acknowledged=acked))) for stream in Stream for stored, acked in look.records(stream)]
    assert [without_new_keys(line, expected[0]) for line in found] == expected
    assert {stream.name.lower(): view.state.losses.total for stream, view in look.views.items()} == lost


async def test_it_is_written_on_and_nothing_is_lost(tmp_path: Path) -> None:
    expected, _ = unpacked(tmp_path)
    waiting = [line["seq"] for line in expected if line["stream"] == "billing" and not line["acked"]]
    clock = FakeClock("dddddddd-1111-4111-8111-111111111111")
    async with Ring.open(tmp_path, SETTINGS, clock) as ring:
        new = [await ring.append(Stream.BILLING, Record(NEW, "m9", clock.stamp(), (1,))),
               await ring.append(Stream.BILLING, Record(NEW, "m9", clock.stamp().dated_by_meter(77), (2,)))]
        assert [stored.seq for stored in await ring.read(Stream.BILLING)] == waiting + new
        assert ring.status().lost == 0
        assert ring.backlog(Stream.INSTANT).records == sum(1 for line in expected if line["stream"] == "instant" and not line["acked"])
    async with Ring.open(tmp_path, SETTINGS, clock) as ring:
        assert [stored.seq for stored in await ring.read(Stream.BILLING)] == waiting + new
