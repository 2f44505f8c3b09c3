"""Sets levels and waits for what the gateway makes of them: python3 watch.py CONDITION WITHIN_S [LEVELS-AS-JSON].

Conditions: `peer MAC heard`, `peer MAC unheard` (stale or lost), `peer MAC looked N` (N more samples of it were taken),
`radio present`, `radio absent`, `ladder exhausted`. Asks the gateway's control socket again and again, which tells
nothing by itself; prints {"came", "began", "waited_s", "radio"} as JSON.
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


def peer_of(found: dict[str, Any], mac: str) -> dict[str, Any] | None:
    """Return a peer, None where it never was heard."""
    return next((one for one in found.get("peers", ()) if one["mac"] == mac), None)


def holds(condition: list[str], found: dict[str, Any], first: dict[str, Any]) -> bool:
    """Tell whether the radio is as wanted; `first` is how it was before."""
    match condition:
        case ["radio", word]:
            return bool(found["present"]) is (word == "present")
        case ["ladder", "exhausted"]:
            return bool(found["recovery"]["exhausted"])
        case ["peer", mac, "looked", number]:
            peer, before = peer_of(found, mac), peer_of(first, mac)
            return peer is not None and peer["samples"] >= (before["samples"] if before else 0) + int(number)
        case ["peer", mac, word]:
            peer = peer_of(found, mac)
            heard = peer is not None and not peer["stale"] and peer["grade"] not in ("lost", "unknown")
            return heard is (word == "heard")
    raise SystemExit(f"unknown condition {condition}")


def main() -> None:
    """Set, wait, print."""
    condition, within_s = sys.argv[1].split(), float(sys.argv[2])
    first = radio()
    if len(sys.argv) > 3:
        fresh = LEVELS.with_suffix(".new")
        fresh.write_text(sys.argv[3])
        fresh.replace(LEVELS)
    began = time.monotonic()
    while not (came := holds(condition, found := radio(), first)) and time.monotonic() < began + within_s:
        time.sleep(AGAIN_S)
    print(json.dumps({"came": came, "began": began, "waited_s": time.monotonic() - began, "radio": found}))


if __name__ == "__main__":
    main()
