"""From the registry's meter and its profile to the settings of one association."""

from edge.config import PollSettings
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.settings import AssociationSettings
from edge.errors import ConfigError
from edge.meters.profile import Profile
from edge.model import Meter


def association_settings(meter: Meter, profile: Profile, password: bytes, poll: PollSettings) -> AssociationSettings:
    """Merge: what the operator said, else what the profile says, else the gateway's settings.

    Raises ConfigError for an address that cannot be written, or for a password that is missing.
    """
    told = profile.association
    address_bytes = meter.address_bytes if meter.address_bytes is not None else told.address_bytes
    physical = meter.server_physical if meter.server_physical is not None else told.server_physical
    authentication = meter.authentication or told.authentication
    if authentication == "lls" and not password:
        raise ConfigError(f"meter {meter.name}: low-level security needs a password and none is stored: "
                          "set one, or use --authentication none")
    exchange_s = profile.timing.exchange_timeout_s or poll.exchange_timeout_s
    try:
        return AssociationSettings(
            framing=meter.framing or told.framing,
            client_sap=meter.client_sap if meter.client_sap is not None else told.client_sap,
            server_logical=meter.server_logical if meter.server_logical is not None else told.server_logical,
            server_physical=None if address_bytes == 1 else physical,      # the one-byte form has no lower part
            address_bytes=address_bytes,
            authentication=authentication,
            password=password if authentication == "lls" else b"",
            max_pdu=told.max_pdu,
            conformance=OFFERED | Conformance.ATTRIBUTE_0_GET if profile.quirks.attribute_0 else OFFERED,
            max_info_bytes=told.max_info_bytes,
            association_timeout_s=profile.timing.association_timeout_s or exchange_s,
            exchange_timeout_s=exchange_s,
        )
    except ValueError as error:
        raise ConfigError(f"meter {meter.name}: {error}") from error


def poll_interval_s(meter: Meter, profile: Profile, poll: PollSettings) -> float:
    """Return how often it is polled: the meter's own interval, else the profile's, else the gateway's."""
    return meter.interval_s or profile.timing.interval_s or poll.interval_s


def lane(meter: Meter, profile: Profile) -> tuple[str, int] | None:
    """Return what meters behind one serial bridge share, which serves one client; None for a meter with its own way."""
    return (meter.host, meter.port) if (meter.framing or profile.association.framing) == "hdlc" else None
