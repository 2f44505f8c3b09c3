"""IP -> MAC: messages from bytes, /proc/net/arp, and a real kernel table in a namespace of its own."""

import shutil
import struct
import subprocess
import sys

import nlbytes as nl
import pytest

from halow import neighbours as module
from halow.neighbours import neighbours, parse_arp, parse_neighbour

ARP = """IP address       HW type     Flags       HW address            Mask     Device
10.0.0.5         0x1         0x2         0C:BF:74:00:00:05     *        wlan1
10.0.0.6         0x1         0x0         00:00:00:00:00:00     *        wlan1
10.0.0.7         0x1         0x6         0c:bf:74:00:00:07     *        wlan1
"""


def neighbour(address, mac, state=0x02, kind=28):
    body = struct.pack("=BBHiHBB", 2 if len(address) == 4 else 10, 0, 0, 4, state, 0, 1)
    body += nl.attr(1, address) + (nl.attr(2, mac) if mac is not None else b"")
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


@pytest.mark.parametrize(("message", "expected"), [
    (neighbour(bytes([10, 0, 0, 5]), bytes.fromhex("0cbf74000005")), ("10.0.0.5", "0c:bf:74:00:00:05")),
    (neighbour(bytes(15) + b"\1", bytes.fromhex("0cbf74000005"), state=0x04), ("::1", "0c:bf:74:00:00:05")),
    (neighbour(bytes([10, 0, 0, 6]), None, state=0x01), None),
    (neighbour(bytes([10, 0, 0, 6]), bytes(6), state=0x20), None),
    (neighbour(bytes([10, 0, 0, 6]), bytes(6), state=0x40), None),
    (neighbour(bytes([10, 0, 0, 6]), bytes(20)), None),
    (neighbour(bytes([10, 0, 0, 5]), bytes(6), kind=29), None),
    (b"short", None),
])
def test_one_message(message, expected):
    assert parse_neighbour(message) == expected


def test_proc_net_arp():
    assert parse_arp(ARP) == {"10.0.0.5": "0c:bf:74:00:00:05", "10.0.0.7": "0c:bf:74:00:00:07"}


async def test_without_netlink_the_fallback_is_read_and_says_so(tmp_path, monkeypatch):
    def refused(protocol):
        raise OSError(97, "Address family not supported by protocol")

    arp = tmp_path / "arp"
    arp.write_text(ARP)
    monkeypatch.setattr(module, "NetlinkSocket", refused)
    found = await neighbours(arp)
    assert found.source == str(arp)
    assert found.macs["10.0.0.5"] == "0c:bf:74:00:00:05"


async def test_this_machines_table_is_readable():
    found = await neighbours()
    assert found.source == "netlink"
    assert all(len(mac) == 17 for mac in found.macs.values())


def test_a_real_kernel_table():
    """In a network namespace of its own, with one neighbour of each kind."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("needs unshare and ip")
    script = (
        "ip link add v0 type veth peer name v1 && ip link set v0 up && ip addr add 10.9.9.1/24 dev v0"
        " && ip neigh add 10.9.9.9 lladdr 0c:bf:74:00:00:09 dev v0 nud permanent"
        ' && ip -6 neigh add fd00::9 lladdr 0c:bf:74:00:00:0a dev v0 nud reachable || exit 77; exec "$@"'
    )
    code = "import asyncio; from halow.neighbours import neighbours; print(sorted(asyncio.run(neighbours()).macs.items()))"
    done = subprocess.run(["unshare", "-rn", "sh", "-c", script, "sh", sys.executable, "-c", code], capture_output=True,
                          text=True, timeout=60, check=False)
    if done.returncode in (1, 77) and "halow" not in done.stderr:
        pytest.skip(f"no network namespace here: {done.stderr.strip()}")
    assert done.stdout.strip() == str([("10.9.9.9", "0c:bf:74:00:00:09"), ("fd00::9", "0c:bf:74:00:00:0a")]), done.stderr
