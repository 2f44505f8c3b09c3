"""Who gets in: the admin's password, one-time codes, tokens; kept in one small file of the state directory.

    halow-gateway page code ── control socket ──► code, once, CODE_LIFE_S ─┬─► claim: code + new password ──► session
    page.code on the card ── first boot ──► code, once (cardcode.py) ──────┘
    password ──► limiter ──► scrypt in a thread ──► session (cookie)             Authorization: Bearer ──► token

A gateway without a password belongs to nobody on the network: only who may use the control socket, or write the card,
has a code. The same codes set a forgotten password anew. Nothing here logs a secret, and no error text holds one.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edge.api import cardcode, passwords
from edge.api.limiter import Limiter
from edge.api.problem import Problem
from edge.api.sessions import NOBODY, Principal, Role, Sessions
from edge.clock import Clock
from edge.durable import write_file

FILE_NAME = "page.access"
FILE_LIMIT_BYTES = 65_536
CODE_LIFE_S = 900.0
CODE_TRIES = 5
TOKENS_LIMIT = 32
WAITING_LIMIT = 4            # passwords being checked or waiting for it

log = logging.getLogger(__name__)

TokenRole = Literal["view", "admin"]
T = TypeVar("T")
_ROLES = {"view": Role.VIEW, "admin": Role.ADMIN}


class Token(msgspec.Struct, frozen=True):
    """A token as it is kept and listed; `digest` is not shown."""

    name: str
    role: TokenRole
    made_ms: int
    digest: str


class _File(msgspec.Struct, frozen=True):
    """What is kept. `spent` is the key of the card's code that has had its turn, so that none has two."""

    admin: passwords.Hashed | None = None
    tokens: tuple[Token, ...] = ()
    spent: str = ""


def _load(path: Path) -> _File:
    with path.open("rb") as file:
        return msgspec.json.decode(file.read(FILE_LIMIT_BYTES), type=_File)


def password_is_set(state_dir: Path) -> bool:
    """Tell whether somebody owns the page. Raises OSError, msgspec.DecodeError, UnicodeDecodeError."""
    try:
        return _load(state_dir / FILE_NAME).admin is not None
    except FileNotFoundError:
        return False


class Access:
    """The desk at the door. One loop; `open` it before anybody asks."""

    def __init__(self, state_dir: Path, clock: Clock, *, scrypt_n: int = passwords.N) -> None:
        """`scrypt_n` is for tests, which need no dear password."""
        self.sessions = Sessions()
        self.limiter = Limiter()
        self._state_dir = state_dir
        self._path = state_dir / FILE_NAME
        self._clock = clock
        self._scrypt_n = scrypt_n
        self._kept = _File()
        self._code = ""                  # digest of the one-time code, "" = there is none
        self._code_until = 0.0
        self._code_tries = 0
        self._spent = ""                 # as in the file, or the card's code that is being used just now
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page password")

    @property
    def setup_required(self) -> bool:
        """Tell whether there is no password yet."""
        return self._kept.admin is None

    @property
    def tokens(self) -> tuple[Token, ...]:
        """All tokens."""
        return self._kept.tokens

    async def open(self) -> None:
        """Read the file. One that is damaged lets nobody in; a code from the box mends that."""
        try:
            self._kept = await self._off_loop(lambda: _load(self._path))
        except FileNotFoundError:
            self._kept = _File()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "damaged"
            log.error("%s: %s: nobody can log in; `halow-gateway page code` sets a new password",      # noqa: TRY400 - one line says it
                      self._path, why)
            self._kept = _File()
        self._spent = self._kept.spent

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def new_code(self) -> str:
        """Make a one-time code; the one before is void. For those who may use the control socket."""
        code = passwords.new_code()
        self._code = passwords.code_digest(code)
        self._code_until = self._clock.monotonic() + CODE_LIFE_S
        self._code_tries = 0
        return code

    def principal(self, authorization: str | None, cookie: str | None) -> Principal:
        """Return who asks: by bearer token, else by session cookie, else nobody."""
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            key = passwords.digest(secret.strip())
            found = next((token for token in self._kept.tokens if token.digest == key), None)
            if scheme.lower() == "bearer" and found is not None:
                return Principal(f"token {found.name}", _ROLES[found.role], key=key)
            return NOBODY
        session = self.sessions.find(cookie, self._clock.monotonic()) if cookie else None
        return session or NOBODY

    def still(self, principal: Principal) -> bool:
        """Tell whether somebody who got in may stay: asked by streams that last."""
        if principal.csrf:
            return self.sessions.alive(principal, self._clock.monotonic())
        return any(token.digest == principal.key for token in self._kept.tokens)

    async def login(self, password: str, address: str) -> tuple[str, Principal]:
        """Begin a session with the password. Raises Problem 401 or 429."""
        self._wait(address)
        kept = self._kept.admin
        # Without a password the same time is taken, and nothing matches.
        good = await self._checked(password, kept or passwords.Hashed("00" * 16, "00" * 32, self._scrypt_n))
        if not good or kept is None or kept != self._kept.admin:
            raise Problem(401, "wrong password")
        self.limiter.passed(address)
        return self.sessions.begin("admin", Role.ADMIN, self._clock.monotonic())

    async def claim(self, code: str, password: str, address: str) -> tuple[str, Principal]:
        """Set the password with a one-time code, and begin a session. Raises Problem 401, 422 or 429."""
        self._wait(address)
        carried = await self._card_code()
        by_card = carried is not None and await self._checked(passwords.plain_code(code), carried)
        # Nothing is waited for from here until the code is spent: of two who have it, one may use it.
        by_card = by_card and carried is not None and carried.key != self._spent
        self._code_tries += 1
        if self._clock.monotonic() > self._code_until or self._code_tries > CODE_TRIES:
            self._code = ""
        if not self._code and carried is None:
            raise Problem(401, "there is no such code now; `halow-gateway page code` at the box gives one, "
                               "or a page.code on its card")
        if not by_card and passwords.code_digest(code) != self._code:
            raise Problem(401, "wrong code")
        if why := passwords.fault(password):
            self._code_tries -= 1
            self.limiter.passed(address)
            raise Problem(422, f"the password {why}", [("password", why)])
        self._code, self._spent = "", carried.key if carried is not None else self._spent
        try:
            await self._set_password(password)
        finally:
            self._spent = self._kept.spent      # not this one, where the password could not be written
        self.limiter.passed(address)
        log.info("the page's password was set with a code from the box address=%s", address)
        return self.sessions.begin("admin", Role.ADMIN, self._clock.monotonic())

    async def change_password(self, old: str, new: str, address: str) -> tuple[str, Principal]:
        """Set another password; everybody else has to log in again. Raises Problem 401, 422 or 429."""
        await self.login(old, address)
        if why := passwords.fault(new):
            raise Problem(422, f"the password {why}", [("new", why)])
        await self._set_password(new)
        log.info("the page's password was changed address=%s", address)
        return self.sessions.begin("admin", Role.ADMIN, self._clock.monotonic())

    async def add_token(self, name: str, role: TokenRole) -> str:
        """Make a token and return it, this once. Raises Problem 409, 422."""
        if any(token.name == name for token in self.tokens):
            raise Problem(409, f"a token is named {name} already", [("name", "is taken")])
        if len(self.tokens) >= TOKENS_LIMIT:
            raise Problem(422, f"there are {TOKENS_LIMIT} tokens, which is the most; remove one first")
        secret = passwords.new_token()
        made = Token(name, role, self._clock.stamp().wall_ms, passwords.digest(secret))
        await self._keep(msgspec.structs.replace(self._kept, tokens=(*self.tokens, made)))
        return secret

    async def remove_token(self, name: str) -> None:
        """Remove a token; who uses it is out at once. Raises Problem 404."""
        if all(token.name != name for token in self.tokens):
            raise Problem(404, f"no token is named {name}")
        left = tuple(token for token in self.tokens if token.name != name)
        await self._keep(msgspec.structs.replace(self._kept, tokens=left))

    def _wait(self, address: str) -> None:
        """Count a try. Raises Problem 429 where it is one too many."""
        now = self._clock.monotonic()
        if (wait_s := self.limiter.wait_s(address, now)) > 0:
            raise Problem(429, f"too many tries; wait {wait_s:.0f} s", retry_after_s=wait_s)
        if self._waiting >= WAITING_LIMIT:
            raise Problem(429, "too many at once; wait a moment", retry_after_s=2.0)
        self.limiter.begin(address, now)

    async def _checked(self, password: str, kept: passwords.Hashed) -> bool:
        if len(password) > passwords.MOST_CHARS:
            return False
        self._waiting += 1
        try:
            return await self._off_loop(lambda: passwords.matches(password, kept))
        finally:
            self._waiting -= 1

    async def _card_code(self) -> passwords.Hashed | None:
        """Return the card's code, None where there is none that has not been used."""
        carried = await self._off_loop(lambda: cardcode.load(self._state_dir))
        return None if carried is None or carried.key == self._spent else carried

    async def _set_password(self, password: str) -> None:
        """Set it. Whoever set it has no need of the card's code any more, used or not: it is a way in for others."""
        carried = await self._off_loop(lambda: cardcode.load(self._state_dir))
        hashed = await self._off_loop(lambda: passwords.hashed(password, n=self._scrypt_n))
        spent = self._kept.spent if carried is None else carried.key
        await self._keep(msgspec.structs.replace(self._kept, admin=hashed, spent=spent))
        await self._off_loop(lambda: cardcode.forget(self._state_dir))
        self.sessions.end_all()

    async def _keep(self, new: _File) -> None:
        data = msgspec.json.encode(new)
        try:
            await self._off_loop(lambda: write_file(self._path, data, replace=True))
        except OSError as error:
            raise Problem(503, f"{self._path}: cannot be written: {error.strerror}") from error
        self._kept = new

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
