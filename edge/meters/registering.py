"""How what somebody says of a meter becomes a registered one (pure): the same for commands, the page and scripts.

What is not said is the profile's answer; a serial line has no port; a meter that is protected wants secrets.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from edge.endpoint import is_serial, port_at
from edge.meters.profile import Profile
from edge.model import Keys, Meter

TEXTS = ("mac", "client_title", "meter_title", "counter_obis", "device_address")      # empty where they are not set
DEFAULT_PROFILE = Meter("", "", 0).profile

Find = Callable[[str], Profile]
"""`Library.find`: raises ConfigError that names the profiles there are."""

Want = Literal["password", "secret", "encryption", "authentication"]


def new_meter(said: Mapping[str, Any], find: Find) -> tuple[Meter, Profile]:
    """Return the meter that was meant: `said` has name and host, and what else was told. Raises ConfigError."""
    profile = find(said.get("profile", DEFAULT_PROFILE))
    return Meter(**({"port": port_at(said["host"], profile.association.port)} | dict(said))), profile


def changed_meter(before: Meter, changes: Mapping[str, Any], find: Find) -> Meter:
    """Return it with other settings; None is back to what the profile says. Raises ConfigError."""
    changes = {key: "" if value is None and key in TEXTS else value for key, value in changes.items()}
    if "profile" in changes:
        find(changes["profile"])
    if "host" in changes and is_serial(changes["host"]) != is_serial(before.host):
        # the old port means nothing there
        profile = find(changes.get("profile", before.profile))
        changes = {"port": port_at(changes["host"], profile.association.port)} | changes
    return dataclasses.replace(before, **changes)


def wanting(meter: Meter, profile: Profile, keys: Keys, *, password: bool) -> Iterator[Want]:
    """Yield what is to be given before it can be polled: a password or secret, keys by kind."""
    authentication = meter.authentication or profile.association.authentication
    protected = (meter.security or profile.association.security) != "none" or authentication == "hls-gmac"
    if not password and authentication not in ("none", "hls-gmac"):
        yield "password" if authentication == "lls" else "secret"
    if protected and not keys.encryption:
        yield "encryption"
    if protected and not keys.authentication:
        yield "authentication"
