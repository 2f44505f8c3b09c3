"""Which records the server will never take (pure): found, kept apart, and condemned only on proof.

    a batch refused, or twice at the head of a drop      ─► its records go alone
    a lone record refused, or twice at the head of a drop ─► set aside
    then another publication of the same topic is taken:
        refused outright (PUBACK 0x83, 0x90, 0x99)        ─► condemned
        only seen when the connection ended               ─► tried again, alone; condemned after `TRIALS` such failures

So a wrong server or a flapping link cannot empty the ring: where everything fails nothing is proven, and nothing is
thrown away. A rate limit that closes the connection looks like poison too, hence the trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge.model import SeqSpan, Stored, Stream

STRIKES = 2                # drops in a row with the same record at the head
TRIALS = 2                 # further drops, each after a success elsewhere
ASIDE_LIMIT = 16           # set aside without one success: it is the server, not the records

Place = tuple[Stream, int]


@dataclass(slots=True)
class _Suspect:
    stored: Stored
    reason: str
    outright: bool
    trials: int = 0


def place(stored: Stored) -> Place:
    """Return what names a record."""
    return stored.stream, stored.seq


class Poison:
    """The suspects of one uplink; lives as long as it does. Empty almost always."""

    def __init__(self) -> None:
        self._alone: set[Place] = set()
        self._aside: dict[Place, _Suspect] = {}
        self._on_trial: dict[Place, _Suspect] = {}
        self._head: Place | None = None
        self._strikes = 0
        self.releases = 0              # times that records ceased to be aside, so far

    def __bool__(self) -> bool:
        """Tell whether there is any suspect."""
        return bool(self._alone or self._aside)

    def alone(self, stored: Stored) -> bool:
        """Tell whether a record must be a batch of its own."""
        return bool(self._alone) and place(stored) in self._alone

    def aside(self, stored: Stored) -> bool:
        """Tell whether a record is not to be sent for now."""
        return bool(self._aside) and place(stored) in self._aside

    def refused(self, records: tuple[Stored, ...], reason: str) -> None:
        """Note that these records' publication was refused for its payload."""
        self._suspect(records, reason, outright=True)

    def dropped(self, records: tuple[Stored, ...]) -> None:
        """Note that a connection ended with these records at the head, and not for the want of a link."""
        head = place(records[0])
        if head in self._on_trial:
            self._aside[head] = self._on_trial.pop(head)
            return
        self._strikes = self._strikes + 1 if head == self._head else 1
        self._head = head
        if self._strikes >= STRIKES:
            self._head, self._strikes = None, 0
            self._suspect(records, f"the connection ended on it {STRIKES + TRIALS} times", outright=False)

    def _suspect(self, records: tuple[Stored, ...], reason: str, *, outright: bool) -> None:
        self._alone.update(place(stored) for stored in records)
        if len(records) == 1:
            self._on_trial.pop(place(records[0]), None)
            self._aside[place(records[0])] = _Suspect(records[0], reason, outright)

    def taken(self, span: SeqSpan, *, own: bool, devices: bool) -> list[tuple[Stored, str]]:
        """Note a success and return whom it condemns, with the reason: to be quarantined now.

        `own` and `devices` tell which of the two telemetry topics the success was on: a server that does not take this
        gateway for a gateway answers on the one and is silent on the other.
        """
        if self._alone:
            inside = [spot for spot in self._alone if spot[0] == span.stream and span.first <= spot[1] <= span.last]
            self._clear(inside)
        if not self._aside:
            return []
        proven = [spot for spot, suspect in self._aside.items() if (devices if suspect.stored.record.device else own)]
        condemned = []
        self.releases += bool(proven)
        for spot in sorted(proven):
            suspect = self._aside.pop(spot)
            if suspect.outright or suspect.trials >= TRIALS:
                condemned.append((suspect.stored, suspect.reason))
            else:
                suspect.trials += 1
                self._on_trial[spot] = suspect
        self._clear(place(stored) for stored, _ in condemned)
        return condemned

    def _clear(self, spots: Iterable[Place]) -> None:
        for spot in list(spots):
            self._alone.discard(spot)
            self._aside.pop(spot, None)
            self._on_trial.pop(spot, None)

    def everything_refused(self) -> str | None:
        """Return the reason when too many wait for a proof: the server refuses all. They are tried again then."""
        if len(self._aside) < ASIDE_LIMIT:
            return None
        reason = next(iter(self._aside.values())).reason
        self._aside.clear()
        self.releases += 1
        return reason
