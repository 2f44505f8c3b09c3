"""A server fresh from its installer gets passwords, a tenant and an operator; cut anywhere, it goes on; twice does nothing."""

import re
import uuid

import pytest
from click.testing import CliRunner
from thingsboard_rest import Refusal, ThingsBoardRest

from cloud.provision.bootstrap import ADMIN
from cloud.provision.cli import root


class FreshServer(ThingsBoardRest):
    """As DefaultSystemDataLoaderService leaves it: one administrator, with the password that everybody knows."""

    def __init__(self):
        super().__init__()
        self.users = {ADMIN: "sysadmin"}
        self.tenants, self.people, self.pending = {}, {}, {}
        self.cut_after = None

    def _route(self, handler, method, path, query, body):
        if self.cut_after is not None and method == "POST" and not path.startswith("/api/auth/login"):
            self.cut_after -= 1
            if self.cut_after < 0:
                raise Refusal(500, "the power failed", 2)
        if path == "/api/noauth/activate":
            email = self.pending.pop(body["activateToken"])
            self.users[email] = body["password"]
            return self._pair(email)
        if path == "/api/auth/changePassword":
            assert self.users[self.who] == body["currentPassword"]
            self.users[self.who] = body["newPassword"]
            self._tokens.clear()
            return {"token": "ended", "refreshToken": "ended"}
        if path.startswith(("/api/tenant", "/api/user")):
            self._admit(handler.headers.get("X-Authorization") or "")
            return self._people(method, path, query, body)
        return super()._route(handler, method, path, query, body)

    def _people(self, method, path, query, body):
        if path == "/api/tenants" or path.endswith("/users"):
            every = list((self.tenants if path == "/api/tenants" else self.people).values())
            return {"data": every, "totalPages": 1, "totalElements": len(every), "hasNext": False}
        if method == "POST":
            kept = self.tenants if path == "/api/tenant" else self.people
            made = {**body, "id": {"id": str(uuid.uuid4())}}
            kept[made["id"]["id"]] = made
            if path == "/api/user":
                assert query == {"sendActivationMail": "false"}
                self.pending[f"token-{made['email']}"] = made["email"]
            return made
        ident = re.fullmatch(r"/api/user/(.*)/activationLinkInfo", path)[1]
        token = f"token-{self.people[ident]['email']}"
        if token not in self.pending:
            raise Refusal(400, "User is already activated!", 31)
        return {"value": f"https://x/api/noauth/activate?activateToken={token}", "ttlMs": 1}


@pytest.fixture
def server():
    with FreshServer() as running:
        yield running


@pytest.fixture
def bootstrap(server, tmp_path):
    def run():
        done = CliRunner().invoke(root, ["bootstrap", "--url", server.url, "--tenant", "Utility", "--operator", "op@example.org",
                                         "--passwords", str(tmp_path / "passwords")])
        for path in (tmp_path / "passwords").glob("*.password"):
            assert path.read_text().strip() not in done.output
        return done.exit_code, done.output
    run.folder = tmp_path / "passwords"
    return run


def test_a_fresh_server_is_nobodys_any_more(server, bootstrap):
    assert bootstrap()[0] == 0
    assert set(server.users) == {ADMIN, "op@example.org"}
    for user, password in server.users.items():
        path = bootstrap.folder / f"{user}.password"
        assert (path.read_text(), path.stat().st_mode & 0o777) == (password + "\n", 0o600)
        assert len(password) >= 32
    assert [one["title"] for one in server.tenants.values()] == ["Utility"]
    (person,) = server.people.values()
    assert (person["authority"], person["tenantId"]) == ("TENANT_ADMIN", next(iter(server.tenants.values()))["id"])
    before = dict(server.users)
    assert bootstrap() == (0, "nothing was left to do\n")
    assert server.users == before


@pytest.mark.parametrize("after", range(4))
def test_it_goes_on_where_it_was_cut(server, bootstrap, after):
    server.cut_after = after
    status, output = bootstrap()
    assert status == 1
    assert "the power failed" in output
    server.cut_after = None
    assert bootstrap()[0] == 0
    assert (len(server.tenants), len(server.people), server.pending) == (1, 1, {})


def test_an_administrator_who_changed_the_password_by_hand_is_told(server, bootstrap):
    server.users[ADMIN] = "by hand"
    status, output = bootstrap()
    assert status == 1
    assert f"login of {ADMIN} refused" in output
