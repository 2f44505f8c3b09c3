"""The control socket over real Unix sockets: both ends, and everything a bad or hasty client can do."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.control import CONNECTIONS_LIMIT, REQUEST_LIMIT_BYTES, NoDaemon, ask, serve
from edge.errors import EdgeError


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "run"      # made by the server
    assert len(str(directory)) < 90
    return directory


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"echo": request}


async def exchange(runtime_dir: Path, raw: bytes, *, eof: bool = False) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(runtime_dir / "control.sock")
    try:
        writer.write(raw)
        if eof:
            writer.write_eof()
        line = await reader.read()
    finally:
        writer.close()
    assert line.endswith(b"\n")
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


async def test_a_command_asks_and_the_daemon_answers(runtime_dir: Path) -> None:
    async with serve(runtime_dir, {"echo": echo}):
        answer = await asyncio.to_thread(ask, runtime_dir, "echo", name="Zähler 1", number=3)
    assert answer == {"echo": {"request": "echo", "name": "Zähler 1", "number": 3}}


async def test_answers_are_large_when_they_have_to_be(runtime_dir: Path) -> None:
    async def many(_: dict[str, Any]) -> dict[str, Any]:
        return {"meters": [{"name": f"meter-{i}", "state": "polling"} for i in range(5_000)]}

    async with serve(runtime_dir, {"status": many}):
        answer = await asyncio.to_thread(ask, runtime_dir, "status")
    assert len(answer["meters"]) == 5_000


async def test_only_the_owner_may_connect_and_nothing_is_left_behind(runtime_dir: Path) -> None:
    old = os.umask(0)
    try:
        async with serve(runtime_dir, {}) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(runtime_dir.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    assert list(runtime_dir.iterdir()) == []


def test_no_daemon_is_one_clear_line(runtime_dir: Path) -> None:
    with pytest.raises(NoDaemon, match="no gateway is running here; start it with `halow-gateway run`"):
        ask(runtime_dir, "status")


async def test_the_socket_of_a_killed_daemon_is_replaced(runtime_dir: Path) -> None:
    runtime_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(runtime_dir / "control.sock"))
        dead.listen()
    with pytest.raises(NoDaemon):
        ask(runtime_dir, "echo")
    async with serve(runtime_dir, {"echo": echo}):
        assert "echo" in await asyncio.to_thread(ask, runtime_dir, "echo")


async def test_a_second_daemon_is_refused_and_the_first_keeps_its_socket(runtime_dir: Path) -> None:
    async with serve(runtime_dir, {"echo": echo}):
        with pytest.raises(EdgeError, match="another gateway is running here"):
            await serve(runtime_dir, {}).__aenter__()
        assert "echo" in await asyncio.to_thread(ask, runtime_dir, "echo")


async def test_a_stranger_s_file_is_not_removed(runtime_dir: Path) -> None:
    runtime_dir.mkdir()
    (runtime_dir / "control.sock").write_text("precious")
    with pytest.raises(EdgeError, match="is no socket"):
        await serve(runtime_dir, {}).__aenter__()
    assert (runtime_dir / "control.sock").read_text() == "precious"


async def test_a_runtime_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EdgeError, match=r"no control socket: Not a directory; check gateway\.runtime_dir"):
        await serve(tmp_path / "file" / "run", {}).__aenter__()


@pytest.mark.parametrize(("raw", "error"), [
    (b"\n", "not a JSON object"),
    (b"[]\n", "not a JSON object"),
    (b"{\n", "not a JSON object"),
    (b"\xff\xfe\n", "not a JSON object"),
    (b"[" * 10_000 + b"\n", "not a JSON object"),
    (b'{"request": 1}\n', "unknown request; known are broken, echo"),
    (b'{"request": "format"}\n', "unknown request; known are broken, echo"),
    (b"{}\n", "unknown request; known are broken, echo"),
    (b'{"request": "' + b"x" * (2 * REQUEST_LIMIT_BYTES) + b'"}\n', "one line of JSON"),
    (b"x" * (2 * REQUEST_LIMIT_BYTES), "one line of JSON"),
    (b'{"request": "broken"}\n', "internal error in the daemon"),
])
async def test_bad_requests_get_an_answer_and_the_server_goes_on(runtime_dir: Path, raw: bytes, error: str) -> None:
    async def broken(_: dict[str, Any]) -> dict[str, Any]:
        return {"unsendable": object()}

    async with serve(runtime_dir, {"echo": echo, "broken": broken}):
        answer = await exchange(runtime_dir, raw)
        assert answer["ok"] is False
        assert error in answer["error"]
        assert (await exchange(runtime_dir, b'{"request":"echo"}\n'))["ok"] is True


async def test_a_request_cut_off_is_refused(runtime_dir: Path) -> None:
    async with serve(runtime_dir, {"echo": echo}):
        assert "one line of JSON" in (await exchange(runtime_dir, b'{"request":', eof=True))["error"]


async def test_a_silent_client_is_sent_away(runtime_dir: Path) -> None:
    async with serve(runtime_dir, {"echo": echo}, request_timeout_s=0.05):
        assert "no whole request within 0.05 s" in (await exchange(runtime_dir, b""))["error"]


async def test_refusals_and_slow_handlers_reach_the_command_as_one_line(runtime_dir: Path) -> None:
    async def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise EdgeError("the registry is busy")

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with serve(runtime_dir, {"refuse": refuse, "hang": hang}, handler_timeout_s=0.05):
        with pytest.raises(EdgeError, match="the gateway refused refuse: the registry is busy"):
            await asyncio.to_thread(ask, runtime_dir, "refuse")
        with pytest.raises(EdgeError, match=r"did not finish within 0\.05 s"):
            await asyncio.to_thread(ask, runtime_dir, "hang")


async def test_a_daemon_that_hangs_does_not_hang_the_command(runtime_dir: Path) -> None:
    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with serve(runtime_dir, {"hang": hang}):
        with pytest.raises(EdgeError, match=r"did not answer within 0\.05 s"):
            await asyncio.to_thread(ask, runtime_dir, "hang", timeout_s=0.05)


async def test_leaving_ends_open_connections(runtime_dir: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: dict[str, Any]) -> dict[str, Any]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    async with serve(runtime_dir, {"hang": hang}):
        reader, writer = await asyncio.open_unix_connection(runtime_dir / "control.sock")
        writer.write(b'{"request":"hang"}\n')
        await started.wait()
    assert cancelled.is_set()
    assert await reader.read() == b""
    writer.close()


async def test_connections_at_once_are_bounded(runtime_dir: Path) -> None:
    async with serve(runtime_dir, {"echo": echo}):
        idle = [await asyncio.open_unix_connection(runtime_dir / "control.sock") for _ in range(CONNECTIONS_LIMIT)]
        assert "too many requests at once" in (await exchange(runtime_dir, b""))["error"]
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize("reply", [b"", b"hello\n", b'{"ok": tr', b'["x"]\n'])
def test_a_stranger_that_listens_there_is_one_line(runtime_dir: Path, reply: bytes) -> None:
    import threading

    runtime_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime_dir / "control.sock"))
        listener.listen()

        def serve_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(reply)

        thread = threading.Thread(target=serve_once)
        thread.start()
        with pytest.raises(EdgeError) as caught:
            ask(runtime_dir, "status")
        thread.join()
    assert not isinstance(caught.value, NoDaemon)
    assert "\n" not in str(caught.value)


def test_it_works_on_uvloop_too(runtime_dir: Path) -> None:
    import uvloop

    async def main() -> dict[str, Any]:
        async with serve(runtime_dir, {"echo": echo}) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            return await asyncio.to_thread(ask, runtime_dir, "echo")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == {"echo": {"request": "echo"}}
    assert list(runtime_dir.iterdir()) == []
