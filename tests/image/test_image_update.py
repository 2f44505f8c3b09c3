"""Updates through the boards' own boot script under U-Boot: a good one stays, a broken one goes by itself, a strange one never comes.

/data, and with it every reading, the meters and the keys, survives all of it.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_side import HostSide, on, ready, status
from vm import Board

LOADER = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"


async def booted(box: Board) -> tuple[str, str]:
    """(slot, version) that runs, as kernel and root tell."""
    return (await on(box, "sed -n 's/.*rauc.slot=\\([AB]\\).*/\\1/p' /proc/cmdline"), await on(box, ". /etc/os-release; echo $VERSION_ID"))


async def slot_status(box: Board) -> dict[str, Any]:
    """RAUC's word on the root slots, by boot name."""
    said = json.loads(await on(box, "rauc status --output-format=json"))
    slots = {values["bootname"]: values for slot in said["slots"] for values in slot.values() if values.get("bootname")}
    return {"primary": said["boot_primary"], **slots}


async def proven(box: Board) -> None:
    """Wait until the booted image has been marked good."""
    await ready(box)
    await on(box, "systemctl start halow-gateway-health.service")


@pytest.mark.timeout(2400)
async def test_updates_stay_roll_back_and_are_refused(
    images: Path, host_side: HostSide, fresh_disk: Callable[[str], Path], board: Callable[..., Board],
) -> None:
    disk = fresh_disk("arm64")
    host_side.card(disk)
    updates = f"file={images / 'arm64/updates.ext4'},format=raw,if=none,id=updates,readonly=on"
    box = board("arm64", disk, kernel=["-bios", LOADER], extra=["-drive", updates, "-device", "virtio-blk-pci,drive=updates"], memory_mib=1024).start()
    began = time.monotonic()

    def step(text: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {text}", flush=True)

    await proven(box)
    await host_side.acked(20, timeout_s=300)
    assert await booted(box) == ("A", "1.0.0")
    assert (await slot_status(box))["A"]["boot_status"] == "good"
    device = await on(box, "cat /var/lib/halow-gateway/device.id")
    step("1.0.0 runs from slot A and is marked good")

    await on(box, "mkdir -p /run/updates; mount -o ro /dev/disk/by-id/virtio-updates /run/updates 2>/dev/null || mount -o ro /dev/vdb /run/updates")
    before = await on(box, "sha256sum /dev/disk/by-partlabel/rootfs-B", timeout_s=300)
    for name in ("unsigned", "stranger"):
        said = await on(box, f"rauc install /run/updates/{name}.raucb 2>&1; echo status=$?", timeout_s=300)
        assert "status=0" not in said, said
        step(f"{name}: {said.splitlines()[-2]}")
    assert await on(box, "sha256sum /dev/disk/by-partlabel/rootfs-B", timeout_s=300) == before, "refused before a byte was written"
    said = await on(box, "rauc install /run/updates/tampered.raucb 2>&1; echo status=$?", timeout_s=400)
    assert "status=0" not in said
    assert (await slot_status(box))["primary"] == "rootfs.0", "what failed half way is not what boots next"
    step(f"tampered: {said.splitlines()[-2]}")

    await on(box, "rauc install /run/updates/good.raucb", timeout_s=600)
    step("1.1.0 installed while polling")
    newest = (await status(box))["ring"]["durable_seq"]["instant"]
    await restart(box)
    await proven(box)
    assert await booted(box) == ("B", "1.1.0")
    assert (await slot_status(box))["B"]["boot_status"] == "good"
    assert await on(box, "cat /var/lib/halow-gateway/device.id") == device
    await host_side.acked(20, timeout_s=300)
    assert (await status(box))["ring"]["durable_seq"]["instant"] > newest, "the numbers go on where they were"
    step("1.1.0 runs from slot B, is marked good, and polls the same meters")

    await on(box, "mkdir -p /run/updates; mount -o ro /dev/vdb /run/updates 2>/dev/null || mount -o ro /dev/vda /run/updates")
    await on(box, "rauc install /run/updates/broken.raucb", timeout_s=600)
    assert (await slot_status(box))["primary"] == "rootfs.0"
    newest = (await status(box))["ring"]["durable_seq"]["instant"]
    start = len(box.lines)
    await restart(box)
    tries = 0
    while True:
        start, line = await asyncio.to_thread(box.console, r"slots: starting [AB]", timeout_s=600, start=start)
        step(line)
        if "starting B" in line:
            break
        tries += 1
    assert tries == 3
    await proven(box)
    assert await booted(box) == ("B", "1.1.0")
    states = await slot_status(box)
    assert (states["A"]["boot_status"], states["B"]["boot_status"]) == ("bad", "good")
    await host_side.acked(20, timeout_s=300)
    assert (await status(box))["ring"]["durable_seq"]["instant"] > newest
    step("1.2.0, whose gateway cannot start, was given up after three tries; 1.1.0 is back and polls")


async def restart(box: Board) -> None:
    """Reboot in good order, and wait until the old system is gone."""
    boot = await on(box, "cat /proc/sys/kernel/random/boot_id")
    start = len(box.lines)
    box.send("systemctl reboot")
    await asyncio.to_thread(box.console, r"U-Boot \d|slots: starting", timeout_s=180, start=start)
    assert boot
