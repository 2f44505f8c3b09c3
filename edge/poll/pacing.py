"""How many meters to ask at once, found out by asking; and how long to wait for one that is slow (pure).

A radio link is a queue. Too few at once, and the air rests while answers are on their way; too many, and answers wait
for one another until TCP repeats what was never lost and deadlines pass. Where between lies the best number depends on
rate, delay and loss, and changes with the weather. So it is climbed towards: a step up is kept as long as it brings
more answers a second, a step down as long as it costs none. When answers fail to come the limit is halved; where that
helps nothing it was not the crowd, and it goes back.

    limit   ▁▂▄█▆▆▆▆▇▆▆▅▅▃▄▅▅▅     doubled until it brings nothing more; then a little higher or lower now and then

What a limit brings is reckoned as answers a second = meters asked at once / time of an exchange (Little's law), not
counted: connections that are just being opened, and a link on which a round trip lasts seconds, then mislead nobody.
That time is the median, so that a fade of seconds speaks neither for nor against the step that was just being tried.
Where waiting is the limit (stations that sleep) an exchange lasts as long with twice the meters; where air is, twice as
long. Air that is used is nowhere guessed at.
"""

import statistics
from dataclasses import dataclass

ROUND_S = 2.0
"""A round is judged after so long at least ..."""

ROUND_MOST_S = 10.0
"""... and after so long with what has come, be it half of an exchange for each place ..."""

ROUND_ANSWERS = 4
"""... else with so many for each place, so that chance weighs little; one for each while it is doubled."""

ANSWERS_LEAST = 4
"""However few places there are: of fewer there is no middle."""

GAIN = 1.05
"""What a step up must bring to be kept; by doubling, DOUBLED_GAIN."""

DOUBLED_GAIN = 1.2

FULL_GAIN = 0.8
"""A step up that brings so much of what it could bring at best has found room: the next ones double."""

LOSS = 0.98
"""To what a step down may bring it to be kept: answers that wait for nobody are sooner there."""

TROUBLE_SHARE = 0.1
"""So many of a round's exchanges without an answer, two at least, and the limit is halved."""

HOPELESS_SHARE = 0.5
"""With more than that, nothing speaks against a smaller limit."""

RELIEF = 0.7
"""To what a halved limit must bring that share down, or the crowd was not the reason."""

SILENCE_S = 2.0
"""With no answer of anybody for so long it was the link that was gone, and no crowd."""

HOLD_ROUNDS = 8
"""Rounds without a new try after one that brought nothing."""


@dataclass(frozen=True, slots=True)
class PacingState:
    """Where it stands: plain data for status."""

    limit: int
    answers_per_s: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """A step that is being tried: from which limit, and what that one brought."""

    limit: int
    per_s: float


class Pacing:
    """One gateway's limit. `now` is monotonic seconds. The limit moves between 1 and `most`; equal bounds fix it."""

    def __init__(self, first: int, most: int) -> None:
        """Begin with `first`. ValueError unless 1 <= first <= most."""
        if not 1 <= first <= most:
            raise ValueError(f"at least one meter must be asked at once, and {first} at first is at most {most}")
        self.limit = first
        self._fixed = first == most
        self._most = most
        self._doubling = True
        self._downwards = False             # the next small step
        self._trial: _Trial | None = None
        self._fell: tuple[int, float] | None = None       # the limit before it was halved, and the share of misses
        self._hold = 0                      # rounds without a step
        self._blameless = 0                 # rounds in which misses are not laid to the crowd
        self._rate = 0.0
        self._moved_at = float("-inf")      # what was asked before says nothing of this limit
        self._heard_at = float("-inf")
        self._back_at = float("-inf")       # when the link came back last
        self._begin(None)

    def answered(self, now: float, took_s: float, inside: int, *, waiting: bool) -> int:
        """Note an answered exchange that took so long; return the limit from now on.

        `inside`: so many meters are being asked, this one included. `waiting`: somebody queues for a place.
        """
        if now - self._heard_at > SILENCE_S:
            self._back_at = now
        self._heard_at = now
        self._answers += 1
        self._waited += waiting
        if now - took_s >= self._moved_at:
            self._inside += inside
            self._took_s.append(took_s)
        return self._look(now)

    def missed(self, now: float, took_s: float) -> int:
        """Note an exchange without an answer, of a meter that has answered before. Returns the limit from now on.

        One that began before the link came back says nothing of the crowd.
        """
        if now - took_s < max(self._moved_at, self._back_at):
            return self.limit
        self._misses += 1
        return self._look(now)

    def state(self) -> PacingState:
        """Return the limit, and what it brought in the last round."""
        return PacingState(self.limit, self._rate)

    def _begin(self, now: float | None) -> None:
        self._since = now
        self._answers = self._misses = self._waited = self._inside = 0
        self._took_s: list[float] = []

    def _look(self, now: float) -> int:
        """Judge the round once it is long enough, or as soon as there is trouble."""
        if self._since is None:
            self._since = now
        done, whole = self._answers + self._misses, ROUND_ANSWERS * self.limit
        share = self._misses / done
        trouble = self._misses >= max(2.0, TROUBLE_SHARE * whole)
        trouble = trouble and (share > HOPELESS_SHARE or not self._blameless)
        if not trouble and not self._over(now - self._since):
            return self.limit
        self._rate = self._answers / max(now - self._since, 1e-3)
        before = self.limit
        if not self._fixed:
            self.limit = self._down(share) if trouble else self._climb()
        if self.limit != before:
            self._moved_at = now
        self._begin(now)
        return self.limit

    def _over(self, lasted_s: float) -> bool:
        wanted = self.limit * (1 if self._doubling else ROUND_ANSWERS)
        fresh = len(self._took_s)
        return fresh >= ANSWERS_LEAST and (
            (lasted_s >= ROUND_S and fresh >= wanted) or (lasted_s >= ROUND_MOST_S and fresh * 2 >= self.limit))

    def _down(self, share: float) -> int:
        fell, self._trial, self._fell = self._fell, None, None
        self._doubling = share > HOPELESS_SHARE      # then the link was gone, and what it carries is found anew
        if fell is not None and RELIEF * fell[1] < share <= HOPELESS_SHARE:
            self._blameless = HOLD_ROUNDS
            return fell[0]
        self._fell = (self.limit, share)
        return max(1, self.limit // 2)

    def _climb(self) -> int:
        """Keep what was tried or take it back; or try the next step."""
        trial, self._trial, self._fell = self._trial, None, None
        self._blameless = max(0, self._blameless - 1)
        per_s = self._inside / len(self._took_s) / max(statistics.median(self._took_s), 1e-6)
        if trial is not None:
            least = LOSS if trial.limit > self.limit else DOUBLED_GAIN if self._doubling else GAIN
            if per_s < trial.per_s * least:
                self._hold, self._doubling = HOLD_ROUNDS, False
                return trial.limit
            self._downwards = trial.limit > self.limit      # what has helped is tried once more
            room = self.limit / trial.limit - 1
            self._doubling = room > 0 and per_s / trial.per_s - 1 >= FULL_GAIN * room
        elif self._hold:
            self._hold -= 1
            return self.limit
        return self._step(per_s)

    def _step(self, per_s: float) -> int:
        small = max(1, self.limit // 4)
        wanted = self._waited * 2 >= self._answers and self.limit < self._most      # somebody would use another place
        used = self._inside * 4 >= len(self._took_s) * self.limit * 3
        limit = self.limit
        if self._doubling:
            limit = min(self._most, 2 * limit) if wanted else limit
        elif wanted and not self._downwards:
            limit = min(self._most, limit + small)
        elif used:
            limit = max(1, limit - small)
        self._downwards = not self._downwards
        if limit != self.limit:
            self._trial = _Trial(self.limit, per_s)
        return limit


PATIENCE_STEP, PATIENCE_MOST = 1.5, 4.0
CALM_ANSWERS = 20

REPEAT_LEAST_S = 0.2
"""Least margin over a round trip after which Linux sends a segment again (TCP_RTO_MIN)."""

REPEAT_WAIT_MOST = 1.5
"""So far a deadline is moved to have the next copy of a segment, which TCP sends after twice the time each time."""

REPEAT_SLACK = 1.1
"""That a copy may be so much later than reckoned."""

STRETCH_ANEW = 0.05
"""Deadlines are reckoned anew where TCP's time-out has moved by more than that."""


class Patience:
    """By what a meter's deadlines are stretched: for TCP's copies of what was lost, and after silences.

    TCP sends a lost segment again when the smoothed round trip and four deviations have passed (RFC 6298), and then
    after twice that time, four times, eight times. With stations that sleep for seconds the first copy goes after 8 s;
    after a fade of 5 s it may be the fifth that finds the link back, after 8.5 s. A deadline of 8 s ends just before
    either, and pays with a new association for what a moment more brings. So round trips are reckoned here as well,
    from connecting on, and a deadline has the first copy's answer in it, and ends before no copy that is near.

    Of silences only what an associated meter leaves unanswered counts: one that does not even associate is not slow,
    it is away. Answers that come early take that back.
    """

    def __init__(self, deadline_s: float) -> None:
        """Begin with the configured deadline of an exchange."""
        self.factor = 1.0                   # from 1 to PATIENCE_MOST
        self._deadline_s = deadline_s
        self._grown, self._early = 1.0, 0
        self._smooth_s = self._deviation_s = 0.0
        self._repeat_s = REPEAT_LEAST_S     # after what time TCP sends a lost segment again
        self._stretched_for_s = 0.0         # of which the factor was made

    def connected(self, took_s: float) -> None:
        """Note how long a new connection took: a round trip, and the first time all that is known of this way."""
        if self._smooth_s:
            self._reckon(took_s)
        else:
            self._smooth_s, self._deviation_s = took_s, took_s / 2
            self._repeat_s = took_s + max(REPEAT_LEAST_S, 2 * took_s)
            self._stretch()

    def answered(self, took_s: float) -> None:
        """Note an answer; one within a quarter of the deadline is early."""
        self._reckon(took_s)
        if self._grown == 1.0:      # as nearly always
            return
        self._early = self._early + 1 if took_s * 4 < self._deadline_s else 0
        if self._early >= CALM_ANSWERS:
            self._grown, self._early = max(1.0, self._grown / PATIENCE_STEP), 0
            self._stretch()

    def missed(self) -> None:
        """Note a deadline that passed in silence."""
        self._grown, self._early = min(PATIENCE_MOST, self._grown * PATIENCE_STEP), 0
        self._stretch()

    def _reckon(self, took_s: float) -> None:
        off_s = min(took_s, self._repeat_s) - self._smooth_s      # what takes longer was lost once (Karn)
        self._deviation_s += (abs(off_s) - self._deviation_s) / 4
        self._smooth_s += off_s / 8
        self._repeat_s = self._smooth_s + max(REPEAT_LEAST_S, 4 * self._deviation_s)
        if abs(self._repeat_s - self._stretched_for_s) > STRETCH_ANEW * self._stretched_for_s:
            self._stretch()

    def _stretch(self) -> None:
        answer_s = copy_s = self._stretched_for_s = self._repeat_s
        while copy_s * REPEAT_SLACK + answer_s < self._deadline_s:      # one that just fits may come just too late
            copy_s *= 2
        wanted = (copy_s * REPEAT_SLACK + answer_s) / self._deadline_s
        if wanted > REPEAT_WAIT_MOST and copy_s > answer_s:      # not the first copy, and too far away
            wanted = 1.0
        self.factor = min(PATIENCE_MOST, max(self._grown, wanted))
