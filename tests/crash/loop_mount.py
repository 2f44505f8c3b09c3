"""Loop devices and mounts by system call: a `mount` and a `losetup` less per crash state. Root only.

A loop device is made with the autoclear flag, so it goes with its last user: nothing is left behind when everything here is killed.
"""

import ctypes
import errno
import fcntl
import os
import struct
import time
from pathlib import Path

_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A        # LOOP_CTL_GET_FREE, LOOP_CONFIGURE (Linux 5.8): include/uapi/linux/loop.h
_AUTOCLEAR = 4
_CONFIG = struct.Struct("<II 5Q 4I 64s 64s 32s 2Q 8Q")
_MS_REMOUNT, _MS_NOATIME = 32, 1024
_LIBC = ctypes.CDLL(None, use_errno=True)
BUSY_WITHIN_S = 60.0


def _check(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def attach(image: Path) -> tuple[str, int]:
    """Make a loop device on a file; returns its path and a descriptor that keeps it. With that closed and unmounted it goes."""
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            config = _CONFIG.pack(backing, 0, 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR, bytes(64), bytes(64), bytes(32), 0, 0, *[0] * 8)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:                # somebody else was quicker: ask again
                    raise
            else:
                return path, device
    finally:
        os.close(control)
        os.close(backing)


def mount_device(device: str, where: Path, options: str = "") -> None:
    """Mount an ext4, noatime as on the product. Raises OSError."""
    _check(_LIBC.mount(device.encode(), str(where).encode(), b"ext4", _MS_NOATIME, options.encode()), f"mount {device}")


def remount(where: Path, options: str) -> None:
    """Change a mount, for instance `abort`: the file system is read-only then, as after an error of its own."""
    _check(_LIBC.mount(None, str(where).encode(), None, _MS_REMOUNT | _MS_NOATIME, options.encode()), f"remount {where}")


def unmount(where: Path) -> None:
    """Unmount. A store's thread may let go of its files a moment after the store is closed; that moment is waited for."""
    deadline = time.monotonic() + BUSY_WITHIN_S
    while True:
        try:
            return _check(_LIBC.umount2(str(where).encode(), 0), f"unmount {where}")
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def mount_image(image: Path, where: Path, options: str = "") -> str:
    """Mount the ext4 in a file; returns the loop device's path. The device goes when it is unmounted."""
    path, device = attach(image)
    try:
        mount_device(path, where, options)
    finally:
        os.close(device)
    return path
