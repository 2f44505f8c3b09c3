"""A fresh ring out of what is left of a broken one: what nobody has acknowledged reaches the server (I/O edge).

Segments are copied as they stand, damaged pages and all: the ring that opens them dates, counts and tells as it would
have done. So a record keeps its number, its time and its stream, and what is missing is a loss, told as ever. New
numbers are of a run far beyond any that the old ring can have come to, since its newest segments may be among what is
gone: no number is given to other data.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.config import RingSettings
from edge.durable import sync_directory
from edge.errors import RingError
from edge.model import Stamp, Stream
from edge.ring.batch import Commit
from edge.ring.engine import Engine
from edge.ring.frame import PAGE_BYTES
from edge.ring.fs import OsFileSystem
from edge.ring.key import KeyPort
from edge.ring.layout import HEADER_PAGES, quotas, slot_name, slot_size
from edge.ring.pieces import PieceFs
from edge.ring.salvage import SavedRing
from edge.ring.slots import Slot

RUNS_BEYOND = 1 << 16
"""So many starts without any segment left of them are less likely than a board that lives so long."""

_UNFINISHED = ".salvaged"
_COPY_PAGES = 64


@dataclass(frozen=True)
class Restored:
    """What the fresh ring holds: records that wait and records known to be lost, by the stream's name."""

    waiting: dict[str, int]
    lost: dict[str, int]
    slots: int


def restore(saved: SavedRing, directory: Path, settings: RingSettings, now: Callable[[], Stamp], key: KeyPort
            ) -> Restored:
    """Make the ring `directory` of all segments of `saved` in which something waits; it is there whole, or not at all.

    Raises RingError when there is something already, when the quotas of the settings have no room for all that waits
    (nothing is let go of here), or as the storage says.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RingError(f"{directory}: is there already; move it away first, nothing is put over it")
    # the newest one says what is acknowledged, whatever else it holds
    chosen = {stream: [slot for slot in view.segments[:-1] if not view.acknowledged(slot)] + view.segments[-1:]
              for stream, view in saved.look.views.items()}
    _make_sure_of_room(chosen, settings)
    building = directory.with_name(directory.name + _UNFINISHED)
    try:
        shutil.rmtree(building, ignore_errors=True)      # of a salvage that was cut
        for stream, slots in chosen.items():
            for number, slot in enumerate(slots):
                _copy(saved.fs, slot, building / stream.name.lower() / slot_name(number))
        building.mkdir(parents=True, exist_ok=True)
        restored = _begin(building, settings, now, key)
        building.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise RingError(f"{building}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return restored


def _make_sure_of_room(chosen: dict[Stream, list[Slot]], settings: RingSettings) -> None:
    slot_bytes = slot_size(int(settings.slot_mib * (1 << 20)), settings.size_mib << 20)
    bounds = quotas(settings.size_mib << 20, slot_bytes, settings.alarm_share, settings.billing_share)
    for stream, slots in chosen.items():
        wanted = sum(slot.size for slot in slots) + slot_bytes      # and one to write to
        if wanted > bounds[stream]:
            raise RingError(f"stream {stream.name.lower()}: what waits takes {wanted >> 10} KiB, its share of "
                            f"ring.size_mib is {bounds[stream] >> 10} KiB; make size_mib larger")


def _copy(source: PieceFs, slot: Slot, target: Path) -> None:
    """Copy one segment, header and all, and sync it. Pages that cannot be read become zeros: they are lost."""
    fs = OsFileSystem()
    fs.create(target, slot.size)
    for page in range(0, slot.size // PAGE_BYTES, _COPY_PAGES):
        count = min(_COPY_PAGES, slot.size // PAGE_BYTES - page)
        fs.pwrite(target, page * PAGE_BYTES, b"".join(_page(source, slot.path, page + i) for i in range(count)))
    fs.sync(target)
    fs.close(target)


def _page(source: PieceFs, path: Path, page: int) -> bytes:
    try:
        return source.pread(path, page * PAGE_BYTES, PAGE_BYTES).ljust(PAGE_BYTES, b"\0")
    except OSError:
        if page < HEADER_PAGES:
            raise
        return bytes(PAGE_BYTES)


def _begin(building: Path, settings: RingSettings, now: Callable[[], Stamp], key: KeyPort) -> Restored:
    """Begin the run that takes the numbers beyond, and look through all segments: what is missing is a loss now."""
    engine = Engine(OsFileSystem(), building, settings, now, os.urandom, key=key, runs_beyond=RUNS_BEYOND)
    try:
        for error in engine.errors.values():
            raise error
        for view in engine.views:
            for slot in list(view.segments):
                view.index(slot)
        waiting, lost, slots = dict[str, int](), dict[str, int](), 0
        for stream, log in engine.logs.items():
            engine.commit(stream, Commit(log.view.next_ordinal, (), (), state_due=True))
            waiting[stream.name.lower()] = log.backlog(log.view.next_ordinal)
            lost[stream.name.lower()] = log.view.state.losses.total
            slots += len(log.pool.slots)
    finally:
        engine.close()
    return Restored(waiting, lost, slots)
