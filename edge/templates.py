"""The topic and payload templates of the plain MQTT dialect (pure; a leaf, since the settings are checked by it).

A topic has places for names, a payload for JSON values, so that a filled payload is JSON whatever a meter is called:

    halow/{gateway}/{device}          {"device":{device},"ts":{ts},"values":{values}}
"""

import json
import re
from collections.abc import Mapping

TOPIC_PLACES = ("gateway", "device", "kind", "profile")
PAYLOAD_PLACES = (*TOPIC_PLACES, "ts", "values")
TOPIC_LIMIT_BYTES = 512            # a broker's own limit is 65,535; AWS IoT Core takes 256, and seven slashes

_PLACE = re.compile(r"\{(\w*)\}")
_JSON_PLACE = re.compile(r"\{(" + "|".join(PAYLOAD_PLACES) + r")\}")
_UNFIT = re.compile(r"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]")      # MQTT 5, 4.7 and 1.5.4: what a level may not hold


def level(name: str) -> str:
    """Return a name as one level of a topic: what it may not hold becomes an underscore; an empty one becomes one."""
    return _UNFIT.sub("_", name) or "_"


class Topic:
    """A topic name with places. Raises ValueError, whose text says what is wrong with the template."""

    def __init__(self, template: str) -> None:
        """Check it; `fill` raises nothing then."""
        parts = _PLACE.split(template)
        unknown = [name for name in parts[1::2] if name not in TOPIC_PLACES]
        rest = "".join(parts[::2])
        if unknown:
            places = ", ".join(f"{{{name}}}" for name in TOPIC_PLACES)
            raise ValueError(f"{{{unknown[0]}}} is no place: there are {places}")
        if not template or "{" in rest or "}" in rest:
            raise ValueError("must be a topic, with places in braces")
        if _UNFIT.search(rest.replace("/", "")):
            raise ValueError("may not hold +, # or control characters")
        if len(template.encode()) > TOPIC_LIMIT_BYTES:
            raise ValueError(f"must be at most {TOPIC_LIMIT_BYTES} bytes")
        self._parts = parts
        self.places = frozenset(parts[1::2])

    def fill(self, names: Mapping[str, str]) -> str:
        """Return the topic, each name as one `level` of it."""
        filled = list(self._parts)
        filled[1::2] = [level(names[name]) for name in self._parts[1::2]]
        return "".join(filled)


class Payload:
    """A JSON text with places for JSON values. Raises ValueError, whose text says what is wrong with the template."""

    def __init__(self, template: str) -> None:
        """Check it: with its places filled it must be JSON, and it must say when and what."""
        parts = _JSON_PLACE.split(template)
        missing = [name for name in ("ts", "values") if name not in parts[1::2]]
        if missing:
            raise ValueError(f"must have a place {{{missing[0]}}}")
        sample = list(parts)
        sample[1::2] = ["0"] * (len(parts) // 2)
        try:
            json.loads("".join(sample))
        except (ValueError, RecursionError):
            raise ValueError("is not JSON once its places are filled with JSON values") from None
        self._parts = [part.encode() for part in parts]
        self._names = parts[1::2]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """Return the payload; `values` are JSON texts."""
        filled = list(self._parts)
        filled[1::2] = [values[name] for name in self._names]
        return b"".join(filled)
