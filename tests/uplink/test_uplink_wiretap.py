"""The judge is judged: what the wire tap reads is what a foreign encoder wrote, in whatever pieces it comes."""

from hypothesis import given
from hypothesis import strategies as st
from moat.lib.mqtt import MQTTPingRequestPacket, MQTTPublishAckPacket, MQTTPublishPacket, PropertyType, QoS, ReasonCode
from wiretap import PUBACK, PUBLISH, packets, publish_of

publications = st.lists(st.tuples(st.text("abc/", min_size=1, max_size=30), st.binary(max_size=40_000), st.integers(1, 65_535), st.booleans()), max_size=6)


@given(publications, st.integers(1, 5_000))
def test_publications_in_pieces(wanted, piece):
    stream = bytearray()
    for topic, payload, packet_id, with_property in wanted:
        packet = MQTTPublishPacket(topic=topic, payload=payload, packet_id=packet_id, qos=QoS.AT_LEAST_ONCE)
        if with_property:
            packet.properties[PropertyType.CONTENT_TYPE] = "x" * 200
        packet.encode(stream)
        MQTTPingRequestPacket().encode(stream)
    buffer, found = bytearray(), []
    for start in range(0, len(stream), piece):
        buffer += stream[start:start + piece]
        found += packets(buffer)
    assert buffer == b""
    read = [publish_of(1, first, body) for first, body in found if first >> 4 == PUBLISH]
    assert [(p.topic, p.payload, p.packet_id) for p in read] == [(topic, payload, packet_id) for topic, payload, packet_id, _ in wanted]
    assert len(found) == 2 * len(wanted)


def test_an_acknowledgement():
    stream = bytearray()
    MQTTPublishAckPacket(packet_id=513, reason_code=ReasonCode.QUOTA_EXCEEDED).encode(stream)
    ((first, body),) = packets(stream)
    assert (first >> 4, int.from_bytes(body[:2], "big"), body[2]) == (PUBACK, 513, 0x97)
