"""Wrapper and HDLC frames: worked examples, round trips, streams cut anywhere, noise."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms import hdlc, wrapper
from edge.dlms.chatter import KEPT_BYTES
from edge.dlms.hdlc import Deframer, HdlcFrame, decode_address, encode_address, encode_frame
from edge.dlms.hdlc_parameters import LinkParameters
from edge.errors import BridgeBusy, Violation


# -- addresses: the forms of the standard; 1/1234, 1/17 and 1 as meters use them
@pytest.mark.parametrize(("logical", "physical", "size", "octets"), [
    (1, None, 1, "03"), (16, None, 1, "21"), (1, 17, 2, "0223"), (1, 17, 4, "00020023"), (1, 1234, 4, "000212a5"),
    (1, 8100, 4, "00027e49"), (16383, 16383, 4, "fefefeff"), (127, None, 1, "ff"), (0, None, 1, "01"),
])
def test_address(logical: int, physical: int | None, size: int, octets: str) -> None:
    assert encode_address(logical, physical, size).hex() == octets
    assert decode_address(bytes.fromhex(octets)) == (logical, physical)


@pytest.mark.parametrize(("logical", "physical", "size"), [
    (128, None, 1), (-1, None, 1), (1, 128, 2), (1, 16384, 4), (1, 1, 3), (1, 5, 1), (1, 1, 0)])
def test_addresses_that_do_not_fit(logical: int, physical: int | None, size: int) -> None:
    with pytest.raises(ValueError, match="address"):
        encode_address(logical, physical, size)


@pytest.mark.parametrize("octets", ["", "02", "0202", "020203", "0202020203", "0303", "00000000"])
def test_addresses_that_do_not_exist(octets: str) -> None:
    with pytest.raises(Violation):
        decode_address(bytes.fromhex(octets))


def test_crc_is_x25() -> None:
    assert hdlc.crc_x25(b"123456789") ^ 0xFFFF == 0x906E      # the check value of CRC-16/X-25 in the catalogues


def test_frames_by_hand() -> None:
    assert encode_frame(HdlcFrame(b"\x03", b"\x03", hdlc.SNRM)).hex() == "7ea0070303938c117e"
    answer = bytes.fromhex("7ea0130303b47cf5e6e700c401c5001208fdb97e7e")          # 0x7E stands in its FCS
    (frame,) = Deframer().feed(answer)
    assert frame == HdlcFrame(b"\x03", b"\x03", 0xB4, bytes.fromhex("e6e700c401c5001208fd"))
    assert encode_frame(frame) == answer
    with pytest.raises(ValueError, match="longer than"):
        encode_frame(HdlcFrame(b"\x03", b"\x03", 0x10, bytes(2041)))
    longest = HdlcFrame(b"\x03", b"\x03", 0x10, bytes(2038), segmented=True)
    assert Deframer().feed(encode_frame(longest)) == [longest]


addresses = st.one_of(
    st.integers(0, 127).map(encode_address),
    st.tuples(st.integers(0, 127), st.integers(0, 127)).map(lambda pair: encode_address(*pair, 2)),
    st.tuples(st.integers(0, 16383), st.integers(0, 16383)).map(lambda pair: encode_address(*pair, 4)))
frames = st.builds(HdlcFrame, addresses, addresses, st.integers(0, 255),
                   st.binary(max_size=150) | st.lists(st.sampled_from([0x7E, 0xA0, 0x07]), max_size=60).map(bytes),
                   st.booleans())


@given(st.integers(0, 16_383), st.integers(0, 16_383), st.sampled_from([1, 2, 4]))
def test_every_address_that_can_be_written_is_read_back(logical: int, physical: int, size: int) -> None:
    most = 16_383 if size == 4 else 127
    logical, physical = logical % (most + 1), physical % (most + 1)
    octets = encode_address(logical, None if size == 1 else physical, size)
    assert len(octets) == size
    assert decode_address(octets) == (logical, None if size == 1 else physical)
    assert [octet & 1 for octet in octets] == [0] * (size - 1) + [1]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(frames, max_size=6), st.lists(st.integers(0, 10_000), max_size=20), st.booleans(), st.integers(0, 3))
def test_streams_of_frames_come_out_however_they_are_cut(
    sent: list[HdlcFrame], places: list[int], shared: bool, idle: int,
) -> None:
    stream = b"~" * idle + b"".join(encode_frame(frame)[:-1] if shared else encode_frame(frame) + b"~" * idle for frame in sent)
    stream += b"~"
    deframer = Deframer()
    assert [frame for piece in cut(stream, places) for frame in deframer.feed(piece)] == sent
    assert deframer.discarded_bytes == 0
    assert deframer.pending_bytes <= 1


@given(st.binary(max_size=120), frames, st.lists(st.integers(0, 10_000), max_size=10))
def test_after_noise_the_frame_is_found(noise: bytes, frame: HdlcFrame, places: list[int]) -> None:
    """At the latest when the receive time-out says that nothing more comes."""
    deframer = Deframer()
    found = [got for piece in cut(noise + encode_frame(frame), places) for got in deframer.feed(piece)]
    while deframer.pending_bytes > 1:
        found += deframer.abandon()
    assert found[-1:] == [frame]


@given(st.binary(max_size=3000))
def test_any_octets_are_held_within_bounds(octets: bytes) -> None:
    whole, bytewise = Deframer(), Deframer()
    found = whole.feed(octets)
    one_by_one = []
    for octet in octets:
        one_by_one += bytewise.feed(bytes((octet,)))
        assert bytewise.pending_bytes <= hdlc.LIMIT_BYTES + 2
    assert one_by_one == found
    assert bytewise.pending_bytes == whole.pending_bytes


@given(frames, st.data())
def test_one_wrong_bit_is_no_frame(frame: HdlcFrame, data: st.DataObject) -> None:
    octets = bytearray(encode_frame(frame))
    place = data.draw(st.integers(1, len(octets) - 2))
    octets[place] ^= 1 << data.draw(st.integers(0, 7))
    deframer = Deframer()
    assert frame not in deframer.feed(bytes(octets)) + deframer.abandon()


def test_largest_believed_length_can_be_set() -> None:
    frame = HdlcFrame(b"\x03", b"\x03", 0x10, bytes(100))
    assert Deframer(limit_bytes=109).feed(encode_frame(frame)) == [frame]
    assert Deframer(limit_bytes=108).feed(encode_frame(frame)) == []


def test_words_of_a_bridge_are_kept_until_a_good_frame_comes() -> None:
    good = encode_frame(HdlcFrame(b"\x03", b"\x03", hdlc.UA))
    deframer = Deframer()
    deframer.feed(b"Port already in use\r\n")
    assert deframer.text() == "Port already in use"
    assert deframer.feed(good)
    assert deframer.text() == ""
    deframer.feed(b"\r\nClosing socket due to inactivity (30 sec)\r\nCLOSE\r\n")
    assert deframer.text() == "Closing socket due to inactivity (30 sec) CLOSE"
    deframer.feed(b"x" * 10_000)
    assert len(deframer.text()) <= KEPT_BYTES
    deframer.clear()
    assert deframer.text() == ""


def test_damaged_frames_are_not_words() -> None:
    deframer = Deframer()
    octets = bytearray(encode_frame(HdlcFrame(b"\x03", b"\x03", 0x30, b"\xe6\xe7\x00\xc4\x01\xc1\x00\x09\x0812345678")))
    octets[-2] ^= 1
    assert deframer.feed(bytes(octets) + b"~") == []
    assert deframer.discarded_bytes > 0
    assert deframer.text() == ""


# -- parameters of SNRM and UA
@pytest.mark.parametrize(("octets", "expected"), [
    ("", LinkParameters()),
    ("818012050180060180070400000001080400000001", LinkParameters(128, 128, 1, 1)),
    ("8180140502008006020080070400000001080400000001", LinkParameters(128, 128, 1, 1)),
    ("8180060501c806018c", LinkParameters(200, 140, 1, 1)),               # one octet each
    ("818008050207ee06020400", LinkParameters(2030, 1024, 1, 1)),
    ("81800a0501800902ffff0601ff", LinkParameters(128, 255, 1, 1)),       # a parameter of a maker's own is skipped
])
def test_parameters(octets: str, expected: LinkParameters) -> None:
    assert LinkParameters.decode(bytes.fromhex(octets)) == expected


@pytest.mark.parametrize("octets", ["81", "8180", "818001", "81800105", "8180020501", "818003050100", "8280030501ff", "81800305000180"])
def test_malformed_parameters(octets: str) -> None:
    with pytest.raises(Violation):
        LinkParameters.decode(bytes.fromhex(octets))


@given(st.builds(LinkParameters, st.integers(16, 0xFFFF), st.integers(16, 0xFFFF), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
def test_parameters_round_trip(parameters: LinkParameters) -> None:
    assert LinkParameters.decode(parameters.encode()) == parameters


def test_what_the_meter_receives_bounds_what_is_sent() -> None:
    agreed = LinkParameters(max_info_transmit=200, max_info_receive=140).limited(LinkParameters(512, 512))
    assert (agreed.max_info_transmit, agreed.max_info_receive) == (140, 200)
    assert LinkParameters(1000, 1000).limited(None) == LinkParameters(128, 128)


# -- the wrapper
def test_wrapper_by_hand() -> None:
    assert wrapper.encode(16, 1, bytes.fromhex("c001c100030100200700ff0200")).hex() == (
        "000100100001000dc001c100030100200700ff0200")
    with pytest.raises(ValueError, match="no wrapper header"):
        wrapper.encode(1, 1, bytes(65_536))


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.binary(min_size=1, max_size=300)), max_size=5),
       st.lists(st.integers(0, 10_000), max_size=20))
def test_wrapper_round_trip(sent: list[tuple[int, int, bytes]], places: list[int]) -> None:
    deframer = wrapper.WrapperDeframer()
    stream = b"".join(wrapper.encode(*frame) for frame in sent)
    assert [frame for piece in cut(stream, places) for frame in deframer.feed(piece)] == sent
    assert deframer.pending_bytes == 0


@given(st.binary(max_size=500), st.lists(st.integers(0, 10_000), max_size=10))
def test_wrapper_takes_any_octets(octets: bytes, places: list[int]) -> None:
    deframer = wrapper.WrapperDeframer(limit_bytes=100)
    try:
        for piece in cut(octets, places):
            deframer.feed(piece)
    except (Violation, BridgeBusy):
        return
    assert deframer.pending_bytes <= 108 or deframer.text()


@pytest.mark.parametrize("octets", ["0001000100010000", "00010001000100650102", "00020001000100010f", "ff"])
def test_wrapper_faults(octets: str) -> None:
    with pytest.raises(Violation):
        wrapper.WrapperDeframer(limit_bytes=100).feed(bytes.fromhex(octets))


def test_wrapper_meets_a_bridge() -> None:
    for *pieces, last in ([b"Port already in use\r\n"], [b"P", b"ort already", b" in use\r", b"\n"]):
        deframer = wrapper.WrapperDeframer()
        for piece in pieces:
            assert deframer.feed(piece) == []
        with pytest.raises(BridgeBusy, match="Port already in use"):
            deframer.feed(last)
    with pytest.raises(BridgeBusy, match="says 'NO CARR'"):
        wrapper.WrapperDeframer().feed(b"NO\r CARR\n")
    with pytest.raises(Violation, match="0x0a instead of a wrapper header"):
        wrapper.WrapperDeframer().feed(b"\n" * KEPT_BYTES)
    deframer = wrapper.WrapperDeframer()
    deframer.feed(b"busy")
    assert deframer.text() == "busy"
