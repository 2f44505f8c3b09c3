"""The door: every request passes here, is looked at once, and leaves with the same headers (ASGI).

    request ─► route? ─► who? ─► role? ─► asked for by our own page? ─► body, bounded ─► handler ─► answer
                404/405    401     403          403                        400/413/422       Problem ─► its status

What a handler raises as EdgeError is an answer; anything else is a bug of ours: logged with its traceback, told as 500
without its text. Cancelling (the gateway stops) ends a request where it stands.
"""

import asyncio
import ipaddress
import logging
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from edge.api.access import Access
from edge.api.assets import Assets
from edge.api.problem import Problem, ProblemAnswer
from edge.api.sessions import Principal, Role
from edge.api.table import METRICS, Call, Reply, Route, Table
from edge.errors import EdgeError

BODY_TIMEOUT_S = 20.0
QUERY_FIELDS = 20
COOKIE, SECURE_COOKIE = "session", "__Host-session"      # the prefix binds it to TLS and this host (RFC 6265bis 4.1.3)
CSRF_HEADER = "x-csrf-token"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                               "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
                               "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=(), serial=()",
}

ON_THE_BOARD = Principal("anybody on the board", Role.VIEW)

log = logging.getLogger(__name__)


class Door:
    """The ASGI application."""

    def __init__(self, table: Table, access: Access, assets: Assets, *, tls: bool, metrics_open: bool = False) -> None:
        """`tls` decides how the cookie is kept; with `metrics_open` the board itself needs no token for metrics."""
        self._metrics_open = metrics_open
        self._table = table
        self._access = access
        self._assets = assets
        self._tls = tls
        self._cookie = SECURE_COOKIE if tls else COOKIE
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":      # nothing else is configured
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Problem as problem:
            response = self._problem(problem)
        except EdgeError as error:
            response = self._problem(Problem(422, str(error)))
        except Exception:
            log.exception("the page failed method=%s path=%s", request.method, request.url.path)
            response = self._problem(Problem(500, "a fault in the gateway; its log tells more"))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw_path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1").partition("?")[0]
        route, parameters, methods = self._table.find(request.method, raw_path)
        if route is None and not methods and (asset := self._assets.find(request.url.path)) is not None:
            if request.method not in ("GET", "HEAD"):
                raise Problem(405, "this is only to be read", allow="GET, HEAD")
            return asset.response(request.headers.get("if-none-match", ""))
        who = self._access.principal(request.headers.get("authorization"), request.cookies.get(self._cookie))
        seat = request.scope.get("state", {}).get("seat")
        if seat is not None and who.role is not Role.OPEN:
            seat.is_of(who.key)
        if who.role is Role.OPEN and route is not None and self._open_to(route, request):
            who = ON_THE_BOARD
        if who.role is Role.OPEN and (route is None or route.role is not Role.OPEN):
            raise Problem(401, "log in first")      # what there is and what not is nobody's business either
        if route is None:
            if methods:
                told = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
                raise Problem(405, f"this takes {told}", allow=told)
            raise Problem(404, "there is nothing here; /api/v1/openapi.json lists what there is")
        self._let_in(request, route, who)
        call = Call(who, request.client.host if request.client else "", parameters, self._query(request, route),
                    await self._body(request, route), request.headers.get("accept", "*/*"))
        return self._response(route, await route.handler(call))

    def _open_to(self, route: Route, request: Request) -> bool:
        """Tell whether the settings let anybody on the board have this. A proxy there would let others in: theirs."""
        return route.path == METRICS and self._metrics_open and request.client is not None and (
            _is_loopback(request.client.host))

    def _let_in(self, request: Request, route: Route, who: Principal) -> None:
        if who.role < route.role:
            raise Problem(403, f"this takes the role {route.role.name.lower()}")
        if not route.changes:
            return
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
            raise Problem(403, "another site has asked for this")
        if route.role is not Role.OPEN and who.csrf and request.headers.get(CSRF_HEADER) != who.csrf:
            raise Problem(403, "X-CSRF-Token is missing or wrong; GET /api/v1/session tells it")

    def _query(self, request: Request, route: Route) -> Any:
        try:
            pairs = parse_qsl(request.url.query, keep_blank_values=True, errors="replace", max_num_fields=QUERY_FIELDS)
        except ValueError:
            raise Problem(400, f"more than {QUERY_FIELDS} parameters") from None
        try:
            return msgspec.convert(dict(pairs), route.query, strict=False)
        except msgspec.ValidationError as error:
            raise _shape(error, "a parameter is wrong") from None

    async def _body(self, request: Request, route: Route) -> Any:
        if route.takes is None:
            return None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != route.takes_media:
            raise Problem(400, f"the body must be {route.takes_media}")
        raw = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    raw += chunk
                    if len(raw) > route.limit_bytes:
                        raise Problem(413, f"the body may have {route.limit_bytes} bytes at most")
        except TimeoutError:
            raise Problem(400, f"the body was not whole within {BODY_TIMEOUT_S:g} s") from None
        try:
            return raw.decode() if route.takes is str else msgspec.json.decode(raw, type=route.takes)
        except UnicodeDecodeError:
            raise Problem(400, "the body is not UTF-8") from None
        except msgspec.ValidationError as error:
            raise _shape(error, "a field is wrong") from None
        except (msgspec.DecodeError, RecursionError):
            raise Problem(400, "the body is not JSON") from None

    def _response(self, route: Route, answer: Any) -> Response:
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        headers = {"Cache-Control": "no-store"}
        if reply.stream is not None:
            return StreamingResponse(reply.stream, 200, headers, media_type=route.media)
        content = reply.content.encode() if route.gives is None else self._encode(reply.content)
        if reply.download:
            headers["Content-Disposition"] = f'attachment; filename="{reply.download}"'
        response = Response(content, route.status, headers, media_type=reply.media or route.media)
        if reply.session:
            response.set_cookie(self._cookie, reply.session, path="/", secure=self._tls, httponly=True,
                                samesite="strict")
        elif reply.session == "":
            response.delete_cookie(self._cookie, path="/", secure=self._tls, httponly=True, samesite="strict")
        return response

    def _problem(self, problem: Problem) -> Response:
        headers = {"Cache-Control": "no-store"}
        if problem.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(problem.retry_after_s)))
        if problem.allow:
            headers["Allow"] = problem.allow      # RFC 9110 clause 15.5.6
        if problem.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        told = ProblemAnswer(str(problem), problem.problems, self._access.setup_required)
        return Response(self._encode(told), problem.status, headers, media_type="application/json")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _shape(error: msgspec.ValidationError, text: str) -> Problem:
    """Say at which field a body is not what it should be; msgspec ends its text with "- at `$.path`"."""
    what, _, path = str(error).rpartition(" - at `")
    place = path.removesuffix("`").removeprefix("$.").removeprefix("$") if what else ""
    why = (what or str(error)).replace("`", "")
    return Problem(400, f"{text}: {f'{place}: ' if place else ''}{why}", [(place, why)])
