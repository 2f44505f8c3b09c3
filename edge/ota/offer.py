"""What ThingsBoard offers a device to run (pure): shared attributes `fw_...` for firmware, `sw_...` for software.

    fw_title fw_version fw_size fw_checksum_algorithm fw_checksum        a package that ThingsBoard keeps itself
    fw_url instead of size and checksum                                  one that lies elsewhere: not taken

ThingsBoard "Firmware/software update"; the names are those of OtaPackageUtil and DefaultOtaPackageStateService.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge.errors import ConfigError
from edge.ota.checksum import ALGORITHMS

What = Literal["fw", "sw"]
WHATS: tuple[What, ...] = ("fw", "sw")
PARTS = ("title", "version", "size", "checksum", "checksum_algorithm", "url")
KEYS = tuple(f"{what}_{part}" for what in WHATS for part in PARTS)
TEXT_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Offer:
    """One package. `checksum` is hexadecimal, small letters, as `edge.ota.checksum` writes it."""

    what: What
    title: str
    version: str
    size_bytes: int
    checksum: str
    algorithm: str

    @property
    def name(self) -> str:
        """Title and version, for people."""
        return f"{self.title} {self.version}"


def offered(what: What, attributes: Mapping[str, object]) -> Offer | None:
    """Return what the attributes offer; None where they offer nothing. ConfigError, one line, for what is no offer."""
    values = {part: attributes.get(f"{what}_{part}") for part in PARTS}
    if not values["title"] or not values["version"]:
        return None
    title, version = (_text(what, part, values[part]) for part in ("title", "version"))
    if values["url"] and not values["checksum"]:
        raise ConfigError(f"{what}_url: a package that lies elsewhere is not fetched; upload it to ThingsBoard")
    size, algorithm = values["size"], _text(what, "checksum_algorithm", values["checksum_algorithm"]).upper()
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise ConfigError(f"{what}_size = {str(size)[:40]!r}: must be a number of bytes")
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"{what}_checksum_algorithm = {algorithm[:40]!r}: must be one of {', '.join(ALGORITHMS)}")
    checksum = _text(what, "checksum", values["checksum"]).lower()
    if len(checksum) != ALGORITHMS[algorithm] or not set(checksum) <= set("0123456789abcdef"):
        raise ConfigError(f"{what}_checksum = {checksum[:140]!r}: is no {algorithm} in hexadecimal")
    return Offer(what, title, version, size, checksum, algorithm)


def _text(what: What, part: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):      # 1.2 stored as a number
        value = str(value)
    if not isinstance(value, str) or not value.isprintable() or len(value) > TEXT_LIMIT:
        raise ConfigError(f"{what}_{part}: must be up to {TEXT_LIMIT} characters of text")
    return value
