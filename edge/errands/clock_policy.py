"""Whether a meter's clock is moved, by how much, when, and by which means (pure).

The reasons: docs/decisions/0020-clock-policy.md.

    within the threshold ──► RIGHT
    not synchronised ourselves, moved lately                        ──► NOTHING
    off, and not allowed, or too far off                            ──► TELL
    would cross a boundary of the load profile, and need not        ──► WAIT, until it does not
    would go back over one, and cannot but                          ──► TELL, unless the settings allow it
    a little off ──► SHIFT (shift_time)       further off ──► SET (the time is written)

    profile    |····················|····················|        a clock set back over "|" writes an interval twice,
    meter's now                       ▲ ├── back ──┘              a clock set forward over it leaves one out
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from edge.config import ClockSyncSettings
from edge.meters.clock import SHIFT_LIMIT_S, Drift, Shown

MARGIN_S = 2.0
"""Beyond what is known: how long a request may lie in a queue before the meter acts on it."""


WAIT_SPARE_S = 0.5


class Deed(StrEnum):
    """What to do about a clock."""

    RIGHT = "right"
    NOTHING = "nothing"
    WAIT = "wait"          # `wait_s`, then look again
    TELL = "tell"          # a person has to decide
    SHIFT = "shift"        # by `by_s`, whole seconds, with the clock's own method
    SET = "set"            # by `by_s`, by writing the time


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in words. `by_s` is how far the clock moves: forward is positive.

    `crosses` counts the boundaries of the load profile that the move goes over, negative going back.
    """

    deed: Deed
    why: str
    by_s: float = 0.0
    wait_s: float = 0.0
    crosses: int = 0


def decide(look: Shown, drift: Drift, settings: ClockSyncSettings, *, synchronised: bool, since_last_s: float | None,
           period_s: float, can_shift: bool) -> Decision:
    """Decide about a clock that was just looked at.

    `synchronised`: our own clock is disciplined. `since_last_s`: since this gateway last moved it, None = never.
    `period_s`: capture period of the load profile; boundaries are counted in local time.
    """
    if not synchronised:
        return Decision(Deed.NOTHING, "our own clock is not synchronised")
    if look.valid and abs(drift.seconds) - drift.uncertainty_s <= settings.threshold_s:
        return Decision(Deed.RIGHT, "within the threshold")
    wrong = f"{drift.seconds:+.1f} s" + ("" if look.valid else ", and the meter says that its time is invalid")
    objection = _objection(wrong, drift, settings, since_last_s)
    if objection is not None:
        return objection
    shift_s = -round(drift.seconds)
    if can_shift and look.valid and 0 < abs(shift_s) <= min(settings.shift_max_s, SHIFT_LIMIT_S):
        return _placed(Decision(Deed.SHIFT, wrong, shift_s), look, drift, settings, period_s)
    return _placed(Decision(Deed.SET, wrong, -drift.seconds), look, drift, settings, period_s)


def _objection(wrong: str, drift: Drift, settings: ClockSyncSettings, since_last_s: float | None) -> Decision | None:
    """Return why a wrong clock is left as it is, None where it may be moved."""
    if not settings.allow:
        return Decision(Deed.TELL, f"{wrong}; moving clocks is not allowed (clock_sync.allow)")
    if since_last_s is not None and 0 <= since_last_s < settings.at_most_every_s:
        return Decision(Deed.NOTHING, f"{wrong}; it was moved {since_last_s / 3600:.1f} h ago")
    if abs(drift.seconds) > settings.set_max_s and settings.beyond == "tell":
        return Decision(Deed.TELL, f"{wrong}; more than clock_sync.set_max_s = {settings.set_max_s:g} s")
    return None


def _placed(move: Decision, look: Shown, drift: Drift, settings: ClockSyncSettings, period_s: float) -> Decision:
    """Put the move where it crosses no boundary, if that can be; else decide what crossing means."""
    slack_s = 2 * drift.uncertainty_s + MARGIN_S
    crossed = crossings(look.local_s, move.by_s, slack_s, period_s)
    if crossed == (0, 0):
        return move
    if abs(move.by_s) + 2 * slack_s < period_s:      # there is a place within the interval from which it stays in it
        first_s = slack_s + max(-move.by_s, 0.0)
        return Decision(Deed.WAIT, f"{move.why}; not over a boundary of the load profile", move.by_s,
                        wait_s=(first_s - look.local_s) % period_s + WAIT_SPARE_S)
    backwards, forwards = crossed
    if backwards and settings.backwards == "refuse":
        return Decision(Deed.TELL, f"{move.why}; setting it back would write {-backwards} interval(s) twice "
                                   "(clock_sync.backwards)", move.by_s, crosses=backwards)
    return Decision(move.deed, move.why, move.by_s, crosses=backwards or forwards)


def crossings(local_s: float, by_s: float, slack_s: float, period_s: float) -> tuple[int, int]:
    """Return the boundaries that a move goes over at worst: (backwards, negative or 0; forwards, positive or 0).

    The clock is somewhere in `local_s` - slack to `local_s` + slack when the move takes effect, and lands as exactly
    as that. A boundary is when an interval ends: standing on it is being in the new one.
    """
    begins = math.floor((local_s - slack_s) / period_s), math.floor((local_s + slack_s) / period_s)
    ends = math.floor((local_s + by_s - slack_s) / period_s), math.floor((local_s + by_s + slack_s) / period_s)
    if by_s < 0:
        return min(0, ends[0] - begins[1]), 0
    return 0, max(0, ends[1] - begins[0])
