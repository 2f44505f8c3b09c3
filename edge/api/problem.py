"""What a caller is told when something cannot be done: a status, one line, and what is wrong with which field."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from edge.errors import EdgeError

# "port = 0: must be from 1 to 65535", "poll.interval_s = -1: must be ...", "counter_obis: is ..."
_FIELD = re.compile(r"(?P<field>[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?)(?P<value> = .{0,200}?)?: (?P<text>.+)", re.DOTALL)


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field. `field` "" = with the whole."""

    field: str
    text: str


class ProblemAnswer(msgspec.Struct, frozen=True):
    """Every answer that is not a success."""

    error: str
    problems: tuple[FieldProblem, ...] = ()
    setup_required: bool = False


class Problem(EdgeError):
    """Ends a call with this answer."""

    def __init__(self, status: int, text: str, problems: Sequence[tuple[str, str]] = (), *,
                 retry_after_s: float | None = None, allow: str = "") -> None:
        """`problems` are (field, what is wrong with it), `allow` the methods that a 405 may be told of."""
        super().__init__(text)
        self.status = status
        self.problems = tuple(FieldProblem(*each) for each in problems)
        self.retry_after_s = retry_after_s
        self.allow = allow


def at_fields(lines: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Find which field each line of an EdgeError is about: the ones that `known` names."""
    names = set(known)
    found = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        told = match is not None and match["field"] in names
        found.append((match["field"], match["text"]) if told and match is not None else ("", line))
    return found


def refused(error: EdgeError, known: Iterable[str], status: int = 422) -> Problem:
    """Return an error of another room as an answer, each line at its field."""
    return Problem(status, str(error), at_fields(str(error).splitlines(), known))
