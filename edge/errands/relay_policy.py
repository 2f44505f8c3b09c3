"""Whether a meter's supply may be switched now (pure). The reasons: docs/decisions/0021-relay-interlocks.md.

Every interlock is looked at, and every one that objects is told: a person who has mended one should not run into the
next. An order that nothing objects to is still the meter's to refuse.
"""

from dataclasses import dataclass

from edge.config import RelaySettings
from edge.meters.relay import NO_REMOTE, Order, RelayState


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when an order comes. None = not known, and what is not known does not count as harmless.

    `reading_age_s`: of the last poll with values. `load_w`: what flowed then, in either direction. `since_switch_s`:
    since this gateway last switched this meter; None = never, as far as is kept.
    """

    permitted: bool
    confirmed: bool
    reading_age_s: float | None
    load_w: float | None
    since_switch_s: float | None


def objections(order: Order, facts: Facts, settings: RelaySettings) -> tuple[str, ...]:
    """Return why an order is not even sent to the meter, in words; empty = it may be."""
    found: list[str] = []
    if not settings.allow:
        found.append("this gateway switches no meter (relay.allow)")
    if not facts.permitted:
        found.append("this meter may not be switched (halow-gateway meter permit)")
    if not facts.confirmed:
        found.append("it is not confirmed: the meter's name has to be given once more")
    age_s = facts.reading_age_s
    if age_s is None or age_s > settings.reading_max_age_s:
        old = "it has not been read yet" if age_s is None else f"its last reading is {age_s:.0f} s old"
        found.append(f"{old}, and relay.reading_max_age_s is {settings.reading_max_age_s:g}")
    if order == "off":
        found += _load(facts.load_w, settings.load_limit_w)
    since_s = facts.since_switch_s
    if since_s is not None and 0 <= since_s < settings.min_between_s:
        found.append(f"it was switched {since_s:.0f} s ago, and relay.min_between_s is {settings.min_between_s:g}")
    return tuple(found)


def at_the_meter(state: RelayState) -> str:
    """Return why an order is not carried out now that the meter has told its state, "" = it may be."""
    return "its control mode is 0: it takes no switching from afar" if state.mode == NO_REMOTE else ""


def _load(load_w: float | None, limit_w: float) -> list[str]:
    """Opening under load wears the contacts, and somebody is using what would go out."""
    if load_w is None:
        return [f"its load is not known, and relay.load_limit_w is {limit_w:g}"]
    if abs(load_w) > limit_w:
        return [f"its load is {load_w:.0f} W, and relay.load_limit_w is {limit_w:g}"]
    return []
