"""Which alarms stand: on-delay, hysteresis, latching, acknowledgement (pure).

    quiet ──holds──► pending ──for_s──► raised ──back at clear_at──► cleared
                                          └─ latched: gone, but stands until it is acknowledged

A figure that is not known changes nothing. Every alarm is raised once and cleared once; acknowledging does not clear
what still holds. What is pending when the gateway stops begins its delay anew.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from edge.alarms.conditions import Condition, Judges
from edge.errors import EdgeError
from edge.model import Field, Kind, Record, Schema, Stamp

DETAIL_LIMIT, BY_LIMIT, NAMES_LIMIT = 200, 64, 1000
NO_NAMES = "none"

SCHEMA = Schema(Kind.ALARM, (Field("alarm"), Field("state"), Field("severity"), Field("detail"), Field("by"),
                             Field("standing"), Field("names")))
"""Grows only at the end. `standing` counts the device's alarms after the change, `names` tells which: an alarm that is
not among them is over at the server, too."""

UnixMs = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
"""A time that a calendar has (to the year 9999): one that damage made of it cannot be shown."""

Figures = Mapping[str, float | str]
State = Literal["raised", "cleared", "acknowledged"]


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that stands. `device` "" is the gateway; times in Unix ms by the gateway's clock."""

    device: str
    name: str
    severity: str
    detail: str
    raised_ms: UnixMs
    latched: bool = False
    holds: bool = True
    acknowledged_by: str = ""
    acknowledged_ms: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened to an alarm, and how many of its device stand now, and which."""

    state: State
    alarm: Standing
    at_ms: int
    standing: int
    names: str = ""

    def record(self, stamp: Stamp) -> Record:
        """Return it for the ring's alarm stream."""
        alarm = self.alarm
        return Record(SCHEMA, alarm.device, stamp, (alarm.name, self.state, alarm.severity, alarm.detail,
                                                    alarm.acknowledged_by or None, self.standing, self.names))


class Engine:
    """Judges figures. `now` is monotonic seconds, `now_ms` what the wall clock says."""

    def __init__(self, judges: Judges, standing: Iterable[Standing] = ()) -> None:
        """`standing` is what stood when the gateway stopped: it stands, and is not raised again."""
        self.version = 0            # grows with everything that has to be kept
        self._judges = judges
        self._standing: dict[tuple[str, str], Standing] = {}
        self._names: dict[str, set[str]] = {}      # of those, by device
        self._pending: dict[tuple[str, str], float] = {}
        self._beyond: dict[tuple[str, str], set[str]] = {}
        self._before: dict[tuple[str, str], float] = {}      # (device, figure) -> number of the last look
        self._told: set[str] = set()      # names that other parts have judged
        self.take_up(standing)

    def take_up(self, standing: Iterable[Standing]) -> None:
        """Have these stand as they did when the gateway stopped: since when, and who has seen them, is known there."""
        for alarm in standing:
            self._hold(alarm)

    def use(self, judges: Judges, now_ms: int) -> list[Change]:
        """Judge by other conditions; return what is cleared because nobody judges it any more.

        What stands by a condition that is another now is judged by that; its delay begins anew.
        """
        before, self._judges = self._judges, judges

        def found(by: Judges, key: tuple[str, str]) -> Condition | None:
            return next((one for one in by.of(key[0]) if one.name == key[1]), None)

        changed = {key for key in (*self._standing, *self._pending, *self._beyond)
                   if found(before, key) != found(judges, key)}
        self._pending = {key: since for key, since in self._pending.items() if key not in changed}
        self._beyond = {key: figures for key, figures in self._beyond.items() if key not in changed}
        return [self._clear(alarm, now_ms, "its condition is there no longer") for alarm in self.standing()
                if (key := (alarm.device, alarm.name)) in changed and found(judges, key) is None]

    def standing(self) -> tuple[Standing, ...]:
        """Return what stands, oldest first."""
        return tuple(sorted(self._standing.values(), key=lambda alarm: (alarm.raised_ms, alarm.device, alarm.name)))

    def stands(self, device: str, figure: str) -> bool:
        """Tell whether an alarm over this figure of a device stands."""
        return any((device, one.name) in self._standing for one in self._judges.of(device) if figure in one.figures)

    def look(self, device: str, figures: Figures, now: float, now_ms: int) -> list[Change]:
        """Judge the figures of a device that are known now; return what changed."""
        changes = []
        for one in self._judges.of(device):
            known = [(key, figures[key]) for key in one.figures if key in figures]
            if known:
                changes += self._judge(device, one, known, now, now_ms)
        self._before.update({(device, key): value for key, value in figures.items() if not isinstance(value, str)})
        return changes

    def told(self, device: str, name: str, severity: str, detail: str, now_ms: int, *, raised: bool) -> list[Change]:
        """Take an alarm that another part judges; one that stands already is not raised again."""
        self._told.add(name)
        alarm = self._standing.get((device, name))
        if raised and alarm is None:
            return [self._raise(Standing(device, name, severity, detail[:DETAIL_LIMIT], now_ms))]
        return [self._clear(alarm, now_ms, detail)] if alarm is not None and not raised else []

    def acknowledge(self, device: str, name: str, by: str, now_ms: int) -> list[Change]:
        """Note who has seen it; a latched one that is gone is cleared. EdgeError where none such stands."""
        alarm = self._standing.get((device, name))
        if alarm is None:
            raise EdgeError(f"no alarm {name[:64]!r} stands at {device[:64] or 'the gateway'}; "
                            "`halow-gateway alarms list` shows which do")
        if alarm.acknowledged_by:
            return []
        seen = replace(alarm, acknowledged_by=by[:BY_LIMIT] or "somebody", acknowledged_ms=now_ms)
        self._put(seen)
        changes = [self._change("acknowledged", seen, now_ms)]
        return changes if seen.holds else [*changes, self._clear(seen, now_ms, seen.detail)]

    def retain(self, devices: Iterable[str], now_ms: int) -> list[Change]:
        """Clear what stands of meters that are registered no longer; the gateway's own stays."""
        there = {"", *devices}
        self._names = {device: names for device, names in self._names.items() if device in there or names}
        self._pending = {key: since for key, since in self._pending.items() if key[0] in there}
        self._beyond = {key: figures for key, figures in self._beyond.items() if key[0] in there}
        self._before = {key: value for key, value in self._before.items() if key[0] in there}
        return [self._clear(alarm, now_ms, "this meter is registered no longer")
                for alarm in self.standing() if alarm.device not in there]

    def let_go(self, others: Container[str], now_ms: int) -> list[Change]:
        """Clear what stands from before the restart and nobody judges now: a condition that was taken away meanwhile,
        or one of another part that is switched off. `others` are the names that other parts judge.
        """
        return [self._clear(alarm, now_ms, "nobody judges it any more") for alarm in self.standing()
                if alarm.name not in others and alarm.name not in self._told
                and not any(one.name == alarm.name for one in self._judges.of(alarm.device))]

    def remember(self, device: str, figure: str, value: float) -> None:
        """Compare the next look at a figure with this one, of before the restart."""
        self._before[device, figure] = value

    def roll_call(self, device: str, stamp: Stamp) -> Record:
        """Return the record that tells which alarms of a device stand, where nothing has changed."""
        return Record(SCHEMA, device, stamp, (None, None, None, None, None, *self._which(device)))

    def forget(self, devices: Iterable[str]) -> None:
        """Judge nothing by what was known of these before: another meter goes by the name. What stands, stands."""
        others = frozenset(devices)
        self._pending = {key: since for key, since in self._pending.items() if key[0] not in others}
        self._beyond = {key: figures for key, figures in self._beyond.items() if key[0] not in others}
        self._before = {key: value for key, value in self._before.items() if key[0] not in others}

    def _judge(self, device: str, one: Condition, known: list[tuple[str, float | str]], now: float,
               now_ms: int) -> list[Change]:
        key = (device, one.name)
        alarm = self._standing.get(key)
        active = alarm is not None and alarm.holds
        beyond = self._beyond.setdefault(key, set())      # figures that held when they were last known
        before = set(beyond)
        for figure, value in known:
            holds = one.holds(figure, value, self._before.get((device, figure)), standing=active)
            if holds is not None:
                (beyond.add if holds else beyond.discard)(figure)
        detail = "; ".join(f"{figure} {_text(value)}" for figure, value in known if figure in beyond or not beyond)
        if one.momentary:
            raised = [] if alarm or not beyond else [self._raise(Standing(
                device, one.name, one.severity, detail[:DETAIL_LIMIT], now_ms, one.latched, holds=False))]
            beyond.clear()
            return raised
        if beyond:
            since = self._pending.setdefault(key, now)
            if alarm is None and now - since >= one.for_s and detail:
                return [self._raise(Standing(device, one.name, one.severity, detail[:DETAIL_LIMIT], now_ms,
                                             one.latched))]
            if alarm is not None and not alarm.holds:
                self._put(replace(alarm, holds=True))
            return []
        self._pending.pop(key, None)
        if alarm is None or not active or not (before or self._answers(one, known)):
            return []
        if alarm.latched and not alarm.acknowledged_by:
            self._put(replace(alarm, holds=False))
            return []
        return [self._clear(alarm, now_ms, detail)]

    @staticmethod
    def _answers(one: Condition, known: list[tuple[str, float | str]]) -> bool:
        """Tell whether any figure says something: after a restart nothing is known of those that held before it."""
        return any(one.holds(figure, value, value if not isinstance(value, str) else None, standing=True) is False
                   for figure, value in known)

    def _raise(self, alarm: Standing) -> Change:
        self._put(alarm)
        self._pending.pop((alarm.device, alarm.name), None)
        return self._change("raised", alarm, alarm.raised_ms)

    def _clear(self, alarm: Standing, now_ms: int, detail: str) -> Change:
        del self._standing[alarm.device, alarm.name]
        self._names[alarm.device].discard(alarm.name)
        self.version += 1
        return self._change("cleared", replace(alarm, holds=False, detail=detail[:DETAIL_LIMIT]), now_ms)

    def _put(self, alarm: Standing) -> None:
        self._hold(alarm)
        self.version += 1

    def _hold(self, alarm: Standing) -> None:
        self._standing[alarm.device, alarm.name] = alarm
        self._names.setdefault(alarm.device, set()).add(alarm.name)

    def _change(self, state: State, alarm: Standing, at_ms: int) -> Change:
        return Change(state, alarm, at_ms, *self._which(alarm.device))

    def _which(self, device: str) -> tuple[int, str]:
        """Return how many alarms of a device stand, and their names in one text; what does not fit is counted in it."""
        names = sorted(self._names.get(device, ()))
        text = ",".join(names)
        if len(text) > NAMES_LIMIT:
            text = text[:NAMES_LIMIT].rpartition(",")[0]
            text += f",+{len(names) - 1 - text.count(',')}"
        return len(names), text or NO_NAMES


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
