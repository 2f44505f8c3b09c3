"""`python -m halow`: the peers of this machine's HaLow radio as a table or as JSON. Status 1 without a radio.

`python -m halow config ...` writes a daemon's configuration instead.
"""

import argparse
import asyncio
import json
import sys

from halow import configcommand
from halow.interfaces import Wanted
from halow.look import look_once, radio_for
from halow.table import as_json, radio_line, table


def main(arguments: list[str] | None = None) -> int:
    """Look once and print; return the exit status. `config ...` is a command of its own."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["config"]:
        return configcommand.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m halow", description="Show the peers of a Wi-Fi HaLow radio.")
    parser.add_argument("--interface", default="", help="name, e.g. wlan1; chosen by driver when left out")
    parser.add_argument("--driver", default="", help='driver name or pattern, e.g. "morse*"')
    parser.add_argument("--mac", default="", help="the radio's own MAC address")
    parser.add_argument("--width", type=int, default=2, choices=(1, 2, 4, 8, 16), help="MHz, where the radio hides it")
    parser.add_argument("--simulated", default="", metavar="TRACE", help="replay a trace file instead")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    wanted = Wanted(options.interface, options.driver, options.mac)
    radio = radio_for(wanted, options.simulated, width_mhz=options.width)
    states, found = asyncio.run(look_once(radio, width_mhz=options.width))
    lines = [json.dumps(as_json(states, found))] if options.json else [radio_line(found), *table(states)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if found.present else 1


if __name__ == "__main__":
    sys.exit(main())
