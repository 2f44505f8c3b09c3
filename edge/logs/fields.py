"""Which meter, peer, path a log line is about, taken from its template (pure).

    log.warning("meter %s: not read: %s", name, why)      -> {"meter": name}
    log.info("the page failed path=%s", path)              -> {"path": path}

So no call says anything twice, and a line reads the same wherever it is shown. `extra={"fields": {...}}` adds what
no placeholder has.
"""

import logging
import re
from functools import lru_cache

WORDS = ("meter", "peer", "alarm", "ring")
"""What stands before a placeholder in prose. "ring %s" names a stream of the ring."""
_NAMES = {"ring": "stream"}
TEMPLATES_KNOWN = 512
VALUE_LIMIT = 256

_PLACEHOLDER = re.compile(r"%[-#0 +]*\d*(?:\.\d+)?[a-zA-Z%]")
_PAIR = re.compile(r"(?:^|[\s(\[,;:])([a-z][a-z0-9_]{0,31})=$")
_PROSE = re.compile(rf"(?:^|[\s(])({'|'.join(WORDS)}) $")


@lru_cache(TEMPLATES_KNOWN)
def places(template: str) -> tuple[tuple[int, str], ...]:
    """Return (index of the argument, name of the field) for the placeholders of a template that name one."""
    found: list[tuple[int, str]] = []
    index = 0
    for match in _PLACEHOLDER.finditer(template):
        if match.group().endswith("%"):
            continue
        before = template[max(0, match.start() - 48) : match.start()]
        named = _PAIR.search(before) or _PROSE.search(before)
        if named is not None:
            found.append((index, _NAMES.get(named.group(1), named.group(1))))
        index += 1
    return tuple(found)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return a record's fields, the first of each name. Never raises for what a caller logged."""
    fields: dict[str, str] = {}
    args = record.args
    if isinstance(record.msg, str) and isinstance(args, tuple):
        for index, name in places(record.msg):
            if index < len(args) and name not in fields:
                fields[name] = str(args[index])[:VALUE_LIMIT]
    more = getattr(record, "fields", None)
    if isinstance(more, dict):
        fields |= {str(name): str(value)[:VALUE_LIMIT] for name, value in more.items() if value}
    return fields
