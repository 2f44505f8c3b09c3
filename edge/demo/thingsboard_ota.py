"""ThingsBoard's firmware and software packages (no I/O), for demo and tests.

Sources, ThingsBoard 4.2: MqttTransportHandler (getOtaPackageCallback: the payload is the chunk's size as text, above
max_payload_size it is PAYLOAD_TOO_LARGE; a package is remembered per request number and session; sendOtaPackage: PUBACK
if there is a message id, then the chunk, nothing beyond the end; sendOtaPackageError: text to v2/fw/error, for software
too, then the connection is closed), MqttTopics, DefaultOtaPackageStateService (the shared attributes),
BaseOtaPackageService (checksums by Guava).
"""

import hashlib
import re
from dataclasses import dataclass, field

REQUEST = re.compile(r"v2/(fw|sw)/request/(\d+)/chunk/(\d+)")
ERROR_TOPIC = "v2/fw/error"


@dataclass(slots=True)
class Package:
    """One that is assigned to the device. `algorithm` is one of hashlib's; `offered` replaces attributes."""

    title: str
    version: str
    data: bytes = field(repr=False)
    algorithm: str = "SHA256"
    offered: dict[str, object] = field(default_factory=dict)

    def attributes(self, what: str) -> dict[str, object]:
        """Return the shared attributes that offer it."""
        checksum = hashlib.new(self.algorithm.lower(), self.data, usedforsecurity=False).hexdigest()
        values = {"title": self.title, "version": self.version, "size": len(self.data), "checksum": checksum,
                  "checksum_algorithm": self.algorithm, **self.offered}
        return {f"{what}_{part}": value for part, value in values.items()}


@dataclass(slots=True)
class Packages:
    """What the server has for the device, and what was asked of it."""

    assigned: dict[str, Package] = field(default_factory=dict)
    requests: list[tuple[str, int, int]] = field(default_factory=list)      # (fw or sw, request, chunk)
    max_chunk_bytes: int = 65_536
    cut_at: set[int] = field(default_factory=set)      # the link goes before these answers, counted from 1
    silent_at: set[int] = field(default_factory=set)   # these are never answered

    def shared(self) -> dict[str, object]:
        """Return the device's shared attributes."""
        values: dict[str, object] = {}
        for what, package in self.assigned.items():
            values |= package.attributes(what)
        return values

    def chunk(self, what: str, request: int, index: int, payload: bytes) -> tuple[str, bytes]:
        """Return topic and payload of the answer to a request; an error's topic means that the connection ends."""
        self.requests.append((what, request, index))
        size = int(payload)
        package = self.assigned.get(what)
        if size > self.max_chunk_bytes:
            return ERROR_TOPIC, b"PAYLOAD_TOO_LARGE"
        if package is None:
            return ERROR_TOPIC, b"NOT_FOUND"
        return f"v2/{what}/response/{request}/chunk/{index}", package.data[index * size : (index + 1) * size]
