"""`read --record`: writes what passed between client and meter to a file, without secrets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import edge
from edge.errors import EdgeError
from edge.rights import as_started

if TYPE_CHECKING:
    from edge.capture.recorder import Recorder
    from edge.dlms.settings import AssociationSettings


def begin(path: Path | None, *, keep_identity: bool) -> "Recorder | None":
    """Return a recorder where a recording is wanted; refuse before anything is read what could not be written."""
    if path is None:
        if keep_identity:
            raise click.UsageError("--keep-identity is about the recording; there is no --record")
        return None
    with as_started():
        if path.exists():
            raise EdgeError(f"{path}: is there already; a recording replaces nothing")
        if not path.absolute().parent.is_dir():
            raise EdgeError(f"{path}: there is no such directory")
    from edge.capture.recorder import Recorder

    return Recorder()


def write(
    path: Path, recorder: "Recorder", settings: "AssociationSettings", *, profile: str, identities: tuple[str, ...],
    keep_identity: bool,
) -> None:
    """Write the file and say what was taken out. Raises EdgeError; nothing is written then."""
    from edge.capture.document import Subject, document
    from edge.durable import write_file

    if recorder.overflowed:
        raise EdgeError(f"{path}: not written: the exchange was too long")
    made = document(recorder.pieces, Subject(
        path.stem, f"one poll of a meter of the type {profile}", settings, tuple(filter(None, identities)),
        keep_identity, f"halow-gateway {edge.__version__}", profile))
    with as_started():
        write_file(path, made.text.encode(), mode=0o644)
    click.echo(f"Wrote {path}. Taken out: {'; '.join(made.redacted) or 'nothing'}. "
               "Values, times and addresses are in it; look it over before you pass it on.", err=True)
    if not made.replayable:
        click.echo("It does not play back: part of it could not be deciphered and is filler.", err=True)
