"""A card with settings, a board, power: it comes up, polls and drains, and nothing on it is left open or failed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from host_side import HostSide, on, ready, status
from vm import Board

EXPOSURE = 1.5


@pytest.mark.timeout(900)
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
async def test_it_boots_polls_and_drains(
    architecture: str, host_side: HostSide, fresh_disk: Callable[[str], Path], board: Callable[..., Board],
) -> None:
    disk = fresh_disk(architecture)
    host_side.card(disk)
    with board(architecture, disk) as box:
        took = await ready(box)
        print(f"\nREADY {took:.0f} s after power on")
        await host_side.acked(50, timeout_s=300)
        assert await on(box, "systemctl is-system-running --wait", timeout_s=300) == "running", await on(box, "systemctl --failed")
        assert await on(box, "systemctl --failed --no-legend") == ""
        cycles = await on(box, "journalctl -b -o cat --no-pager | grep -i 'ordering cycle' || true")
        assert cycles == ""
        units = await on(box, "cd /usr/lib/systemd/system; systemd-analyze verify halow-* data.mount var.mount 2>&1", check=False)
        assert units == "", "systemd finds fault with a unit"
        said = await status(box)
        assert len(said["meters"]) == 10, "the card's meters"
        assert said["ring"]["healthy"]

        exposure = re.search(r"exposure level for halow-gateway.service: ([\d.]+)", await on(box, "systemd-analyze security halow-gateway.service --no-pager"))
        assert exposure
        print(f"systemd-analyze security halow-gateway.service: exposure {exposure[1]}")
        assert float(exposure[1]) <= EXPOSURE

        for path in ("/x", "/usr/x", "/etc/x", "/boot/x"):
            assert "Read-only" in await on(box, f"touch {path}", check=False), path
        main = await on(box, "systemctl show -P MainPID halow-gateway.service")
        assert await on(box, f"readlink /proc/{main}/exe") == "/usr/bin/halow-gateway", "the unit's main process is the program"
        print(await on(box, "systemctl show -P MemoryPeak -P TasksCurrent halow-gateway.service; free -m; systemd-analyze"))

        # What lay on the card is on the board, and the token no longer lies where every laptop reads it.
        assert await on(box, "stat -c '%U %a' /var/lib/halow-gateway/uplink.token /var/lib/halow-gateway") == "halow-gateway 600\nhalow-gateway 700"
        await on(box, "mkdir -p /run/card && mount -o ro /dev/disk/by-partlabel/boot /run/card")
        assert await on(box, "ls -A /run/card/provision; umount /run/card") == ""
        log = await on(box, "journalctl -b --no-pager")
        assert "token-of-the-rehearsal" not in log
        size = int(await on(box, "stat -f -c '%b' /data")) * int(await on(box, "stat -f -c '%S' /data"))
        assert size > 200 << 20, "/data has grown into the room behind it"


@pytest.mark.timeout(600)
async def test_settings_that_are_wrong_do_not_reboot_the_board_and_mending_them_is_enough(
    host_side: HostSide, fresh_disk: Callable[[str], Path], board: Callable[..., Board],
) -> None:
    disk = fresh_disk("amd64")
    host_side.card(disk)
    with board("amd64", disk) as box:
        await ready(box)
        await host_side.acked(10, timeout_s=300)
        settings = "/etc/halow-gateway/gateway.toml"
        await on(box, f"cp {settings} /data/kept.toml; echo 'nonsense = 1' > {settings}; systemctl restart halow-gateway.service", check=False)
        assert await on(box, "systemctl show -P ExecMainStatus -P ActiveState halow-gateway.service") == "78\nfailed"
        said = await on(box, "journalctl -b -u halow-gateway -o cat --no-pager | grep nonsense")
        assert settings in said
        assert "Traceback" not in said
        # As in a boot in which it never was ready, with the time for an image on trial over: this build was proven before, so
        # the fault is not the image's.
        await on(box, "rm /run/halow-gateway-good")
        boot = await on(box, "cat /proc/sys/kernel/random/boot_id")
        # In a later boot, that is: this one was ready once, and gets none.
        await on(box, "rm /run/halow-gateway-good; systemctl start halow-gateway-verdict.service")
        assert "stays" in await on(box, "journalctl -b -u halow-gateway-verdict -o cat --no-pager")
        assert await on(box, "systemctl is-system-running; cat /proc/sys/kernel/random/boot_id", check=False) == f"degraded\n{boot}"
        await on(box, f"cat /data/kept.toml > {settings}")
        await host_side.acked(20, timeout_s=120)
        assert "NRestarts=0" in await on(box, "systemctl show -p NRestarts halow-gateway.service")
