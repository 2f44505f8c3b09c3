"""What goes away and comes back: driver, daemon, and the ladder that brings a dead radio back by the image's own helper."""

import json
import re

import pytest
from radio_site import AFTER_S, AS_THE_GATEWAY, AT_MOST, CONTROL, RUNGS, STEP_WAIT_S, RadioSite

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

STEP = "halow-gateway-radio-step"
STEPS_AN_HOUR = 12      # `most` of radio-step
ASK = "/usr/lib/halow-gateway/ask-radio-step"


async def test_a_reloaded_driver_is_found_again(site: RadioSite) -> None:
    await site.all_heard()
    before = await site.on("systemctl show -P MainPID halow-gateway.service; cat /sys/class/net/halow0/ifindex")
    await site.unload()
    gone = await site.watch("radio absent", 30)
    assert gone.came
    assert gone.radio["reason"] == "interface_gone"
    await site.load()
    seen = await site.all_heard()
    after = await site.on("systemctl show -P MainPID halow-gateway.service; cat /sys/class/net/halow0/ifindex")
    assert before.split()[0] == after.split()[0], "the same process"
    assert before.split()[1] != after.split()[1], "another interface by the kernel's count"
    assert sum(seen.radio["recovery"]["taken"].values()) == 0, "a reload is no reason for the ladder"
    await site.host.acked(6, timeout_s=90)


async def test_a_restarted_hostapd_is_followed_again(site: RadioSite) -> None:
    await site.all_heard()
    began = await site.now()
    await site.on("systemctl kill -s KILL halow-radio.service")
    await site.on("systemctl start halow-radio.service")
    print("\n" + await site.line("halow-gateway", began, f"the radio.s daemon is followed at {CONTROL}/halow0"))
    seen = await site.all_heard(within_s=120)
    assert seen.radio["present"]


async def test_the_ladder_is_climbed_in_order_brings_the_driver_back_and_ends_at_its_limits(site: RadioSite) -> None:
    """Two steps are the image's own, taken by root for the gateway. The driver is back with the fourth; gone again, only the reboot is left."""
    await site.all_heard()
    await site.unload()
    began = await site.now()
    assert (await site.watch("radio absent", 30)).came
    back = await site.watch("radio present", AFTER_S + len(RUNGS) * (STEP_WAIT_S + 15) + 60)
    log = await site.said(since=began)
    assert back.came, log
    taken = re.compile(r"radio recovery: (\w+), because")
    assert taken.findall(log) == list(RUNGS[:-1]), "the gentlest first, each once, and no more than it took"
    assert "radio recovery: restart_daemon: exit status 1, failed: there is no halow0" in log, "root told the gateway why it did not do it"
    took = await site.said(STEP, since=began)
    assert re.findall(r"radio-step: (\w+ \w+)", took) == ["restart_daemon failed", "reload_driver done"]
    await site.line("halow-gateway", began, "radio recovery: reload_driver: exit status 0, done")
    await site.unload()
    last = await site.watch("ladder exhausted", AFTER_S + 60)
    assert last.radio["recovery"]["exhausted"].startswith(f"{AT_MOST} steps were taken within an hour")
    assert taken.findall(await site.said(since=began)) == list(RUNGS), "it goes on where it stood: the radio was not well for long"
    assert (await site.on("stat -c '%U %n' /run/halow-gateway/taken-*")).splitlines() == [
        f"halow-gateway /run/halow-gateway/taken-{rung}" for rung in sorted(("reassociate", "vendor_restart", "reboot"))], "as the gateway's user"
    assert json.loads(await site.on("cat /var/lib/halow-gateway/radio-recovery.json")) == {"reboots_in_row": 1}
    await site.load()
    seen = await site.all_heard()
    assert seen.radio["recovery"]["taken"] == dict.fromkeys(RUNGS, 1), "and no more"


async def test_root_takes_no_more_steps_than_it_counts_and_listens_on(site: RadioSite) -> None:
    """Whoever has taken the gateway over can ask as often as he likes; the helper counts for itself, and no limit of systemd's ends it."""
    daemon = await site.on("systemctl show -P MainPID halow-radio.service")
    assert await site.on(f"{AS_THE_GATEWAY} {ASK} restart_daemon") == "done"
    restarted = await site.on("systemctl show -P MainPID halow-radio.service")
    assert restarted not in (daemon, "0")
    taken = f"/run/{STEP}/.restart_daemon"
    await site.on(f"read -r up _ < /proc/uptime; up=${{up%%.*}}; for n in $(seq {STEPS_AN_HOUR}); do printf '%s ' $up; done > {taken}")
    refused = await site.on(f"{AS_THE_GATEWAY} {ASK} restart_daemon; ls /run/halow-gateway", check=False)
    assert f"refused: taken {STEPS_AN_HOUR} times within an hour" in refused
    assert "radio-step" not in refused.splitlines()[-1], "the request is answered"
    assert await site.on("systemctl show -P MainPID halow-radio.service") == restarted, "nothing was done"
    assert await site.on(f"systemctl show -P ActiveState {STEP}.path") == "active"
    await site.on(f"rm {taken}")
    assert await site.on(f"{AS_THE_GATEWAY} {ASK} restart_daemon") == "done", "the next one is taken as ever"
