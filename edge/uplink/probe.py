"""Whether a path leads to the server (I/O edge): TCP, and TLS where it is spoken; never a login.

ThingsBoard lets one session of a device live: a login over another path would end the one that works. Without TLS
whoever takes the connection counts as the server, a captive portal too; with TLS only who has its certificate.
"""

import asyncio
import ssl

from edge.clock import Clock, SystemClock
from edge.config import UplinkSettings
from edge.errors import ConfigError, Rejected, Retryable
from edge.uplink.dial import Dialer
from edge.uplink.tls import asked_for_certificate, certificate_refused, handshake_failed, tls_context
from edge.uplink.way import Way


async def probe(settings: UplinkSettings, way: Way, dialer: Dialer, clock: Clock | None = None) -> str:
    """Return "" where the server answers by this path, else one line on what came instead.

    Ends within `connect_timeout_s`; cancelling leaves no socket behind. `clock` None: the machine's.
    """
    try:
        context = tls_context(settings)
        async with asyncio.timeout(settings.connect_timeout_s):
            await _shake_hands(way, dialer, context, settings.connect_timeout_s)
    except TimeoutError:
        return f"{way}: no answer within {settings.connect_timeout_s:g} s"
    except ssl.SSLCertVerificationError as error:
        return str(certificate_refused(error, str(way), way.tls_name, clock or SystemClock()))
    except ssl.SSLError as error:
        return "" if asked_for_certificate(error) else str(handshake_failed(error, str(way)))
    except OSError as error:
        return f"cannot reach {way}: {error.strerror or error or 'closed in the middle of the TLS handshake'}"
    except (ConfigError, Rejected, Retryable, UnicodeError) as error:
        return str(error)
    return ""


async def _shake_hands(way: Way, dialer: Dialer, context: ssl.SSLContext | None, timeout_s: float) -> None:
    connected = await dialer.connected(way, timeout_s)
    if context is None:
        dialer.look()
        connected.close()
        return
    # From here on the loop owns the socket, whatever happens: closing it here too would close a stranger's one day.
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, sock=connected, ssl=context, server_hostname=way.tls_name)
    dialer.look()
    transport.abort()
