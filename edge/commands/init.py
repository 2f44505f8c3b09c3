"""`halow-gateway init`: makes what is missing in the state directory. The image runs it at every boot, before `run`.

    device.id, device.key     what this board is, and its private key        made once
    registry.db               the meters                                     made once; --meters FILE
    uplink.token              the access token                               --token FILE
    ring/                     every slot that the settings allow             made once, again when the quota grows

Every step stands alone: one that fails is one line, and the next is taken. What is there is never replaced, but for the
token by another --token file. A cut in the middle of a write leaves the old state or the new one; the next call goes on
from there. A running gateway is not disturbed: it holds the ring's lock, and the ring is left to it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from edge.commands import table
from edge.commands.context import State, pass_state, poke, read_input
from edge.errors import ConfigError, EdgeError, RegistryError, RingBusy

if TYPE_CHECKING:
    from edge.config import Settings

TAKEN_FILE = "provisioned.json"
"""What was taken from --meters and --token files, as SHA-256: a file is taken once, so that what an operator changed
afterwards is not undone at the next boot. With the rest of the state directory it is for its owner's eyes only."""

_MARKS = {"made": "made ", "found": "found", "left": "left ", "failed": "BAD  "}


class Part(NamedTuple):
    """One thing looked at. "left": not to be done now, and why. `text` has one line, or one per problem of a file."""

    name: str
    state: Literal["made", "found", "left", "failed"]
    text: str


@click.command()
@click.option("--meters", metavar="FILE", help="Take the meters of a CSV file, all or none; each file once.")
@click.option("--token", metavar="FILE", help="Take the access token from a file; each file once.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the name, the identity, and a list of parts.")
@pass_state
def init(state: State, meters: str | None, token: str | None, as_json: bool) -> int:      # noqa: FBT001 - click passes flags by name
    """Make what is missing in the state directory: identity, keys, registry, ring.

    Does nothing twice, and may be cut at any moment. Exits with 1 when something could not be made, 78 when the
    settings file is wrong. Run it as the gateway's user.
    """
    settings = state.settings()
    work = _Work(settings, state, meters, token)
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

    def __init__(self, settings: "Settings", state: State, meters: str | None, token: str | None) -> None:
        self._settings, self._state = settings, state
        self._meters_file, self._token_file = meters, token
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
                               ("meters", self._meters), ("access token", self._token)):
                yield from _guarded(name, step)
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

    def _token(self) -> Iterator[Part]:
        from edge.credentials import TOKEN_LIMIT_BYTES, parse_token, read_token, token_path
        from edge.durable import write_file

        path = token_path(self._settings)
        if self._token_file is not None:
            raw = read_input(self._token_file, TOKEN_LIMIT_BYTES + 1)
            if self._taken().get("token") != _digest(raw) or not path.exists():
                token = parse_token(raw, self._token_file)
                if not _holds(path, token):      # a cut came between the two writes
                    write_file(path, f"{token}\n".encode(), replace=True)
                self._take("token", raw)
                yield Part("access token", "made", f"{path}, from {self._token_file}")
                return
        try:
            read_token(path)
        except ConfigError as error:
            if path.exists():
                raise
            uplink = self._settings.uplink
            wants = uplink.enabled and uplink.credentials == "access_token"
            wanted = str(error) if wants else f"{path}: none, and none is wanted"
            yield Part("access token", "left", wanted)
        else:
            yield Part("access token", "found", str(path))

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


def _holds(path: Path, token: str) -> bool:
    from edge.credentials import read_token

    try:
        return read_token(path) == token and not path.stat().st_mode & 0o077
    except ConfigError:
        return False


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
