"""What was let go of, against a set of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from edge.model import Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.uplink.delivered import Delivered

RECORD = Record(Schema(Kind.READING, (Field("v"),)), "A", Stamp(1, 1, "b", synchronised=True), (1,))
spans = st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(spans), spans)
def test_each_number_and_each_span(added, asked):
    delivered, numbers = Delivered(), set()
    for first, last in added:
        delivered.add(SeqSpan(Stream.INSTANT, first, last))
        numbers.update(range(first, last + 1))
    inside = [seq for seq in range(asked[0], asked[1] + 1) if Stored(Stream.INSTANT, seq, RECORD) in delivered]
    assert inside == [seq for seq in range(asked[0], asked[1] + 1) if seq in numbers]
    assert delivered.meets(SeqSpan(Stream.INSTANT, *asked)) == bool(inside)
    assert not delivered.meets(SeqSpan(Stream.BILLING, *asked))
