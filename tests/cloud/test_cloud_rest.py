"""The login: what is refused, what runs out, what is busy, what breaks off; and that no secret shows."""

import pytest
from thingsboard_rest import ThingsBoardRest

from cloud.errors import CloudError, LoginRefused, ServerError, Unreachable
from cloud.provision.kinds import DEVICE
from cloud.provision.rest import Rest
from cloud.provision.server import Server


@pytest.fixture
def server():
    with ThingsBoardRest() as running:
        yield running


def test_a_wrong_password_is_told_without_it(server):
    with pytest.raises(LoginRefused, match=r"login of tenant@example\.org refused: 401 Invalid username or password") as refused, \
            Rest(server.url, server.user, "wrong-password"):
        pass
    assert "wrong-password" not in str(refused.value) + repr(refused.value)


def test_no_secret_in_a_repr(server):
    with Rest(server.url, server.user, server.password) as rest:
        assert repr(rest) == f"Rest({server.url}, {server.user})"
        assert server.password not in repr(Server(rest))


def test_a_token_that_ran_out_is_renewed_unseen(server):
    server.token_lives = 2
    with Rest(server.url, server.user, server.password) as rest:
        for _ in range(7):
            rest.get("/api/customers", {"pageSize": 1, "page": 0})
    assert (server.logins, server.refreshes) == (1, 3)


def test_where_the_refresh_is_refused_too_it_logs_in_again(server):
    server.token_lives = 1
    with Rest(server.url, server.user, server.password) as rest:
        rest.get("/api/customers", {"pageSize": 1, "page": 0})
        server._refresh.clear()
        rest.get("/api/customers", {"pageSize": 1, "page": 0})
    assert server.logins == 2


def test_a_busy_server_is_given_time_and_then_told(server):
    waits = []
    with Rest(server.url, server.user, server.password, sleep=waits.append) as rest:
        server.busy = 3
        rest.get("/api/customers", {"pageSize": 1, "page": 0})
        assert waits == [1.0, 2.0, 4.0]
        server.busy = 99
        with pytest.raises(ServerError, match="429 Too many requests") as busy:
            rest.post("/api/customer", {"title": "x"})
    assert (busy.value.status, busy.value.code) == (429, 33)
    assert server.names("customer") == []


def test_a_user_who_may_not_is_told_which_request(server):
    server.authority = "CUSTOMER_USER"
    with Rest(server.url, server.user, server.password) as rest, pytest.raises(ServerError, match="POST /api/customer: 403"):
        rest.post("/api/customer", {"title": "x"})


def test_what_is_not_there_is_none_and_deleting_it_is_no_error(server):
    with Rest(server.url, server.user, server.password) as rest:
        gone = "/api/device/00000000-0000-0000-0000-000000000000"
        assert rest.find(gone) is None
        rest.delete(gone)


def test_all_pages_are_read(server):
    for number in range(205):
        server.seed("customer", {"title": f"c{number}"})
    with Rest(server.url, server.user, server.password) as rest:
        assert len(list(rest.pages("/api/customers"))) == 205


def test_who_changed_it_meanwhile_keeps_the_change(server):
    server.seed("device", {"name": "gw", "deviceProfileId": server.named("deviceProfile", "default")["id"]})
    with Rest(server.url, server.user, server.password) as rest:
        found = Server(rest).named(DEVICE, {"gw"}, "f")["gw"][0]
        server.before_save = lambda: server.seed("device", {**server.named("device", "gw"), "label": "theirs"})
        Server(rest).update(DEVICE, {"name": "gw", "additionalInfo": {"gateway": True}}, found)
    assert server.named("device", "gw")["label"] == "theirs"
    assert server.named("device", "gw")["additionalInfo"] == {"gateway": True}


@pytest.mark.parametrize(("url", "told"), [
    ("http://things.example.org", "in clear"), ("things.example.org", "not the address"), ("ftp://x", "not the address"),
    ("https://user:secret@x", "not the address"),
])
def test_addresses_that_are_refused_before_anything_is_sent(url, told):
    with pytest.raises(CloudError, match=told) as refused:
        Rest(url, "u", "p")
    assert "secret" not in str(refused.value)


def test_nobody_there():
    with ThingsBoardRest() as gone:
        url = gone.url
    with pytest.raises(Unreachable, match="Connection refused"), Rest(url, "u", "p"):
        pass
