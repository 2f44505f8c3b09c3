"""What `check` says of the uplink: how the gateway logs in, whom it trusts, the interfaces of its paths."""

import os
import socket
import stat
from collections.abc import Iterator

from edge.commands.context import State
from edge.commands.finding import Finding
from edge.config import PathSettings, Settings, UplinkSettings
from edge.credentials import (
    TOKEN_LIMIT_BYTES,
    credential_path,
    parse_token,
    read_login,
    read_provision_secret,
    token_path,
)
from edge.interface import hold_to


def uplink_findings(settings: Settings, _: State) -> Iterator[Finding]:
    """Yield what is found. Raises EdgeError and OSError where credentials cannot be read, after what else was found."""
    if not settings.uplink.enabled:
        yield Finding("note", "uplink: switched off by uplink.enabled = false; readings stay in the ring")
        return
    if settings.uplink.tls:
        yield from _authority(settings.uplink)
    for path in settings.paths.path:
        if path.interface:
            yield _interface(path)
    yield from _login(settings)


def _interface(path: PathSettings) -> Finding:
    told = f"path {path.name}: interface {path.interface}"
    if path.interface not in (name for _, name in socket.if_nameindex()):
        return Finding("note", f"{told} is not there now; the path is taken once it is, `ip link` shows which are")
    with socket.socket() as probe:
        try:
            hold_to(probe, path.interface)
        except OSError as error:
            return Finding("bad", f"path {path.name} cannot be held to {path.interface}: {error.strerror}")
    return Finding("good", told)


def _login(settings: Settings) -> Iterator[Finding]:
    if settings.uplink.provision_key and not credential_path(settings).exists():
        read_provision_secret(settings)
        yield Finding("good", "credentials: none yet; the gateway gets them by uplink.provision_key")
        return
    if settings.uplink.credentials != "access_token":
        login = read_login(settings)
        if login.secret_file is not None and stat.S_IMODE(login.secret_file.stat().st_mode) & 0o077:
            yield Finding("note", f"{login.secret_file}: other users can read it; chmod 600 it")
        else:
            yield Finding("good", f"credentials: {login.source}")
        return
    path = token_path(settings)
    try:
        with path.open("rb") as file:
            token, mode = file.read(TOKEN_LIMIT_BYTES + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        yield Finding("bad", f"{path}: {error.strerror}; put the gateway's access token there, mode 0600")
        return
    parse_token(token, str(path))
    if mode & 0o077:
        yield Finding("note", f"{path}: other users can read the access token; chmod 600 it")
    else:
        yield Finding("good", f"access token: {path}")


def _authority(uplink: UplinkSettings) -> Iterator[Finding]:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(uplink.ca_file)
    except OSError as error:      # ssl.SSLError is one
        yield Finding("bad", f"uplink.ca_file = {uplink.ca_file}: {error.strerror or 'not a PEM certificate'}")
    else:
        yield Finding("good", f"certificate authority: {uplink.ca_file}")
