"""Switching the supply of simulated meters: the interlocks as a truth table, every control mode, refusals, cuts."""

import itertools
from typing import Any

import msgspec
import pytest
from errands_site import KINDS, Site
from hypothesis import given
from hypothesis import strategies as st

from edge.config import RelaySettings
from edge.demo.meter_cosem import OTHER_REASON, READ_WRITE_DENIED, TEMPORARY_FAILURE, Outcome
from edge.demo.meter_data import Item
from edge.demo.meter_relay import Relay
from edge.dlms.axdr import Integer
from edge.errands import relay as errand
from edge.errands.marks import mark, since_s
from edge.errands.order import Order, Phase
from edge.errands.relay import DUTY, RelayStatus, Switch
from edge.errands.relay_policy import Facts, objections
from edge.errors import ConnectionLost, LocalStateError, MeterError
from edge.meters.dutyspec import RelaySpec
from edge.meters.relay import ControlState, RelayState, already, done, state_of

ALLOWED = RelaySettings(allow=True)
GOOD = Facts(permitted=True, confirmed=True, reading_age_s=20.0, load_w=300.0, since_switch_s=None)
SPEC = RelaySpec()


# -- interlocks ----------------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "permitted": ({"permitted": False}, "may not be switched"),
    "confirmed": ({"confirmed": False}, "not confirmed"),
    "reading_age_s": ({"reading_age_s": 301.0}, "its last reading is 301 s old"),
    "load_w": ({"load_w": 1_000.5}, "its load is 1000 W"),
    "since_switch_s": ({"since_switch_s": 59.0}, "it was switched 59 s ago"),
}


@pytest.mark.parametrize("order", ["on", "off"])
@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize("wrong", [combination for size in range(6) for combination in itertools.combinations(WRONG, size)])
def test_the_truth_table(order: Any, allow: bool, wrong: tuple[str, ...]) -> None:
    """Each interlock alone stops an order, all of them are told, and the load stops only switching off."""
    changes = {key: value for name in wrong for key, value in WRONG[name][0].items()}
    facts = Facts(**{field: getattr(GOOD, field) for field in Facts.__dataclass_fields__} | changes)
    found = objections(order, facts, RelaySettings(allow=allow))
    expected = [WRONG[name][1] for name in wrong if order == "off" or name != "load_w"]
    assert len(found) == len(expected) + (not allow)
    for words in expected:
        assert sum(words in why for why in found) == 1
    assert any("relay.allow" in why for why in found) is not allow


@pytest.mark.parametrize(("changes", "words"), [
    ({"reading_age_s": None}, "it has not been read yet"), ({"load_w": None}, "its load is not known"),
    ({"load_w": -5_000.0}, "its load is -5000 W"),
])
def test_what_is_not_known_is_not_harmless(changes: dict[str, Any], words: str) -> None:
    facts = Facts(**{field: getattr(GOOD, field) for field in Facts.__dataclass_fields__} | changes)
    [found] = objections("off", facts, ALLOWED)
    assert words in found


@given(st.sampled_from(["on", "off"]), st.floats(0, 1e4) | st.none(), st.floats(-1e5, 1e5) | st.none(), st.floats(-1e6, 1e6) | st.none(),
       st.booleans(), st.booleans(), st.booleans())
def test_nothing_is_switched_unless_everything_is_right(
    order: Any, age_s: float | None, load_w: float | None, since: float | None, permitted: bool, confirmed: bool, allow: bool,
) -> None:
    found = objections(order, Facts(permitted, confirmed, age_s, load_w, since), RelaySettings(allow=allow))
    right = (allow and permitted and confirmed and age_s is not None and age_s <= 300
             and (order == "on" or (load_w is not None and abs(load_w) <= 1_000))
             and (since is None or since < 0 or since >= 60))
    assert (not found) is right


# -- states ----------------------------------------------------------------------------------------------------------------------

def test_states_are_read_strictly() -> None:
    assert state_of(True, Integer(22, 1), Integer(22, 4)) == RelayState(True, ControlState.CONNECTED, 4)
    for wrong in ((1, Integer(22, 1), Integer(22, 4)), (True, Integer(22, 3), Integer(22, 4)), (True, Integer(22, 1), Integer(22, 7)),
                  (None, None, None), (True, True, Integer(22, 4))):
        assert isinstance(state_of(*wrong), str)


def test_states_in_words() -> None:
    assert str(RelayState(True, ControlState.CONNECTED, 4)) == "connected (control mode 4)"
    assert str(RelayState(False, ControlState.READY_FOR_RECONNECTION, 1)) == "ready for reconnection (control mode 1)"
    assert str(RelayState(True, ControlState.DISCONNECTED, 1)) == "disconnected, output closed (control mode 1)"


@given(st.booleans(), st.sampled_from(list(ControlState)), st.integers(0, 6))
def test_done_and_already(closed: bool, control: ControlState, mode: int) -> None:
    state = RelayState(closed, control, mode)
    assert not (done("on", state) and done("off", state)) or control is ControlState.READY_FOR_RECONNECTION
    if already("off", state):
        assert done("off", state)
    if mode in (2, 4):
        assert done("on", state) == (closed and control is ControlState.CONNECTED)


# -- at the meter ----------------------------------------------------------------------------------------------------------------

def ordered(site: Site, order: Any, spec: RelaySpec = SPEC) -> Order:
    return Order(Switch(spec, order, site.subject, site.means), site.subject, site.means, "alice from tty1")


async def came_of(site: Site, order: Order, **changes: Any) -> Any:
    async with site.session(**changes) as session:
        try:
            await order.step(session)
        except (MeterError, LocalStateError) as error:
            order.failed(error, site.clock.monotonic())
    return await order.outcome(1)


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays of tests do not take seconds."""
    monkeypatch.setattr(errand, "LOOKS_AFTER_S", (0.0, 0.0, 0.0))


@pytest.mark.parametrize("kind", KINDS)
async def test_off_and_on_are_carried_out_verified_and_recorded(kind: str) -> None:
    async with Site(kind).running() as site:
        off = await came_of(site, ordered(site, "off"))
        assert site.meter.model.connected is False
        assert off.phase is Phase.DONE
        assert (off.result["output"], off.result["control_state"], off.result["changed"]) == ("open", "disconnected", True)
        assert await since_s(site.subject, DUTY, site.means) == 0
        again = await came_of(site, ordered(site, "off"))
        assert again.result["changed"] is False
        on = await came_of(site, ordered(site, "on"))
        assert on.result["output"] == "closed"
        assert site.meter.model.connected is True
    assert site.events() == ["order_given", "order_done"] * 3
    assert {event["by"] for event in site.told()} == {"alice from tty1"}
    assert site.told()[1]["detail"] == "relay off: disconnected (control mode 4); before: connected (control mode 4)"


@pytest.mark.parametrize("mode", range(7))
async def test_every_control_mode(mode: int) -> None:
    async with Site().running() as site:
        relay = site.meter.model.part(Relay)
        relay.set(4, _item(mode), 0)
        off = await came_of(site, ordered(site, "off"))
        if mode == 0:
            assert off.phase is Phase.FAILED
            assert "control mode is 0" in off.error
            assert site.meter.model.connected is True
            return
        assert off.phase is Phase.DONE
        on = await came_of(site, ordered(site, "on"))
        assert on.phase is Phase.DONE
        if mode in (2, 4):
            assert (on.result["control_state"], site.meter.model.connected) == ("connected", True)
        else:
            assert (on.result["control_state"], site.meter.model.connected) == ("ready for reconnection", False)
            assert relay.press(site.clock.wall_s) is True


def _item(number: int) -> Item:
    from edge.demo.meter_data import whole

    return whole(bytes((0x16, number)))


class Broken(Relay):
    """Answers an action with `code` and does nothing."""

    __slots__ = ("code",)

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        return Outcome(self.code)


@pytest.mark.parametrize(("code", "words"), [
    (READ_WRITE_DENIED, "the meter refuses: read write denied (3)"), (TEMPORARY_FAILURE, "the meter refuses: temporary failure (2)"),
    (OTHER_REASON, "the meter refuses: other reason (250)"), (0, "the meter says that it has switched, and still is connected"),
])
async def test_what_the_meter_refuses_or_only_says_is_told(code: int, words: str) -> None:
    async with Site().running() as site:
        broken = Broken(site.meter.model.device)
        broken.code = code
        site.meter.model.install(broken)
        outcome = await came_of(site, ordered(site, "off"))
        assert outcome.phase is Phase.FAILED
        assert words in outcome.error
        assert site.meter.counters.associations == 1
        assert site.told()[-1]["event"] == "order_failed"
        assert words in site.told()[-1]["detail"]


async def test_a_meter_without_a_relay_and_a_client_without_rights() -> None:
    async with Site().running() as site:
        outcome = await came_of(site, ordered(site, "off", RelaySpec(obis="0-0:96.3.11")))
        assert "object undefined (4)" in outcome.error
        outcome = await came_of(site, ordered(site, "off"), client_sap=16, authentication="none")
        assert outcome.phase is Phase.FAILED
        assert "70/0-0:96.3.10.255 attribute 2: " in outcome.error
        site.meter.settings.manners.conformance = 0x00121C
        outcome = await came_of(site, ordered(site, "off"))
        assert "ACTION was not negotiated" in outcome.error
        assert site.meter.model.connected is True


async def test_a_cut_in_the_middle_says_that_nobody_knows() -> None:
    async with Site().running() as site:
        class Dying(Relay):
            __slots__ = ()

            def act(self, method: int, argument: Item, now: float) -> Outcome:
                outcome = super().act(method, argument, now)
                site.meter.drop_connections(reset=True)
                return outcome

        site.meter.model.install(Dying(site.meter.model.device))
        outcome = await came_of(site, ordered(site, "off"))
        assert outcome.phase is Phase.FAILED
        assert outcome.error.endswith("whether it was done is not known")
        assert site.meter.model.connected is False
        assert await since_s(site.subject, DUTY, site.means) == 0, "noted before it was done"


async def test_what_cannot_be_noted_is_not_switched() -> None:
    async with Site().running() as site:
        site.registry_fails = True
        order = ordered(site, "off")
        async with site.session() as session:
            with pytest.raises(Exception, match="disk is full") as caught:
                await order.step(session)
        order.failed(caught.value, 0.0)
        assert (await order.outcome(1)).phase is Phase.FAILED
        assert site.meter.model.connected is True


async def test_the_state_is_read_by_whoever_asks_and_leaves_no_event() -> None:
    async with Site().running() as site:
        order = Order(RelayStatus(SPEC), site.subject, site.means, "bob")
        outcome = await came_of(site, order)
        assert outcome.result == {"state": "connected (control mode 4)", "output": "closed", "control_state": "connected", "control_mode": 4}
        assert site.records == []


# -- orders ----------------------------------------------------------------------------------------------------------------------

async def test_an_order_that_no_meter_has_time_for_expires_and_is_never_done() -> None:
    async with Site().running() as site:
        order = ordered(site, "off")
        assert order.due(29.0) == 29.0
        assert await order.outcome(0) is None
        site.clock.pass_s(30.0)
        assert order.due(30.0) is None
        outcome = await came_of(site, order)
        assert outcome.phase is Phase.EXPIRED
        assert site.meter.model.connected is True
        assert site.events() == ["order_given", "order_expired"]


async def test_an_order_waits_while_the_meter_cannot_be_reached_and_ends_with_its_poller() -> None:
    site = Site()
    order = ordered(site, "off")
    order.failed(ConnectionLost("no route"), 5.0)
    assert order.due(5.0) == 7.0
    order.failed(LocalStateError("meter m1 is polled no longer"), 8.0)
    assert order.due(9.0) is None
    outcome = await order.outcome(1)
    assert outcome is not None
    assert (outcome.phase, outcome.error) == (Phase.FAILED, "meter m1 is polled no longer")


@pytest.mark.parametrize(("error", "words"), [(TimeoutError(), "it was not done in time"), (ZeroDivisionError(), "a fault in the gateway")])
async def test_what_went_wrong_in_an_order_is_told_without_a_traceback(error: Exception, words: str) -> None:
    async with Site().running() as site:
        order = ordered(site, "off")
        order.phase = Phase.RUNNING
        order.failed(error, 0.0)
        outcome = await order.outcome(1)
        assert outcome is not None
        assert outcome.error == f"{words}; whether it was done is not known"


async def test_marks() -> None:
    site = Site()
    assert await since_s(site.subject, "x", site.means) is None
    await mark(site.subject, "x", site.means)
    site.clock.pass_s(5)
    assert await since_s(site.subject, "x", site.means) == 5
    site.notes["m1", "x"] = msgspec.json.encode({"at": "never"}).decode()
    assert await since_s(site.subject, "x", site.means) is None
