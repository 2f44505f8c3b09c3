"""The routes (pure): one row each, with the role that it takes. The door, the OpenAPI document and the tests read it.

A path is matched segment by segment after it was split, so that a meter's name may hold a slash ("a%2Fb").
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

from edge.api.sessions import Principal, Role
from edge.api.wire import NoQuery

BASE = "/api/v1"
METRICS = "/metrics"
BODY_LIMIT_BYTES = 65_536
CSV_LIMIT_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class Call:
    """One call, let in: who asks, from where, with what. `body` is the struct that the route takes, or text."""

    who: Principal
    address: str
    path: dict[str, str]
    query: Any
    body: Any = None
    accept: str = "*/*"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is more than its struct: another media type, or a session that begins or ends."""

    content: Any
    session: str | None = None      # the secret of a new session's cookie, "" ends it
    stream: Any = None              # an async iterator of bytes
    download: str = ""              # a file's name
    media: str = ""                 # instead of the route's


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `gives` None = text of `media`; `takes` str = text of `takes_media`.

    `fails`: statuses besides those that any route of its kind may have.
    """

    method: str
    path: str
    role: Role
    handler: Handler
    about: str
    gives: Any = None
    takes: Any = None
    query: type[msgspec.Struct] = NoQuery
    status: int = 200
    media: str = "application/json"
    takes_media: str = "application/json"
    fails: tuple[int, ...] = ()
    limit_bytes: int = BODY_LIMIT_BYTES
    segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Split the path once."""
        object.__setattr__(self, "segments", tuple(self.path.removeprefix("/").split("/")))

    @property
    def changes(self) -> bool:
        """Tell whether it may change something: then a browser has to prove that the page asked for it."""
        return self.method not in ("GET", "HEAD")


class Table:
    """All routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Two of the same method and path are a bug."""
        self.routes = tuple(routes)
        assert len({(route.method, route.path) for route in self.routes}) == len(self.routes)

    def find(self, method: str, raw_path: str) -> tuple[Route | None, dict[str, str], tuple[str, ...]]:
        """Return the route of a request, its parameters, and the methods that its path knows."""
        segments = tuple(raw_path.removeprefix("/").split("/"))
        methods: list[str] = []
        found: tuple[Route | None, dict[str, str]] = (None, {})
        for route in self.routes:
            parameters = _match(route.segments, segments)
            if parameters is not None:
                methods.append(route.method)
                if found[0] is None and route.method == ("GET" if method == "HEAD" else method):
                    found = (route, parameters)
        return *found, tuple(methods)


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters: dict[str, str] = {}
    for wanted, got in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            parameters[wanted[1:-1]] = unquote(got, errors="replace")
        elif wanted != got:
            return None
    return parameters
