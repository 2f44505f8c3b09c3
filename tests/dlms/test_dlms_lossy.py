"""A line that loses, damages, doubles and delays frames, also into the next connection: never a wrong value.

The meter is the simulated one. Each object is asked for its own logical name, so an answer that slipped to another question
is seen at once.
"""

import random

import pytest

from edge.demo.meter_apdu import Counters
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.dlms import hdlc
from edge.dlms.association import Answer, Association, AssociationSettings, Opened
from edge.dlms.cosem import Attribute, Obis
from edge.errors import MeterError

NAMES = [Attribute(3, Obis(1, 0, group, 7, 0), 1) for group in (32, 31, 14, 1, 52, 72)]


class Line:
    """Between one client and one meter. `rate` = how likely each kind of trouble is, for each frame."""

    def __init__(self, seed: int, rate: float) -> None:
        self.dice = random.Random(seed)
        self.rate = rate
        self.meter = HdlcServer(
            MeterModel(serial="1234", seed=1), MeterSettings(framing="hdlc", server_physical=1234, address_bytes=4), Counters())
        self.late: list[bytes] = []
        self.troubles = 0

    def trouble(self) -> bool:
        happens = self.dice.random() < self.rate
        self.troubles += happens
        return happens

    def carry(self, data: bytes, now: float) -> list[bytes]:
        """Bring the client's bytes to the meter; return what arrives at the client because of it."""
        arriving: list[bytes] = []
        for frame in hdlc.Deframer().feed(data):
            octets = hdlc.encode_frame(frame)
            if self.trouble():
                continue
            for answer in self.meter.receive(octets, now):
                arriving += self.bring(answer)
        return arriving

    def bring(self, answer: bytes) -> list[bytes]:
        if self.trouble():
            return []
        if self.trouble():                                     # damaged on the way
            place = self.dice.randrange(len(answer))
            return [answer[:place] + bytes((answer[place] ^ 0x10,)) + answer[place + 1:]]
        if self.trouble():                                     # held back, comes before something later
            self.late.append(answer)
            return []
        held, self.late = (self.late, []) if self.late and self.dice.random() < 0.5 else ([], self.late)
        return [*held, answer, answer] if self.trouble() else [*held, answer]


def settings(number: int) -> AssociationSettings:
    return AssociationSettings(
        framing="hdlc", client_sap=16, server_logical=1, server_physical=1234, address_bytes=4,
        first_invoke_id=number * 5 % 16, link_repeat_s=1.0, link_repeats=3)


def converse(line: Line, association: Association, now: float, asked: list[Attribute] | None) -> tuple[float, list[bytes]]:
    """Go on until an event comes; check it. Raises MeterError as the association does."""
    while True:
        for piece in line.carry(association.data_to_send(), now):
            association.receive_data(piece, now)
        event = association.next_event()
        if isinstance(event, Opened):
            assert asked is None
            return now, []
        if isinstance(event, Answer):
            assert asked is not None
            assert [result.attribute for result in event.results] == asked
            return now, [result.data for result in event.results]
        due = association.next_timer()
        assert due is not None
        if due > now:
            now = due
            association.handle_timer(now)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_never_a_wrong_value(seed: int, rate: float) -> None:
    line = Line(seed, rate)
    now, answers, faults = 1000.0, 0, 0
    for number in range(20):
        association = Association(settings(number))
        association.open(now)
        try:
            for late in line.late:                             # what the bridge still held of the last connection
                association.receive_data(late, now)
            line.late.clear()
            now, _ = converse(line, association, now, None)
            for _ in range(12):
                asked = line.dice.sample(NAMES, line.dice.randint(1, len(NAMES)))
                association.get(asked, now)
                now, values = converse(line, association, now, asked)
                assert values == [attribute.obis.to_bytes() for attribute in asked]
                answers += 1
                now += 1.0
        except MeterError:
            faults += 1
        now += 1.0
    if rate == 0.0:
        assert (answers, faults) == (240, 0)
    else:
        assert line.troubles > 0
        assert answers > 0 or rate > 0.2
