"""Who is logged in (pure but for the random numbers): sessions by cookie, bounded in number, in rest and in life.

Kept in memory only and as digests: a restart of the gateway logs everybody out, and a dump of it opens nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum

from edge.api.passwords import digest, new_token

IDLE_S = 3_600.0
LIFE_S = 12 * 3_600.0
MOST = 16


class Role(IntEnum):
    """What a caller may do; a higher one may do what the lower ones may."""

    OPEN = 0       # anybody who reaches the port
    VIEW = 1       # look at everything but secrets
    ADMIN = 2      # change meters, acknowledge alarms, give access


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `name` stands in records of what was done. `csrf` "" = a token, which no browser sends by itself."""

    name: str
    role: Role
    csrf: str = ""
    key: str = ""      # digest of the session id or token


NOBODY = Principal("nobody", Role.OPEN)


@dataclass(slots=True)
class _Session:
    principal: Principal
    made: float
    used: float


class Sessions:
    """All sessions. `now` is monotonic seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, name: str, role: Role, now: float) -> tuple[str, Principal]:
        """Begin a session; return the secret for its cookie, which is nowhere kept. The oldest one makes room."""
        secret = new_token()
        principal = Principal(name, role, csrf=new_token(), key=digest(secret))
        self._sessions[principal.key] = _Session(principal, now, now)
        if len(self._sessions) > MOST:
            self._sessions.popitem(last=False)
        return secret, principal

    def find(self, secret: str, now: float) -> Principal | None:
        """Return who holds this cookie, and let the session go on; None where it is over."""
        key = digest(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.used > IDLE_S or now - session.made > LIFE_S:
            del self._sessions[key]
            return None
        session.used = now
        return session.principal

    def alive(self, principal: Principal, now: float) -> bool:
        """Tell whether a session is still on. What an open stream asks does not prolong it beyond its life."""
        session = self._sessions.get(principal.key)
        if session is None or now - session.made > LIFE_S:
            return False
        session.used = now      # a page that is looked at is not at rest
        return True

    def end(self, principal: Principal) -> None:
        """End one session."""
        self._sessions.pop(principal.key, None)

    def end_all(self) -> None:
        """End all of them: the password has changed."""
        self._sessions.clear()
