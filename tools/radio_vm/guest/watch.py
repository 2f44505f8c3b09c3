"""Sets levels and waits for what the gateway makes of them: python3 watch.py CONDITION WITHIN_S [LEVELS-AS-JSON].

Conditions: `peer MAC heard`, `peer MAC unheard` (stale or lost), `radio present`, `radio absent`. Asks the gateway's
control socket again and again; prints {"waited_s", "radio"} as JSON, and ends with status 1 where it did not come.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

CONTROL = "/run/halow-gateway/control.sock"
LEVELS = Path("/run/radio/levels.json")
AGAIN_S = 0.2


def radio() -> dict[str, Any]:
    """Return what the gateway says of its radio."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(CONTROL)
        sock.sendall(b'{"request": "status"}\n')
        with sock.makefile("rb") as lines:
            return dict(json.loads(lines.readline())["radio"])


def holds(condition: list[str], found: dict[str, Any]) -> bool:
    """Tell whether the radio is as wanted."""
    match condition:
        case ["radio", word]:
            return bool(found["present"]) is (word == "present")
        case ["peer", mac, word]:
            peer = next((one for one in found.get("peers", ()) if one["mac"] == mac), None)
            heard = peer is not None and not peer["stale"] and peer["grade"] not in ("lost", "unknown")
            return heard is (word == "heard")
    raise SystemExit(f"unknown condition {condition}")


def main() -> int:
    """Set, wait, print."""
    condition, within_s = sys.argv[1].split(), float(sys.argv[2])
    if len(sys.argv) > 3:
        fresh = LEVELS.with_suffix(".new")
        fresh.write_text(sys.argv[3])
        fresh.replace(LEVELS)
    began = time.monotonic()
    while not (good := holds(condition, found := radio())) and time.monotonic() < began + within_s:
        time.sleep(AGAIN_S)
    print(json.dumps({"began": began, "waited_s": time.monotonic() - began, "radio": found}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
