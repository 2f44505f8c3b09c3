"""One whole message from a sender -> what becomes of it (pure).

    APDU ─► ciphered? ── title, address ─► keys ─► counter grows? ─┐
              │ no                                                  ├─► heard before? ─► records
              └── identity in the body, else address ──────────────┘
    anything else: unknown (no registered meter), refused (a meter's, and not to be taken); always with the reason
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from edge.dlms.channel import CIPHERED_TAGS, GENERAL_CIPHERING, Ciphered
from edge.dlms.ciphering import Protection
from edge.dlms.push import PUSH_TAGS, Pushed, notification
from edge.errors import NotGenuine, Violation
from edge.meters import events
from edge.meters.pushed import Understood, record
from edge.meters.pushtime import meter_time
from edge.model import Record, Stamp, Stream
from edge.push.directory import Directory, Entry, Unmatched
from edge.push.heard import Heard, Repeats

TRIALS = 8
"""Meters at one address whose keys are tried on a message under an unknown title."""


class Outcome(StrEnum):
    """What became of a message. The names are telemetry keys."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"      # no registered meter, or not one alone
    REFUSED = "refused"      # malformed, not genuine, less protected than agreed, a replay


class Verdict(NamedTuple):
    """`mark` is the (scope, counter) that must be on flash before the records may be; None for messages in clear.

    `title` is the sender's system title in hex, where it tells one.
    """

    outcome: Outcome
    reason: str = ""
    meter: str = ""
    title: str = ""
    records: tuple[tuple[Stream, Record], ...] = ()
    mark: tuple[str, int] | None = None


class _Opened(NamedTuple):
    """A message in clear, whose it is, and where its counter counts; no scope for one that came in clear."""

    entry: Entry
    pushed: Pushed
    scope: str = ""
    counter: int = 0
    title: str = ""


class Desk:
    """Judges messages. `directory` may be replaced at any time."""

    def __init__(self, directory: Directory, heard: Heard) -> None:
        """`heard` are the counters from before the start."""
        self.directory = directory
        self._heard = heard
        self._repeats = Repeats()
        self._strangers: dict[str, tuple[str, ...]] = {}

    def replace(self, directory: Directory) -> None:
        """Go on with another set of meters."""
        self.directory = directory
        self._repeats.forget_all_but(directory.entries)
        self._strangers = {name: told for name, told in self._strangers.items() if name in directory.entries}

    def take(self, apdu: bytes, address: str, stamp: Stamp, now: float) -> Verdict:
        """Judge one APDU that came from `address` just now (`stamp`; `now` in monotonic seconds)."""
        try:
            opened = self._open(apdu, address)
        except Violation as fault:
            return Verdict(Outcome.REFUSED, str(fault))
        return opened if isinstance(opened, Verdict) else self._judged(opened, stamp, now)

    def take_polled(self, pushed: Pushed, name: str, stamp: Stamp, now: float) -> Verdict:
        """Judge what came within the association that polls the meter `name`.

        The association stands for the address, and for the keys where it came ciphered: its channel has taken no
        counter twice. One that is lower than those of other ways is no replay here, since it may have waited a while.
        """
        entry = self.directory.entries.get(name)
        if entry is None:
            return Verdict(Outcome.UNKNOWN, f"meter {name} is not registered")
        told = self.directory.told(pushed.data)
        if pushed.genuine:
            if pushed.title and entry.protection is not Protection.ENCRYPTED:      # without a tag, keys prove nothing
                self.directory.prove(pushed.title, entry)
            opened = _of_the_right_meter(_Opened(entry, pushed, title=pushed.title.hex()), told)
        else:
            opened = self._in_clear(pushed, told, self.directory.named(told) or entry)
        if isinstance(opened, Verdict):
            return opened
        if not pushed.genuine or pushed.counter < 0:
            return self._judged(opened, stamp, now)
        scope = entry.counter_scope(pushed.title)
        self._heard.note(scope, pushed.counter)
        return self._told(opened, stamp, now, (scope, self._heard.highest(scope)))

    def _judged(self, opened: _Opened, stamp: Stamp, now: float) -> Verdict:
        entry, pushed, scope, counter, title = opened
        if scope and counter <= self._heard.highest(scope):
            if self._repeats.just_heard(entry.name, pushed.apdu, now):
                return Verdict(Outcome.DUPLICATE, meter=entry.name, title=title)
            return Verdict(Outcome.REFUSED, f"invocation counter {counter} after {self._heard.highest(scope)}: "
                                            "a replay, or a meter whose counter was set back", entry.name, title)
        mark = (scope, counter) if scope else None
        if mark is not None:
            self._heard.note(*mark)
        return self._told(opened, stamp, now, mark)

    def _told(self, opened: _Opened, stamp: Stamp, now: float, mark: tuple[str, int] | None) -> Verdict:
        entry, pushed, _, _, title = opened
        if self._repeated(entry, pushed, now, fresh=mark is not None):
            return Verdict(Outcome.DUPLICATE, "", entry.name, title, mark=mark)
        self._repeats.note(entry.name, pushed.apdu, now)
        return Verdict(Outcome.ACCEPTED, "", entry.name, title, self._records(entry, pushed, stamp), mark)

    def _repeated(self, entry: Entry, pushed: Pushed, now: float, *, fresh: bool) -> bool:
        """Tell whether a meter sends again what it has sent: with its date always, without it only in quick succession.

        A fresh invocation counter makes a message without a date a new one: it was not the network that doubled it.
        """
        if pushed.date_time:
            return self._repeats.heard(entry.name, pushed.apdu)
        return not fresh and self._repeats.just_heard(entry.name, pushed.apdu, now)

    # -- whose it is ---------------------------------------------------------------------------------------------------

    def _open(self, apdu: bytes, address: str) -> _Opened | Verdict:
        """Return the message in clear with its owner, or the verdict. Raises Violation where it is malformed."""
        if not apdu:
            raise Violation("an empty APDU")
        if apdu[0] in CIPHERED_TAGS:
            return self._unseal(Ciphered.parse(apdu), address)
        if apdu[0] == GENERAL_CIPHERING:
            raise Violation("general-ciphering (0xDD) is not supported: set the meter's push to general-glo-ciphering")
        if apdu[0] not in PUSH_TAGS:
            raise Violation(f"APDU 0x{apdu[0]:02x} is no notification")
        pushed = notification(apdu)
        told = self.directory.told(pushed.data)
        return self._in_clear(pushed, told, self.directory.owner(told, address))

    @staticmethod
    def _in_clear(pushed: Pushed, told: Mapping[str, str], entry: Entry | Unmatched) -> _Opened | Verdict:
        if isinstance(entry, Unmatched):
            return Verdict(Outcome.UNKNOWN, entry.reason)
        if entry.protection:
            return Verdict(Outcome.REFUSED, "came in clear, and the meter is registered as ciphered", entry.name)
        return _of_the_right_meter(_Opened(entry, pushed), told)

    def _unseal(self, ciphered: Ciphered, address: str) -> _Opened | Verdict:
        title = ciphered.title.hex()
        if ciphered.dedicated:
            return Verdict(Outcome.REFUSED, "ciphered with a dedicated key, which only an association has", title=title)
        holders = self.directory.holders(ciphered.title, address)
        if not holders:
            who = f"system title {title} is not registered" if title else "no system title, and nobody's address"
            return Verdict(Outcome.UNKNOWN, f"ciphered; {who}", title=title)
        fitting: list[_Opened] = []
        reason = "no system title in it, and none is registered"
        for entry in holders[:TRIALS]:
            try:
                opened = self._unsealed(entry, ciphered)
            except Violation as fault:
                reason = str(fault)
            else:
                fitting += [opened] if opened is not None else []
        if len(fitting) > 1:
            names = ", ".join(opened.entry.name for opened in fitting)
            return Verdict(Outcome.UNKNOWN, f"{names} have one key: register each one's system title (--meter-title)",
                           title=title)
        if not fitting:
            return Verdict(Outcome.REFUSED, reason, holders[0].name if len(holders) == 1 else "", title)
        if ciphered.title and fitting[0].pushed.genuine:
            self.directory.prove(ciphered.title, fitting[0].entry)
        return _of_the_right_meter(fitting[0], self.directory.told(fitting[0].pushed.data))

    def _unsealed(self, entry: Entry, ciphered: Ciphered) -> _Opened | None:
        """Open a message with one meter's keys; None where nobody knows under which title. Raises Violation kinds."""
        title = ciphered.title or self.directory.title_of(entry)
        if entry.cipher is None:
            raise NotGenuine(entry.problem or "the meter is registered without keys")
        if not title:
            return None
        protection, counter, clear = entry.cipher.unseal(title, ciphered.sealed)
        ciphered.check(clear)
        if not protection & Protection.AUTHENTICATED and entry.protection is not Protection.ENCRYPTED:
            raise NotGenuine("encrypted without authentication, which is not what the meter is registered with")
        if clear[0] not in PUSH_TAGS:
            raise NotGenuine(f"a ciphered APDU that holds no notification (0x{clear[0]:02x})")
        genuine = bool(protection & Protection.AUTHENTICATED)
        return _Opened(entry, notification(clear, genuine=genuine), entry.counter_scope(title), counter,
                       ciphered.title.hex())

    # -- what it says --------------------------------------------------------------------------------------------------

    def _records(self, entry: Entry, pushed: Pushed, stamp: Stamp) -> tuple[tuple[Stream, Record], ...]:
        """Return the records of a message; what cannot be read is no alarm, so it does not crowd alarms out."""
        name, profile = entry.name, entry.profile
        if pushed.attribute is not None:
            return ((Stream.ALARM, events.notification(pushed, profile, stamp, name)),)
        understood = entry.reader.read(pushed.data)
        if not isinstance(understood, Understood):
            return ((Stream.INSTANT, events.unread(pushed, understood, profile, stamp, name)),)
        time = meter_time(pushed.date_time or understood.clock, stamp, entry.reckoning)
        made = record(understood, time, stamp, name)
        if not isinstance(made, Record):
            return ((Stream.INSTANT, events.unread(pushed, made, profile, stamp, name)),)
        if understood.strangers == self._strangers.get(name, ()):
            return ((understood.stream, made),)
        self._strangers[name] = understood.strangers
        told = events.unknown_objects(understood.strangers, profile, stamp, name)
        return ((understood.stream, made), *(((Stream.INSTANT, told),) if understood.strangers else ()))


def _of_the_right_meter(opened: _Opened, told: Mapping[str, str]) -> _Opened | Verdict:
    """Refuse what says itself that it comes from another meter than the one it was matched to."""
    entry = opened.entry
    identity, learned = told.get(entry.profile.name, ""), entry.learned.identity
    if identity and learned and identity != learned:
        return Verdict(Outcome.REFUSED, f"meter {identity!r} sends where {learned!r} is registered: check the address, "
                                        "or adopt it", entry.name, opened.title)
    return opened
