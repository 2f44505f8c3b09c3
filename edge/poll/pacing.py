"""How many meters to ask at once, found out by asking; and how long to wait for one that is slow (pure).

A radio link is a queue. Too few at once, and the air rests while answers are on their way; too many, and answers wait
for one another until deadlines pass, with nothing gained. Where between lies the best number depends on rate, delay and
loss, and changes with the weather. So it is climbed towards: a step up is kept as long as it brings more answers a
second. When answers fail to come the limit is halved; where that helps nothing it was not the crowd, and it goes back.

    limit   ▁▂▄█▆▆▆▆▇▆▆▆▆▃▄▆▆▆     doubled until it brings nothing more; tried a little higher now and then
"""

from dataclasses import dataclass

ROUND_S = 2.0
"""A round is judged after so long at least ..."""

ROUND_ANSWERS = 4
"""... and so many exchanges for each place, so that chance weighs little."""

GAIN = 1.05
"""What a step up must bring to be kept."""

TROUBLE_SHARE = 0.1
"""So many of a round's exchanges without an answer, two at least, and the limit is halved."""

HOPELESS_SHARE = 0.5
"""With more than that, nothing speaks against a smaller limit."""

RELIEF = 0.7
"""To what a halved limit must bring that share down, or the crowd was not the reason."""

HOLD_ROUNDS = 8
"""Rounds without a new try after one that brought nothing."""


@dataclass(frozen=True, slots=True)
class PacingState:
    """Where it stands: plain data for status."""

    limit: int
    answers_per_s: float


class Pacing:
    """One gateway's limit. `now` is monotonic seconds. The limit moves between 1 and `most`; equal bounds fix it."""

    def __init__(self, first: int, most: int) -> None:
        """Begin with `first`. ValueError unless 1 <= first <= most."""
        if not 1 <= first <= most:
            raise ValueError(f"at least one meter must be asked at once, and {first} at first is at most {most}")
        self.limit = first
        self._fixed = first == most
        self._most = most
        self._ceiling = most                # doubling goes so far; beyond it in small steps
        self._rose: tuple[int, float] | None = None       # the limit before the last step up, and its rate
        self._fell: tuple[int, float] | None = None       # the limit before it was halved, and the share of misses
        self._hold = 0                      # rounds without a step up
        self._blameless = 0                 # rounds in which misses are not laid to the crowd
        self._rate = 0.0
        self._begin(None)

    def answered(self, now: float, *, waiting: bool) -> int:
        """Note an answered exchange; `waiting`: somebody queues for a place. Returns the limit from now on."""
        self._answers += 1
        self._waited += waiting
        return self._look(now)

    def missed(self, now: float) -> int:
        """Note an exchange without an answer, of a meter that has answered before. Returns the limit from now on."""
        self._misses += 1
        return self._look(now)

    def state(self) -> PacingState:
        """Return the limit, and what it brought in the last round."""
        return PacingState(self.limit, self._rate)

    def _begin(self, now: float | None) -> None:
        self._since = now
        self._answers = self._misses = self._waited = 0

    def _look(self, now: float) -> int:
        """Judge the round once it is long enough, or as soon as there is trouble."""
        if self._since is None:
            self._since = now
        done, planned = self._answers + self._misses, ROUND_ANSWERS * self.limit
        share = self._misses / done
        trouble = self._misses >= max(2.0, TROUBLE_SHARE * planned)
        trouble = trouble and (share > HOPELESS_SHARE or not self._blameless)
        if not trouble and (now - self._since < ROUND_S or done < planned):
            return self.limit
        self._rate = self._answers / max(now - self._since, 1e-3)
        if not self._fixed:
            self.limit = self._down(share) if trouble else self._up()
        self._begin(now)
        return self.limit

    def _down(self, share: float) -> int:
        fell, self._rose, self._fell = self._fell, None, None
        if fell is not None and RELIEF * fell[1] < share <= HOPELESS_SHARE:
            self._blameless = HOLD_ROUNDS
            return fell[0]
        if fell is None:
            self._ceiling = max(1, self.limit // 2)
        self._fell = (self.limit, share)
        return max(1, self.limit // 2)

    def _up(self) -> int:
        rose, self._rose, self._fell = self._rose, None, None
        self._blameless = max(0, self._blameless - 1)
        if rose is not None and self._rate < rose[1] * GAIN:
            self._ceiling, self._hold = min(self._ceiling, rose[0]), HOLD_ROUNDS
            return rose[0]
        if self._hold:
            self._hold -= 1
            return self.limit
        if self._waited * 2 < self._answers or self.limit == self._most:      # nobody would use another place
            return self.limit
        self._rose = (self.limit, self._rate)
        doubled = self.limit * 2
        step = doubled if doubled <= self._ceiling else max(self._ceiling, self.limit + max(1, self.limit // 4))
        return min(self._most, step)


PATIENCE_STEP, PATIENCE_MOST = 1.5, 4.0
CALM_ANSWERS = 20


class Patience:
    """By what a meter's deadlines are stretched: longer after each silence, back after answers that came early.

    Only what an associated meter leaves unanswered counts: one that does not even associate is not slow, it is away.
    """

    def __init__(self) -> None:
        """Begin with the configured deadlines."""
        self.factor = 1.0
        self._early = 0

    def answered(self, took_s: float, deadline_s: float) -> None:
        """Note an answer; one within a quarter of the deadline is early."""
        if self.factor == 1.0:      # as nearly always
            return
        self._early = self._early + 1 if took_s * 4 < deadline_s else 0
        if self._early >= CALM_ANSWERS:
            self.factor, self._early = max(1.0, self.factor / PATIENCE_STEP), 0

    def missed(self) -> None:
        """Note a deadline that passed in silence."""
        self.factor, self._early = min(PATIENCE_MOST, self.factor * PATIENCE_STEP), 0
