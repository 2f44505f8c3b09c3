"""Firmware images through a gateway: ordered on the control socket, sent between polls, going on after a restart of either."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from errands_site import PASSWORD, Site
from orders_post import ALLOWING, Post, gateway, post

from edge.config import Settings
from edge.errands.image_store import ImageStore
from edge.errors import ConfigError, EdgeError, OrderRefused
from edge.store.registry import Registry

IMAGE = bytes(range(256)) * 20


def start(tmp_path: Path, **more: Any) -> dict[str, Any]:
    digest = ImageStore(tmp_path).put(IMAGE)
    return {"meter": "m1", "by": "alice", "do": "start", "identifier": b"fw-3".hex(), "sha256": digest, "size_bytes": len(IMAGE)} | more


def ask(do: str, **more: Any) -> dict[str, Any]:
    return {"request": "image", "meter": "m1", "by": "alice", "do": do} | more


async def until(there: Post, *phases: str) -> dict[str, Any]:
    """Ask how it stands until it stands so; the errand tells nobody but the meter's record."""
    async with asyncio.timeout(30):
        while True:
            state = await there.images.answer(ask("status"))
            if state["phase"] in phases:
                return state
            await asyncio.sleep(0.02)


async def test_an_image_goes_in_between_polls_and_is_activated_on_order(tmp_path: Path) -> None:
    async with post(tmp_path) as there:
        assert await there.images.answer(ask("status")) == {"phase": "none"}
        told = await there.images.answer(start(tmp_path))
        assert (told["phase"], told["identifier"]) == ("transfer", "fw-3")
        await until(there, "verified")
        with pytest.raises(OrderRefused, match="not confirmed"):
            await there.images.answer(ask("activate", at_ms=0, confirm="m2"))
        await there.images.answer(ask("activate", at_ms=0, confirm="m1"))
        await until(there, "active")
        assert there.site.meter.model.image.firmware == b"fw-3"
        assert bytes(there.site.meter.model.image._image) == IMAGE
        events = there.site.events()
        assert events.count("order_refused") == 1
        assert [event for event in events if event != "order_refused"] == [
            "image_ordered", "image_started", "image_transferred", "image_verified", "image_activation_ordered", "image_activating",
            "image_activated"]
        assert there.site.meter.counters.associations == 1


async def test_a_gateway_that_is_stopped_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Site().running() as site:
        with Registry.open(tmp_path / "registry.db") as registry:
            registry.add(replace(site.row()), PASSWORD)
        async with gateway(tmp_path, site) as there:
            await there.images.answer(start(tmp_path))
            async with asyncio.timeout(20):
                while not (site.meter.counters.actions > 5):
                    await asyncio.sleep(0)
        assert not all(site.meter.model.image._blocks)
        before = site.meter.counters.actions
        await site.meter.power_off()
        await site.meter.power_on()
        async with gateway(tmp_path, site) as there:
            await until(there, "verified")
        assert site.meter.counters.actions - before <= 40 - (before - 1) + 2, "only what was missing, and the verification"
        assert bytes(site.meter.model.image._image) == IMAGE
        assert "image_resumed" in site.events()


@pytest.mark.parametrize(("change", "words"), [
    ({"sha256": "0" * 64}, "cannot be read"), ({"size_bytes": 5}, "is damaged"), ({"identifier": "zz"}, "is not hexadecimal"),
    ({"identifier": ""}, "an identifier of 1 to 64 octets"), ({"at_ms": 0}, "not confirmed"), ({"meter": "m2"}, "no meter is named"),
    ({"do": "dance"}, "no such request"),
])
async def test_what_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    async with post(tmp_path, paused=False) as there:
        with pytest.raises(EdgeError, match=words):
            await there.images.answer(start(tmp_path) | change)
        assert there.site.meter.counters.actions == 0


async def test_by_default_and_without_a_poller_nothing_is_sent(tmp_path: Path) -> None:
    async with post(tmp_path, Settings(poll=ALLOWING.poll)) as there:
        with pytest.raises(OrderRefused, match=r"image\.allow"):
            await there.images.answer(start(tmp_path))
        assert there.site.events() == ["order_refused"]
    async with post(tmp_path / "paused", paused=True) as there:
        with pytest.raises(OrderRefused, match="not polled"):
            await there.images.answer(start(tmp_path))
        assert await there.images.answer(ask("status")) == {"phase": "none"}
    async with post(tmp_path / "microstar", kind="microstar") as there:
        with pytest.raises(OrderRefused, match="names no image transfer"):
            await there.images.answer(start(tmp_path))


async def test_an_abort_and_a_second_order(tmp_path: Path) -> None:
    async with post(tmp_path) as there:
        with pytest.raises(OrderRefused, match="no image is under way"):
            await there.images.answer(ask("abort"))
        there.site.meter.model.image._enabled = True
        await there.images.answer(start(tmp_path))
        with pytest.raises(OrderRefused, match="under way"):
            await there.images.answer(start(tmp_path))
        told = await there.images.answer(ask("abort"))
        assert (told["phase"], told["why"]) == ("aborted", "by alice")
        with pytest.raises(ConfigError):
            await there.images.answer({"do": "status"})
