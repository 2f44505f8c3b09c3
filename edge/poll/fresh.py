"""What must be new for each association: invoke-id, challenge, dedicated key."""

from dataclasses import replace
from secrets import token_bytes

from edge.dlms.association import AssociationSettings
from edge.dlms.hls import HLS

CHALLENGE_BYTES = 16
"""Of CtoS. Meters exist that get longer ones wrong."""


def fresh(settings: AssociationSettings, invoke_id: int, *, stretch: float = 1.0) -> AssociationSettings:
    """Return the settings for one association: random where it must be, and kept nowhere else.

    `stretch` lengthens its deadlines.
    """
    settings = replace(settings, first_invoke_id=invoke_id,
                       association_timeout_s=settings.association_timeout_s * stretch,
                       exchange_timeout_s=settings.exchange_timeout_s * stretch)
    if settings.authentication in HLS:
        settings = replace(settings, challenge=token_bytes(CHALLENGE_BYTES))
    security = settings.security
    if security is not None and security.wants_dedicated_key:
        settings = replace(settings, security=replace(
            security, dedicated_key=token_bytes(len(security.encryption_key))))
    return settings
