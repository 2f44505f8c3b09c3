"""The API as a process serves it: every route with its role, the door's refusals, meters from CSV to values."""

import contextlib
import re
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Self

import pytest
from api_site import PASSWORD

from edge.api.assets import LIMIT_BYTES, Assets
from edge.api.page import Page
from edge.api.sessions import Role
from edge.api.table import BASE, Route, Table
from edge.api.watch import STREAMS_EACH
from edge.clock import SystemClock
from edge.config import ApiSettings, GatewaySettings, Settings

ROLES = {
    "open": {"GET health", "POST setup", "POST session"},
    "view": {"GET session", "DELETE session", "GET status", "GET links", "GET ring", "GET logs", "GET inventory", "GET events",
             "GET openapi.json", "GET alarms", "GET meters", "GET meters/{name}", "GET meters.csv", "GET profiles", "GET config", "GET config/history",
             "GET /metrics"},
    "admin": {"PUT password", "GET tokens", "POST tokens", "DELETE tokens/{name}", "POST meters", "PATCH meters/{name}", "DELETE meters/{name}",
              "POST meters/{name}/pause", "POST meters/{name}/resume", "PUT meters/{name}/secrets", "POST meters/{name}/read",
              "GET meters/{name}/read/{order}", "POST meters.csv", "POST config/check", "POST config/reload", "POST alarms/acknowledge", "PUT logs/level"},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Table:
    settings = Settings(gateway=GatewaySettings(state_dir=str(tmp_path_factory.mktemp("none"))), api=ApiSettings(tls=False))
    doors = SimpleNamespace(settings=settings, clock=SystemClock(trust_wall=True), certified=str)
    return Page(doors).table


def rows(role: str) -> list[tuple[str, str]]:
    return [tuple(row.split()) for row in sorted(ROLES[role])]


def test_every_route_has_the_role_that_the_list_says(table):
    told = {role: {f"{route.method} {route.path.removeprefix(BASE + '/')}" for route in table.routes if route.role is Role[role.upper()]} for role in ROLES}
    assert told == ROLES


@pytest.mark.parametrize(("method", "path"), [*rows("view"), *rows("admin"), ("GET", "nothing"), ("POST", "meters/x/y/z"), ("BREW", "meters")])
def test_nobody_gets_in_without_a_login(site, method, path):
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YWRtaW46YWRtaW4="}, {"Cookie": "session=nonsense"}):
        answer = site.client().call(method, path.format(name="m1", order="1"), headers=headers)
        assert (answer.status, set(answer.json)) == (401, {"error", "problems", "setup_required"}), answer
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_open_routes_tell_little(site):
    assert set(site.client().call("GET", "health").json) == {"status", "setup_required", "language"}


@pytest.mark.parametrize(("method", "path"), rows("admin"))
def test_a_viewer_changes_nothing(viewer, method, path):
    answer = viewer.call(method, path.format(name="m1", order="1"), {} if method != "GET" else None)
    assert (answer.status, answer.json["error"]) == (403, "this takes the role admin")


@pytest.mark.parametrize("path", ["session", "status", "meters", "links", "ring", "logs", "inventory", "profiles", "config", "openapi.json", "meters.csv"])
def test_a_viewer_sees(viewer, path):
    answer = viewer.call("GET", path)
    assert answer.status == 200, answer
    assert PASSWORD not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not [name for name in answer.headers if name.startswith("access-control")], "no other site may read this"


def test_a_change_needs_the_pages_own_token_and_its_own_origin(site, admin):
    thief = site.client()
    thief.cookie = admin.cookie      # what a browser sends along by itself
    assert thief.call("POST", "tokens", {"name": "stolen"}).json["error"].startswith("X-CSRF-Token")
    refused = admin.call("POST", "tokens", {"name": "stolen"}, {"Origin": "https://evil.example"})
    assert (refused.status, refused.json["error"]) == (403, "another site has asked for this")
    assert admin.call("GET", "tokens").status == 200
    assert "stolen" not in admin.call("GET", "tokens").text


def test_the_cookie_is_for_this_page_only(site, admin):
    cookie = site.client().call("POST", "session", {"password": PASSWORD}).headers["set-cookie"]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}


def test_logging_out_ends_the_session(site, admin):
    client = site.client()
    assert client.call("POST", "session", {"password": PASSWORD}).status == 201
    kept = client.cookie
    assert client.call("DELETE", "session").status == 200
    client.cookie = kept
    assert client.call("GET", "session").status == 401


@pytest.mark.parametrize(("body", "kind", "status", "says"), [
    ("{", "application/json", 400, "not JSON"), ("[1]", "application/json", 400, "Expected"), ('{"name": "x"}', "application/json", 400, "host"),
    ('{"name": "x", "host": "h", "port": "no"}', "application/json", 400, "port"), ("x", "text/plain", 400, "application/json"),
    ("[" * 60_000, "application/json", 400, "Expected"), ('"' + "x" * 70_000 + '"', "application/json", 413, "65536"),
    ('{"name": "x", "host": "h", "nonsense": 1}', "application/json", 400, "nonsense"),
    ('{"name": "x", "host": "h", "profile": "none"}', "application/json", 422, "no meter profile"),
    ('{"name": "x", "host": "not a host"}', "application/json", 422, "host"),
])
def test_a_wrong_body_is_refused_with_its_reason(admin, body, kind, status, says):
    answer = admin.call("POST", "meters", body, kind=kind)
    assert (answer.status, says in answer.text) == (status, True), answer.text[:300]


def test_what_is_not_there_and_what_is_not_taken(admin):
    assert admin.call("GET", "nothing").status == 404
    assert admin.call("PUT", "meters", {}).headers["allow"] == "GET, HEAD, POST"
    assert admin.call("GET", "meters/none").status == 404
    assert admin.call("DELETE", "meters/none").status == 404
    assert admin.call("POST", "/index.html", {}).status in (401, 404)
    assert admin.call("GET", "/../../etc/passwd").status in (400, 404)
    assert admin.call("GET", "/%2e%2e/%2e%2e/etc/passwd").status == 404


def test_a_meter_from_csv_to_values_and_a_test_of_it(admin, viewer, meters, until):
    answer = admin.call("POST", "meters.csv", meters, kind="text/csv")
    assert (answer.status, len(answer.json["added"])) == (200, 2), answer
    first, second = answer.json["added"]
    assert admin.call("POST", "meters.csv", meters, kind="text/csv").status == 422
    assert admin.call("POST", "meters.csv?update=true", meters, kind="text/csv").json == {"added": [], "updated": [first, second]}
    row = until(lambda: next((row for row in viewer.call("GET", "meters").json["meters"] if row["name"] == first and row["values"]), None))
    volts = next(value for value in row["values"] if value["key"] == "voltage_l1")
    assert (volts["unit"], volts["obis"]) == ("V", "1-0:32.7.0.255")
    assert re.fullmatch(r"\d+\.\d+", volts["value"])
    number = admin.call("POST", f"meters/{first}/read").json["order"]
    came = admin.call("GET", f"meters/{first}/read/{number}?wait_s=10").json
    assert came["phase"] == "done", came
    assert {value["key"] for value in came["values"]} == {value["key"] for value in row["values"]}
    assert next(value for value in came["values"] if value["key"] == "voltage_l1")["unit"] == "V"
    assert admin.call("GET", f"meters/{first}/read/999").status == 404
    exported = viewer.call("GET", "meters.csv")
    assert exported.headers["content-disposition"] == 'attachment; filename="meters.csv"'
    assert exported.text.splitlines()[0].startswith("name,host,port")
    assert "password" not in exported.text.splitlines()[0]


def test_a_paused_meter_is_not_read_and_a_resumed_one_is(admin, until):
    name = admin.call("GET", "meters").json["meters"][0]["name"]

    def state() -> str:
        return next(row["state"] for row in admin.call("GET", "meters").json["meters"] if row["name"] == name)

    assert admin.call("POST", f"meters/{name}/pause").json == {"done": True, "notes": []}
    assert state() == "paused"
    assert admin.call("POST", f"meters/{name}/read").status == 409
    assert admin.call("POST", f"meters/{name}/resume").status == 200
    assert until(lambda: state() == "reading")


def test_a_meter_is_added_edited_and_removed_as_by_the_commands(site, admin):
    added = admin.call("POST", "meters", {"name": "Zähler 1/2", "host": "127.0.0.1", "port": 1, "paused": True})
    assert (added.status, added.json["notes"]) == (201, ["Zähler 1/2 wants a password"])
    assert admin.call("POST", "meters", {"name": "Zähler 1/2", "host": "h"}).status == 409
    path = "meters/Z%C3%A4hler%201%2F2"
    shown = admin.call("GET", path).json
    assert (shown["settings"]["port"], shown["password_set"]) == (1, False)
    assert admin.call("PATCH", path, {"port": 0}).json["problems"] == [{"field": "port", "text": "must be from 1 to 65535"}]
    assert admin.call("PATCH", path, {"host": "serial:/dev/ttyUSB0", "framing": None}).status == 200
    assert admin.call("GET", path).json["settings"]["port"] == 0, "a serial line has none"
    assert admin.call("PUT", f"{path}/secrets", {"password": "12345678", "encryption_key": "00" * 16}).status == 200
    assert admin.call("PUT", f"{path}/secrets", {"encryption_key": "xyz"}).json["problems"][0]["field"] == "encryption_key"
    assert admin.call("PUT", f"{path}/secrets", {"password": "x" * 65}).json["problems"][0]["field"] == "password"
    shown = admin.call("GET", path)
    assert (shown.json["password_set"], shown.json["keys_set"]) == (True, ["encryption_key"])
    assert "12345678" not in shown.text
    listed = site.gateway.command("meter", "list", "--json").stdout
    assert "Z\\u00e4hler 1/2" in listed or "Zähler 1/2" in listed
    assert admin.call("DELETE", path).status == 200
    assert admin.call("GET", path).status == 404


def test_a_candidate_of_the_settings_is_judged_at_the_field(admin):
    answer = admin.call("POST", "config/check", {"changes": {"poll": {"interval_s": -1}, "nonsense": {"x": 1}}}).json
    assert not answer["good"]
    assert {problem["field"] for problem in answer["problems"]} == {"poll.interval_s", ""}
    good = admin.call("POST", "config/check", {"changes": {"poll": {"interval_s": 30}}}).json
    assert good == {"good": True, "problems": [], "toml": "[poll]\ninterval_s = 30.0\n"}
    assert "not TOML" in admin.call("POST", "config/check", {"toml": "[poll"}).text
    assert admin.call("POST", "config/check", {"toml": good["toml"]}).json["good"]


class Stream:
    """An open stream of events."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), 30)
        self.connection.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def until(self, words: bytes, times: int = 1) -> bytes:
        while self.seen.count(words) < times:
            chunk = self.connection.recv(65_536)
            assert chunk, self.seen
            self.seen += chunk
        return self.seen


def test_the_file_is_taken_up_and_the_history_tells_by_whom(site, admin, viewer):
    file = site.gateway.config
    before = file.read_text()
    try:
        file.write_text(before.replace('log_level = "info"', 'log_level = "debug"'))
        assert file.read_text() != before
        answer = admin.call("POST", "config/reload").json
        assert answer == {"changed": [{"key": "gateway.log_level", "before": "info", "after": "debug"}], "needs_restart": [], "restarted": [], "objection": ""}
        newest = viewer.call("GET", "config/history").json["changes"][0]
        assert (newest["by"], newest["outcome"], newest["text"]) == ("page: admin at 127.0.0.1", "applied", 'gateway.log_level "info" -> "debug"')
        setting = next(each for each in viewer.call("GET", "config").json["settings"] if each["key"] == "log_level")
        assert setting["value"] == "debug"
        file.write_text("[poll]\ninterval_s = -1\n")
        refused = admin.call("POST", "config/reload")
        assert refused.status == 422
        assert "poll.interval_s" in refused.text
    finally:
        file.write_text(before)
        assert admin.call("POST", "config/reload").status == 200


def test_a_log_level_for_no_time_at_all_is_taken(admin):
    answer = admin.call("PUT", "logs/level", {"level": "debug", "for_s": 3e-304})
    assert answer.status == 200, answer
    assert admin.call("PUT", "logs/level", {"level": "info", "for_s": 0}).status == 200


def test_live_events_begin_with_everything_and_go_on(site, viewer):
    with Stream(site.port, viewer.token) as stream:
        seen = stream.until(b"event: news", 2)
    assert seen.index(b"event: all") < seen.index(b"event: news")
    assert b"text/event-stream" in seen


def test_who_opens_too_many_streams_loses_the_oldest_and_nobody_elses(site, viewer, admin):
    other = admin.call("POST", "tokens", {"name": "other"}).json["token"]
    with contextlib.ExitStack() as stack:
        neighbour = stack.enter_context(Stream(site.port, other))
        streams = [stack.enter_context(Stream(site.port, viewer.token)) for _ in range(STREAMS_EACH)]
        for stream in (neighbour, *streams):
            stream.until(b"event: news")
        newest = stack.enter_context(Stream(site.port, viewer.token))
        streams[0].until(b"event: elsewhere")
        streams[0].until(b"0\r\n\r\n")      # the end of a chunked answer, RFC 9112 clause 7.1
        for stream in (neighbour, *streams[1:], newest):
            stream.until(b"event: news", stream.seen.count(b"event: news") + 1)
            assert b"elsewhere" not in stream.seen
    admin.call("DELETE", "tokens/other")


def test_a_hundred_silent_connections_keep_nobody_out(site, viewer):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), 30))
            silent.sendall(b"GET /api/v1/health HT")
        assert site.client().call("GET", "health").status == 200
        assert viewer.call("GET", "status").status == 200
    assert "more connections than it keeps" in site.gateway.log.read_text()


def test_every_asset_is_small_and_served_once(site):
    assets = Assets().by_path
    assert sum(len(asset.content) for asset in assets.values()) < LIMIT_BYTES
    client = site.client()
    for path in assets:
        first = client.call("GET", path)
        assert first.status == 200, path
        assert client.call("GET", path, headers={"If-None-Match": first.headers["etag"]}).status == 304
        assert client.call("HEAD", path).text == ""


def test_guessing_a_password_is_slowed_down(site):
    answers = [site.client().call("POST", "session", {"password": f"guess {number} of many"}) for number in range(8)]
    assert [answer.status for answer in answers[-2:]] == [429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_table_lets_no_route_stand_twice():
    async def nothing(_call):
        return None

    route = Route("GET", "/a", Role.VIEW, nothing, "")
    with pytest.raises(AssertionError):
        Table([route, route])


def test_a_gateway_without_the_page_loads_nothing_of_it():
    program = ("import sys, edge.app, edge.commands.run\n"
               "print([name for name in sys.modules if name.split('.')[0] in ('starlette', 'uvicorn', 'h11', 'anyio') or name.startswith('edge.api')])")
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_log_is_asked_for_one_meter_and_its_level_changed_for_a_while(site, admin, viewer):
    assert viewer.call("PUT", "logs/level", {"level": "debug"}).status == 403
    answer = admin.call("PUT", "logs/level", {"level": "debug", "for_s": 600})
    assert (answer.json["level"], answer.json["settled"]) == ("debug", "info")
    told = viewer.call("GET", "logs?level=warning&most=500").json
    assert told["level"]["left_s"] <= 600
    assert any("log level debug, for 600 s, then info again: admin of the page" in line["text"] for line in told["lines"])
    assert viewer.call("GET", "logs?level=debug&meter=none").json["lines"] == []
    assert site.gateway.command("log", "level").stdout.startswith("log level debug, info again in ")
    assert admin.call("PUT", "logs/level", {"level": "info", "for_s": 0}).json["left_s"] is None
    assert admin.call("PUT", "logs/level", {"level": "debug", "part": "ring"}).json["parts"][0]["left_s"] > 1000
    assert admin.call("PUT", "logs/level", {"level": "default", "part": "ring"}).json == {"level": "info", "settled": "info", "left_s": None, "parts": []}
    assert admin.call("PUT", "logs/level", {"level": "debug", "part": "kitchen"}).status == 400


def test_prometheus_gets_its_metrics_by_a_token_in_the_form_that_it_asks_for(site, viewer):
    assert site.client().call("GET", "/metrics").status == 401
    text = viewer.call("GET", "/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nprocess_resident_memory_bytes " in text.text
    new = viewer.call("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"})
    assert new.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert new.text.endswith("# EOF\n")
    named = {line.split()[2] for line in site.gateway.command("metrics").stdout.splitlines() if line.startswith("# TYPE")}
    assert {"halow_gateway_info", "halow_ring_lost_records_total", "halow_uplink_connected"} <= named


async def test_only_the_board_itself_and_only_metrics_are_open_where_the_settings_say_so(tmp_path):
    async def text(*, openmetrics: bool) -> str:
        return "# EOF\n" if openmetrics else "old\n"

    async def asked(path: str, address: str, *, metrics_open: bool) -> int:
        settings = Settings(gateway=GatewaySettings(state_dir=str(tmp_path)), api=ApiSettings(tls=False, metrics_open=metrics_open))
        page, told = Page(SimpleNamespace(settings=settings, clock=SystemClock(trust_wall=True), metrics=text, certified=str)), []

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            told.append(message)

        await page.server._app({"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
                                "client": (address, 5), "server": ("h", 1), "scheme": "http"}, receive, send)
        page.access.close()
        return told[0]["status"]

    assert await asked("/metrics", "127.0.0.1", metrics_open=True) == 200
    assert await asked("/metrics", "::1", metrics_open=True) == 200
    assert await asked("/metrics", "127.0.0.1", metrics_open=False) == 401
    assert await asked("/metrics", "10.0.0.5", metrics_open=True) == 401
    assert await asked("/api/v1/status", "127.0.0.1", metrics_open=True) == 401
