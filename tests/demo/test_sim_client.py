"""The gateway's own client and the simulated meter, byte streams joined in memory: every size, both framings."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Counters, Manners
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_model import MeterModel
from edge.demo.meter_server import Endpoint, WrapperServer
from edge.demo.meter_settings import MeterSettings
from edge.dlms.association import Answer, Association, AssociationSettings, GetResult
from edge.dlms.cosem import Attribute, Obis
from edge.errors import Refused

NOW = 1.8e9
VALUES = [Attribute(3, Obis(*objects.GENERIC.obis(spec)), 2) for spec in objects.GENERIC.specs]
SCALERS = [Attribute(3, Obis(*objects.GENERIC.obis(spec)), 3) for spec in objects.GENERIC.specs]
LONG = Attribute(1, Obis(*objects.LONG_DATA), 2)


def meter(framing: str, *, address_bytes: int = 1, max_info_bytes: int = 128, manners: Manners | None = None) -> Endpoint:
    physical = None if address_bytes == 1 else 17
    wanted = MeterSettings(framing=framing, server_physical=physical, address_bytes=address_bytes,
                           max_info_bytes=max_info_bytes, manners=manners or Manners())
    server = WrapperServer if framing == "wrapper" else HdlcServer
    return server(MeterModel(serial="1", seed=2), wanted, Counters())


def client(framing: str, *, address_bytes: int = 1, **more: object) -> Association:
    more = {"client_sap": 1, "authentication": "lls", "password": b"00000000"} | more
    return Association(AssociationSettings(
        framing=framing, server_logical=1, server_physical=None if address_bytes == 1 else 17,
        address_bytes=address_bytes, **more))


def exchange(association: Association, endpoint: Endpoint) -> None:
    """Carry bytes to and fro until both sides have nothing more to say."""
    for _ in range(2_000):
        data = association.data_to_send()
        if not data:
            return
        for frame in endpoint.receive(data, NOW):
            association.receive_data(frame, 0.0)
    raise AssertionError("they never stop")


def ask(association: Association, endpoint: Endpoint, attributes: list[Attribute]) -> tuple[GetResult, ...]:
    association.get(attributes, 0.0)
    exchange(association, endpoint)
    events = list(iter(association.next_event, None))
    (answer,) = [event for event in events if isinstance(event, Answer)]
    return answer.results


@given(framing=st.sampled_from(["wrapper", "hdlc"]), address_bytes=st.sampled_from([1, 2, 4]),
       max_pdu=st.integers(64, 1500), client_info=st.sampled_from([32, 64, 128, 512]),
       meter_info=st.sampled_from([32, 100, 128, 255, 256, 1024]))
@settings(max_examples=60, deadline=None)
def test_every_size_brings_the_same_values(framing: str, address_bytes: int, max_pdu: int, client_info: int,
                                           meter_info: int) -> None:
    endpoint = meter(framing, address_bytes=address_bytes, max_info_bytes=meter_info, manners=Manners(announce_own_pdu=True))
    association = client(framing, address_bytes=address_bytes, max_pdu=max_pdu, max_info_bytes=client_info)
    association.open(0.0)
    exchange(association, endpoint)
    single = [ask(association, endpoint, [attribute])[0] for attribute in (*VALUES, LONG)]
    together = ask(association, endpoint, [*VALUES, LONG])
    assert [item.data for item in together] == [item.data for item in single]
    assert together[-1].data == b"x" * 300
    assert all(item.error is None for item in together)


def test_one_round_trip_of_102_and_54_bytes_for_nine_values() -> None:
    association, endpoint = client("wrapper"), meter("wrapper")
    association.open(0.0)
    exchange(association, endpoint)
    association.get(VALUES, 0.0)
    request = association.data_to_send()
    (answer,) = endpoint.receive(request, NOW)
    assert (len(request), len(answer)) == (102, 54)


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_wrong_password_is_refused(framing: str) -> None:
    association = client(framing, password=b"00000001")
    association.open(0.0)
    with pytest.raises(Refused, match=r"password|authentication"):
        exchange(association, meter(framing))


def test_hundreds_of_requests_on_one_association() -> None:
    """Invoke-ids and sequence numbers go round; nothing breaks at the 126th request."""
    association, endpoint = client("hdlc", address_bytes=4), meter("hdlc", address_bytes=4)
    association.open(0.0)
    exchange(association, endpoint)
    for attribute in itertools.islice(itertools.cycle([*VALUES, *SCALERS]), 300):
        (result,) = ask(association, endpoint, [attribute])
        assert result.attribute == attribute
        assert result.error is None
    association.close(0.0)
    exchange(association, endpoint)
