"""One login at a ThingsBoard server: JSON over HTTP on a kept connection (I/O edge).

Read in ThingsBoard v4.2.2.3 (commit 6c607478): ThingsboardSecurityConfiguration (header X-Authorization,
/api/auth/login, /api/auth/token), ThingsboardErrorResponseHandler and ThingsboardErrorCode (errors are
`{status, message, errorCode, timestamp}`; 429 has errorCode 33 or 34 and no Retry-After; 409 with 35 is an entity saved
with an old version; 401 with 11 a token that ran out), PageData (`{data, totalPages, totalElements, hasNext}`).
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from cloud.errors import CloudError, LoginRefused, ServerError, Unreachable

TIMEOUT_S = 30.0
PAGE_SIZE = 100
PAGES_MAX = 100_000  # more than that is a server that turns in a circle
BUSY_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # 429 and 503: half a minute in all, then it is told
WORDS_LIMIT = 300
BODY_LIMIT_BYTES = 64 * 2**20

Query = Mapping[str, str | int]
Json = Any  # what json.loads gives


class Rest:
    """A login. Use it in a `with`; not for several threads.

    Password and tokens are kept under names of their own and appear in no repr, log or error.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        context: ssl.SSLContext | None = None,
        allow_plain: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is sent yet. CloudError: the address is none, or the password would cross a network in clear."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise CloudError(
                f"{_without_user(url)}: not the address of a server; it looks like https://things.example.org"
            )
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "http" and not (local or allow_plain):
            raise CloudError(f"{url}: the password would cross the network in clear; use https, or --plain-http")
        self.where = f"{parts.scheme}://{parts.netloc}"
        self.user = user
        self._base = parts.path.rstrip("/")
        self._password = password
        self._sleep = sleep
        self._token = self._refresh = ""
        self._link: http.client.HTTPConnection
        if parts.scheme == "https":
            self._link = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S, context=context or ssl.create_default_context()
            )
        else:
            self._link = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def __repr__(self) -> str:
        """Name server and user, nothing else."""
        return f"Rest({self.where}, {self.user})"

    def __enter__(self) -> Self:
        """Log in. Raises LoginRefused, Unreachable."""
        try:
            self._login()
        except CloudError:
            self._link.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection; the tokens run out by themselves."""
        self._link.close()

    def get(self, path: str, query: Query | None = None) -> Json:
        """Return the answer of a GET. Raises ServerError, Unreachable."""
        return self._ask("GET", path, query, None)

    def find(self, path: str, query: Query | None = None) -> Json | None:
        """Return the answer of a GET, or None where the server has no such thing."""
        try:
            return self.get(path, query)
        except ServerError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def pages(self, path: str, query: Query | None = None) -> Iterator[dict[str, Json]]:
        """Yield what a paged list holds, page after page, oldest first so that a page cannot slide under the reader."""
        for page in range(PAGES_MAX):
            answer = self.get(
                path,
                {
                    **(query or {}),
                    "pageSize": PAGE_SIZE,
                    "page": page,
                    "sortProperty": "createdTime",
                    "sortOrder": "ASC",
                },
            )
            yield from answer["data"]
            if not answer["hasNext"]:
                return
        raise CloudError(f"{self.where}{path}: the list has no end")

    def post(self, path: str, body: Json = None, query: Query | None = None) -> Json:
        """Return the answer of a POST. Raises ServerError, Unreachable."""
        return self._ask("POST", path, query, body)

    def delete(self, path: str, query: Query | None = None) -> None:
        """Delete; what is gone already is no error."""
        try:
            self._ask("DELETE", path, query, None)
        except ServerError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise

    def _ask(self, method: str, path: str, query: Query | None, body: Json) -> Json:
        renewed = False
        waits_s = iter(BUSY_WAITS_S)
        while True:
            status, answer = self._exchange(method, path, query, body, self._token)
            if status < http.HTTPStatus.BAD_REQUEST:
                return answer
            if status == http.HTTPStatus.UNAUTHORIZED and not renewed:
                renewed = True
                self._renew()
                continue
            if status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE):
                wait_s = next(waits_s, None)
                if wait_s is not None:
                    self._sleep(wait_s)
                    continue
            raise ServerError(f"{method} {path}: {_words(status, answer)}", status=status, code=_code(answer))

    def _login(self) -> None:
        status, answer = self._exchange(
            "POST", "/api/auth/login", None, {"username": self.user, "password": self._password}, ""
        )
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise LoginRefused(
                f"{self.where}: login of {self.user} refused: {_words(status, answer)}",
                status=status,
                code=_code(answer),
            )
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise ServerError(f"{self.where}: login: {_words(status, answer)}", status=status, code=_code(answer))
        self._take(answer)

    def _renew(self) -> None:
        status, answer = self._exchange("POST", "/api/auth/token", None, {"refreshToken": self._refresh}, "")
        if status < http.HTTPStatus.BAD_REQUEST:
            self._take(answer)
        else:
            self._login()

    def _take(self, pair: Json) -> None:
        try:
            self._token, self._refresh = str(pair["token"]), str(pair["refreshToken"])
        except (KeyError, TypeError):
            raise CloudError(f"{self.where} does not answer as ThingsBoard does; is this its address?") from None

    def _exchange(self, method: str, path: str, query: Query | None, body: Json, token: str) -> tuple[int, Json]:
        """One request, and its answer as JSON (text where it is none). A GET on a connection that died is repeated."""
        target = self._base + quote(path) + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["X-Authorization"] = f"Bearer {token}"
        for attempt in (1, 2):
            try:
                self._link.request(method, target, data, headers)
                answer = self._link.getresponse()
                return answer.status, _decoded(answer.read(BODY_LIMIT_BYTES))
            except (OSError, http.client.HTTPException) as error:
                self._link.close()
                # A kept connection that the server closed meanwhile; what changes something may have been done already.
                if attempt == 1 and method == "GET":
                    continue
                raise Unreachable(f"{self.where}: {_reason(error)}") from error
        raise AssertionError("unreachable")


def _decoded(raw: bytes) -> Json:
    try:
        return json.loads(raw) if raw.strip() else None
    except ValueError:
        return raw.decode("utf-8", "replace")


def _words(status: int, answer: Json) -> str:
    """Return the server's own words, one line."""
    said = answer.get("message") if isinstance(answer, dict) else answer
    text = " ".join(str(said or "").split())[:WORDS_LIMIT]
    return f"{status} {text}".strip()


def _code(answer: Json) -> int:
    code = answer.get("errorCode") if isinstance(answer, dict) else 0
    return code if isinstance(code, int) else 0


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}; --ca names the authority"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; is the server up, and its address (--url) right?"
    return str(error) or type(error).__name__


def _without_user(url: str) -> str:
    head, at, tail = url.partition("@")
    return f"{head.partition('//')[0]}//{tail}" if at else url
