"""Meters that refuse everything after the first item of a list that they refuse: what is behind it is asked again."""

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult

Ask = Callable[[Sequence[Attribute]], Awaitable[tuple[GetResult, ...]]]
"""One GET: a result for each attribute, in their order."""

_error = attrgetter("error")


def any_refused(results: tuple[GetResult, ...]) -> bool:
    """Tell whether there is anything for `look_behind` to look at; nearly always there is not."""
    return any(map(_error, results))


async def look_behind(results: tuple[GetResult, ...], ask: Ask) -> tuple[GetResult, ...]:
    """Ask again for what stands behind the first refusal of a list, and return the results with what came of it.

    Costs a request per refused attribute; whoever calls keeps refusals and leaves them out next time. Temporary ones
    are left to the caller's repetition. Raises what `ask` raises.
    """
    merged = list(results)
    behind = _refused(merged)[1:]
    while behind:
        again = await ask([merged[place].attribute for place in behind])
        for place, result in zip(behind, again, strict=True):
            merged[place] = result
        behind = [place for place in behind if place in _refused(merged)][1:]
    return tuple(merged)


def _refused(results: Sequence[GetResult]) -> list[int]:
    """Return the places of refusals that are not temporary."""
    return [place for place, result in enumerate(results)
            if result.error is not None and not result.error.temporary]
