"""Reserves invocation counters and uses them, one line each, until it is killed. A line is written before it counts as used."""

import sys
from pathlib import Path

from edge.store.registry import Registry

registry = Registry.open(Path(sys.argv[1]))
size = int(sys.argv[2])
while True:
    first = registry.reserve_counters("scope", size)
    for number in range(first, first + size):
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
