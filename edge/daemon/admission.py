"""How the gateway comes by credentials that the server takes: those of the operator, its own, and new ones on trial.

    none, and uplink.provision_key ─► ThingsBoard's provisioning ─► kept ─┐
    those in use ─────────────────────────────────────────────────────────┼─► login() ─► uplink
    new ones beside them ─► tried while nothing is connected ─► accepted ─┘
                                                            └► refused: those in use go on

New ones are tried at once, again while the server cannot be asked, and again when it refuses those in use: whichever
side changes first, the gateway finds the way in. What a power cut leaves: docs/decisions/0025-provisioning.md.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge import candidate
from edge.clock import Clock
from edge.config import Settings
from edge.credentials import (
    PROVISION_SECRET_FILE,
    WORDS,
    Login,
    credential_path,
    ensure_key,
    new_secret,
    read_login,
    read_provision_secret,
    self_signed,
)
from edge.daemon.vitals import event
from edge.errors import ConfigError, EdgeError, Rejected, Retryable
from edge.model import Record
from edge.uplink.pace import Rng, backoff
from edge.uplink.pathwatch import PathWatch
from edge.uplink.provisioning import accepted, ask
from edge.uplink.provisionwords import AlreadyThere, Credential

log = logging.getLogger(__name__)

TRIAL_REST_MAX_S = 7_200.0
DOUBLINGS = 20           # of a back-off of a fraction of a second, until it comes to that
TRIAL_WAIT_S = 18.0      # of a person, for the outcome of a trial


class Admission:
    """Owns which credentials are in use. All calls belong to one loop."""

    def __init__(self, settings: Settings, clock: Clock, rng: Rng, tell: Callable[[Record], object],
                 paths: PathWatch | None = None) -> None:
        """`tell` keeps an event. Nothing is asked before `login`."""
        self.nudged = asyncio.Event()      # somebody waits for the outcome of a trial
        self._settings, self._clock, self._rng, self._tell, self._paths = settings, clock, rng, tell, paths
        self._name = settings.gateway.name
        self._delays = self._backoff()
        self._ask_at = self._try_at = float("-inf")      # not before, clock.monotonic()
        self._refusal: EdgeError | None = None           # what the last provisioning ended with
        self._tried: Login | None = None                 # the candidate that the server refused
        self._unproven = 0                               # trials in a row that showed nothing
        self._outcome = ""
        self._judged = asyncio.Event()

    # ---- for the uplink

    def use(self, settings: Settings) -> None:
        """Log in by other settings from the next `login` on, at once. Not while one is under way."""
        self._settings, self._delays = settings, self._backoff()
        self._refusal, self._tried = None, None
        self._begin_trials()

    async def login(self) -> Login:
        """Return what to log in with now; provisioning or a trial may come before. Nothing else may be connected.

        Raises ConfigError, Rejected or Retryable: one line on why there is none.
        """
        if not credential_path(self._settings).exists() and self._settings.uplink.provision_key:
            await self._provisioned()
        elif (new := self._waiting()) is not None and self._due(new, refused=True):
            await self._try(new)
        return read_login(self._settings)

    def other(self, used: Login, *, refused: bool) -> bool:
        """Tell whether `login` would lead to something else than what is used, or would try something.

        `refused`: the server refuses what is used. What is gone or damaged replaces nothing.
        """
        new = self._waiting()
        if new is not None and self._due(new, refused=refused):
            return True
        try:
            return read_login(self._settings) != used
        except ConfigError:
            return False

    # ---- for people

    async def answer(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Control request `credentials`: try what lies beside those in use now, and say what came of it."""
        if self._waiting() is None:
            what = WORDS[self._settings.uplink.credentials]
            raise ConfigError(f"no new {what} lies there; `halow-gateway credentials rotate` takes one")
        self._begin_trials()
        self._outcome = ""
        self._judged.clear()
        self.nudged.set()
        try:
            async with asyncio.timeout(TRIAL_WAIT_S):
                await self._judged.wait()
        except TimeoutError:
            return {"outcome": "waiting", "detail": "it is tried as soon as the server can be asked"}
        return {"outcome": "refused" if self._outcome else "accepted", "detail": self._outcome}

    async def offer(self, raw: bytes, by: str) -> None:
        """Lay new credentials beside those in use, for a trial at the next look. ConfigError, OSError."""
        await asyncio.to_thread(candidate.put, self._settings, raw)
        self._begin_trials()
        self._tell(event("uplink_credentials_offered", f"by {by}", self._clock))

    # ---- trials

    def _begin_trials(self) -> None:
        self._tried, self._try_at, self._unproven = None, float("-inf"), 0

    def _waiting(self) -> Login | None:
        try:
            return candidate.waiting(self._settings)
        except ConfigError as error:
            log.debug("new credentials are not tried: %s", error)
            return None

    def _due(self, new: Login, *, refused: bool) -> bool:
        return (refused or new != self._tried) and self._clock.monotonic() >= self._try_at

    async def _try(self, new: Login) -> None:
        now, uplink = self._clock.monotonic(), self._settings.uplink
        try:
            await accepted(uplink, self._name, new, self._paths)
        except Retryable as error:
            # Each trial ends a session that works: where nothing is ever proven it must become rare.
            self._try_at = now + min(uplink.backoff_max_s * 2 ** min(self._unproven, DOUBLINGS), TRIAL_REST_MAX_S)
            self._unproven += 1
            log.info("new credentials could not be tried: %s", error)
            return
        except (Rejected, ConfigError) as error:
            self._try_at = now + uplink.refused_backoff_s
            if new != self._tried:
                log.warning("the new credentials are not in use: %s", error)
                self._tell(event("uplink_credentials_refused", str(error), self._clock))
            self._tried, self._outcome = new, str(error)
        else:
            path = await asyncio.to_thread(candidate.keep, self._settings)
            self._outcome, self._tried = "", None
            log.info("new credentials are in use: %s", path)
            self._tell(event("uplink_credentials_changed", str(path), self._clock))
        self._judged.set()

    # ---- provisioning

    async def _provisioned(self) -> None:
        """Get credentials from the server, at its pace. Raises why there are none yet."""
        now, uplink = self._clock.monotonic(), self._settings.uplink
        if self._refusal is not None and now < self._ask_at:
            raise self._refusal
        try:
            await self._provision()
        except Retryable as error:
            self._refusal, self._ask_at = error, now + next(self._delays)
            raise
        except Rejected as error:
            self._refusal = error
            self._ask_at = now + self._rng.uniform(uplink.refused_backoff_s / 2, uplink.refused_backoff_s)
            raise

    async def _provision(self) -> None:
        settings, uplink = self._settings, self._settings.uplink
        secret = read_provision_secret(settings)
        wanted = await asyncio.to_thread(self._wanted)
        try:
            given = await ask(uplink, self._name, secret, wanted, self._paths)
        except AlreadyThere as refusal:
            # Made by a request of ours whose answer was lost in a cut?
            try:
                await accepted(uplink, self._name, read_login(settings, at=candidate.beside(settings)), self._paths)
            except Rejected:
                raise refusal from None
            given = wanted
        await asyncio.to_thread(self._keep, given, wanted)
        log.info("provisioned as %s", self._name)
        self._tell(event("uplink_provisioned", f"{self._name}: {WORDS[given.kind]}", self._clock))

    def _wanted(self) -> Credential:
        """Return what the gateway wants to be known by, durable beside its place before anybody hears of it."""
        settings, uplink = self._settings, self._settings.uplink
        if (login := self._waiting()) is None:
            if uplink.credentials == "x509":
                ensure_key(Path(settings.gateway.state_dir))
                raw = self_signed(Path(settings.gateway.state_dir), self._name)
            else:
                raw = f"{new_secret()}\n".encode()
            login = candidate.put(settings, raw)
        match uplink.credentials:
            case "access_token":
                return Credential("access_token", login.username)
            case "mqtt_basic":
                return Credential("mqtt_basic", login.password or "", uplink.client_id or self._name, uplink.username)
            case _:
                return Credential("x509", login.certificate.decode("ascii", "replace"))

    def _keep(self, given: Credential, wanted: Credential) -> None:
        """Put what the server gave in its place, durably. Rejected where the settings lead to something else."""
        settings, uplink = self._settings, self._settings.uplink
        if given.kind == "x509" and not given.same(wanted):
            raise Rejected(f"the server knows {self._name} by another certificate than this gateway's; give the device "
                           "there this one, or other credentials")
        if not given.same(wanted):
            candidate.put(settings, f"{given.secret}\n".encode(), given.kind)
        path = candidate.keep(settings, given.kind)
        if given.kind != uplink.credentials:
            raise Rejected(f'the server has another kind of credentials for {self._name}, now in {path}: set '
                           f'uplink.credentials = "{given.kind}"')
        # what the server leaves open, it does not look at
        if given.client_id not in ("", wanted.client_id) or given.username not in ("", wanted.username):
            raise Rejected(f"the server knows {self._name} as client {given.client_id!r}, user {given.username!r}: set "
                           f"uplink.client_id and uplink.username so; the password is in {path}")
        if not uplink.provision_secret_file:      # it opens the door to every board of the fleet
            (Path(settings.gateway.state_dir) / PROVISION_SECRET_FILE).unlink(missing_ok=True)

    def _backoff(self) -> Iterator[float]:
        return backoff(self._settings.uplink.backoff_first_s, self._settings.uplink.backoff_max_s, self._rng)
