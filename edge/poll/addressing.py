"""From the registry's meter and its profile to the settings of one association."""

from typing import Literal

from edge.config import PollSettings
from edge.dlms.ciphering import KEY_BYTES, Protection
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.hls import WITH_SECRET
from edge.dlms.settings import AssociationSettings, Security
from edge.endpoint import SerialLine, endpoint, is_serial
from edge.errors import ConfigError
from edge.meters.profile import Profile
from edge.model import Keys, Meter

NO_KEYS = Keys()

LINK_REPEAT_S = 3.0
"""Silence after which HDLC asks again; on a serial line of ours, beyond what its frames take at its speed."""

LONGEST_OCTET_BITS = 11
"""On a serial line, start and stop bits included."""

PROTECTION = {"none": Protection.NONE, "authenticated": Protection.AUTHENTICATED, "encrypted": Protection.ENCRYPTED,
              "both": Protection.BOTH}


def association_settings(
    meter: Meter, profile: Profile, password: bytes, poll: PollSettings, keys: Keys = NO_KEYS,
    client_title: bytes = b"",
) -> AssociationSettings:
    """Merge: what the operator said, else what the profile says, else the gateway's settings.

    `client_title` is the gateway's own, for meters without another. Raises ConfigError for an address that cannot be
    written, or for a password or key that is missing.
    """
    told = profile.association
    address_bytes = meter.address_bytes if meter.address_bytes is not None else told.address_bytes
    physical = meter.server_physical if meter.server_physical is not None else told.server_physical
    authentication = meter.authentication or told.authentication
    if authentication == "lls" and not password:
        raise ConfigError(f"meter {meter.name}: low-level security needs a password and none is stored: "
                          f"halow-gateway meter set-password {meter.name}, or --authentication none where it has none")
    if authentication in WITH_SECRET and not password:
        raise ConfigError(f"meter {meter.name}: {authentication} needs a secret and none is stored: "
                          f"halow-gateway meter set-password {meter.name}")
    exchange_s = profile.timing.exchange_timeout_s or poll.exchange_timeout_s
    try:
        place = endpoint(meter.host, meter.port)
        octet_s = LONGEST_OCTET_BITS / place.baud if isinstance(place, SerialLine) else 0.0
        frame_s, answer_s = octet_s * told.max_info_bytes, octet_s * told.max_pdu
        return AssociationSettings(
            framing=framing_of(meter, profile),
            client_sap=meter.client_sap if meter.client_sap is not None else told.client_sap,
            server_logical=meter.server_logical if meter.server_logical is not None else told.server_logical,
            server_physical=None if address_bytes == 1 else physical,      # the one-byte form has no lower part
            address_bytes=address_bytes,
            authentication=authentication,
            password=password if authentication == "lls" or authentication in WITH_SECRET else b"",
            security=_security(meter, profile, authentication, keys, client_title),
            max_pdu=told.max_pdu,
            conformance=_offered(meter, profile),
            gbt_window=profile.quirks.gbt_window,
            max_info_bytes=told.max_info_bytes,
            association_timeout_s=(profile.timing.association_timeout_s or exchange_s) + 6 * frame_s,
            exchange_timeout_s=exchange_s + answer_s,
            link_repeat_s=LINK_REPEAT_S + 2 * frame_s,
            opening=meter.opening or told.opening,
            device_address=meter.device_address,
        )
    except ValueError as error:
        raise ConfigError(f"meter {meter.name}: {error}") from error


def _security(
    meter: Meter, profile: Profile, authentication: str, keys: Keys, client_title: bytes,
) -> Security | None:
    """Return keys and protection, None where neither ciphering nor high-level security asks for them."""
    told = profile.association
    protection = PROTECTION[meter.security or told.security]
    if not protection and authentication not in ("hls-gmac", "hls-sha256"):
        return None
    suite = meter.security_suite if meter.security_suite is not None else told.security_suite
    title = bytes.fromhex(meter.client_title) if meter.client_title else client_title
    if not protection and authentication == "hls-sha256":
        # It needs the titles, no key; and a meter may well have none.
        keys = Keys(bytes(KEY_BYTES[suite]), bytes(KEY_BYTES[suite]))
    for kind, key in (("encryption", keys.encryption), ("authentication", keys.authentication)):
        if not key:
            raise ConfigError(f"meter {meter.name}: its security needs an {kind} key and none is stored: "
                              f"halow-gateway meter set-key {meter.name} {kind}")
    form = meter.ciphering or told.ciphering
    return Security(title, keys.encryption, keys.authentication, suite=suite, protection=protection, form=form,
                    meter_title=bytes.fromhex(meter.meter_title))


def _offered(meter: Meter, profile: Profile) -> int:
    """Return the services to offer: what is implemented, and of that what suits this kind of meter."""
    told, quirks = profile.association, profile.quirks
    offered = OFFERED
    if quirks.attribute_0:
        offered |= Conformance.ATTRIBUTE_0_GET
    if quirks.general_blocks:
        offered |= Conformance.GENERAL_BLOCK_TRANSFER
    ciphered = bool(PROTECTION[meter.security or told.security])
    if ciphered and (meter.ciphering or told.ciphering).startswith("general"):
        offered |= Conformance.GENERAL_PROTECTION
    return offered


def poll_interval_s(meter: Meter, profile: Profile, poll: PollSettings) -> float:
    """Return how often it is polled: the meter's own interval, else the profile's, else the gateway's."""
    return meter.interval_s or profile.timing.interval_s or poll.interval_s


def framing_of(meter: Meter, profile: Profile) -> Literal["wrapper", "hdlc"]:
    """Return what carries APDUs: HDLC on every serial line, else what the operator or the profile says."""
    return "hdlc" if is_serial(meter.host) else meter.framing or profile.association.framing


def lane(meter: Meter, profile: Profile) -> tuple[str, int] | None:
    """Return what meters behind one serial bridge, or on one line of this board, share; None: a meter with its own way.

    One of them is asked at a time.
    """
    if framing_of(meter, profile) != "hdlc":
        return None
    place = endpoint(meter.host, meter.port)
    return (place.device, 0) if isinstance(place, SerialLine) else (place.host, place.port)


def hdlc_link(meter: Meter, profile: Profile, associate: AssociationSettings) -> tuple[object, ...] | None:
    """Return what makes an HDLC link one: two meters with equal ones cannot both keep theirs. None without HDLC."""
    place = lane(meter, profile)
    return None if place is None else (
        *place, associate.client_sap, associate.server_logical, associate.server_physical, associate.address_bytes)
