"""The trace never shows a password, however the frames cut it."""

from hypothesis import given
from hypothesis import strategies as st
from poll_bench import GENERIC_PROFILE, PASSWORD, session_to, simulated

from edge.poll.trace import HexTrace


def traced(secret: bytes, *pieces: tuple[str, bytes]) -> list[str]:
    lines: list[str] = []
    trace = HexTrace(secret, lines.append)
    for direction, data in pieces:
        trace(direction, data)
    return lines


def test_a_worked_example() -> None:
    assert traced(b"12", ("TX", b"\x00\x31\x32\x05"), ("RX", b"\x00\x31\x32")) == ["TX 00 ** ** 05", "RX 00 31 32"]
    assert traced(b"", ("TX", b"\x01\x02")) == ["TX 01 02"]


def test_the_checksum_that_could_confirm_a_guess_is_masked_too() -> None:
    assert traced(b"secret", ("TX", b"\x7e\xa0secret\x11\x22\x7e")) == ["TX 7e a0 ** ** ** ** ** ** ** ** 7e"]


def test_a_password_cut_in_two_by_segmentation_is_masked_in_both() -> None:
    lines = traced(b"ABCDEFGH", ("TX", b"\x7e\xa8...ABCDE\x01\x02\x7e"), ("TX", b"\x7e\xa0FGH...\x01\x02\x7e"))
    for line in lines:
        assert "41 42" not in line
        assert "46 47" not in line


def test_after_the_association_stands_only_whole_passwords_are_masked() -> None:
    aare = b"\x00" * 8 + b"\x61"
    assert traced(b"\x00\x00\x01", ("RX", aare), ("TX", b"\x00\x00\x02\x00\x00\x01"))[1] == "TX 00 00 02 ** ** **"


@given(secret=st.binary(min_size=2, max_size=16), before=st.binary(max_size=20), after=st.binary(max_size=20), cut=st.integers(0, 60))
def test_no_two_octets_of_the_password_are_ever_shown_while_opening(secret: bytes, before: bytes, after: bytes, cut: int) -> None:
    whole = before + secret + after
    for piece in (whole[:cut], whole[cut:]):
        shown = traced(secret, ("TX", piece))[0].split()[1:]
        for n in range(len(shown) - 1):
            if "**" not in shown[n:n + 2]:
                assert bytes.fromhex("".join(shown[n:n + 2])) not in secret


async def test_a_real_association_is_traced_without_its_password() -> None:
    for kind in ("wrapper", "hdlc"):
        lines: list[str] = []
        async with simulated(kind) as (_, row), session_to(row, trace=HexTrace(PASSWORD, lines.append)) as session:
            await session.get([GENERIC_PROFILE.objects[0].target])
        text = "\n".join(lines)
        assert PASSWORD.hex(" ") not in text
        assert "** ** ** ** ** ** ** **" in text
        assert any(line.startswith("RX") for line in lines)
