"""Discovery of one meter: first contact, what the public client is told, then what the password opens (I/O edge).

    contact ─► public client: name, serial, all it may see ─► with a password: the same, once, as another client

A password is sent once in a run, whatever comes of it: meters count wrong ones, and lock themselves.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

from edge.discovery.contact import Contact, Verdict, contact
from edge.discovery.doors import Door, Search, public_settings
from edge.discovery.fit import Fit, fits
from edge.discovery.knock import Note
from edge.discovery.pace import Pace
from edge.discovery.survey import Survey, Surveyor
from edge.dlms.settings import AssociationSettings
from edge.endpoint import endpoint, where
from edge.errors import ConfigError, FailReason, MeterError
from edge.meters.profile import Profile
from edge.poll.counter_object import PUBLIC_CLIENT
from edge.poll.counters import CounterDesk
from edge.poll.transport import Transport, connect

OPENING_S = 8.0
"""For SNRM and AARQ to a meter that is known to be there."""

LOCKS = "it was sent once and is not tried again: meters lock themselves after a few wrong ones"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: as a meter is registered, `edge.endpoint`."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it for messages."""
        return where(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Entry:
    """A password, and the client that it belongs to."""

    password: bytes = field(repr=False)
    client_sap: int


@dataclass(slots=True)
class Discovery:
    """What was found out. `problems` say why something is missing, one line each."""

    place: Place
    contact: Contact | None = None
    door: Door | None = None                     # by which `survey` was made
    authentication: str = "none"
    survey: Survey | None = None
    fits: list[Fit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Tell whether a meter answers."""
        return self.door is not None

    def judge(self, survey: Survey, profiles: Collection[Profile]) -> None:
        """Take a survey, unless the one there is tells more."""
        if self.survey is None or survey.worth >= self.survey.worth:
            self.survey, self.fits = survey, fits(profiles, survey)


async def discover(
    place: Place, search: Search, pace: Pace, profiles: Collection[Profile], note: Note, entry: Entry | None = None,
) -> Discovery:
    """Find out all that can be found out within `pace.limit_s`. Never raises for what is there.

    Cancelling leaves nothing open.
    """
    found = Discovery(place)
    dial = partial(dial_to, place, pace)
    try:
        async with asyncio.timeout(pace.limit_s):
            found.contact = await contact(dial, place.port, search, pace, note)
            if found.contact.verdict is not Verdict.METER or found.contact.door is None:
                found.problems.append(found.contact.detail)
                return found
            found.door = found.contact.door
            await asyncio.sleep(pace.gap_s)
            await _as_public(found, pace, profiles, note)
            if entry is not None:
                await asyncio.sleep(pace.gap_s)
                await _with_password(found, entry, pace, profiles, note)
    except TimeoutError:
        found.problems.append(f"not finished within {pace.limit_s:g} s; --within gives it more")
    return found


async def discover_registered(
    place: Place, settings: AssociationSettings, counters: CounterDesk | None, pace: Pace,
    profiles: Collection[Profile], note: Note, *, request_gap_s: float = 0.0,
) -> Discovery:
    """Find out what a meter tells to a client whose settings are known. As `discover`."""
    found = Discovery(place, authentication=settings.authentication)
    door = Door(settings.framing, settings.client_sap, settings.server_logical, settings.server_physical,
                settings.address_bytes)
    surveyor = Surveyor(partial(dial_to, place, pace), settings, pace, note, counters=counters,
                        request_gap_s=request_gap_s)
    try:
        async with asyncio.timeout(pace.limit_s):
            await surveyor.run(profiles)
    except MeterError as error:
        found.problems.append(f"{door}: {error}")
        return found
    except TimeoutError:
        found.problems.append(f"not finished within {pace.limit_s:g} s; --within gives it more")
    found.door = door
    found.judge(surveyor.survey, profiles)
    return found


async def _as_public(found: Discovery, pace: Pace, profiles: Collection[Profile], note: Note) -> None:
    door = found.door
    assert door is not None
    assert found.contact is not None
    if door.client_sap != PUBLIC_CLIENT:
        found.problems.append("the public client (16) is not answered; --password-file opens another client")
        return
    if found.contact.refused:
        found.problems.append(f"the public client is not let in: {found.contact.refused}")
        return
    settings = public_settings(door, opening_s=max(OPENING_S, pace.answer_s), exchange_s=pace.limit_s)
    await _survey(found, door, settings, pace, profiles, note)


async def _with_password(
    found: Discovery, entry: Entry, pace: Pace, profiles: Collection[Profile], note: Note,
) -> None:
    assert found.door is not None
    door = found.door._replace(client_sap=entry.client_sap)
    try:
        settings = replace(public_settings(door, opening_s=max(OPENING_S, pace.answer_s), exchange_s=pace.limit_s),
                           authentication="lls", password=entry.password)
    except ValueError as error:
        raise ConfigError(f"the password cannot be sent: {error}") from None
    note(f"with the password, client {entry.client_sap}")
    if await _survey(found, door, settings, pace, profiles, note):
        found.door, found.authentication = door, "lls"


async def _survey(
    found: Discovery, door: Door, settings: AssociationSettings, pace: Pace, profiles: Collection[Profile], note: Note,
) -> bool:
    """Make one survey; tell whether the client was let in."""
    surveyor = Surveyor(partial(dial_to, found.place, pace), settings, pace, note)
    try:
        await surveyor.run(profiles)
    except MeterError as error:
        what = f"{door}: {error}"
        if settings.password and error.reason is FailReason.ASSOCIATION_REFUSED:
            what = f"the password is refused for client {door.client_sap}: {error}; {LOCKS}"
        note(what)
        found.problems.append(what)
        return False
    finally:
        if surveyor.survey.identities:
            found.judge(surveyor.survey, profiles)
    return True


async def dial_to(place: Place, pace: Pace) -> Transport:
    """Connect to a place. Raises as `edge.poll.transport.connect`."""
    return await connect(endpoint(place.host, place.port), timeout_s=pace.connect_s)
