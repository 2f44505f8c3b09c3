"""What a meter refuses: for how long that is believed, and whose way it must not bar."""

from collections.abc import Callable

import pytest
from poll_bench import GENERIC_PROFILE, Bench, held, replace_struct, shown, simulated, slower

from edge.demo.meter_tcp import SimulatedMeter
from edge.errors import Unreachable
from edge.model import Record
from edge.poll.transport import TcpTransport

VALUES = {spec.key: 100 + place for place, spec in enumerate(GENERIC_PROFILE.objects)}
IDENTITY = GENERIC_PROFILE.identity
UNDEFINED, UNAVAILABLE, TEMPORARY = 4, 11, 2


def refusing(meter: SimulatedMeter, obis: bytes, answer: int) -> Callable[[], None]:
    """Let the meter refuse one object's value with a data-access-result; returns what puts an end to it."""
    read = meter.model.read

    def refuse(descriptor: bytes, now: float, *, public: bool) -> bytes | int:
        return answer if descriptor[2:8] == obis and descriptor[8] == 2 else read(descriptor, now, public=public)

    meter.model.read = refuse

    def end() -> None:
        meter.model.read = read
    return end


def whole_for(bench: Bench, polls: int) -> Callable[[list[Record]], bool]:
    """Tell whether the newest readings are all there."""
    begin = len(bench.sink.records)

    def look(records: list[Record]) -> bool:
        newest = [shown(record) for record in records[begin:]][-polls:]
        return len(newest) == polls and all(values == VALUES for values in newest)
    return look


CURRENT_L2 = GENERIC_PROFILE.objects[4].target.obis.to_bytes()


@pytest.mark.parametrize("identify", [True, False])
async def test_a_refusal_is_forgotten_with_its_association(identify: bool) -> None:
    profile = GENERIC_PROFILE if identify else replace_struct(GENERIC_PROFILE, identity=None)
    async with simulated() as (meter, row):
        held(meter, VALUES)
        meter.settings.manners.list_stops_at_error = False
        relent = refusing(meter, CURRENT_L2, UNDEFINED)
        async with Bench(row, profile=profile).running() as bench:
            await bench.sink.until(lambda records: len(records) >= 3)
            assert {shown(record)["current_l2"] for record in bench.sink.records} == {None}
            relent()
            meter.drop_connections()
            await bench.sink.until(whole_for(bench, 5), 3.0)


async def test_an_object_that_is_unavailable_for_a_while_comes_back_on_the_same_association() -> None:
    """A phase that is out: the refusal speaks of now, not of the object."""
    async with simulated() as (meter, row):
        held(meter, VALUES)
        meter.settings.manners.list_stops_at_error = False
        async with Bench(row).running() as bench:
            await bench.sink.until(whole_for(bench, 2))
            relent = refusing(meter, CURRENT_L2, UNAVAILABLE)
            await bench.sink.until(lambda records: "object unavailable" in str(records[-1].values[-1]))
            relent()
            await bench.sink.until(whole_for(bench, 3), 3.0)
        assert meter.counters.associations == 1


async def test_a_meter_that_refuses_its_identity_leaves_the_bridge_to_its_neighbour() -> None:
    assert IDENTITY is not None
    async with simulated("hdlc") as (meter, row):
        meter.settings.manners.list_stops_at_error = False
        refusing(meter, IDENTITY.target.obis.to_bytes(), TEMPORARY)
        async with Bench(row, settings=slower(interval_s=0.3), hang_up=True).running() as bench:
            await bench.sink.until(lambda records: records)
            assert bench.sink.reasons() == ["access_refused"]
            assert bench.gate.state().inside == 0
            assert not bench.poller.state().connected, "outside its turn a meter of a shared bridge holds no connection"


@pytest.mark.parametrize("host", ["a" * 64 + ".lan", "meter..lan", "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 60])
async def test_a_name_that_can_be_none_is_unreachable_and_no_bug(host: str) -> None:
    with pytest.raises(Unreachable):
        await TcpTransport.connect(host, 4059, timeout_s=5.0)
