"""What the kernel and the daemons say when stations come and go, heard with the gateway's rights, and read by the product's own decoders.

`HALOW_RECORD=1 make test-radio` keeps what the kernel said in tests/halow/recorded, where `make test` reads it again.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from radio_site import AS_THE_GATEWAY, CONTROL, LAB, LEVELS, RadioSite, mac

from halow import nl80211
from halow.model import Change, LinkEvent
from halow.netlink import GENERIC, HEADER

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

RECORDED = Path(__file__).parents[1] / "halow/recorded"
NEW_STATION, DEL_STATION, AUTHENTICATE, ASSOCIATE, DEAUTHENTICATE, DISASSOCIATE, CONNECT, DISCONNECT, NOTIFY_CQM = 19, 20, 37, 38, 39, 40, 46, 48, 64
LISTENERS = {
    "ap": f"{LAB}/python {LAB}/record.py halow0 /run/radio/ap.json",
    "station": f"ip netns exec s1 {LAB}/python {LAB}/record.py sta1 /run/radio/station.json",
    "hostapd": f"{AS_THE_GATEWAY} {LAB}/python {LAB}/feed.py halow0 {CONTROL}",
    # In its namespace: a client's own, abstract address is known there only.
    "supplicant": f"ip netns exec s1 {AS_THE_GATEWAY} {LAB}/python {LAB}/feed.py sta1 /run/radio/control-1",
}


async def listen(site: RadioSite) -> None:
    """Start all of them side by side; each says itself when it hears."""
    await site.on("".join(f"systemd-run --quiet --unit=listen-{name} --property=Type=notify {command} & " for name, command in LISTENERS.items()) + "wait")
    assert await site.on("systemctl is-active " + " ".join(f"listen-{name}" for name in LISTENERS)) == "\n".join(["active"] * len(LISTENERS))


async def heard(site: RadioSite) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """End them; return the two recordings, and what either daemon's reader has printed."""
    await site.on("systemctl stop " + " ".join(f"listen-{name}" for name in LISTENERS))
    ap, station = [json.loads(await site.on(f"cat /run/radio/{name}.json")) for name in ("ap", "station")]
    hostapd, supplicant = [[json.loads(line) for line in (await site.on(
        f"journalctl -b -u listen-{name} -o cat --no-pager | grep '^{{'")).splitlines()] for name in ("hostapd", "supplicant")]
    return ap, station, hostapd, supplicant


def events(recording: dict[str, Any]) -> list[tuple[int, LinkEvent | None]]:
    """Every message of the kernel's, by its command, and what we make of it."""
    messages = [bytes.fromhex(one) for one in recording["event"]]
    return [(GENERIC.unpack_from(one, HEADER.size)[0], nl80211.event(one, recording["ifindex"])) for one in messages]


async def test_who_comes_and_goes_is_told_with_its_reason_to_the_gateways_user(site: RadioSite) -> None:
    await site.all_heard()
    await listen(site)
    since = await site.now()
    for command, end in (("deauthenticate", "DISCONNECTED"), ("disassociate", "DISCONNECTED")):
        await site.on(f"hostapd_cli -p {CONTROL} -s /run/radio -i halow0 {command} {mac(1)}")
        await site.line("lab-station-1", since, f"CTRL-EVENT-{end}")
        await site.line("lab-station-1", since, "CTRL-EVENT-CONNECTED")
        since = await site.now()
    supplicant = "wpa_cli -p /run/radio/control-1 -s /run/radio -i sta1"
    await site.on(f"{supplicant} disconnect")
    await site.line("lab-station-1", since, "CTRL-EVENT-DISCONNECTED")
    since = await site.now()
    await site.on(f"{supplicant} reconnect")
    await site.line("lab-station-1", since, "CTRL-EVENT-CONNECTED")
    since = await site.now()
    assert (await site.watch(f"peer {mac(1)} unheard", 60, {station: LEVELS[station] for station in (2, 3)})).came
    await site.line("lab-station-1", since, "CTRL-EVENT-DISCONNECTED")
    await site.all_heard()
    ap, station, hostapd, supplicant_said = await heard(site)

    of_station = events(station)
    assert {NEW_STATION, DEL_STATION, AUTHENTICATE, ASSOCIATE, DEAUTHENTICATE, DISASSOCIATE, CONNECT, DISCONNECT, NOTIFY_CQM} <= {
        command for command, _ in of_station}
    reasons = [(command, event.reason) for command, event in of_station if event is not None and event.reason and event.mac == mac(0)]
    for wanted in ((DEAUTHENTICATE, "reason 2: authentication expired"), (DISASSOCIATE, "reason 2: authentication expired"),
                   (DEAUTHENTICATE, "reason 3: the station left, we ended it"), (DEAUTHENTICATE, "reason 4: inactivity, we ended it")):
        assert wanted in reasons, reasons
    of_ap = [event for _, event in events(ap) if event is not None and event.mac == mac(1)]
    assert [event.change for event in of_ap].count(Change.PEER_ADDED) >= 3, of_ap
    assert of_ap[-1].change is Change.PEER_ADDED
    facts, *said = hostapd
    assert facts["facts"], facts["problem"]
    assert (facts["facts"]["kind"], facts["facts"]["state"], facts["facts"]["ssid"]) == ("hostapd", "ENABLED", "lab")
    assert {event["change"] for event in said if event["mac"] == mac(1)} == {"peer_added", "peer_removed"}
    facts, *said = supplicant_said
    assert facts["facts"], facts["problem"]
    assert (facts["facts"]["kind"], facts["facts"]["state"], facts["facts"]["ssid"]) == ("wpa_supplicant", "COMPLETED", "lab")
    assert "resync" in {event["change"] for event in said}, "beacons stayed away"
    assert "reason 4: inactivity, we ended it" in {event["reason"] for event in said}
    stranger = await site.on(f"setpriv --reuid=65534 --regid=65534 --clear-groups -- ls {CONTROL}", check=False)
    assert "Permission denied" in stranger, "only root and the gateway's group may ask the daemon"

    kernel = await site.on("uname -r")
    if "HALOW_RECORD" in os.environ:
        for name, found in (("hwsim-ap", ap), ("hwsim-station", station)):
            (RECORDED / f"{name}.json").write_text(json.dumps({"kernel": kernel, "levels": LEVELS, **found}, indent=1) + "\n")
