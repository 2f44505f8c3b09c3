"""Routes about who gets in: health, first password, log in and out, tokens."""

import msgspec

from edge.api import wire
from edge.api.access import Access
from edge.api.doors import Doors
from edge.api.problem import Problem
from edge.api.sessions import Principal, Role
from edge.api.table import BASE, Call, Reply, Route

HEALTH_S = 1.0


class AccessRoutes:
    """The handlers."""

    def __init__(self, access: Access, doors: Doors) -> None:
        """`access` decides."""
        self._access = access
        self._doors = doors
        self._health: wire.Health | None = None
        self._health_until = float("-inf")

    def routes(self) -> list[Route]:
        """Return the rows of the table."""
        view, admin = Role.VIEW, Role.ADMIN
        return [
            Route("GET", f"{BASE}/health", Role.OPEN, self.health, "Whether the gateway works; told to anybody.",
                  wire.Health),
            Route("POST", f"{BASE}/setup", Role.OPEN, self.setup, "Set the password with a one-time code.", wire.Who,
                  wire.SetupBody, status=201, fails=(401, 422, 429, 503)),
            Route("POST", f"{BASE}/session", Role.OPEN, self.login, "Log in.", wire.Who, wire.LoginBody, status=201,
                  fails=(401, 429)),
            Route("GET", f"{BASE}/session", view, self.who, "Who is logged in, and the CSRF token.", wire.Who),
            Route("DELETE", f"{BASE}/session", view, self.logout, "Log out.", wire.Done),
            Route("PUT", f"{BASE}/password", admin, self.password, "Set another password; all others are logged out.",
                  wire.Who, wire.PasswordBody, fails=(422, 429, 503)),
            Route("GET", f"{BASE}/tokens", admin, self.tokens, "All tokens, without their secrets.", wire.Tokens),
            Route("POST", f"{BASE}/tokens", admin, self.add_token, "Make a token for a script; it is told this once.",
                  wire.NewToken, wire.TokenBody, status=201, fails=(409, 422, 503)),
            Route("DELETE", f"{BASE}/tokens/{{name}}", admin, self.remove_token, "Remove a token.", wire.Done,
                  fails=(503,)),
        ]

    async def health(self, _call: Call) -> wire.Health:
        """Tell whether it works. Anybody may ask as often as they like, so it is looked at once in HEALTH_S."""
        now = self._doors.clock.monotonic()
        if self._health is None or now >= self._health_until:
            self._health, self._health_until = await self._look(), now + HEALTH_S
        return msgspec.structs.replace(self._health, setup_required=self._access.setup_required)

    async def _look(self) -> wire.Health:
        told = await self._doors.status({})
        good = told["ring"]["healthy"] and not told["gateway"]["overdue"] and told["gateway"]["registry"] == "ok"
        return wire.Health("ok" if good else "degraded", self._access.setup_required, self._doors.settings.api.language)

    async def setup(self, call: Call) -> Reply:
        """Set the password with a code."""
        return _begun(await self._access.claim(call.body.code, call.body.password, call.address))

    async def login(self, call: Call) -> Reply:
        """Begin a session."""
        return _begun(await self._access.login(call.body.password, call.address))

    async def who(self, call: Call) -> wire.Who:
        """Tell who it is."""
        return _shown(call.who)

    async def logout(self, call: Call) -> Reply:
        """End the session; a token stays."""
        self._access.sessions.end(call.who)
        return Reply(wire.Done(), session="")

    async def password(self, call: Call) -> Reply:
        """Set another password."""
        return _begun(await self._access.change_password(call.body.old, call.body.new, call.address))

    async def tokens(self, _call: Call) -> wire.Tokens:
        """List the tokens."""
        return wire.Tokens(tuple(wire.TokenRow(each.name, each.role, each.made_ms) for each in self._access.tokens))

    async def add_token(self, call: Call) -> wire.NewToken:
        """Make a token."""
        return wire.NewToken(call.body.name, await self._access.add_token(call.body.name, call.body.role))

    async def remove_token(self, call: Call) -> wire.Done:
        """Remove a token."""
        await self._access.remove_token(call.path["name"])
        return wire.Done()


def _begun(session: tuple[str, Principal]) -> Reply:
    secret, principal = session
    return Reply(_shown(principal), session=secret)


def _shown(who: Principal) -> wire.Who:
    if who.role is Role.OPEN:
        raise Problem(401, "log in first")
    return wire.Who(who.name, "admin" if who.role is Role.ADMIN else "view", who.csrf)
