"""Waits for a line of a unit's log: python3 said.py UNIT SINCE PATTERN WITHIN_S.

SINCE is in the board's monotonic seconds. Prints the line and ends with status 0; 1 where none came in time.
"""

import re
import signal
import subprocess
import sys


def main(unit: str, since: float, pattern: str, within_s: int) -> int:
    """Follow the journal."""
    signal.alarm(within_s)
    follow = ["journalctl", "-b", "-f", "-n", "all", "-u", unit, "-o", "short-monotonic", "--no-hostname"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as journal:
        signal.signal(signal.SIGALRM, lambda *_: journal.terminate())
        assert journal.stdout is not None
        for line in journal.stdout:
            stamp = re.match(r"\[ *([\d.]+)\]", line)
            if stamp and float(stamp[1]) >= since and re.search(pattern, line):
                print(line.rstrip())
                journal.terminate()
                return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
