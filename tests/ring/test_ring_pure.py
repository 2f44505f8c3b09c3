"""Frames, header, acknowledgements, dictionary, time: each by worked examples and by properties."""

import contextlib
import zlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, Stamp, Stream
from edge.ring import ackset, layout, losses, timebase
from edge.ring.ackset import FIRST_ORDINAL, AckSet
from edge.ring.dictionary import MAX_ENTRIES, NO_TABLES, Dictionary, defined, dict_payloads
from edge.ring.frame import (
    PAGE_BYTES,
    PAGE_PAYLOAD_BYTES,
    Frame,
    FrameFlag,
    FrameType,
    Undecodable,
    encode_frame,
    frame_pages,
    new_packer,
    open_frame,
    peek,
    unpack_all,
    unpack_count,
    unpack_first,
)
from edge.ring.records import pack_record, record_of
from edge.ring.timebase import Anchor, AnchorPolicy, Quality, Timebase, stamps_by

PACK = new_packer()
BOOT = bytes(range(16))
OTHER = bytes(16)


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_a_frame_byte_for_byte() -> None:
    frame = Frame(FrameType.DATA, 0, 1, 0x0000_0300_0000_0007, b"\x93\x00\x00\x05")
    page = encode_frame(frame, uid=0xAABBCCDD)
    head = bytes.fromhex("b10c 01 00 0300 0100 04000000 0700000000030000".replace(" ", ""))
    crc = zlib.crc32(b"\x93\x00\x00\x05", zlib.crc32(head, 0xAABBCCDD))
    assert page[:24] == head + crc.to_bytes(4, "little")
    assert page[24:28] == b"\x93\x00\x00\x05"
    assert len(page) == 4096
    assert not any(page[28:])


FRAMES = st.builds(
    Frame, st.sampled_from([int(t) for t in FrameType] + [7, 200]), st.sampled_from([0, 2, 4, 6]), st.integers(0, 0xFFFF),
    st.integers(0, 2**64 - 1), st.binary(max_size=9000),
)


@given(FRAMES, st.integers(0, 2**32 - 1))
def test_a_frame_comes_back_as_it_was_written(frame: Frame, uid: int) -> None:
    data = encode_frame(frame, uid)
    head = peek(data)
    assert head is not None
    assert len(data) == frame_pages(len(frame.payload)) * PAGE_BYTES
    assert open_frame(head, data, uid) == frame


@given(FRAMES, st.integers(0, 2**32 - 1), st.data())
def test_one_wrong_bit_or_another_segments_uid_and_the_frame_is_none(frame: Frame, uid: int, data: st.DataObject) -> None:
    page = bytearray(encode_frame(frame, uid))
    head = peek(bytes(page))
    assert head is not None
    assert open_frame(head, bytes(page), uid ^ (1 << data.draw(st.integers(0, 31)))) is None
    bit = data.draw(st.integers(0, (24 + len(frame.payload)) * 8 - 1))
    page[bit // 8] ^= 1 << bit % 8
    head = peek(bytes(page))
    assert head is None or open_frame(head, bytes(page), uid) is None


@given(st.binary(max_size=5000))
def test_any_bytes_are_a_frame_or_none(data: bytes) -> None:
    head = peek(data)
    if head is not None:
        open_frame(head, data, 0)


def test_a_compressed_frame_is_read_and_a_bomb_is_not() -> None:
    def packed(payload: bytes) -> bytes:
        return encode_frame(Frame(FrameType.DATA, FrameFlag.ZLIB, 1, 1, zlib.compress(payload)), 5)

    data = packed(b"\x01" * 5000)
    assert open_frame(peek(data), data, 5).payload == b"\x01" * 5000
    bomb = packed(bytes(3 << 20))
    assert open_frame(peek(bomb), bomb, 5) is None
    junk = encode_frame(Frame(FrameType.DATA, FrameFlag.ZLIB, 1, 1, b"no zlib"), 5)
    assert open_frame(peek(junk), junk, 5) is None


VALUES = st.one_of(st.none(), st.integers(), st.integers(-(2**200), 2**200), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@given(st.lists(VALUES))
@example([2**64, -(2**63) - 1, 2**64 - 1, -(2**63)])
def test_values_of_any_size_survive_packing(values: list) -> None:
    assert unpack_all(PACK(values) + PACK(1)) == [values, 1]
    assert unpack_first(PACK(values) + b"\xc1") == values


@given(st.binary(max_size=200))
def test_unpacking_any_bytes_gives_values_or_says_so(data: bytes) -> None:
    for unpack in (unpack_all, unpack_first):
        with contextlib.suppress(Undecodable):
            unpack(data)


def test_a_value_cut_short_is_an_error() -> None:
    for cut in (PACK([1, 2, 3])[:-1], PACK("text")[:-1], PACK([1]) + b"\xcd"):
        with pytest.raises(Undecodable):
            unpack_all(cut)
        with pytest.raises(Undecodable):
            unpack_count(cut, 1)
    with pytest.raises(Undecodable):
        unpack_count(PACK(1) + PACK(2), 1)


# ---- header ----------------------------------------------------------------------------------------------------------


def a_header(**changes) -> layout.SlotHeader:
    state = losses.State(AckSet(7), losses.Losses(), {2: 4})
    state.losses.add(1 << 40 | 3, 1 << 40 | 6, 4, "evicted", (1, None))
    header = layout.SlotHeader(b"r" * 16, 2, 9, 17, 9 << 40 | 70, 0xDEADBEEF, BOOT, 1234, 1_700_000_000_123, 3, 1000, state,
                               (Anchor(BOOT, 5, 6, 3, "sync", None),))
    return replace(header, **changes)


def test_a_header_comes_back() -> None:
    page = layout.encode_header(a_header(), PACK)
    back = layout.decode_header(page)
    assert len(page) == PAGE_BYTES
    assert page[:4] == b"EGR1"
    assert back.base == 70
    assert (back.segment, back.uid, back.boot, back.wall_ms, back.base_ms) == (17, 0xDEADBEEF, BOOT, 1_700_000_000_123, 1000)
    assert back.anchors == a_header().anchors
    assert back.state.acks.floor == 7
    assert back.state.losses.untold == a_header().state.losses.untold
    assert back.state.told == {2: 4}


@given(st.integers(0, PAGE_BYTES * 8 - 1))
def test_one_wrong_bit_and_the_header_is_none(bit: int) -> None:
    page = bytearray(layout.encode_header(a_header(), PACK))
    page[bit // 8] ^= 1 << bit % 8
    assert layout.decode_header(bytes(page)) is None


def test_a_newer_format_is_left_alone() -> None:
    page = bytearray(layout.encode_header(a_header(), PACK))
    page[15] = 0x80
    page[-4:] = zlib.crc32(page[:-4]).to_bytes(4, "little")
    with pytest.raises(layout.Incompatible):
        layout.decode_header(bytes(page))


def test_a_header_full_of_everything_fits_its_page() -> None:
    acks = AckSet(1)
    for n in range(1024):
        acks.add(2**39 + n * 1_000_000, 2**39 + n * 1_000_000 + 70_000)
    lost = losses.Losses()
    for n in range(30):
        lost.add(n << 40, 2**63, 2**40, ("damaged", "evicted")[n % 2], (2**41, 2**41))
    anchors = tuple(Anchor(n.to_bytes(16, "big"), 2**41, 2**41, 3, "meter:long name of it", 5000) for n in range(32))
    page = layout.encode_header(a_header(state=losses.State(acks, lost, {0: 9, 1: 9, 2: 9}), anchors=anchors), PACK)
    back = layout.decode_header(page)
    assert back.anchors[-1] == anchors[-1]
    assert back.state.losses.total == 30 * 2**40


def test_quotas_are_whole_slots_two_at_least() -> None:
    mib = 1 << 20
    shares = layout.quotas(256 * mib, 4 * mib, 0.05, 0.25)
    assert shares == {Stream.ALARM: 12 * mib, Stream.BILLING: 64 * mib, Stream.INSTANT: 180 * mib}
    assert set(layout.quotas(mib, 4 * mib, 0.05, 0.25).values()) == {8 * mib}


# ---- acknowledgements ------------------------------------------------------------------------------------------------

SPANS = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 30)), max_size=40)


def test_out_of_order_acknowledgements_close_up() -> None:
    acks = AckSet()
    acks.add(5, 6)
    acks.add(9, 9)
    assert list(acks.intervals()) == [(5, 6), (9, 9)]
    assert acks.missing(1, 10) == [(1, 4), (7, 8), (10, 10)]
    acks.add(7, 8)
    assert list(acks.intervals()) == [(5, 9)]
    acks.add(1, 4)
    assert (acks.floor, list(acks.intervals())) == (10, [])
    assert acks.encode(100) == [10]


@given(SPANS, st.integers(1, 240), st.integers(0, 60))
def test_the_set_is_a_set(spans: list[tuple[int, int]], first: int, length: int) -> None:
    acks, model = AckSet(), set()
    for low, extra in spans:
        acks.add(low, low + extra)
        model |= set(range(low, low + extra + 1))
    assert all((n in acks) == (n in model) for n in range(1, 240))
    missing = [n for low, high in acks.missing(first, first + length) for n in range(low, high + 1)]
    assert missing == [n for n in range(first, first + length + 1) if n not in model]
    assert acks.count_missing(300) == len([n for n in range(FIRST_ORDINAL, 300) if n not in model])
    again = AckSet.decode(acks.encode(10_000))
    assert (again.floor, list(again.intervals())) == (acks.floor, list(acks.intervals()))
    twin = acks.copy()
    twin.add(1, 500)
    assert acks.count_missing(300) == again.count_missing(300)


@given(SPANS, st.integers(3, 60))
def test_a_short_form_only_forgets(spans: list[tuple[int, int]], limit: int) -> None:
    acks = AckSet()
    for low, extra in spans:
        acks.add(low * 1000, low * 1000 + extra)
    flat = acks.encode(limit)
    assert len(PACK(flat)) <= max(limit, 12)
    short = AckSet.decode(flat)
    assert all(acks.covers(low, high) for low, high in short.intervals())
    assert short.floor == acks.floor


def test_over_the_cap_the_smallest_is_forgotten() -> None:
    acks = AckSet()
    for n in range(ackset.MAX_INTERVALS):
        acks.add(10 + 10 * n, 13 + 10 * n)
    acks.add(100_000, 100_000)
    assert 100_000 not in acks
    assert 10 in acks
    assert len(list(acks.intervals())) == ackset.MAX_INTERVALS


@pytest.mark.parametrize("junk", [None, [], [1, 2], [-1], ["a"], [1, -2, 3], {}, [1.5]])
def test_what_is_no_set_is_refused(junk: object) -> None:
    with pytest.raises(ValueError):
        AckSet.decode(junk)


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_a_flood_of_losses_stays_short_and_counts_all() -> None:
    lost = losses.Losses()
    for n in range(100):
        lost.add(n, n, 1, "memory", (n, n))
    assert lost.untold == [losses.Loss(1, 0, 99, 100, "memory", 0, 99)]
    lost.durable_no = 1
    for n in range(100):
        lost.add(1000 + n, 1000 + n, 2, ("evicted", "damaged")[n % 2], (None, None))
    assert lost.total == 300
    assert len(lost.untold) <= losses.MAX_UNTOLD
    assert sum(loss.records for loss in lost.untold) == 300
    assert losses.Losses.decode(lost.encode()).untold == lost.untold


# ---- dictionary ------------------------------------------------------------------------------------------------------

FIELDS = st.builds(Field, st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.integers(-128, 127), st.text(max_size=3, alphabet="VAWh°"), st.just("1-0:1.8.0"))
SCHEMAS = st.builds(Schema, st.sampled_from(Kind), st.lists(FIELDS, max_size=12).map(tuple), st.sampled_from(["", "p", "micro"]))


@given(st.lists(st.tuples(SCHEMAS, st.text(st.characters(exclude_categories=["Cs"]), max_size=30)), min_size=1, max_size=30), st.data())
def test_records_come_back_through_the_tables(pairs: list[tuple[Schema, str]], data: st.DataObject) -> None:
    dictionary, rows, records = Dictionary(1 << 20), [], []
    for schema, device in pairs:
        values = tuple(data.draw(VALUES) for _ in schema.fields)
        record = Record(schema, device, Stamp(5000, 0, "b", True), values)
        records.append(record)
        rows.append(pack_record(record, 7000, dictionary, PACK))
    tables = NO_TABLES
    for payload in dict_payloads(dictionary.entries):
        tables = defined(tables, payload)
    assert tables == dictionary.tables()
    items = [unpack_first(row) for row in rows]
    assert [item[2] for item in items] == [-2000] * len(items), "time counts from the run's opening"
    assert [record_of(item, tables, Stamp(5000, 0, "b", True)) for item in items] == records


def test_dict_frames_are_pages() -> None:
    dictionary = Dictionary(1 << 20)
    for n in range(400):
        dictionary.device_id(f"meter-{n:04d}-in-a-long-street", PACK)
    payloads = dict_payloads(dictionary.entries)
    assert all(len(payload) <= PAGE_PAYLOAD_BYTES for payload in payloads)
    assert b"".join(payloads) == b"".join(dictionary.entries)


def test_an_equal_schema_is_the_same_and_endless_ones_are_refused() -> None:
    dictionary = Dictionary(1 << 20)
    assert dictionary.schema_id(Schema(Kind.LINK, (Field("a"),)), PACK) == dictionary.schema_id(Schema(Kind.LINK, (Field("a"),)), PACK)
    for n in range(MAX_ENTRIES - 1):
        dictionary.device_id(f"m{n}", PACK)
    with pytest.raises(RingError, match="build a schema once"):
        dictionary.schema_id(Schema(Kind.LINK, (Field("b"),)), PACK)


def test_a_kind_of_a_newer_version_is_skipped() -> None:
    tables = defined(NO_TABLES, PACK([0, 3, 99, "", []]) + PACK([1, 0, "m"]) + PACK([2, "what?"]))
    assert tables == ({}, {0: "m"})


# ---- time ------------------------------------------------------------------------------------------------------------


def resolve(base: Timebase, boot: bytes, moment: int) -> tuple[int, bool]:
    stamp = stamps_by(base.anchor(boot, moment), "b")(moment)
    return stamp.wall_ms, stamp.synchronised


def test_the_last_anchor_before_counts_else_the_first_after() -> None:
    base = Timebase()
    base.add(Anchor(BOOT, 10_000, 1_000_000, 3, "sync"))
    base.add(Anchor(BOOT, 50_000, 2_000_000, 3, "sync"))
    assert resolve(base, BOOT, 4_000) == (994_000, True)
    assert resolve(base, BOOT, 49_999) == (1_039_999, True)
    assert resolve(base, BOOT, 50_001) == (2_000_001, True)
    assert base.anchor(OTHER, 1) is None


def test_a_held_out_anchor_stays_the_first() -> None:
    base = Timebase()
    base.add(Anchor(BOOT, 600_000, 70_000, 0, "held"))
    before = resolve(base, BOOT, 5_000)
    base.add(Anchor(BOOT, 700_000, 1_700_000_000_000, 3, "sync"))
    assert resolve(base, BOOT, 5_000) == before == (-525_000, False)
    assert resolve(base, BOOT, 700_010) == (1_700_000_000_010, True)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**12)), min_size=1), st.lists(st.integers(0, 10**6)), st.randoms())
def test_later_anchors_never_move_earlier_records(anchors, moments, rng) -> None:
    anchors = sorted(dict(anchors).items())
    base, said = Timebase(), {}
    for boottime, wall in anchors:
        base.add(Anchor(BOOT, boottime, wall, 3, "sync"))
        for moment in moments:
            if moment <= boottime:
                assert said.setdefault(moment, resolve(base, BOOT, moment)) == resolve(base, BOOT, moment)
    shuffled = anchors.copy()
    rng.shuffle(shuffled)
    again = Timebase()
    for boottime, wall in shuffled:
        again.add(Anchor(BOOT, boottime, wall, 3, "sync"))
    assert all(resolve(base, BOOT, moment) == resolve(again, BOOT, moment) for moment in moments)


def test_a_summary_says_what_the_next_segment_needs() -> None:
    base = Timebase()
    first = Anchor(OTHER, 1, 1, 3, "sync")
    second, third, fourth = (Anchor(BOOT, n, n, 3, "sync") for n in (5, 6, 7))
    for anchor in (first, second, third, fourth):
        base.add(anchor)
    assert base.summary(10, BOOT) == [first, second, fourth]
    assert base.summary(2, BOOT) == [second, fourth]


def test_an_anchor_is_due_at_sync_at_a_step_and_hourly() -> None:
    policy = AnchorPolicy(Anchor(BOOT, 500, 4, 0, "open"))
    assert policy.observe(1_000, 5, synchronised=False) is None
    assert policy.observe(2_000, 1_000_000, synchronised=True).quality == Quality.NTP
    assert policy.observe(3_000, 1_001_100, synchronised=True) is None
    assert policy.observe(4_000, 1_002_600, synchronised=True).wall_ms == 1_002_600
    assert policy.observe(4_000 + timebase.HOURLY_MS - 1, 1_002_600 + timebase.HOURLY_MS - 1, synchronised=True) is None
    assert policy.observe(4_000 + timebase.HOURLY_MS, 1_002_600 + timebase.HOURLY_MS, synchronised=True) is not None


def test_a_synchronised_opening_is_the_first_anchor() -> None:
    policy = AnchorPolicy(Anchor(BOOT, 500, 1_000_000, 3, "open"))
    assert policy.observe(1_500, 1_001_000, synchronised=True) is None
    assert policy.observe(2_500, 5_000_000, synchronised=True) is not None


def test_an_anchor_may_grow_at_its_end() -> None:
    anchor = Anchor(BOOT, 5, 6, 3, "meter:a", 20)
    assert timebase.decode_anchor([*timebase.encode_anchor(anchor), "new"]) == anchor
    with pytest.raises(ValueError):
        timebase.decode_anchor([1, 2, 3])
