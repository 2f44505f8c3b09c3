"""Alarms over links and the radio: raised once with their reason, cleared once (pure).

    radio_absent   the radio went away              radio_deaf     it is there, speaks, and hears nobody
    duty_exceeded  more sent than the country lets  link_poor, link_lost   of a meter, by its peer's grade

Grades have their own hysteresis, so these need none. A grade that is not known changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.health.linkrecords import PeerView
from edge.model import Field, Kind, Record, Schema, Stamp

LOST, POOR = 0, 1
NAMES = frozenset(("radio_absent", "radio_deaf", "duty_exceeded", "link_lost", "link_poor"))
SCHEMA = Schema(Kind.ALARM, (Field("alarm"), Field("state"), Field("severity"), Field("detail")))
DETAIL_LIMIT = 200


class RadioView(Protocol):
    """A radio as `halow.model.RadioState` has it."""

    @property
    def present(self) -> bool: ...
    @property
    def detail(self) -> str: ...
    @property
    def deaf(self) -> bool: ...
    @property
    def deaf_s(self) -> float: ...
    @property
    def duty_pct(self) -> float | None: ...
    @property
    def duty_limit_pct(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class LinkAlarm:
    """One alarm that is raised or cleared now. `device` "" is the gateway."""

    device: str
    name: str
    raised: bool
    severity: str
    detail: str

    def record(self, stamp: Stamp) -> Record:
        """Return it for the ring's alarm stream."""
        return Record(SCHEMA, self.device, stamp, (
            self.name, "raised" if self.raised else "cleared", self.severity, self.detail[:DETAIL_LIMIT]))


class LinkAlarms:
    """Which alarms stand. What is told here is told once."""

    def __init__(self) -> None:
        """Begin with none; a radio that was never there raises none."""
        self._standing: dict[tuple[str, str], str] = {}      # (device, name) -> detail it was raised with
        self._from_before: set[str] = set()      # devices of alarms that stood before a restart, not seen since
        self._seen_radio = False

    def stand(self, standing: Iterable[tuple[str, str]]) -> None:
        """Take up (device, name) that stood before a restart: not raised again, and cleared when they are over.

        That nobody sees a peer of the meter yet does not clear it: a station may join, and its address become known,
        long after the gateway has started, or never if that is what the alarm is about.
        """
        for key in standing:
            self._standing.setdefault(key, "")
            self._from_before.add(key[0])
            self._seen_radio = self._seen_radio or key == ("", "radio_absent")

    def expect(self) -> bool:
        """Take a radio that is not there for one that is missing; False: so it was already."""
        news, self._seen_radio = not self._seen_radio, True
        return news

    def retain(self, registered: Iterable[str]) -> None:
        """Wait no longer for the peers of meters that are registered no longer: the next look clears what stands."""
        self._from_before.intersection_update(("", *registered))

    def standing(self) -> Mapping[tuple[str, str], str]:
        """Return what stands: (device, name) -> detail."""
        return dict(self._standing)

    def look(self, radio: RadioView, links: Iterable[tuple[str, PeerView]]) -> list[LinkAlarm]:
        """Judge a look at the radio and at each meter's peer; return what changed."""
        self._seen_radio = self._seen_radio or radio.present
        changes = [
            *self._judge("", "radio_absent", "critical", radio.detail, holds=self._seen_radio and not radio.present),
            *self._judge("", "radio_deaf", "critical", f"no frame from any peer for {radio.deaf_s:.0f} s, although "
                         "frames are sent", holds=radio.deaf),
        ]
        duty, limit = radio.duty_pct, radio.duty_limit_pct
        if duty is not None and limit is not None:
            changes += self._judge("", "duty_exceeded", "major", f"{duty:.2f} % of the last hour sent, {limit:g} % "
                                   "is allowed", holds=duty > limit)
        there = set()
        for device, peer in links:
            there.add(device)
            self._from_before.discard(device)
            grade = int(peer.grade)
            if grade < LOST:
                continue
            average = "" if peer.rssi_avg_dbm is None else f"average {peer.rssi_avg_dbm:.0f} dBm"
            detail = f"peer {peer.mac}: {peer.lost_because or average or peer.grade.label}"
            changes += self._judge(device, "link_lost", "major", detail, holds=grade == LOST)
            changes += self._judge(device, "link_poor", "minor", detail, holds=grade <= POOR)
        kept = {"", *there, *self._from_before}
        for device, name in [key for key in self._standing if key[0] not in kept]:
            changes += self._judge(device, name, "minor", "this meter has no peer any more", holds=False)
        return changes

    def _judge(self, device: str, name: str, severity: str, detail: str, *, holds: bool) -> list[LinkAlarm]:
        key = (device, name)
        if holds == (key in self._standing):
            return []
        if holds:
            self._standing[key] = detail
        else:
            del self._standing[key]
        return [LinkAlarm(device, name, holds, severity, detail)]
