"""Link states as text and as JSON for people and scripts (pure)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from halow.model import LinkState, RadioFacts, RadioState, Rate

HEADINGS = ("PEER", "GRADE", "RSSI", "MIN..MAX", "TREND", "SNR", "AGE", "RATE", "RETRIES", "NOTE")


def radio_line(radio: RadioState) -> str:
    """Return the radio in one line."""
    if radio.facts is None or not radio.present:
        return f"radio: none ({radio.reason or 'not looked yet'}): {radio.detail}"
    facts = radio.facts
    which = f"radio: {facts.interface}"
    if facts.mac:      # a box tells no address of its radio
        which += f" ({facts.driver or 'driver unknown'}, {facts.mac})"
    parts = [which, facts.mode.value, facts.channel]
    if facts.ssid:
        parts.append(f"SSID {facts.ssid}")
    if facts.noise_dbm is not None:
        parts.append(f"noise {facts.noise_dbm} dBm")
    return ", ".join(parts)


def told_by(facts: RadioFacts) -> list[tuple[str, str]]:
    """Return (name, value) of what the kernel's regulatory domain says, and of who says what."""
    rules = facts.kernel_rules
    kernel = [] if rules is None else [
        ("kernel's country", rules.country or "none set"), ("kernel's rules", str(rules))]
    return [*kernel, *((f"{figure} from", source) for figure, source in facts.sources)]


def table(states: Sequence[LinkState]) -> list[str]:
    """Return one aligned line per peer below a heading, nothing without peers; what is not known is a dash."""
    if not states:
        return []
    rows = [HEADINGS, *(_row(state) for state in states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_json(states: Sequence[LinkState], radio: RadioState) -> dict[str, Any]:
    """Return everything as plain JSON values: grades as words, what is not known as null."""
    plain = asdict(radio)
    plain.pop("since")
    return {"radio": plain, "peers": [{**asdict(state), "grade": state.grade.label} for state in states]}


def _row(state: LinkState) -> tuple[str, ...]:
    low, high = state.rssi_min_dbm, state.rssi_max_dbm
    return (
        state.mac,
        state.grade.label,
        _number(state.rssi_avg_dbm, "dBm") if state.rssi_avg_dbm is not None else _last(state.rssi_dbm),
        "-" if low is None else f"{low}..{high}",
        _number(state.trend_db, "dB", signed=True),
        _number(state.snr_db, "dB"),
        _number(state.age_s, "s"),
        _rate(state.tx_rate),
        "-" if state.retries_per_100 is None else f"{state.retries_per_100:.0f} %",
        state.lost_because or ("stale" if state.stale else ""),
    )


def _last(rssi_dbm: int | None) -> str:
    return "-" if rssi_dbm is None else f"({rssi_dbm} dBm)"


def _number(value: float | None, unit: str, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.1f} {unit}" if signed else f"{value:.1f} {unit}"


def _rate(rate: Rate | None) -> str:
    if rate is None or rate.kbps is None:
        return "-"
    mcs = "" if rate.mcs is None else f" MCS{rate.mcs}"
    return f"{rate.kbps / 1000:g} Mb/s{mcs}"
