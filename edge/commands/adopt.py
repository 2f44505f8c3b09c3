"""What is done with a meter that was discovered: its profile is written, itself registered."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from edge.commands.context import State, poke
from edge.errors import ConfigError, EdgeError
from edge.model import Learned, Meter
from edge.rights import as_started

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.discovery.discover import Discovery
    from edge.discovery.findings import Findings
    from edge.meters.library import Library
    from edge.store.registry import Registry


class Wanted(NamedTuple):
    """What is to be done."""

    save: Path | None
    add: str | None


def check_wanted(wanted: Wanted, library: "Library", registry: "Registry") -> None:
    """Refuse before anything is sent what could not be done afterwards."""
    from edge.meters.profile import SHIPPED
    from edge.store.validate import valid_name

    if wanted.add is not None:
        if not valid_name(wanted.add):
            raise click.UsageError(f"--add {wanted.add}: this can be no meter's name")
        if any(meter.name == wanted.add for meter in registry.list()):
            raise EdgeError(f"the meter {wanted.add} is registered already; `meter edit` changes it")
    save = wanted.save
    if save is None:
        return
    if save.suffix != ".toml":
        raise click.UsageError(f"--save {save}: the name must end in .toml")
    if save.exists() or not save.absolute().parent.is_dir():
        raise EdgeError(f"{save}: {'is there already' if save.exists() else 'there is no such directory'}")
    if SHIPPED.joinpath(save.name).is_file():
        raise EdgeError(f"{save}: a shipped meter type has this name; choose another")
    if wanted.add is not None and save.absolute().parent != library.directory:
        raise click.UsageError(f"--add registers the meter with the profile saved, which the gateway looks for in "
                               f"{library.directory}: save it there")


def use(state: State, settings: "Settings", library: "Library", found: "Discovery", wanted: Wanted,
         password: bytes | None) -> None:
    """Save and register as wanted. Raises EdgeError."""
    from edge.discovery import proposal
    from edge.discovery.findings import proposed
    from edge.durable import write_file
    from edge.meters.profile import read_profile

    profile_name = ""
    if wanted.save is not None:
        if found.survey is None or all(row.why for row in proposed(found.survey)):
            raise EdgeError(f"{wanted.save}: not written: no register could be read; "
                            "is there a password or a key to be given?")
        text = proposal.text(_findings(found, wanted.save))
        profile_name = read_profile(text, wanted.save).name
        with as_started():
            write_file(wanted.save, text.encode(), mode=0o644)
        where = "" if wanted.save.absolute().parent == library.directory else (
            f"; the gateway looks for it in {library.directory}")
        click.echo(f"Wrote {wanted.save}{where}.", err=True)
    if wanted.add is None:
        if wanted.save is None:
            click.echo(next_step(found), err=True)
        return
    meter, learned = registration(found, wanted.add, profile_name)
    used = password if password is not None and meter.authentication == "lls" else b""
    with state.registry(settings) as registry:
        registry.add(meter, used)
        registry.keep_learned(meter.name, learned)
    click.echo(f"Added {meter.name} as {meter.profile}. {poke(settings, meter.name)}", err=True)


def next_step(found: "Discovery") -> str:
    """Return what a person is likely to want now."""
    if found.fits and found.fits[0].good:
        return f"The same with --add NAME registers it as {found.fits[0].profile}."
    if found.survey is not None and found.survey.worth[1]:
        return "The same with --save FILE.toml writes a profile with what was found."
    return ("It tells this client little. --password-file opens more; a ciphered meter is registered first "
            "(`meter add`, `meter set-key`), then --as NAME.")


def registration(found: "Discovery", name: str, profile_name: str) -> tuple[Meter, Learned]:
    """Return the meter to register: with the saved profile, else the type that suits best. Raises ConfigError."""
    door, best = found.door, found.fits[0] if found.fits else None
    assert door is not None
    if not profile_name and (best is None or not best.good):
        raise ConfigError(f"{name}: not added: no known meter type suits it; --save FILE.toml makes one, "
                          "or `meter add` registers it as you say")
    survey = found.survey
    said = survey.identities if survey is not None else {}
    identity = best.identity if best is not None and not profile_name else next(filter(None, said.values()), "")
    meter = Meter(
        name, found.place.host, found.place.port, profile_name or (best.profile if best else ""),
        framing=door.framing, client_sap=door.client_sap, server_logical=door.logical, server_physical=door.physical,
        address_bytes=door.address_bytes if door.framing == "hdlc" else None,
        authentication="lls" if found.authentication == "lls" else "none")
    return meter, Learned(identity=identity)


def _findings(found: "Discovery", path: Path) -> "Findings":
    from edge.discovery.findings import Findings

    assert found.door is not None
    assert found.survey is not None
    return Findings(path.stem, found.place.port, found.door, found.authentication, found.survey,
                    datetime.now(UTC).date().isoformat())
