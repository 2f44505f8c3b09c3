"""The pieces of a support archive, each looked at by itself, so that a dead gateway or a broken file costs one of them.

    version  settings  changes  remote-config  check  status  alarms  events
    registry  ring  radio  clock  board  disks  network  log

None of them reads a secret but `registry`, which asks whether there is one.
"""

import dataclasses
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import edge
from edge import configlayer
from edge.config import Settings
from edge.configfile import to_toml
from edge.confighistory import read as read_history
from edge.health import wear
from edge.model import Stream
from edge.redaction import redacted_settings
from edge.rights import as_started
from edge.ring.key import key_port
from edge.ring.look import RingLook
from edge.store.registry import FILE_NAME, Registry
from edge.support import host
from halow import inventory

EVENTS = 300
"""The newest records of the alarm stream: what was ordered, moved, refused, lost."""

Ask = Callable[[str], dict[str, Any]]
"""Asks the running gateway for the answer to a control request. EdgeError: none runs, or it does not answer."""


class Piece(NamedTuple):
    """A file of the archive. `look` raises EdgeError or OSError where there is nothing to be had, with the reason."""

    name: str
    look: Callable[[], str | bytes]


def pieces(settings: Settings, ask: Ask, *, source: str) -> Iterator[Piece]:
    """Yield them. `source` says where the settings come from."""
    yield Piece("version.json", lambda: host.as_json(version()))
    yield Piece("settings.toml", lambda: f"# from {source}\n{to_toml(redacted_settings(settings))}")
    yield Piece("changes.json", lambda: host.as_json(read_history(Path(settings.gateway.state_dir))))
    yield Piece("remote-config.json", lambda: host.as_json(configlayer.load(Path(settings.gateway.state_dir))))
    for name in ("status", "alarms", "backfill", "ota", "logs"):
        yield Piece(f"{name}.json", lambda name=name: host.as_json(ask(name)))      # type: ignore[misc]  # bound now
    yield Piece("registry.json", lambda: host.as_json(_registry(settings)))
    yield Piece("ring.json", lambda: host.as_json(_ring(settings)))
    yield Piece("events.jsonl", lambda: _events(settings))
    yield Piece("radio.json", lambda: host.as_json(_radio(settings)))
    yield Piece("clock.json", lambda: host.as_json(host.clock(settings)))
    yield Piece("board.txt", host.board)
    yield Piece("disks.json", lambda: host.as_json(host.disks(settings)))
    yield Piece("network.txt", host.network)
    yield Piece("log.txt", host.journal)


def version() -> dict[str, Any]:
    """Return which program this is, and what runs it."""
    return {"version": edge.__version__, "build": edge.__build__, "python": sys.version, "machine": platform.machine(),
            "program": sys.argv[0] if sys.argv else ""}


def _registry(settings: Settings) -> dict[str, Any]:
    """Return meters and what was learned about them, and whether they have secrets. RegistryError."""
    path = Path(settings.gateway.state_dir) / FILE_NAME
    if not path.exists():      # opening would make it
        raise FileNotFoundError(2, "no registry yet", str(path))
    with Registry.open(path) as registry:
        passwords, keys, permitted = registry.with_password(), registry.with_keys(), registry.permitted()
        standing, changes = registry.alarms(EVENTS)
        return {"client_title": registry.client_title().hex(), "alarms_standing": standing, "alarm_changes": changes,
                "meters": [{**dataclasses.asdict(meter), "password_set": meter.name in passwords,
                            "keys_set": sorted(keys.get(meter.name, ())),
                            "permitted": sorted(permitted.get(meter.name, ())),
                            "learned": registry.learned(meter.name)} for meter in registry.list()]}


def _look(settings: Settings) -> RingLook:
    directory = Path(settings.gateway.state_dir) / "ring"
    return RingLook(directory, key=key_port(settings.ring, directory))


def _ring(settings: Settings) -> dict[str, Any]:
    look = _look(settings)
    return {"slots": [dataclasses.asdict(slot) for slot in look.ls()],
            "lost": {stream.name.lower(): view.state.losses.total for stream, view in look.views.items()},
            "storage": dataclasses.asdict(wear.look(look.directory, settings.ring.flash_overwrites))}


def _events(settings: Settings) -> bytes:
    newest = deque(_look(settings).records(Stream.ALARM), maxlen=EVENTS)
    return b"".join(
        host.line({"seq": stored.seq, "device": stored.record.device, "kind": stored.record.schema.kind.name.lower(),
                   "ts_ms": stored.record.stamp.wall_ms, "synchronised": stored.record.stamp.synchronised,
                   "acked": acknowledged, "values": {field.key: value for field, value in zip(
                       stored.record.schema.fields, stored.record.values, strict=True)}})
        for stored, acknowledged in newest)


def _radio(settings: Settings) -> dict[str, Any]:
    """Return what runs the radio; its links stand in status.json."""
    interface = settings.radio.interface
    found = sorted(path.parent.name for path in Path("/sys/class/net").glob("*/phy80211"))
    with as_started():
        there = inventory.take(interface or (found[0] if found else ""))
    return {"kind": settings.radio.kind, "interfaces": found, "inventory": there}

