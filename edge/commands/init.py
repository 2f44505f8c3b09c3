"""`halow-gateway init`: makes what is missing in the state directory. The image runs it at every boot, before `run`.

    device.id, device.key     what this board is, and its private key        made once
    registry.db               the meters                                     made once; --meters FILE
    uplink.token, uplink.password, device.pem, provision.secret              --token, --password, --certificate,
                              what ThingsBoard knows the gateway by          --provision-secret FILE
    page.pem                  key and certificate of the page                --page-certificate FILE
    page.code                 the hash of a code for its first password      --page-code FILE
    ring/                     every slot that the settings allow             made once, again when the quota grows

Every step stands alone: one that fails is one line, and the next is taken. What is there is never replaced, but for
credentials by another file of theirs. A cut in the middle of a write leaves the old state or the new one; the next call
goes on from there. A running gateway is not disturbed: it holds the ring's lock, and the ring is left to it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from edge.commands import table
from edge.commands.context import State, pass_state, poke, read_input
from edge.commands.run import finished
from edge.errors import EdgeError, RegistryError, RingBusy

if TYPE_CHECKING:
    from edge.config import Settings

TAKEN_FILE = "provisioned.json"
"""What was taken from --meters, --token and such files, as SHA-256: a file is taken once, so that what an operator
changed afterwards is not undone at the next boot. Like the rest of the state directory it is for its owner only."""

_MARKS = {"made": "made ", "found": "found", "left": "left ", "failed": "BAD  "}


class Part(NamedTuple):
    """One thing looked at. "left": not to be done now, and why. `text` has one line, or one per problem of a file."""

    name: str
    state: Literal["made", "found", "left", "failed"]
    text: str


@click.command()
@click.option("--meters", metavar="FILE", help="Take the meters of a CSV file, all or none; each file once.")
@click.option("--token", metavar="FILE", help="Take the access token from a file; each file once.")
@click.option("--password", metavar="FILE", help="The same for the password of MQTT Basic.")
@click.option("--certificate", metavar="FILE", help="The same for the certificate of device.key.")
@click.option("--provision-secret", metavar="FILE", help="The same for the secret of uplink.provision_key.")
@click.option("--page-certificate", metavar="FILE", help="The same for key and certificate of the local page.")
@click.option("--page-code", metavar="FILE", help="The same for a code that sets the page's password, once.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the name, the identity, and a list of parts.")
@pass_state
def init(state: State, /, meters: str | None, as_json: bool, **secrets: str | None) -> int:
    """Make what is missing in the state directory: identity, keys, registry, ring.

    Does nothing twice, and may be cut at any moment. Exits with 1 when something could not be made, 78 when the
    settings file is wrong. Run it as the gateway's user.
    """
    settings = state.settings()
    if finished(settings):
        settings = state.settings()
    work = _Work(settings, state, meters, secrets)
    parts: list[Part] = []
    for part in work.parts():
        parts.append(part)
        if not as_json:
            for line in part.text.splitlines():
                click.echo(f"{_MARKS[part.state]}  {part.name}: {line}")
    if as_json:
        import msgspec

        told = {"name": work.name, "id": work.identity, "parts": [part._asdict() for part in parts]}
        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    elif work.name:
        click.echo(f"This gateway is {work.name}.")
    return int(any(part.state == "failed" for part in parts))


class _Work:
    """The steps, in an order in which a disk that is too small has room for the small ones first."""

    def __init__(self, settings: "Settings", state: State, meters: str | None,
                 secrets: Mapping[str, str | None]) -> None:
        self._settings, self._state = settings, state
        self._meters_file, self._secret_files = meters, secrets
        self._directory = Path(settings.gateway.state_dir)
        self._fresh_registry = False
        self.identity = self.name = ""

    def parts(self) -> Iterator[Part]:
        """Do one step after the other, and yield what came of each."""
        lock: int | None = None
        busy = ""
        try:
            from edge.ring.fs import lock_directory

            try:
                lock = lock_directory(self._directory / "ring")
                self._sweep()
            except RingBusy:
                busy = "the running gateway has it open and makes what it needs itself"
            except OSError:      # whoever cannot delete cannot write either, and says so in a moment
                pass
            for name, step in (("identity", self._identify), ("device key", self._key), ("registry", self._registry),
                               ("meters", self._meters)):
                yield from _guarded(name, step)
            for secret in _secrets(self._settings):
                yield from _guarded(secret.name, partial(self._secret, secret))
            yield from _guarded("page code", self._page_code)
            yield from [Part("ring", "left", busy)] if busy else _guarded("ring", self._ring)
        finally:
            if lock is not None:
                os.close(lock)

    def _sweep(self) -> None:
        """Delete what a power cut left half written; nobody else is at work here."""
        from edge.durable import UNFINISHED

        for end in ("", "-journal"):      # SQLite's, beside a registry that was being made
            for path in self._directory.glob(f"*.????????{UNFINISHED}{end}"):
                path.unlink()

    def _identify(self) -> Iterator[Part]:
        from edge.identity import ID_FILE, establish, named

        found = establish(self._directory)
        self.identity = found.id
        self.name = named(self._settings, found.id).gateway.name
        note = f", {found.source}" if found.source else ""
        yield Part("identity", "found" if found.done == "found" else "made", f"{found.id}{note} ({ID_FILE})")

    def _key(self) -> Iterator[Part]:
        from edge.credentials import KEY_FILE, ensure_key

        done = ensure_key(self._directory)
        note = ", other users could read it and cannot now" if done == "narrowed" else ""
        yield Part("device key", "made" if done == "made" else "found", f"{KEY_FILE}, P-256{note}")

    def _registry(self) -> Iterator[Part]:
        from edge.store.registry import FILE_NAME

        self._fresh_registry = not (self._directory / FILE_NAME).exists()
        with self._state.registry(self._settings) as registry:
            count = len(registry.list())
        yield Part("registry", "made" if self._fresh_registry else "found", f"{FILE_NAME}, {count} meters")

    def _meters(self) -> Iterator[Part]:
        if self._meters_file is None:
            return
        from edge.commands.meter import CSV_LIMIT_BYTES, csv_text, shortened

        raw = read_input(self._meters_file, CSV_LIMIT_BYTES)
        if self._taken().get("meters") == _digest(raw) and not self._fresh_registry:
            yield Part("meters", "found", f"{self._meters_file} was taken before")
            return
        with self._state.registry(self._settings) as registry:
            try:
                done = registry.import_csv(csv_text(self._meters_file, raw), update=True,
                                           profiles=self._state.library(self._settings))
            except RegistryError as error:
                lines = [f"{self._meters_file}: {line}" if line.startswith(("line ", "larger ")) else line
                         for line in shortened(str(error)).splitlines()]
                raise EdgeError("\n".join(lines)) from None
        self._take("meters", raw)
        told = f"{len(done.added)} added, {len(done.updated)} as {self._meters_file} says. "
        yield Part("meters", "made", told + poke(self._settings, *done.added, *done.updated))

    def _secret(self, secret: "_Secret") -> Iterator[Part]:
        from edge.durable import write_file

        path, given = secret.path, self._secret_files.get(secret.option)
        if given is not None:
            raw = read_input(given, secret.limit_bytes + 1)
            if len(raw) > secret.limit_bytes:
                raise EdgeError(f"{given}: longer than {secret.limit_bytes} bytes; this is no {secret.name}")
            if self._taken().get(secret.option) != _digest(raw) or (secret.again and not path.exists()):
                text = secret.parse(raw, given)
                if not _holds(path, text):      # a cut came between the two writes
                    write_file(path, text, replace=True)
                self._take(secret.option, raw)
                yield Part(secret.name, "made", f"{path}, from {given}")
                return
        if path.exists():
            secret.parse(path.read_bytes()[: secret.limit_bytes + 1], str(path))
            yield Part(secret.name, "found", str(path))
        elif secret.wanted:
            yield Part(secret.name, "left", f"{path}: no {secret.name}; put the one that ThingsBoard knows there")

    def _page_code(self) -> Iterator[Part]:
        given = self._secret_files.get("page_code")
        if given is None:
            return
        from edge.api import cardcode

        raw = read_input(given, cardcode.FILE_LIMIT_BYTES)
        code = cardcode.parse(raw, given)
        if self._taken().get("page_code") == _digest(raw):      # used since: the same code has no second turn
            yield Part("page code", "found", f"{given} was taken before")
            return
        kept = cardcode.keep(self._directory, code)
        self._take("page_code", raw)
        yield Part("page code", "made", f"{kept}, from {given}: good once, for the page's password")

    def _ring(self) -> Iterator[Part]:
        from edge.ring.reserve import reserve

        found = reserve(self._directory / "ring", self._settings.ring)
        notes = [f"{found.slots} slots, {table.size(found.size_bytes)}"]
        if found.made and found.made < found.slots:
            notes.append(f"{found.made} of them new")
        if found.strange:
            notes.append(f"{found.strange} of another ring or not readable, left alone")
        if found.surplus_bytes:
            notes.append(f"{table.size(found.surplus_bytes)} beyond ring.size_mib go at the gateway's next start")
        if found.missing:
            yield Part("ring", "failed", ", ".join([*notes, f"and no room for {found.missing} more"])
                       + "; free some, or make ring.size_mib smaller")
        else:
            yield Part("ring", "made" if found.made else "found", ", ".join(notes))

    def _taken(self) -> dict[str, str]:
        import msgspec

        try:
            return msgspec.json.decode((self._directory / TAKEN_FILE).read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.DecodeError):      # damaged: taken once more, with the same outcome
            return {}

    def _take(self, what: str, raw: bytes) -> None:
        import msgspec

        from edge.durable import write_file

        taken = msgspec.json.encode(self._taken() | {what: _digest(raw)})
        write_file(self._directory / TAKEN_FILE, taken, replace=True)


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text and not path.stat().st_mode & 0o077
    except FileNotFoundError:
        return False


class _Secret(NamedTuple):
    """A file of the gateway's own. `parse` returns what belongs into it, or raises ConfigError."""

    name: str
    option: str
    path: Path
    limit_bytes: int
    parse: Callable[[bytes, str], bytes]
    wanted: bool      # by the settings
    again: bool       # taken again from the same file where it is gone


def _secrets(settings: "Settings") -> Iterator[_Secret]:
    """Yield the credentials that may be brought in."""
    from edge.config import Credentials
    from edge.credentials import (
        CERTIFICATE_LIMIT_BYTES,
        PAGE_FILE,
        TOKEN_LIMIT_BYTES,
        WORDS,
        credential_path,
        limit_bytes,
        login_of,
        one_line,
        page_pair,
        provision_secret_path,
    )

    def parse(kind: Credentials, raw: bytes, where: str) -> bytes:
        login = login_of(settings, raw, Path(where), kind)
        if kind == "x509":
            return login.certificate
        return f"{login.username if kind == 'access_token' else login.password}\n".encode()

    uplink, by_itself = settings.uplink, bool(settings.uplink.provision_key)
    options: dict[Credentials, str] = {"access_token": "token", "mqtt_basic": "password", "x509": "certificate"}
    for kind, option in options.items():
        yield _Secret(WORDS[kind], option, credential_path(settings, kind), limit_bytes(kind), partial(parse, kind),
                      uplink.enabled and kind == uplink.credentials and not by_itself, again=True)
    yield _Secret("page certificate", "page_certificate", Path(settings.gateway.state_dir) / PAGE_FILE,
                  CERTIFICATE_LIMIT_BYTES, page_pair, wanted=False, again=True)
    provisioned = credential_path(settings).exists()      # then the secret was deleted on purpose
    yield _Secret("provision secret", "provision_secret", provision_secret_path(settings), TOKEN_LIMIT_BYTES,
                  lambda raw, where: f"{one_line(raw, Path(where))}\n".encode(),
                  uplink.enabled and by_itself and not provisioned, again=not provisioned)


def _guarded(name: str, step: Callable[[], Iterator[Part]]) -> Iterator[Part]:
    try:
        yield from step()
    except EdgeError as error:
        yield Part(name, "failed", str(error))
    except OSError as error:
        where = error.filename or "state directory"
        yield Part(name, "failed", f"{where}: {error.strerror or error}; check owner, mode and space")


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
