"""Stands in for the program in a probe build: imports every module of ours that is inside, tells what it saw as JSON.

The binary itself runs nothing but the gateway's commands, so this is how its tests look into it.
"""

import importlib
import json
import sys

import halow_gateway_manifest  # written by build.py


def main() -> None:
    """Import, print `{"failed": {module: why}, "loaded": [...]}`, end with 1 where anything failed."""
    failed = {}
    for name in halow_gateway_manifest.MODULES:
        if name.partition(".")[0] in {"edge", "halow"} and not name.endswith("__main__"):
            try:
                importlib.import_module(name)
            except Exception as error:      # noqa: BLE001 - whatever it is, the test is to see it
                failed[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"failed": failed, "loaded": sorted(sys.modules)}))
    sys.exit(bool(failed))
