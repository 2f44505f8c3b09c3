"""How well a known meter type suits a meter that was surveyed (pure)."""

from collections.abc import Collection
from typing import NamedTuple

from edge.discovery.survey import Survey, sample
from edge.dlms.cosem import UNITS
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import Profile

GOOD_SHARE = 0.5
"""A type of which less is there is not proposed for the meter."""


class Fit(NamedTuple):
    """One type against one meter: objects that are there with the right unit, and what stands against the others."""

    profile: str
    matched: int
    objects: int
    against: tuple[str, ...]         # "key: why"
    identity: str                    # what its identity object says, "" where it says nothing

    @property
    def good(self) -> bool:
        """Tell whether it is worth proposing."""
        return self.matched > 0 and self.matched >= GOOD_SHARE * self.objects

    @property
    def whole(self) -> bool:
        """Tell whether nothing is missing."""
        return self.matched == self.objects


def fits(profiles: Collection[Profile], survey: Survey) -> list[Fit]:
    """Judge every type, best first: by the share of its objects, then by its identity object, then by name."""
    judged = [_fit(profile, survey) for profile in profiles]
    return sorted(judged, key=lambda fit: (-fit.matched / fit.objects, not fit.identity, fit.profile))


def _fit(profile: Profile, survey: Survey) -> Fit:
    objects = sample(profile) if survey.brief else profile.objects
    against = [f"{spec.key}: {why}" for spec in objects if (why := _against(spec, survey))]
    identity = "" if profile.identity is None else survey.identities.get(profile.identity.target, "")
    return Fit(profile.name, len(objects) - len(against), len(objects), tuple(against), identity)


def _against(spec: ObjectSpec, survey: Survey) -> str:
    """Return why the meter cannot give this object, "" where it can."""
    register = survey.registers.get(spec.target)
    if register is None:
        listed = survey.listing is not None and any(
            (each.class_id, each.obis) == (spec.target.class_id, spec.target.obis) for each in survey.listing.objects)
        return "may not be read" if listed else "not there"
    if spec.scaler_target is None:
        return "" if register.value is not None and not register.why else register.why or "not read"
    if register.unit is None:
        return register.why or "its unit is not told"
    told = UNITS.get(register.unit, f"code {register.unit}")
    return "" if told == spec.unit else f"unit {told or '(none)'} instead of {spec.unit or '(none)'}"
