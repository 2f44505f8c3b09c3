"""What `check` says of the local page: where it listens, its certificate, its password."""

import contextlib
import datetime as dt
import errno
import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path

from edge.commands.context import State
from edge.commands.finding import Finding
from edge.config import ApiSettings, Settings
from edge.errors import EdgeError


def page_findings(settings: Settings, _: State) -> Iterator[Finding]:
    """Yield what is found; nothing where no page is wanted. A plain page on the network is refused by the settings."""
    if not settings.api.enabled:
        return
    yield from _place(settings)
    if settings.api.tls:
        yield from _certificate(settings)
    yield from _password(settings)


def _place(settings: Settings) -> Iterator[Finding]:
    from edge.control import NoDaemon, ask

    api = settings.api
    try:
        answer = ask(Path(settings.gateway.runtime_dir), "page", do="tokens")
    except NoDaemon:
        yield _bindable(api)
    except EdgeError as error:
        yield Finding("note", f"page: not served by the running gateway: {error}")
    else:
        problem, url = str(answer.get("problem") or ""), str(answer.get("url"))
        if problem:
            yield Finding("bad", f"page: {problem}")
        elif f":{api.port}/" not in url or url.startswith("https") != api.tls:
            yield Finding("note", f"page: served at {url}, not as the settings say; start the gateway again")
        else:
            yield Finding("good", f"page: {url}")
    if not ipaddress.ip_address(api.listen.partition("%")[0]).is_loopback:
        yield Finding("note", f"page: the network reaches {api.listen}; the packet filter has to let in who may come")


def _bindable(api: ApiSettings) -> Finding:
    from edge.api.listener import bound, why_not

    try:
        with contextlib.closing(bound(api.listen, api.port)):
            return Finding("good", f"page: {api.listen} port {api.port} is free")
    except OSError as error:
        return Finding("note" if error.errno == errno.EADDRNOTAVAIL else "bad", why_not(api.listen, api.port, error))


def _certificate(settings: Settings) -> Iterator[Finding]:
    from edge.credentials import PAGE_FILE, page_certificate_ends, page_fingerprint

    path = Path(settings.gateway.state_dir) / PAGE_FILE
    if not path.exists():
        yield Finding("good", "page certificate: none yet; the gateway makes it at its start")
        return
    fingerprint, ends = page_fingerprint(path), page_certificate_ends(path)
    if ends < dt.datetime.now(dt.UTC):
        yield Finding("bad", f"{path}: ended on {ends:%Y-%m-%d}; remove it, and the gateway makes another")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("note", f"{path}: other users can read the page's key; chmod 600 it")
    else:
        yield Finding("good", f"page certificate: until {ends:%Y-%m-%d}, SHA-256 {fingerprint}")


def _password(settings: Settings) -> Iterator[Finding]:
    import msgspec

    from edge.api import cardcode
    from edge.api.access import FILE_NAME, password_is_set

    state_dir = Path(settings.gateway.state_dir)
    try:
        is_set = password_is_set(state_dir)
    except (msgspec.DecodeError, UnicodeDecodeError):
        yield Finding("bad", f"{state_dir / FILE_NAME}: damaged: nobody can log in; "
                             "`halow-gateway page code` gives a code for a new password")
        return
    if is_set:
        yield Finding("good", "page password: set")
    elif cardcode.load(state_dir) is not None:
        yield Finding("note", "page password: none yet; the code that came with the card sets it, once, or "
                              "`halow-gateway page code` gives another")
    else:
        yield Finding("note", "page password: none yet; `halow-gateway page code` gives the code to set it with")
