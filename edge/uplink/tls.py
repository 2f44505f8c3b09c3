"""The TLS context of the uplink: one pinned CA, nothing else trusted (I/O edge: reads the CA file)."""

import ssl

from edge.config import UplinkSettings
from edge.errors import ConfigError


def tls_context(settings: UplinkSettings) -> ssl.SSLContext | None:
    """Return a context that trusts exactly `uplink.ca_file`, None without TLS. Raises ConfigError."""
    if not settings.tls:
        return None
    if not settings.ca_file:
        raise ConfigError("uplink.ca_file: missing; with uplink.tls = true, name the file of the CA to be trusted")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"uplink.ca_file: {settings.ca_file!r} is no readable PEM certificate: {error}") from None
    return context
