r"""The sign-on of IEC 62056-21 mode E that precedes HDLC on optical heads and some serial lines (clause 6.3, annex E).

    ASKING      /?address!  CR LF          ->      300 baud, seven bits and even parity
                /MMMZ\2name CR LF         <-       maker, fastest speed Z ("0" 300 ... "6" 19200), name
    LEAVING     ACK 2 Z 2   CR LF          ->      HDLC wanted, at speed Z or a slower one; then both change over
    CONFIRMING  ACK 2 Z 2   CR LF         <-       at the new speed; some meters at the old one, some not at all
    DONE        HDLC, eight bits, no parity

Sans-IO: bytes and `now` (seconds, monotonic) come in, bytes and the speed wanted go out. Seven bits with a parity bit
are the same ten bits on the wire as eight without: the parity is made here, and the line needs one format only, which
also suits a bridge that is fixed to it. What is heard is taken whatever its parity bit says.

A meter that does not answer may be in the middle of HDLC already, after a gateway that lost its power. So silence is no
failure here: the link is opened all the same, and fails by itself where nobody is.
"""

import re
from enum import Enum

from edge.errors import FailReason, Refused, Violation

SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200)
SIGN_ON_BAUD = SPEEDS[0]
OCTET_BITS = 10
REQUESTS = 2
REACTION_LEAST_S = 0.2    # rest before each message, and longest before its answer or between two characters
REACTION_MOST_S = 1.5     # (clause 6.4.3)
IDENTIFIED_S = 6.0        # from a request to the end of the longest name, at the slowest
CHANGE_OVER_S = 0.03      # after the last bit of the option has left; a meter waits 20 ms at least, most 200 ms
BEFORE_HDLC_S = 0.3       # between the confirmation and the first frame
KEPT_BYTES = 96

_EVEN = bytes(octet | (octet.bit_count() & 1) << 7 for octet in range(128))
_IDENTIFICATION = re.compile(rb"/([A-Za-z]{3})([!-~])([^\r\n/!]{0,64})\r\n")
_BEGUN = re.compile(rb"/[A-Za-z]{1,3}")
_READOUT = re.compile(rb"\x02[ -~]{8}")


class SignOnState(Enum):
    """Where a sign-on stands."""

    ASKING = "asking"
    LEAVING = "leaving"
    CONFIRMING = "confirming"
    DONE = "done"


class SignOn:
    """One sign-on: give it bytes and time until it is `done`, doing after each call what it says.

    That is: set the line to `baud`, where it is ours to set; and where it `wants_to_send`, rest for REACTION_LEAST_S
    and write `data_to_send`. Raises Violation or Refused; the line is of no use then.
    """

    def __init__(self, device_address: str = "", top_baud: int | None = None) -> None:
        """`top_baud` is the highest speed to agree to; None: the line is a bridge's, which stays as it is."""
        self.state = SignOnState.ASKING
        self.identification = ""         # maker, speed and name, once heard
        self.baud = SIGN_ON_BAUD
        self._request = f"/?{device_address}!\r\n".encode()
        self._top_baud = top_baud
        self._left = REQUESTS
        self._parity = False
        self._out = b""
        self._text = b""
        self._asked_at = self._timer = 0.0
        self._agreed = SIGN_ON_BAUD
        self._option = b""
        self._ask()

    @property
    def done(self) -> bool:
        """Tell whether HDLC comes next, at `baud`."""
        return self.state is SignOnState.DONE

    @property
    def wants_to_send(self) -> bool:
        """Tell whether there is something to write."""
        return bool(self._out)

    def data_to_send(self, now: float) -> bytes:
        """Return what is to be written at this moment, and forget it."""
        out, self._out = self._out, b""
        if out and self.state is SignOnState.ASKING:
            self._asked_at = now
            self._timer = now + _on_the_wire_s(out) + 2 * REACTION_MOST_S
        elif out and self._top_baud is None:
            self._change_over(now)
        elif out:
            self._timer = now + _on_the_wire_s(out) + CHANGE_OVER_S
        return out

    def next_timer(self) -> float:
        """Return when `handle_timer` is due, once what was wanted is sent."""
        return self._timer

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes. Raises Violation for speeds of other modes, Refused when the meter begins a readout."""
        if self.state is SignOnState.LEAVING:
            return      # nobody else speaks while we do: an optical head hears itself
        self._text = (self._text + bytes(octet & 0x7F for octet in data))[-KEPT_BYTES:]
        if self.state is SignOnState.ASKING:
            found = _IDENTIFICATION.search(self._text)
            if found is not None:
                self._select(found[1] + found[2] + found[3], found[2])
            elif _BEGUN.search(self._text):
                self._timer = max(self._timer, min(now + REACTION_MOST_S, self._asked_at + IDENTIFIED_S))
        elif self._option[1:] in self._text:      # without ACK: the line may have changed over a little late
            self._timer = min(self._timer, now + BEFORE_HDLC_S)
        elif _READOUT.search(self._text):
            raise Refused(f"the meter {self.identification!r} answers the sign-on of mode E with a readout in text: it "
                          "has no HDLC here, or not at this access", reason=FailReason.ASSOCIATION_REFUSED)

    def handle_timer(self, now: float) -> None:
        """Go on after silence. Calling it too early is harmless."""
        if self.done or self._out or now < self._timer:
            return
        if self.state is SignOnState.LEAVING:
            self._change_over(now)
        elif self.state is SignOnState.ASKING and self._left:
            self._ask()
        else:
            if self.state is SignOnState.ASKING and self._top_baud is not None:
                self.baud = self._top_baud
            self.state = SignOnState.DONE

    def _ask(self) -> None:
        """Ask the meter for its name. Behind a bridge with a parity bit first, then without: it may make its own."""
        self._left -= 1
        self._parity = self._top_baud is not None or not self._parity
        self._text = b""
        self._out = self._written(self._request)

    def _select(self, identification: bytes, fastest: bytes) -> None:
        self.identification = identification.decode()
        digit = fastest[0] - ord("0")
        if not 0 <= digit < len(SPEEDS):
            raise Violation(f"the meter {self.identification!r} offers no speed of mode C or E: it knows neither")
        if self._top_baud is not None:
            digit = max((at for at in range(digit + 1) if SPEEDS[at] <= self._top_baud), default=0)
        self._agreed = SPEEDS[digit]
        self._option = b"\x062%d2\r\n" % digit
        self.state, self._text = SignOnState.LEAVING, b""
        self._out = self._written(self._option)

    def _change_over(self, now: float) -> None:
        self.state, self.baud = SignOnState.CONFIRMING, self._agreed
        self._timer = now + REACTION_MOST_S + _on_the_wire_s(self._option)

    def _written(self, text: bytes) -> bytes:
        return text.translate(_EVEN + bytes(128)) if self._parity else text


def _on_the_wire_s(text: bytes) -> float:
    return len(text) * OCTET_BITS / SIGN_ON_BAUD
