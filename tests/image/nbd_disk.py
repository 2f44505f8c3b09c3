"""A disk with a volatile write cache, as an NBD server on a Unix socket: what a power cut does to flash that obeys FLUSH.

    python3 nbd_disk.py IMAGE SOCKET [--keep P] [--seed N]

Writes wait in memory until the machine flushes. When its connection ends without a goodbye (its power was cut), each
sector that waits survives with probability `--keep`: writes are reordered and torn. Then the next connection is served.
Standard input takes `stats`; standard output answers one JSON line: flushes, cuts, sectors that waited at a cut, and the bytes
written so far to each partition of the GPT, counted on this side of the wire. `cut N` cuts at the N-th write from then on, before
any flush of it, and answers `cut`. (NBD protocol: fixed newstyle, simple replies.)
"""

import argparse
import json
import os
import random
import selectors
import socket
import struct
import sys
from pathlib import Path

from gpt import SECTOR, partitions

_REQUEST, _REPLY = 0x25609513, 0x67446698
_OPTION_REPLY = 0x3E889045565A9
_FLAGS = 1 | 4 | 8                      # has flags, sends FLUSH, sends FUA
_MAX_WAITING_BYTES = 64 << 20


class CutOff(Exception):
    """The machine is gone without a goodbye."""


def _with_growth(found: dict[str, tuple[int, int]], size: int) -> dict[str, tuple[int, int]]:
    """Give the last partition all that is behind it: it grows at the first boot."""
    last = max(found, key=lambda name: found[name])
    return {**found, last: (found[last][0], size)}


class Disk:
    """The image behind a volatile cache of whole sectors."""

    def __init__(self, image: Path, keep: float, seed: int) -> None:
        self._file = os.open(image, os.O_RDWR)
        self.size = os.fstat(self._file).st_size
        self._waiting: dict[int, bytes] = {}
        self._keep, self._random = keep, random.Random(seed)
        self.flushes = self.cuts = self.waiting_sectors = 0
        self.writes_to_cut = -1
        self.partitions = _with_growth(partitions(image), self.size)
        self.written = dict.fromkeys(self.partitions, 0)

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(os.pread(self._file, length, offset))
        for at in range(0, length, SECTOR):
            if (sector := self._waiting.get((offset + at) // SECTOR)) is not None:
                data[at : at + SECTOR] = sector
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        for name, (start, end) in self.partitions.items():
            if start <= offset < end:
                self.written[name] += len(data)
        for at in range(0, len(data), SECTOR):
            self._waiting[(offset + at) // SECTOR] = data[at : at + SECTOR]
        self.writes_to_cut -= 1
        if self.writes_to_cut == 0:
            raise CutOff
        if len(self._waiting) * SECTOR > _MAX_WAITING_BYTES:      # a cache is finite: any half of it may go to flash early
            self._store(self._random.sample(sorted(self._waiting), len(self._waiting) // 2))

    def flush(self) -> None:
        self.flushes += 1
        self._store(sorted(self._waiting))

    def cut(self) -> None:
        self.cuts += 1
        waiting = len(self._waiting)
        kept = [number for number in sorted(self._waiting) if self._random.random() < self._keep]
        self._store(kept)
        self.waiting_sectors += waiting
        self._waiting.clear()

    def _store(self, numbers: list[int]) -> None:
        for number in numbers:
            os.pwrite(self._file, self._waiting.pop(number), number * SECTOR)

    def stats(self) -> str:
        return json.dumps({"flushes": self.flushes, "cuts": self.cuts, "waiting_sectors": self.waiting_sectors, "written_bytes": self.written})


class Connection:
    """One machine's connection."""

    def __init__(self, peer: socket.socket, disk: Disk) -> None:
        self._peer, self._disk = peer, disk

    def take(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                piece = self._peer.recv(length - len(data))
            except ConnectionError:
                raise CutOff from None
            if not piece:
                raise CutOff
            data += piece
        return bytes(data)

    def greet(self) -> None:
        """Agree on the one export there is."""
        self._peer.sendall(b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 3))
        self.take(4)
        while True:
            _magic, option, length = struct.unpack(">8sII", self.take(16))
            self.take(length)
            if option == 1:                                 # EXPORT_NAME
                self._peer.sendall(struct.pack(">QH", self._disk.size, _FLAGS))
                return
            if option in (6, 7):                            # INFO, GO
                self._option(option, 3, struct.pack(">HQH", 0, self._disk.size, _FLAGS))
                self._option(option, 3, struct.pack(">HIII", 3, SECTOR, 4096, 32 << 20))
                self._option(option, 1)
                if option == 7:
                    return
            else:
                self._option(option, 0x80000001)            # not supported
            if option == 2:                                 # ABORT
                raise CutOff

    def _option(self, option: int, kind: int, data: bytes = b"") -> None:
        self._peer.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

    def request(self) -> bool:
        """Serve one request; False after a goodbye."""
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self.take(28))
        if magic != _REQUEST:
            raise CutOff
        error, answer = 0, b""
        if kind == 0:
            answer = self._disk.read(offset, length)
        elif kind == 1:
            self._disk.write(offset, self.take(length))
            if flags & 1:
                self._disk.flush()
        elif kind == 2:
            return False
        elif kind == 3:
            self._disk.flush()
        else:
            error = 22
        self._peer.sendall(struct.pack(">IIQ", _REPLY, error, handle) + answer)
        return True


def serve(peer: socket.socket, disk: Disk) -> None:
    """Serve one machine until it says goodbye or is cut off; answer questions on standard input meanwhile."""
    connection = Connection(peer, disk)
    try:
        connection.greet()
        with selectors.DefaultSelector() as selector:
            selector.register(peer, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if sys.stdin in ready:
                    answer(disk)
                if peer in ready and not connection.request():
                    disk.flush()
                    return
    except (CutOff, BrokenPipeError, ConnectionResetError):
        disk.cut()
        if disk.writes_to_cut == 0:
            print("cut", flush=True)
            disk.writes_to_cut = -1
    finally:
        peer.close()


def answer(disk: Disk) -> None:
    """Answer a line of standard input; its end is ours."""
    match sys.stdin.readline().split():
        case ["stats"]:
            print(disk.stats(), flush=True)
        case ["cut", number]:
            disk.writes_to_cut = int(number)
        case []:
            raise SystemExit(0)


def main() -> None:
    """Serve one machine after the other until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    disk = Disk(asked.image, asked.keep, asked.seed)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(str(asked.socket))
        listener.listen(1)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if sys.stdin in ready:
                answer(disk)
            if listener in ready:
                serve(listener.accept()[0], disk)


if __name__ == "__main__":
    main()
