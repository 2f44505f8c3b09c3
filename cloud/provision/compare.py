"""What has to change (pure): a wanted entity against the one that the server has.

Compared is what we want to say, not what the server adds: ids, times, versions, defaults filled in, and what other
people and the server itself keep in `additionalInfo` (a gateway writes `lastConnectedGateway` there).
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from cloud.provision.kinds import EntityKind, Json

_NUMBER = re.compile(r"-?(\d+|\d*\.\d+)")
_INT64 = (-(2**63), 2**63 - 1)
_DECIMALS = 16  # with more of them it stays a text


def differences(kind: EntityKind, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the paths of the fields in which `found` does not hold what is wanted."""
    paths: list[str] = []
    for key, value in wanted.items():
        if key in kind.exact:
            paths += [key] if found.get(key) != value else []
        else:
            paths += _paths(value, found.get(key), key)
    return paths


def _paths(wanted: object, found: object, path: str) -> Iterator[str]:
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            yield path
            return
        for key, value in wanted.items():
            yield from _paths(value, found.get(key), f"{path}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            yield path
            return
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _paths(one, other, f"{path}[{number}]")
    elif wanted != found or isinstance(wanted, bool) != isinstance(found, bool):  # 1 is not true, and 253 is 253.0
        yield path


def merged(kind: EntityKind, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Json:
    """Return `found` with what is wanted laid over it: what an update sends, version and id included."""
    result: Json = {**found}
    for key, value in wanted.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and key not in kind.exact:
            result[key] = _laid_over(before, value)
        else:
            result[key] = value
    return result


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    result: Json = {**below}
    for key, value in above.items():
        before = result.get(key)
        result[key] = _laid_over(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    return result


def same_certificate(wanted: str, found: object) -> bool:
    """Compare a PEM with what the server keeps of one: neither armour nor line ends (EncryptionUtil, v4.2.2.3)."""
    return _bare(wanted) == _bare(str(found))


def _bare(pem: str) -> str:
    return "".join(re.sub("-----(BEGIN|END) CERTIFICATE-----", "", pem).split())


def kept(value: object) -> object:
    """Return an attribute as the server keeps it: a text that looks like a number becomes one, "0017" is 17.

    JsonConverter.parseValues and NumberUtils.isParsable, v4.2.2.3; JSON_TYPE_CAST_ENABLED is on by default.
    """
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    number = Decimal(value)
    if "." not in value:
        return int(number) if _INT64[0] <= number <= _INT64[1] else format(number, "f")
    return float(number) if len(value.partition(".")[2]) <= _DECIMALS else format(number, "f")


def same_chain(wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
    """Compare the metadata of two rule chains. The server orders nodes as it likes: names stand for them."""
    if not found or not found.get("nodes"):
        return False
    return _graph(wanted) == _graph(found)


def _graph(metadata: Mapping[str, Any]) -> tuple[object, object, object]:
    nodes = metadata["nodes"]
    names = [node["name"] for node in nodes]
    first = metadata.get("firstNodeIndex")
    parts = {
        node["name"]: (node["type"], node.get("configurationVersion") or 0, node["configuration"]) for node in nodes
    }
    wires = {
        (names[wire["fromIndex"]], wire["type"], names[wire["toIndex"]]) for wire in metadata.get("connections") or ()
    }
    return parts, wires, None if first is None else names[first]
