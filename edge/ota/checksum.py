"""The checksums that ThingsBoard offers for a package, written as it writes them (pure).

ThingsBoard's BaseOtaPackageService has Guava compute them, and Guava writes a hash's octets in order of weight, lowest
first, where the hash is a number: CRC32 and MURMUR3_32 look turned round beside other programs. MurmurHash3 (x86_32 and
x64_128, seed 0) after its public-domain definition by Austin Appleby.

None of these but the SHA-2 family stands up to somebody who means harm: who may sign an image is the updater's part.
"""

import hashlib
import struct
import zlib
from typing import Protocol


class Digest(Protocol):
    """What hashlib's objects can."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the checksum of all of them."""


ALGORITHMS = {"SHA256": 64, "SHA384": 96, "SHA512": 128, "MD5": 32, "CRC32": 8, "MURMUR3_32": 8, "MURMUR3_128": 32}
"""Every algorithm, with its checksum's number of hexadecimal digits."""


def digest(algorithm: str) -> Digest:
    """Return an empty digest of one of ALGORITHMS."""
    match algorithm:
        case "CRC32":
            return _Crc32()
        case "MURMUR3_32":
            return _Murmur32()
        case "MURMUR3_128":
            return _Murmur128()
        case _:
            return hashlib.new(algorithm.lower(), usedforsecurity=False)


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return self._value.to_bytes(4, "little").hex()


class _Blocks:
    """Cuts what comes into whole blocks and keeps the rest."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes, self._rest, self.length = block_bytes, b"", 0

    def take(self, data: bytes) -> bytes:
        self.length += len(data)
        data = self._rest + data
        whole = len(data) // self._block_bytes * self._block_bytes
        self._rest = data[whole:]
        return data[:whole]

    @property
    def rest(self) -> bytes:
        return self._rest


_M32, _M64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class _Murmur32:
    def __init__(self) -> None:
        self._hash, self._blocks = 0, _Blocks(4)

    def update(self, data: bytes, /) -> None:
        value = self._hash
        for (key,) in struct.iter_unpack("<I", self._blocks.take(data)):
            value = (_rotate32(value ^ self._mix(key), 13) * 5 + 0xE654_6B64) & _M32
        self._hash = value

    @staticmethod
    def _mix(key: int) -> int:
        return _rotate32(key * 0xCC9E_2D51 & _M32, 15) * 0x1B87_3593 & _M32

    def hexdigest(self) -> str:
        value = self._hash ^ self._mix(int.from_bytes(self._blocks.rest, "little")) ^ (self._blocks.length & _M32)
        value = (value ^ value >> 16) * 0x85EB_CA6B & _M32
        value = (value ^ value >> 13) * 0xC2B2_AE35 & _M32
        return (value ^ value >> 16).to_bytes(4, "little").hex()


class _Murmur128:
    _C1, _C2 = 0x87C3_7B91_1142_53D5, 0x4CF5_AD43_2745_937F

    def __init__(self) -> None:
        self._first = self._second = 0
        self._blocks = _Blocks(16)

    def update(self, data: bytes, /) -> None:
        first, second = self._first, self._second
        for low, high in struct.iter_unpack("<QQ", self._blocks.take(data)):
            first = ((_rotate64(first ^ self._mix_low(low), 27) + second) * 5 + 0x52DC_E729) & _M64
            second = ((_rotate64(second ^ self._mix_high(high), 31) + first) * 5 + 0x3849_5AB5) & _M64
        self._first, self._second = first, second

    def _mix_low(self, key: int) -> int:
        return _rotate64(key * self._C1 & _M64, 31) * self._C2 & _M64

    def _mix_high(self, key: int) -> int:
        return _rotate64(key * self._C2 & _M64, 33) * self._C1 & _M64

    def hexdigest(self) -> str:
        rest, length = self._blocks.rest, self._blocks.length & _M64
        first = self._first ^ self._mix_low(int.from_bytes(rest[:8], "little")) ^ length
        second = self._second ^ self._mix_high(int.from_bytes(rest[8:], "little")) ^ length
        first = first + second & _M64
        second = second + first & _M64
        first, second = _final64(first), _final64(second)
        first = first + second & _M64
        return struct.pack("<QQ", first, second + first & _M64).hex()


def _rotate32(value: int, by: int) -> int:
    value &= _M32
    return (value << by | value >> 32 - by) & _M32


def _rotate64(value: int, by: int) -> int:
    value &= _M64
    return (value << by | value >> 64 - by) & _M64


def _final64(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51_AFD7_ED55_8CCD & _M64
    value = (value ^ value >> 33) * 0xC4CE_B9FE_1A85_EC53 & _M64
    return value ^ value >> 33
