"""The OpenAPI 3.1 document, made from the table of routes and the structs of the wire (pure)."""

import re
from typing import Any

import msgspec

from edge.api.problem import ProblemAnswer
from edge.api.sessions import Role
from edge.api.table import Route, Table

_WHY = {
    400: "The body, or a parameter, is not what this takes.", 401: "Not logged in, or wrong password, code or token.",
    403: "The role does not allow it, or X-CSRF-Token is missing.", 404: "There is no such thing.",
    409: "Something else of this name is there.", 413: "The body is too large.",
    422: "It is refused, and this is why.", 429: "Too many tries; Retry-After says how long to wait.",
    503: "Not now; Retry-After or the text says why.",
}


def document(table: Table, version: str) -> dict[str, Any]:
    """Return the whole document."""
    kinds: list[Any] = [ProblemAnswer]
    for route in table.routes:
        kinds += [kind for kind in (route.gives, route.takes, route.query) if kind not in (None, str)]
    kinds = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "HaLow edge gateway", "version": version,
                 "description": "The local API. Times are Unix milliseconds, durations seconds."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
            },
        },
    }


def _operation(route: Route, of: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub('[^a-z0-9]+', '_', route.path.removeprefix('/api/v1/'))}",
        "summary": route.about, "x-role": route.role.name.lower(),
        "security": [] if route.role is Role.OPEN else [{"token": []}, {"session": []}],
        "parameters": [
            *({"name": segment[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
              for segment in route.segments if segment.startswith("{")),
            *_query(of[route.query], components)],
        "responses": _responses(route, of),
    }
    if route.takes is not None:
        schema = {"type": "string"} if route.takes is str else of[route.takes]
        operation["requestBody"] = {"required": True, "content": {route.takes_media: {"schema": schema}}}
    return operation


def _query(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    struct = components[schema["$ref"].rpartition("/")[2]]
    return [{"name": name, "in": "query", "required": False, "schema": of}
            for name, of in struct.get("properties", {}).items()]


def _responses(route: Route, of: dict[Any, Any]) -> dict[str, Any]:
    schema = {"type": "string"} if route.gives is None else of[route.gives]
    good: dict[str, Any] = {"description": "Done.", "content": {route.media: {"schema": schema}}}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}}
    codes = {400, *route.fails}
    if route.role is not Role.OPEN:
        codes |= {401, 403}
    if route.takes is not None:
        codes |= {403, 413}
    if any(segment.startswith("{") for segment in route.segments):
        codes.add(404)
    return {str(route.status): good} | {
        str(code): {"description": _WHY[code], "content": problem} for code in sorted(codes)}
