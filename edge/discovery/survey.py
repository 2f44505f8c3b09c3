"""What a meter tells through one association: who it is, what it has, in which units (I/O: a MeterSession).

    name, serials ─► logical devices ─► object list (in blocks, however long) ─► scaler_unit and values of registers

A meter that trips over one question is asked the others all the same, on a new association, a few times at most. Every
answer is optional: a public client may be told no more than the name.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge.discovery import quantities
from edge.discovery.knock import Note
from edge.discovery.objects import (
    CAPTURE_OBJECTS,
    DEVICE_NAME,
    LOGICAL_DEVICES,
    OBJECT_LIST,
    PROFILE,
    REGISTERS,
    SERIALS,
    VALUE,
    ObjectList,
    logical_devices,
    object_list,
)
from edge.discovery.pace import Pace
from edge.discovery.quiet import Quiet
from edge.dlms.axdr import Integer
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult
from edge.dlms.selection import Column
from edge.dlms.settings import AssociationSettings
from edge.errors import MeterError, Refused, Violation
from edge.meters.exact import exact
from edge.meters.loadrows import columns_of
from edge.meters.objectspec import SCALED_ATTRIBUTES, SCALER_ATTRIBUTE, ObjectSpec
from edge.meters.profile import Profile
from edge.meters.reading import identity_text
from edge.poll.counters import CounterDesk
from edge.poll.lists import ListSize
from edge.poll.session import Connect, MeterSession

log = logging.getLogger(__name__)

NEW_ASSOCIATIONS = 4
"""After faults; a meter that trips over more questions than this is asked no more."""

NOTHING = Conformance(0)
PIECE = 32
"""Attributes asked for together: what a fault costs is asked for one by one."""

MOST_REGISTERS, MOST_SINGLE = 200, 60
"""Registers whose units are read: with lists, and one by one (a third of a second each over a serial line)."""


@dataclass(slots=True)
class Register:
    """What a register told. `unit` is a COSEM unit code; `why` says what was not told."""

    scaler: int | None = None
    unit: int | None = None
    value: Any = None
    why: str = ""


@dataclass(slots=True)
class Survey:
    """What was found out. `identities` by attribute: what it says, or "" where it says nothing."""

    conformance: Conformance = NOTHING
    max_pdu: int = 0
    list_limit: int | None = None
    identities: dict[Attribute, str] = field(default_factory=dict)
    devices: tuple[tuple[int, str], ...] = ()
    listing: ObjectList | None = None
    captured: tuple[Column, ...] = ()                                      # by its load profile
    registers: dict[Attribute, Register] = field(default_factory=dict)     # by value attribute
    notes: list[str] = field(default_factory=list)                         # what was refused or went wrong
    brief: bool = False                                                    # of each type, only `sample` was asked for
    complete: bool = False                                                 # False: it ended before all was asked

    @property
    def offers_list(self) -> bool:
        """Tell whether GET-with-list was negotiated."""
        return Conformance.MULTIPLE_REFERENCES in self.conformance

    @property
    def worth(self) -> tuple[bool, int]:
        """Return what makes one survey of a meter better than another."""
        return self.listing is not None, sum(register.unit is not None for register in self.registers.values())

    @property
    def device_name(self) -> str:
        """The logical device name, "" where it was not told."""
        return self.identities.get(DEVICE_NAME, "")

    @property
    def serial(self) -> str:
        """The first serial number told, "" where none was."""
        return next((text for at in SERIALS if (text := self.identities.get(at, ""))), "")


def sample(profile: Profile) -> tuple[ObjectSpec, ...]:
    """Return the objects by which a type is told from others in a hurry: its first and its last."""
    return tuple(dict.fromkeys((profile.objects[0], profile.objects[-1])))


class Surveyor:
    """Asks one meter. `survey` grows as answers come, so that what was found stands when the time is over."""

    def __init__(self, connect: Connect, settings: AssociationSettings, pace: Pace, note: Note, *,
                 counters: CounterDesk | None = None, request_gap_s: float = 0.0) -> None:
        """`settings` as for polling; `counters` where they hold keys."""
        self.survey = Survey()
        self._note = note
        self._quiet = Quiet(pace.quiet_s)
        self._lists = ListSize(None)
        self._session = MeterSession(
            connect, replace(settings, exchange_timeout_s=pace.limit_s), lists=self._lists,
            request_gap_s=request_gap_s, settle_s=pace.settle_s, trace=self._quiet.trace, counters=counters)
        self._associations_left = NEW_ASSOCIATIONS

    async def run(self, profiles: Collection[Profile], *, brief: bool = False) -> Survey:
        """Ask everything; `brief`: only who it is, and a sample of each profile.

        Raises the MeterError that kept the association from being opened at all; what comes later is a note. Cancelling
        ends the connection hard.
        """
        survey = self.survey
        async with self._quiet.watched():
            await self._session.open()
        try:
            survey.conformance = self._session.association.server_conformance
            survey.max_pdu = self._session.association.server_max_pdu
            await self._who(profiles)
            survey.brief = brief
            if brief:
                await self._measure(_of_profiles(spec for profile in profiles for spec in sample(profile)),
                                    with_values=True)
            else:
                await self._what(profiles)
            survey.complete = True
        except _Enough as enough:
            survey.notes.append(str(enough))
        finally:
            survey.list_limit = self._lists.learned
            await self._session.close()
        return survey

    # -- the questions ---------------------------------------------------------------------------------------------

    async def _who(self, profiles: Collection[Profile]) -> None:
        names = [profile.identity.target for profile in profiles if profile.identity is not None]
        for result in await self._ask(list(dict.fromkeys([DEVICE_NAME, *SERIALS, *names]))):
            self.survey.identities[result.attribute] = identity_text(result)
        self._note(f"logical device name {self.survey.device_name or 'not told'}, "
                   f"serial {self.survey.serial or 'not told'}")

    async def _what(self, profiles: Collection[Profile]) -> None:
        survey = self.survey
        for result in await self._ask([LOGICAL_DEVICES]):
            survey.devices = logical_devices(result.data)
        self._note("reading the object list")
        for result in await self._ask([OBJECT_LIST]):
            survey.listing = object_list(result.data)
            if survey.listing is None:
                survey.notes.append(f"object list: {result.error.text if result.error else 'is none'}")
        specs = _of_profiles(spec for profile in profiles for spec in profile.objects)
        if survey.listing is None:
            self._note("no object list: asking for what the known meter types have")
            await self._measure(specs, with_values=True)
            return
        self._note(f"{len(survey.listing.objects)} objects")
        await self._load_profile(survey.listing)
        specs |= {Attribute(*column[:3]): Attribute(*column[:2], SCALER_ATTRIBUTE[column.class_id])
                  for column in survey.captured if column.attribute in SCALED_ATTRIBUTES.get(column.class_id, ())}
        there = {(listed.class_id, listed.obis): listed for listed in survey.listing.objects}
        usual = {at: scaler for at, scaler in (specs | _registers(survey.listing, usual=True)).items()
                 if (at.class_id, at.obis) in there and there[at.class_id, at.obis].may_read(at.attribute)}
        await self._measure(usual, with_values=True)
        others = {at: scaler for at, scaler in _registers(survey.listing, usual=False).items() if at not in usual}
        most = MOST_REGISTERS if survey.offers_list and (self._lists.learned or 2) > 1 else MOST_SINGLE
        if len(others) > most:
            survey.notes.append(f"{len(others) - most} registers were not asked for their units")
        await self._measure(dict(list(others.items())[:most]), with_values=False)

    async def _load_profile(self, listing: ObjectList) -> None:
        """Ask what the load profile captures."""
        obis = listing.load_profile
        if obis is None:
            return
        for result in await self._ask([Attribute(PROFILE, obis, CAPTURE_OBJECTS)]):
            try:
                self.survey.captured = columns_of(result.data) if result.error is None else ()
            except Violation as strange:
                self.survey.notes.append(f"load profile {obis}: {strange}")

    async def _measure(self, wanted: Mapping[Attribute, Attribute | None], *, with_values: bool) -> None:
        """Read scaler_unit, and the values, of registers given as value attribute -> scaler attribute."""
        if wanted:
            self._note(f"reading {len(wanted)} registers")
        attributes = [scaler for scaler in wanted.values() if scaler is not None]
        attributes += wanted if with_values else []
        told: dict[Attribute, GetResult] = {}
        for at in range(0, len(attributes), PIECE):
            told |= {result.attribute: result for result in await self._ask(attributes[at:at + PIECE])}
        for value_at, scaler_at in wanted.items():
            self.survey.registers[value_at] = _register(told.get(value_at), told.get(scaler_at) if scaler_at else None)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _ask(self, attributes: Sequence[Attribute]) -> list[GetResult]:
        """Read attributes; those over which the meter trips are left out, with a note. Raises _Enough."""
        try:
            await self._reopen()
            async with self._quiet.watched():
                return list(await self._session.get(attributes))
        except MeterError as fault:
            log.debug("%d attributes: %s", len(attributes), fault)
            if len(attributes) == 1:
                self.survey.notes.append(f"{attributes[0]}: {fault}")
                return []
        return [result for attribute in attributes for result in await self._ask([attribute])]

    async def _reopen(self) -> None:
        if self._session.is_open:
            return
        if not self._associations_left:
            raise _Enough(f"the meter ended {NEW_ASSOCIATIONS + 1} associations over questions: no more were asked")
        self._associations_left -= 1
        try:
            async with self._quiet.watched():
                await self._session.open()
        except Refused as refused:      # it was let in before: whatever this means, no password is sent again
            raise _Enough(f"the meter lets this client in no more: {refused}") from refused


class _Enough(Exception):
    """The meter has tripped over too many questions."""


def _of_profiles(specs: Iterable[ObjectSpec]) -> dict[Attribute, Attribute | None]:
    return {spec.target: spec.scaler_target for spec in specs}


def _registers(listing: ObjectList, *, usual: bool) -> dict[Attribute, Attribute | None]:
    """Return value and scaler attributes of the registers in a list, `usual` ones or the others."""
    return {Attribute(listed.class_id, listed.obis, VALUE):
            Attribute(listed.class_id, listed.obis, SCALER_ATTRIBUTE[listed.class_id])
            for listed in listing.of_class(*REGISTERS)
            if quantities.usual(listed.obis) == usual and listed.may_read(VALUE)}


def _register(value: GetResult | None, scaler_unit: GetResult | None) -> Register:
    """Put together what was told of one register."""
    found = Register()
    match scaler_unit:
        case GetResult(_, (Integer() as scaler, Integer() as unit), None) if -128 <= scaler <= 127 and 0 <= unit <= 255:
            found.scaler, found.unit = int(scaler), int(unit)
        case GetResult(_, _, error):
            found.why = f"scaler_unit {error.text if error else 'is malformed'}"
    if value is not None:
        found.value = exact(value.data) if value.error is None else None
        found.why = found.why or (value.error.text if value.error else "")
    return found
