"""The gateway at an access point of simulated kernel radios: real nl80211, hostapd and stations, WPA3-SAE, in a virtual machine.

Everything as the image starts it: halow-gateway.service without a single capability, halow-radio.service with hostapd.
"""

import json
import re

import pytest
from radio_site import AS_THE_GATEWAY, CONTROL, INTERVAL_S, LEVELS, STATIONS, RadioSite, mac

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

NOISE_DBM = -98
NEEDED_DB = {6_000: 4, 9_000: 5, 12_000: 7, 18_000: 10, 24_000: 13, 36_000: 17, 48_000: 21, 54_000: 23}      # medium.py
TOLERANCE_DB = 2.0
ASKING_S = 3.0      # what a look, asking and answering take in emulation on a busy machine


async def test_rssi_and_rate_of_three_stations_are_what_was_set(site: RadioSite) -> None:
    await site.all_heard()
    rates: dict[int, set[int]] = {station: set() for station in STATIONS}
    by_iw: dict[int, set[int]] = {station: set() for station in STATIONS}
    for _ in range(6):      # an average of five looks; and the driver tries another rate now and then
        before = await site.on("iw dev halow0 station dump")
        seen = await site.looks(1)
        blocks = (before + await site.on("iw dev halow0 station dump")).split("Station ")
        for station in STATIONS:
            rates[station].add(seen.peer(station)["tx_rate"]["kbps"])
            by_iw[station] |= {round(1000 * float(found)) for block in blocks if block.startswith(mac(station))
                               for found in re.findall(r"tx bitrate:\s+([\d.]+)", block)}
    security = re.split(r"(?m)^(?=02:)", await site.on(f"hostapd_cli -p {CONTROL} -s /run/radio -i halow0 all_sta"))
    for station in STATIONS:
        peer, level = seen.peer(station), LEVELS[station]
        assert abs(peer["rssi_dbm"] - level) <= TOLERANCE_DB, peer
        assert abs(peer["rssi_avg_dbm"] - level) <= TOLERANCE_DB, peer
        assert rates[station] & by_iw[station], f"{rates[station]} kbit/s, and iw says {by_iw[station]}"
        snr_db = level + 3 - NOISE_DBM      # as the station hears us
        slowest = min(rates[station])
        assert NEEDED_DB[slowest] - 3 <= snr_db + TOLERANCE_DB, f"{rates[station]} kbit/s do not get through at {snr_db} dB"
        block = next((part for part in security if part.startswith(mac(station))), "")
        assert "AKMSuiteSelector=00-0f-ac-8" in block, f"WPA3-SAE: {security}"
        assert "[MFP]" in block
    print(f"\nset {LEVELS}, read {[seen.peer(station)['rssi_avg_dbm'] for station in STATIONS]} dBm, {rates} kbit/s")


async def test_the_gateway_has_no_rights_but_its_units(site: RadioSite) -> None:
    main = await site.on("systemctl show -P MainPID halow-gateway.service")
    status = dict(line.split(":\t", 1) for line in (await site.on(f"cat /proc/{main}/status")).splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["780"] * 4
    assert {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


async def test_the_country_is_set_in_the_kernel_and_its_limits_are_shown_as_the_kernel_gives_them(site: RadioSite) -> None:
    domain = (await site.on("iw reg get")).split("global\n")[1].split("\n\n")[0]
    rules = [tuple(map(float, found)) for found in re.findall(r"\((\d+) - (\d+) @ (\d+)\), \(\S+, (\d+)\)", domain)]
    assert domain.startswith("country AU:"), domain
    ((width_mhz, eirp_dbm),) = [(width, power) for low, high, width, power in rules if low <= 5180 <= high]
    asked = f"{AS_THE_GATEWAY} halow-gateway link info --mac 02:00:00:00:00:00"
    told = json.loads(await site.on(f"{asked} --json"))["radio"]["facts"]["kernel_rules"]
    assert (told["country"], told["width_max_mhz"], told["listen_only"]) == ("AU", width_mhz, False)
    assert int(told["eirp_max_dbm"]) == eirp_dbm, "iw leaves the hundredths out"
    shown = await site.on(asked)
    assert re.search(r"^kernel's country +AU$", shown, re.MULTILINE), shown
    assert f"at most {width_mhz:g} MHz wide and {told['eirp_max_dbm']:g} dBm EIRP" in shown


async def test_meters_are_polled_over_the_air_and_known_by_their_station(site: RadioSite) -> None:
    await site.host.acked(12, timeout_s=60)
    meters = json.loads(await site.on("halow-gateway status --json"))["meters"]
    for meter, station in zip(meters, STATIONS, strict=True):
        assert meter["address"].startswith(f"10.41.0.1{station}:")
        assert meter["readings"] > 0
        assert abs(meter["rssi_dbm"] - LEVELS[station]) <= TOLERANCE_DB, "joined by the neighbour table"


async def test_a_swinging_level_changes_its_grade_past_the_hysteresis_only(site: RadioSite) -> None:
    """Station 2 stands at -81 dBm, a decibel below the threshold between good and fair: 3 dB past it and no less."""
    settled = 6
    await site.all_heard({**LEVELS, 2: -75})
    await site.looks(settled, 2)
    began = await site.now()
    for level in (-82, -78) * 3:      # within the hysteresis, looked at more than once each
        await site.looks(2, 2, {**LEVELS, 2: level})
    assert await site.grades(2, began) == [], "no flapping"
    for level in (-86, -78, -82, -74):
        await site.looks(settled, 2, {**LEVELS, 2: level})
    assert await site.grades(2, began) == ["fair", "good"], "each once: -78 is not 3 dB above -80"
    assert await site.grades(1, began) == []


async def test_a_cut_link_is_seen_within_three_looks_and_the_station_within_ten_seconds(site: RadioSite) -> None:
    await site.all_heard()
    cut = await site.watch(f"peer {mac(3)} unheard", 60, {station: LEVELS[station] for station in (1, 2)})
    print(f"\ncut link seen after {cut.waited_s:.1f} s")
    assert cut.came
    assert cut.waited_s <= 3 * INTERVAL_S + ASKING_S
    await site.line("lab-station-3", cut.began, "CTRL-EVENT-DISCONNECTED")
    back = await site.watch(f"peer {mac(3)} heard", 60, dict(LEVELS))
    print(f"station back seen after {back.waited_s:.1f} s")
    assert back.came
    assert back.waited_s <= 10 + ASKING_S
