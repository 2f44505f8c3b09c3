"""A gateway's directories, its settings file, and the commands run in them as a person would."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from edge.cli import root
from edge.control import serve
from edge.store.registry import Registry

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Site:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.state_dir = base / "state"
        self.runtime_dir = base / "run"
        self.config = base / "gateway.toml"
        self.configure()

    def configure(self, more: str = "") -> None:
        self.config.write_text(
            f'[gateway]\nstate_dir = "{self.state_dir}"\nruntime_dir = "{self.runtime_dir}"\n'
            f"[ring]\nsize_mib = 24\n{more}")

    def __call__(self, *args: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(root, ["-c", str(self.config), *args], input=stdin, prog_name="halow-gateway")

    def good(self, *args: str, stdin: str | bytes | None = None) -> str:
        result = self(*args, stdin=stdin)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def refused(self, *args: str, stdin: str | bytes | None = None, status: int = 1) -> list[str]:
        """Run what must fail with `status`; return its lines on stderr, each of which must be the gateway's own."""
        result = self(*args, stdin=stdin)
        assert result.exit_code == status, result.output
        lines = result.stderr.splitlines()
        assert lines
        assert all(line.startswith("halow-gateway: ") for line in lines), result.stderr
        return [line.removeprefix("halow-gateway: ") for line in lines]

    def misused(self, *args: str, stdin: str | bytes | None = None) -> str:
        """Run what is wrong usage; return what stderr says."""
        result = self(*args, stdin=stdin)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("Usage: halow-gateway")
        return result.stderr

    def registry(self) -> Registry:
        return Registry.open(self.state_dir / "registry.db")

    @contextmanager
    def daemon(
        self, status: dict[str, Any] | None = None, reloaded: dict[str, Any] | None = None,
        orders: list[dict[str, Any]] | None = None, image: dict[str, Any] | None = None,
        **others: dict[str, Any],
    ) -> Iterator[list[dict[str, Any]]]:
        """Be the running gateway's control socket; the list grows with every request. `orders`: what comes of each.

        `others`: what further requests are answered, by name.
        """
        requests: list[dict[str, Any]] = []
        ready, stop = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()

        async def reload(request: dict[str, Any]) -> dict[str, Any]:
            requests.append(request)
            return reloaded or {}

        async def tell(request: dict[str, Any]) -> dict[str, Any]:
            requests.append(request)
            return status or {}

        outcomes = iter(orders or [])

        async def order(request: dict[str, Any]) -> dict[str, Any]:
            requests.append(request)
            return {"order": 7}

        async def order_state(request: dict[str, Any]) -> dict[str, Any]:
            assert request["order"] == 7
            return next(outcomes)

        async def tell_image(request: dict[str, Any]) -> dict[str, Any]:
            requests.append(request)
            return image or {}

        def telling(answer: dict[str, Any]) -> Handler:
            async def tell(request: dict[str, Any]) -> dict[str, Any]:
                requests.append(request)
                return answer
            return tell

        async def main() -> None:
            handlers = {"reload": reload, "status": tell, "order": order, "order_state": order_state, "image": tell_image,
                        **{name: telling(answer) for name, answer in others.items()}}
            async with serve(self.runtime_dir, handlers):
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
        thread.start()
        try:
            assert ready.wait(5)
            yield requests
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
