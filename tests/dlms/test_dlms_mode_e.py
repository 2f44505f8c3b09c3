"""The sign-on of IEC 62056-21 mode E: every cut of its bytes, every noise before them, every answer that is wrong."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge.dlms import mode_e
from edge.dlms.mode_e import REQUESTS, SPEEDS, SignOn, SignOnState
from edge.errors import MeterError, Refused, Violation

NAME = rb"APA5\2NORAX30"
LINE = b"/" + NAME + b"\r\n"
EVEN = bytes(octet | (octet.bit_count() & 1) << 7 for octet in range(128)) + bytes(128)


def even(text: bytes) -> bytes:
    return text.translate(EVEN)


class Talk:
    """A sign-on with a clock of its own."""

    def __init__(self, machine: SignOn) -> None:
        self.machine = machine
        self.now = 1_000.0
        self.sent: list[tuple[int, bytes]] = []
        self.send()

    def send(self) -> None:
        if self.machine.wants_to_send:
            baud = self.machine.baud
            self.sent.append((baud, self.machine.data_to_send(self.now)))
            assert not self.machine.wants_to_send

    def hear(self, data: bytes, after_s: float = 0.1) -> None:
        self.now += after_s
        self.machine.receive(data, self.now)
        self.machine.handle_timer(self.now)
        self.send()

    def silence(self) -> None:
        """Wait for the timer."""
        self.now = max(self.machine.next_timer(), self.now)
        self.machine.handle_timer(self.now)
        self.send()

    def until(self, state: SignOnState) -> None:
        for _ in range(20):
            if self.machine.state is state:
                return
            self.silence()
        raise AssertionError(f"still {self.machine.state}")


def test_seven_bits_with_parity_are_eight_bits_of_ours() -> None:
    assert SignOn("", 9600).data_to_send(0.0) == bytes.fromhex("af3f218d0a")      # as UARTs set to 7E1 send "/?!" CR LF
    assert SignOn("12 aB", 9600).data_to_send(0.0) == even(b"/?12 aB!\r\n")


@pytest.mark.parametrize("confirmed", [True, False, "late"])
def test_the_common_way(confirmed: bool | str) -> None:
    talk = Talk(SignOn("", 9600))
    talk.hear(even(LINE))
    assert talk.sent[-1] == (300, even(b"\x06252\r\n"))
    assert talk.machine.identification == NAME.decode()
    talk.hear(b"the reading head hears us", 0.0)
    assert talk.machine.state is SignOnState.LEAVING
    left_at = talk.now
    talk.silence()
    assert 0.2 < talk.now - left_at < 0.25, "six characters at 300 baud, and not much more: a meter may answer after 20 ms"
    assert talk.machine.baud == 9600
    asked_at = talk.now
    if confirmed:
        talk.hear(even(b"\x06252\r\n")[1 if confirmed == "late" else 0:])
    talk.until(SignOnState.DONE)
    assert talk.now - asked_at < (0.5 if confirmed else 2.0)
    assert talk.machine.baud == 9600
    assert not talk.machine.wants_to_send


@settings(deadline=None)
@given(st.binary(max_size=120), st.lists(st.integers(0, 250), max_size=12), st.booleans(), st.sampled_from(range(7)),
       st.sampled_from([300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 115200]))
def test_noise_before_and_any_cut_change_nothing(noise: bytes, cuts: list[int], parity: bool, speed: int, top: int) -> None:
    assume(mode_e._IDENTIFICATION.search(bytes(octet & 0x7F for octet in noise + b"\r\n")) is None)
    line = b"/HGW%dMETER 7\r\n" % speed
    stream = noise + (even(line) if parity else line)
    assume(mode_e._IDENTIFICATION.search(bytes(octet & 0x7F for octet in stream)).start() == len(noise))
    talk = Talk(SignOn("", top))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in itertools.pairwise(places):
        assert talk.machine.state is SignOnState.ASKING
        talk.hear(stream[start:end], 0.01)
    agreed = max(baud for baud in SPEEDS[:speed + 1] if baud <= top)
    assert talk.sent[1:] == [(300, even(b"\x062%d2\r\n" % SPEEDS.index(agreed)))]
    talk.until(SignOnState.DONE)
    assert (talk.machine.identification, talk.machine.baud) == (f"HGW{speed}METER 7", agreed)


def test_what_the_reading_head_hears_of_ourselves_is_no_answer() -> None:
    talk = Talk(SignOn("", 9600))
    talk.hear(talk.sent[0][1])
    assert talk.machine.state is SignOnState.ASKING
    talk.hear(even(LINE))
    talk.hear(talk.sent[1][1], 0.05)
    talk.silence()
    began = talk.now
    talk.silence()
    assert talk.machine.done
    assert talk.now - began > mode_e.REACTION_MOST_S, "our own option is not the meter's"


def test_silence_is_asked_again_and_then_taken_for_hdlc() -> None:
    talk = Talk(SignOn("", 9600))
    talk.until(SignOnState.DONE)
    assert talk.sent == [(300, even(b"/?!\r\n"))] * REQUESTS
    assert (talk.machine.identification, talk.machine.baud) == ("", 9600)
    assert talk.now - 1_000.0 < 7


def test_behind_a_bridge_both_ways_of_writing_are_tried_and_no_speed_is_set() -> None:
    talk = Talk(SignOn("", None))
    talk.silence()
    assert talk.sent == [(300, even(b"/?!\r\n")), (300, b"/?!\r\n")]
    talk.hear(LINE)
    assert talk.sent[-1] == (300, b"\x06252\r\n"), "in the way that was answered; at the speed that the meter names"
    talk.hear(b"\x06252\r\n", 0.01)      # there is no telling how fast the bridge is
    talk.until(SignOnState.DONE)
    assert talk.now - 1_000.0 < 5


@pytest.mark.parametrize(("line", "error", "text"), [
    (b"/HGWAMETER\r\n", Violation, "offers no speed of mode C or E"),
    (b"/HGW7METER\r\n", Violation, "offers no speed"),
    (b"/HGW?METER\r\n", Violation, "offers no speed"),
])
def test_meters_of_other_modes_are_told(line: bytes, error: type[MeterError], text: str) -> None:
    with pytest.raises(error, match=text):
        Talk(SignOn("", 9600)).hear(even(line))


def test_a_meter_that_reads_itself_out_has_no_mode_e() -> None:
    talk = Talk(SignOn("", 9600))
    talk.hear(even(LINE))
    talk.silence()
    talk.hear(even(b"\x021-0"))
    with pytest.raises(Refused, match="readout in text"):
        talk.hear(even(b":1.8.0*255("))


@pytest.mark.parametrize("damaged", [LINE[1:], LINE[:-1], b"/AP5\r\n", b"/A1A5x\r\n", LINE.replace(b"\r\n", b"\r\r")])
def test_half_an_identification_is_none(damaged: bytes) -> None:
    talk = Talk(SignOn("", 9600))
    talk.hear(even(damaged))
    assert talk.machine.state is SignOnState.ASKING
    talk.silence()
    talk.hear(even(LINE))
    assert talk.machine.state is SignOnState.LEAVING


@settings(deadline=None)
@given(st.one_of(st.none(), st.sampled_from([300, 9600, 115200])),
       st.lists(st.tuples(st.floats(0.0, 3.0), st.one_of(st.binary(max_size=40), st.sampled_from([LINE, even(LINE), b"\x06252\r\n", b"/APA"]))),
                max_size=60))
def test_whatever_comes_it_ends_in_time_or_with_a_reason(top: int | None, events: list[tuple[float, bytes]]) -> None:
    talk = Talk(SignOn("", top))
    told = False
    for after_s, data in events:
        try:
            talk.hear(data, after_s)
        except MeterError as error:
            told = bool(str(error)) and "\n" not in str(error)
            break
        if talk.machine.done:
            break
        assert talk.machine.next_timer() - talk.now < 7
        assert len(talk.machine._text) <= mode_e.KEPT_BYTES
    if not told:
        talk.until(SignOnState.DONE)
        assert talk.machine.baud in SPEEDS or talk.machine.baud == top
    assert talk.now - 1_000.0 < REQUESTS * mode_e.IDENTIFIED_S + 10
    assert len(talk.sent) <= REQUESTS + 1
