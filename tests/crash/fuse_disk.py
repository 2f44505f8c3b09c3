"""A disk image that writes down what happens to it: one file in a FUSE file system, served from /dev/fuse itself, no library.

    python3 fuse_disk.py IMAGE LOG MOUNTPOINT

MOUNTPOINT/disk is the image, for a loop device. Every write to it and every flush goes to LOG in the order of arrival, and so does
every line written to MOUNTPOINT/marks: whoever writes "record 17 is durable" there, after the sync returned, has it stand
behind that flush. A number written to MOUNTPOINT/fault makes so many writes to the image answer EIO from then on. Ends when it is
unmounted. (FUSE kernel protocol 7.31, include/uapi/linux/fuse.h.)
"""

import contextlib
import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

WRITE, FLUSH, MARK = b"W", b"F", b"M"
ENTRY = struct.Struct("<cQI")                     # kind, offset, length; then the bytes

_REQUEST, _ANSWER = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_IO = struct.Struct("<QQIIQII")                   # fuse_read_in and fuse_write_in: handle, offset, size, ...
_DIRECT_IO = 1                                    # FOPEN_DIRECT_IO: every write comes here at once
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_PAGES = 256
_BUFFER_BYTES = _PAGES * 4096 + 65_536
_NEW_MOUNT_NAMESPACE, _MNT_DETACH = 0x00020000, 2
_ROOT, _DISK, _MARKS, _FAULT = 1, 2, 3, 4
_NAMES = {b"disk": _DISK, b"marks": _MARKS, b"fault": _FAULT}


class Op:
    """fuse_opcode, as far as a loop device and a mount ask."""

    LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
    STATFS, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, DESTROY, BATCH_FORGET = 17, 18, 20, 25, 26, 36, 38, 42


class Disk:
    """The image in memory, and the log of what was done to it."""

    def __init__(self, image: bytes, log) -> None:
        self.data, self._log = bytearray(image), log
        self.faults = 0

    def note(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        self._log.write(ENTRY.pack(kind, offset, len(data)) + data)

    def write(self, node: int, offset: int, data: bytes) -> int:
        """Take a write to one of the three files; returns an errno, or 0."""
        if node == _MARKS:
            self.note(MARK, 0, data)
        elif node == _FAULT:
            self.faults = int(data)
        elif self.faults:
            self.faults -= 1
            return errno.EIO
        elif offset + len(data) > len(self.data):
            return errno.ENOSPC
        else:
            self.data[offset : offset + len(data)] = data
            self.note(WRITE, offset, data)
        return 0


def attributes(node: int, size: int) -> bytes:
    mode, links = (0o040755, 2) if node == _ROOT else (0o100600, 1)
    return _ATTRIBUTES.pack(node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def answer(disk: Disk, opcode: int, node: int, body: bytes) -> tuple[int, bytes] | None:
    """Do one request; returns (errno, body of the answer), None where the kernel wants none."""
    size = len(disk.data) if node == _DISK else 0
    match opcode:
        case Op.INIT:
            wanted = struct.unpack_from("<IIII", body)
            flags = wanted[3] & (_BIG_WRITES | _MAX_PAGES)
            return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, wanted[2], flags, 16, 12, _PAGES * 4096, 1, _PAGES, 0, 0, *[0] * 7)
        case Op.LOOKUP:
            found = _NAMES.get(body.rstrip(b"\0"))
            if found is None:
                return errno.ENOENT, b""
            size = len(disk.data) if found == _DISK else 0
            return 0, struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + attributes(found, size)
        case Op.GETATTR | Op.SETATTR:
            return 0, struct.pack("<QII", 3600, 0, 0) + attributes(node, size)
        case Op.OPEN:
            return 0, struct.pack("<QII", node, _DIRECT_IO, 0)
        case Op.READ:
            _, offset, length, *_ = _IO.unpack_from(body)
            return 0, bytes(disk.data[offset : offset + length]) if node == _DISK else b""
        case Op.WRITE:
            _, offset, length, *_ = _IO.unpack_from(body)
            error = disk.write(node, offset, body[_IO.size : _IO.size + length])
            return error, struct.pack("<II", length, 0)
        case Op.FSYNC | Op.FLUSH:                      # FLUSH comes with close(2) and syncs nothing
            if opcode == Op.FSYNC and node == _DISK:
                disk.note(FLUSH)
            return 0, b""
        case Op.STATFS:
            return 0, bytes(80)
        case Op.RELEASE | Op.DESTROY:
            return 0, b""
        case Op.FORGET | Op.INTERRUPT | Op.BATCH_FORGET:
            return None
    return errno.ENOSYS, b""


def serve(device: int, disk: Disk) -> None:
    """Answer until the file system is unmounted."""
    while True:
        try:
            request = os.read(device, _BUFFER_BYTES)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):     # ENOENT: the asker was killed meanwhile
                continue
            raise
        _, opcode, unique, node, *_ = _REQUEST.unpack_from(request)
        done = answer(disk, opcode, node, request[_REQUEST.size :])
        if done is not None:
            error, body = (done[0], b"") if done[0] else done
            with contextlib.suppress(FileNotFoundError):      # whoever asked was interrupted meanwhile and does not wait
                os.write(device, _ANSWER.pack(_ANSWER.size + len(body), -error, unique) + body)


def main() -> None:
    image, log, where = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    # Once it is mounted this process goes to a mount namespace of its own, without it. A process that dies gives up its mounts
    # before its files: were it the last one to see an ext4 on its own disk, unmounting would wait for it for ever, unkillable.
    if (libc.mount(b"recorded-disk", where.encode(), b"fuse", 0, options.encode()) or libc.unshare(_NEW_MOUNT_NAMESPACE)
            or libc.umount2(where.encode(), _MNT_DETACH)):
        raise SystemExit(f"fuse cannot be mounted: {os.strerror(ctypes.get_errno())}")
    with log.open("wb", buffering=0) as file:
        print("ready", flush=True)
        serve(device, Disk(image.read_bytes(), file))


if __name__ == "__main__":
    main()
