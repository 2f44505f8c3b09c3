"""Records -> the figures that conditions are about (pure). Keys are those of cloud/keys.toml, and these:

    voltage_present_min     the lowest voltage of the phases that are there
    phases_lost             phases of a meter with several that have no voltage while another has
    voltage_unbalance_pct   largest distance of a phase from the mean of the phases, in per cent of it (IEEE 141)
    clock_off_s             how far the meter's clock is off, either way
    ring_unhealthy          1 while the ring's storage is not healthy, else 0
"""

from edge.alarms.conditions import EVENT_FIGURE
from edge.model import Kind, Record

PHASES = ("voltage_l1", "voltage_l2", "voltage_l3")
LOST_SHARE = 0.10
"""A phase below a tenth of the highest one is lost: what an open phase still shows is induced."""

DERIVED = frozenset(("voltage_present_min", "phases_lost", "voltage_unbalance_pct", "clock_off_s", "silent_s",
                     "poll_fail_reason", EVENT_FIGURE))
"""What is known of meters besides what their types read."""

Figures = dict[str, float | str]


def of_record(record: Record) -> Figures:
    """Return what a record says; empty for a kind that no condition looks at."""
    kind = record.schema.kind
    plain: Figures = {
        field.key: value if isinstance(value, str) else value * 10.0 ** field.scaler
        for field, value in zip(record.schema.fields, record.values, strict=True) if value is not None}
    if kind is Kind.READING:
        return {**plain, **_phases(plain), "poll_fail_reason": "none"}
    if kind is Kind.FAILURE:
        return {"poll_fail_reason": plain.get("reason", "none")}
    if kind is Kind.CLOCK:
        off = plain.get("drift_s")
        return {} if off is None or isinstance(off, str) else {"clock_off_s": abs(off)}
    if kind is Kind.GATEWAY:
        return {**plain, "ring_unhealthy": float(plain.get("ring_problem", "none") != "none")}
    if kind is Kind.EVENT:
        return {EVENT_FIGURE: plain[EVENT_FIGURE]} if EVENT_FIGURE in plain else {}
    return {}


def _phases(plain: Figures) -> Figures:
    volts = [value for key in PHASES if not isinstance(value := plain.get(key, ""), str)]
    highest = max(volts, default=0.0)
    if highest <= 0:
        return {"phases_lost": 0.0} if volts else {}      # nothing there at all is an outage, no lost phase
    present = [value for value in volts if value >= LOST_SHARE * highest]
    found: Figures = {"voltage_present_min": min(present), "phases_lost": float(len(volts) - len(present))}
    if len(present) == len(volts) > 1:
        mean = sum(volts) / len(volts)
        found["voltage_unbalance_pct"] = 100.0 * max(abs(value - mean) for value in volts) / mean
    return found
