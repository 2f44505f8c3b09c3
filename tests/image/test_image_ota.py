"""Firmware that the gateway has fetched: root takes it out of the gateway's reach, RAUC decides, and the gateway hears the reason."""

from collections.abc import Callable
from pathlib import Path

import disk as parts
import pytest
from host_side import HostSide, on, ready
from vm import Board

AS_GATEWAY = "setpriv --reuid=halow-gateway --regid=halow-gateway --clear-groups --no-new-privs --"
FETCHED = "/var/lib/halow-gateway/ota/fw.package"


async def installed(box: Board, name: str) -> str:
    """Lay a bundle where the gateway fetches to, ask as the gateway does, and return what is said."""
    await on(box, f"{AS_GATEWAY} mkdir -p {Path(FETCHED).parent}; cp /run/updates/{name}.raucb {FETCHED}", timeout_s=120)
    await on(box, f"chown halow-gateway:halow-gateway {FETCHED}; chmod 0600 {FETCHED}")
    return await on(box, f"{AS_GATEWAY} /usr/lib/halow-gateway/ask-update {FETCHED} title 1.1.0 2>&1; echo status=$?", timeout_s=900)


@pytest.mark.timeout(1800)
async def test_fetched_firmware_is_installed_by_root_or_refused_with_its_reason(
    images: Path, host_side: HostSide, fresh_disk: Callable[[str], Path], board: Callable[..., Board], tmp_path: Path,
) -> None:
    folder = images / "amd64"
    key, certificate = parts.signing_key(images / "keys", "update")
    bundles = tmp_path / "bundles"
    parts.bundle(bundles / "good.raucb", root=folder / "rootfs-1.0.0.squashfs", kernel=folder / "kernel.vfat", version="1.1.0", key=key,
                 certificate=certificate)
    parts.unsigned(folder / "rootfs-1.0.0.squashfs", bundles / "unsigned.raucb")
    updates = tmp_path / "updates.ext4"
    parts.ext4(updates, bundles)
    drive = fresh_disk("amd64")
    host_side.card(drive)
    extra = ["-drive", f"file={updates},format=raw,if=none,id=updates,readonly=on", "-device", "virtio-blk-pci,drive=updates"]
    box = board("amd64", drive, extra=extra, memory_mib=1024).start()
    await ready(box)
    await on(box, "mkdir -p /run/updates; mount -o ro /dev/vdb /run/updates 2>/dev/null || mount -o ro /dev/vda /run/updates")
    said = await installed(box, "unsigned")
    print(said)
    assert said.endswith("status=1")
    assert said.startswith("failed: "), said
    assert "Signature" in said
    said = await installed(box, "good")
    print(said)
    assert said == "done\nstatus=0"
    size = (folder / "rootfs-1.0.0.squashfs").stat().st_size
    assert await on(box, f"cmp -n {size} /dev/disk/by-partlabel/rootfs-A /dev/disk/by-partlabel/rootfs-B && echo same", timeout_s=300) == "same"
    assert await on(box, f"ls {Path(FETCHED).parent} /data/rauc | grep -c -e package -e raucb || true") == "0"
    assert await on(box, "systemctl is-failed halow-gateway-update.service || true") != "failed"
