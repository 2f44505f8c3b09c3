"""The rehearsal's fixtures: only with HALOW_REHEARSAL, which `make rehearse` sets to the folder of the images."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from host_side import HostSide
from vm import Board, copy_disk, direct_kernel, environment

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/image"))
from machine import MACHINES


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder with an image for each architecture."""
    folder = environment()
    if folder is None:
        pytest.skip("needs an image to boot: make rehearse")
    return folder


@pytest.fixture
async def host_side(images: Path, tmp_path: Path) -> AsyncIterator[HostSide]:
    """Ten meters every two seconds, and a broker."""
    async with HostSide(tmp_path) as side:
        yield side


@pytest.fixture
def fresh_disk(images: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A disk that never was started."""
    return lambda architecture: copy_disk(images / architecture / "disk.img", tmp_path / "disk.img")


class NbdDisk:
    """nbd_disk.py in a process of its own."""

    def __init__(self, image: Path, socket: Path, seed: int) -> None:
        self.drive = f"file=nbd+unix:///?socket={socket},format=raw"
        words = [sys.executable, str(Path(__file__).with_name("nbd_disk.py")), str(image), str(socket), "--seed", str(seed)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def stats(self) -> str:
        """Return the server's JSON line."""
        return self._ask("stats")

    def cut_at_write(self, number: int) -> None:
        """Return when the power has been cut at so many writes from now, before a flush of the last one."""
        assert self._ask(f"cut {number}") == "cut\n"

    def _ask(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@pytest.fixture
def nbd_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NbdDisk]]:
    """A disk whose unflushed writes are lost at a power cut."""
    disks: list[NbdDisk] = []

    def make(image: Path, seed: int = 1) -> NbdDisk:
        disks.append(NbdDisk(image, tmp_path_factory.mktemp("nbd") / "s", seed))
        return disks[-1]

    yield make
    for disk in disks:
        disk.process.kill()
        disk.process.communicate()


@pytest.fixture
def board(images: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Board]]:
    """Boards that are switched off at the end, whatever happens. Their consoles stay beside the images."""
    boards: list[Board] = []

    def make(architecture: str, drive: Path | str, *, append: str = "", **options: object) -> Board:
        machine = MACHINES[architecture]
        words = f"file={drive},format=raw" if isinstance(drive, Path) else drive
        options.setdefault("kernel", direct_kernel(images / architecture, machine.console, append))
        log = images / "logs" / f"{request.node.name}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        boards.append(Board(machine.qemu, drive=words, log=log, **options))
        return boards[-1]

    yield make
    for made in boards:
        made.__exit__()
