"""SIGHUP before there is a loop: a reload that is asked for while the program starts must not end it.

Nothing heavy is imported here: the start holds the signal before it loads the rest, which takes a small board seconds.
"""

import signal


class HeldHangup:
    """A signal handler that notes that it was called; `on_hangup` (edge/health/signals.py) asks it, and takes over."""

    def __init__(self) -> None:
        """None came."""
        self.came = False

    def __call__(self, _signum: int, _frame: object) -> None:
        """Note it."""
        self.came = True


def hold() -> None:
    """Have SIGHUP end nothing from now on, for the rest of this process. For the main thread."""
    signal.signal(signal.SIGHUP, HeldHangup())
