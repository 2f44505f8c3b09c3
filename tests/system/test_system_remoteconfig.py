"""ThingsBoard's hands on the whole gateway as a process: calls, and settings that are taken, refused, taken back, lost in a kill."""

import asyncio
import json
import os
import socket
from pathlib import Path

from settings_site import Place, place

ALLOWED = ["poll", "uplink.port", "uplink.ack_timeout_s"]


def told(there: Place) -> tuple[object, object]:
    """What the gateway says of the attribute: state, and why."""
    known = there.server.contract.store.attributes.get("gateway", {})
    return known.get("config_state"), known.get("config_error")


def sets(there: Place, value: object) -> None:
    """The operator sets the attribute, or deletes it."""
    if value is None:
        there.server.contract.delete_shared("", "config")
    else:
        there.server.contract.set_shared("", {"config": value})


async def reaches(there: Place, state: str, why: str = "none") -> None:
    async with asyncio.timeout(90):
        while (told(there)[0], why in str(told(there)[1])) != (state, True):
            await asyncio.sleep(0.05)


async def calls(there: Place, method: str) -> dict[str, object]:
    """A call to the gateway's device, and its answer."""
    before = len(there.server.contract.store.rpc_answers)
    there.server.contract.call("", method)
    async with asyncio.timeout(60):
        while len(there.server.contract.store.rpc_answers) == before:
            await asyncio.sleep(0.05)
    answer = there.server.contract.store.rpc_answers[-1][1]
    assert isinstance(answer, dict)
    return answer


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_settings_and_calls_from_thingsboard_through_trial_refusal_bad_uplink_and_kill(tmp_path: Path) -> None:
    async with place(tmp_path, remote={"configurable": ALLOWED, "config_trial_s": 2.0}) as there:
        await reaches(there, "none")
        sets(there, {"poll": {"interval_s": 0.4}})
        await reaches(there, "applied")
        await there.reads_on()
        assert there.connections == 1
        assert "m1" in (await calls(there, "status"))["meters"]      # of meters by name
        assert "log_level" in str((await calls(there, "log_level"))["error"]), "not allowed, and so answered"
        shown = json.loads((await there.run("config", "show", "--json")).stdout)
        assert (shown["poll"]["interval_s"], shown["origins"]["poll.interval_s"], shown["origins"]["uplink.host"]) == (0.4, "ThingsBoard", "file")
        assert "ok    settings: 1 of them set by ThingsBoard" in (await there.run("check")).stdout

        sets(there, {"poll": {"interval_s": 0.4}, "gateway": {"state_dir": "/tmp"}})
        await reaches(there, "refused", "gateway.state_dir: is never taken from a server")

        # a way that leads nowhere: the gateway comes back by itself, and polls meanwhile
        logins = there.logins
        sets(there, {"poll": {"interval_s": 0.4}, "uplink": {"port": closed_port()}})
        await reaches(there, "rolled_back", "nothing was acknowledged within 2 s")
        assert there.logins > logins
        there.server.contract.shared[""]["config"] = {"poll": {"interval_s": 0.4}, "uplink": {"port": 1}}      # not heard of
        await there.reads_on()
        assert there.connections == 1

        # a kill in the middle of a trial
        there.gateway.configure(remote={"config_trial_s": 600.0})
        assert [change["key"] for change in (await there.reload())["changed"]] == ["remote.config_trial_s"]
        sets(there, {"uplink": {"port": 1, "ack_timeout_s": 10.0}})
        await there.until(lambda status: not status["uplink"].get("connected"))
        assert json.loads((there.gateway.state / "remote-config.json").read_text())["trial"]["settings"]["uplink"]["port"] == 1
        there.gateway.kill()
        there.gateway.start()
        await reaches(there, "rolled_back", "started anew")
        await there.reads_on()      # by the layer that was proven before

        sets(there, None)
        await reaches(there, "none")
        assert there.history()[-1].words() == "the settings file alone"
        assert [(entry.outcome, entry.by) for entry in there.history()] == [
            ("trial", "thingsboard"), ("applied", "thingsboard"), ("refused", "thingsboard"), ("trial", "thingsboard"),
            ("rolled_back", "thingsboard"), ("applied", there.history()[5].by), ("trial", "thingsboard"), ("rolled_back", "thingsboard"),
            ("trial", "thingsboard"), ("applied", "thingsboard")]
        assert there.history()[5].by.startswith(f"uid {os.getuid()}")
