"""The gateway as a process with its page on, simulated meters behind it, and a client that speaks plain HTTP over TCP."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway_process import GatewayProcess

PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """One browser or script: keeps its cookie and CSRF token as a page would."""

    def __init__(self, port: int, *, tls: bool = False) -> None:
        self.port, self.tls = port, tls
        self.cookie = self.csrf = self.token = ""

    def connect(self, timeout_s: float = 30) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=context)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, kind: str = "application/json") -> Answer:
        sent = {"Content-Type": kind} if body is not None else {}
        sent |= {"Cookie": self.cookie} if self.cookie else {}
        sent |= {"X-CSRF-Token": self.csrf} if self.csrf else {}
        sent |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        raw = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(method, path if path.startswith("/") else f"/api/v1/{path}", raw, sent | dict(headers or {}))
            got = connection.getresponse()
            answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read().decode())
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
            self.csrf = answer.json.get("csrf", "")
        return answer


class Site:
    """A gateway with its page, in `directory`."""

    def __init__(self, directory: Path, *, tls: bool = False, **sections: Mapping[str, object]) -> None:
        self.port = free_port()
        self.gateway = GatewayProcess(directory, **{"api": {"enabled": True, "port": self.port, "tls": tls}, **sections})
        self.tls = tls

    def start(self) -> None:
        self.gateway.start()
        self.gateway.await_status(lambda status: status["gateway"]["workers"]["page"]["phase"] == "running" and self.listens(), 90)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self) -> Client:
        return Client(self.port, tls=self.tls)

    def code(self) -> str:
        return str(json.loads(self.gateway.command("page", "code", "--json").stdout)["code"])

    def admin(self) -> Client:
        """Somebody who has set the password with a code from the box."""
        client = self.client()
        answer = client.call("POST", "setup", {"code": self.code(), "password": PASSWORD})
        assert answer.status == 201, answer
        return client
