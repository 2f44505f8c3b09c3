"""TLS of the uplink: one pinned CA, the gateway's own certificate where it has one, and what a failure means.

I/O edge: reads the files. TLS 1.2 at least, which ThingsBoard's transport speaks by default; 1.3 where the server does.
"""

import ssl
import time

from edge.clock import Clock
from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import ConfigError, Rejected, Retryable

NOT_YET_VALID, EXPIRED, HOST_MISMATCH, ADDRESS_MISMATCH = 9, 10, 62, 64      # X509_V_ERR_..., openssl/x509_vfy.h

ALERTS = {
    "CERTIFICATE_REQUIRED": "wants a client certificate, and the gateway shows none; see uplink.credentials",
    "CERTIFICATE_EXPIRED": "says that the gateway's own certificate has expired; have it renewed",
    "CERTIFICATE_REVOKED": "says that the gateway's own certificate is revoked; have a new one made",
    "UNKNOWN_CA": "does not know who signed the gateway's own certificate; it must have that CA",
    "BAD_CERTIFICATE": "takes the gateway's own certificate for a bad one",
    "UNSUPPORTED_CERTIFICATE": "does not support the gateway's own certificate",
    "CERTIFICATE_UNKNOWN": "does not take the gateway's own certificate",
}
"""What the server says of our certificate (RFC 8446, 6.2), by the end of OpenSSL's name for it."""


def tls_context(settings: UplinkSettings, login: Login | None = None) -> ssl.SSLContext | None:
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
    if login is not None and login.certificate:
        _show(context, login)
    return context


def _show(context: ssl.SSLContext, login: Login) -> None:
    try:
        context.load_cert_chain(login.certificate_file, login.secret_file)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{login.certificate_file}: is not for the key in {login.secret_file}; have one made "
                              "from `halow-gateway csr`") from None
        raise ConfigError(f"{login.certificate_file}: no certificate can be read from it and {login.secret_file}: "
                          f"{error.reason or error}") from None
    except OSError as error:
        raise ConfigError(f"{login.certificate_file}, {login.secret_file}: cannot be read: {error.strerror}") from None


def certificate_refused(error: ssl.SSLCertVerificationError, where: str, host: str,
                        clock: Clock) -> Retryable | Rejected:
    """Say why the server's certificate is not taken. Only a clock that may be wrong mends itself."""
    if error.verify_code in (NOT_YET_VALID, EXPIRED):
        return _out_of_its_time(error.verify_code, where, clock)
    if error.verify_code in (HOST_MISMATCH, ADDRESS_MISMATCH):
        return Rejected(f"{where} shows a certificate for another host; uplink.host must be a name that stands in it, "
                        f"{host} does not")
    return Rejected(f"{where} shows a certificate that uplink.ca_file does not vouch for: {error.verify_message}")


def _out_of_its_time(code: int, where: str, clock: Clock) -> Retryable | Rejected:
    """Say which clock it was that judged. To the day: a line that changes with each attempt is told with each."""
    stamp = clock.stamp()
    today = time.strftime("%Y-%m-%d", time.gmtime(stamp.wall_ms // 1_000))
    what = "has expired" if code == EXPIRED else "is not valid yet"
    seen = f"{where} shows a certificate that {what} by this gateway's clock, which says {today} (UTC)"
    if not stamp.synchronised:
        return Retryable(f"{seen} and is not synchronised: see that it gets the time; if that is the day, the server "
                         "needs another certificate")
    if code == EXPIRED:
        return Rejected(f"{seen} and counts as synchronised; if that is the day, the server needs a new one")
    return Retryable(f"{seen} and counts as synchronised; if that is the day, the server's is for later")


def asked_for_certificate(error: ssl.SSLError) -> bool:
    """Tell whether the server ended a handshake for want of a good certificate of ours: it was the server, then.

    Its own certificate was checked before. 1.2 says "handshake failure" where 1.3 says "certificate required".
    """
    reason = error.reason or ""
    return reason.endswith(("_ALERT_HANDSHAKE_FAILURE", *(f"_ALERT_{name}" for name in ALERTS)))


def handshake_failed(error: ssl.SSLError, where: str) -> Retryable | Rejected:
    """Say what a failed handshake means: an alert about our certificate is for the operator, the rest may pass."""
    reason = error.reason or ""
    for name, text in ALERTS.items():
        if reason.endswith(f"_ALERT_{name}"):
            return Rejected(f"{where} {text}")
    return Retryable(f"{where}: TLS fails: {reason.replace('_', ' ').lower() or error}")
