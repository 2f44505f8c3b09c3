"""The registered meters as a push sees them (pure): by system title, by address, by identity.

Nobody is matched by guess. Where more than one meter could be meant, none is: the message is told as that of an unknown
sender, with what would tell the meters apart.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue
from edge.dlms.ciphering import Cipher, Protection
from edge.meters.localtime import Reckoning
from edge.meters.profile import Profile
from edge.meters.pushed import PushReader
from edge.meters.selftold import self_told
from edge.model import Learned


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered meter.

    `addresses` are those of its host, resolved, in the form of `edge.push.addresses`. `protection`: what its pushes
    must have; NONE takes them in clear. `title` is the registered system title, b"" for none. `problem`: why its
    ciphered pushes cannot be opened. `reckoning`: how it writes times.
    """

    name: str
    profile: Profile
    learned: Learned = field(default_factory=Learned)
    addresses: frozenset[str] = frozenset()
    protection: Protection = Protection.NONE
    title: bytes = b""
    cipher: Cipher | None = field(default=None, repr=False)
    key_digest: bytes = field(default=b"", repr=False)
    problem: str = ""
    reckoning: Reckoning = field(default_factory=Reckoning)
    reader: PushReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare to read its bodies."""
        object.__setattr__(self, "reader", PushReader(self.profile, self.learned))

    @property
    def identity(self) -> str:
        """What its body may call it: what it told when polled; before that, the name it is registered under."""
        return self.learned.identity or self.name

    def counter_scope(self, title: bytes) -> str:
        """Under what the meter's invocation counter may never repeat: its key with its title; a digest of both."""
        return hashlib.sha256(b"meter's counter\0" + title + self.key_digest).hexdigest()


def key_digest(encryption_key: bytes) -> bytes:
    """Return what stands for a key where the key itself must not."""
    return hashlib.sha256(b"encryption key\0" + encryption_key).digest()


class Unmatched(NamedTuple):
    """No registered meter, or not one alone; the reason is one line that says what to do."""

    reason: str


class Directory:
    """All registered meters. Made anew whenever one of them changes; `proven` goes on from one to the next."""

    def __init__(self, entries: Iterable[Entry] = (), before: "Directory | None" = None) -> None:
        """`before` is the directory that this one replaces."""
        self.entries = {entry.name: entry for entry in entries}
        self._by_address: dict[str, list[Entry]] = {}
        self._by_title: dict[bytes, list[Entry]] = {}
        for entry in self.entries.values():
            for address in entry.addresses:
                self._by_address.setdefault(address, []).append(entry)
            if entry.title:
                self._by_title.setdefault(entry.title, []).append(entry)
        profiles = {entry.profile.name: entry.profile for entry in self.entries.values()}
        self._readers = [PushReader(each, Learned()) for each in profiles.values() if each.identity is not None]
        self._proven: dict[bytes, Entry] = {}
        for title, was in before._proven.items() if before is not None else ():  # noqa: SLF001 - its successor
            now = self.entries.get(was.name)
            if now is not None and now.key_digest == was.key_digest and not now.title:
                self._proven[title] = now

    def knows(self, address: str) -> bool:
        """Tell whether a registered meter lives at this address."""
        return address in self._by_address

    def at(self, address: str) -> tuple[Entry, ...]:
        """Return the meters at an address."""
        return tuple(self._by_address.get(address, ()))

    # -- by system title -------------------------------------------------------------------------------------------

    def holders(self, title: bytes, address: str) -> tuple[Entry, ...]:
        """Return whose ciphered message it may be; the keys decide.

        Who is registered with the title, else who has proven it; else the meters at the address whose title nobody
        knows yet. For a message without a title only the address says anything.
        """
        if title in self._by_title:
            return tuple(self._by_title[title])
        if title in self._proven:
            return (self._proven[title],)
        return tuple(entry for entry in self.at(address) if not (title and self.title_of(entry)))

    def title_of(self, entry: Entry) -> bytes:
        """Return a meter's title: the registered one, else the one it has proven since the start; b"" for none."""
        return entry.title or next((title for title, owner in self._proven.items() if owner is entry), b"")

    def prove(self, title: bytes, entry: Entry) -> None:
        """Note that a meter's keys authenticated a message under this title: it is the meter's from now on."""
        if not self.title_of(entry):
            self._proven[title] = entry

    # -- by identity, or by address alone --------------------------------------------------------------------------

    def owner(self, told: Mapping[str, str], address: str) -> Entry | Unmatched:
        """Return whose message in clear it is: the identity that it tells decides, else the address, if one meter's."""
        named = self.named(told)
        if named is not None:
            return named
        here = self.at(address)
        if len(here) == 1:
            return here[0]
        if here:
            return Unmatched(f"{_names(here)} have this address: the push must tell which one sends it, by the "
                             "identity of its profile or by ciphering")
        identity = next(iter(told.values()), "")
        return Unmatched(f"meter {identity!r} is not registered" if identity else "no registered meter's address")

    def named(self, told: Mapping[str, str]) -> Entry | Unmatched | None:
        """Return whose identity is told, None where it is no registered meter's."""
        named = [entry for entry in self.entries.values() if told.get(entry.profile.name) == entry.identity]
        if len(named) > 1:
            return Unmatched(f"{_names(named)} have one identity, {named[0].identity}: only one of them can be right")
        return named[0] if named else None

    def told(self, body: AxdrValue) -> Mapping[str, str]:
        """Return the identities that a body tells: profile name -> identity, as that profile reads it."""
        pairs = self_told(body)
        found = {reader.profile.name: reader.identity(body, pairs) for reader in self._readers}
        return {name: identity for name, identity in found.items() if identity}


def _names(entries: Iterable[Entry]) -> str:
    names = [entry.name for entry in entries]
    return f"{', '.join(names[:3])} and {len(names) - 3} others" if len(names) > 4 else ", ".join(names)
