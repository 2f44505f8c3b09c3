"""Other settings while the whole gateway runs: what is changed, what is kept, what waits, and who is told to have done it."""

import asyncio
import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from settings_site import place

from edge.errors import EdgeError


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def test_what_changed_is_taken_up_and_what_did_not_goes_on(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        # an interval of an hour, and the first poll somewhere in half a minute: with another one it is polled now
        there.gateway.configure(poll={"interval_s": 0.5}, gateway={"log_level": "debug"})
        told = await there.reload()
        assert [(change["key"], change["before"], change["after"]) for change in told["changed"]] == [
            ("gateway.log_level", "info", "debug"), ("poll.interval_s", 3600.0, 0.5)]
        assert (told["restarted"], told["needs_restart"]) == ([], [])
        await there.reads_on()
        connections, logins = there.connections, there.logins
        assert connections == 1

        there.gateway.configure(poll={"interval_s": 0.4, "backoff_max_s": 30.0}, alarms={"max_current_a": 63.0},
                                duties={"clock_interval_s": 60.0}, discovery={"subnet": "127.0.0.0/30"}, push={"idle_timeout_s": 30.0})
        assert len((await there.reload())["changed"]) == 6
        await there.reads_on()
        assert (there.connections, there.logins) == (connections, logins)

        for port in free_ports(2):      # a listener that was not there, and at another place
            there.gateway.configure(push={"enabled": True, "listen": "127.0.0.1", "tcp_port": port, "udp_port": 0})
            await there.reload()
            await there.until(lambda status, port=port: status["push"]["listening"] == [f"tcp 127.0.0.1:{port}"])
        there.gateway.configure(push={"enabled": False})
        await there.reload()
        await there.until(lambda status: status["push"]["listening"] == [])

        there.gateway.configure(uplink={"keepalive_s": 15})      # the uplink's alone
        assert [change["key"] for change in (await there.reload())["changed"]] == ["uplink.keepalive_s"]
        await there.until(lambda status: there.logins == logins + 1 and status["uplink"].get("connected"))
        await there.reads_on()
        assert (there.connections, there.logins) == (connections, logins + 1)

        there.gateway.configure(poll={"exchange_timeout_s": 5.0, "connect_timeout_s": 5.0})      # the next association's
        assert (await there.reload())["restarted"] == ["m1"]
        await there.reads_on()
        assert (there.connections, there.logins) == (connections + 1, logins + 1)


async def test_what_needs_a_restart_is_named_and_nothing_wrong_is_half_applied(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        there.gateway.configure(poll={"interval_s": 1800.0}, ring={"size_mib": 32}, ota={"software_command": "/bin/install --token s3cret"})
        told = await there.reload()
        assert [change["key"] for change in told["changed"]] == ["poll.interval_s", "ota.software_command"]
        waiting = [{"key": "ring.size_mib", "before": 64, "after": 32}]
        assert told["needs_restart"] == waiting
        shown = (await there.run("config", "reload")).stdout
        assert shown == "Nothing else is in force than before.\nring.size_mib: 32 needs a restart; 64 is in force\n"

        own = tmp_path / "alarms.toml"      # right as settings, and what they name is wrong
        own.write_text("[[alarm]]\nname = 3\n")
        there.gateway.configure(alarms={"file": str(own)}, poll={"interval_s": 60.0})
        with pytest.raises(EdgeError, match=r"alarms\.toml"):
            await there.reload()
        there.gateway.configure(alarms={"file": 3})
        refused = await there.run("config", "reload", check=False)
        assert (refused.returncode, "alarms.file = 3: must be an absolute path" in refused.stderr) == (78, True)
        with pytest.raises(EdgeError, match=r"alarms\.file = 3: must be an absolute path"):      # and so says the daemon
            await there.reload()

        assert there.gateway.process is not None
        there.gateway.configure(alarms={"file": ""}, poll={"interval_s": 900.0}, ring={"size_mib": 64}, ota={"software_command": ""})
        there.gateway.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            while len(there.history()) < 2:
                await asyncio.sleep(0.05)
        first, second = there.history()
        assert first.by.startswith(f"uid {os.getuid()} (")
        assert ([*first.needs_restart], [*second.needs_restart], second.by) == (waiting, [], "signal")
        assert [change["before"] for change in second.changes] == [1800.0, "/bin/install ••••"]
        lines = (await there.run("config", "history")).stdout.splitlines()
        assert lines[1].endswith("  applied  by signal: poll.interval_s 1800.0 -> 900.0, "
                                 'ota.software_command "/bin/install ••••" -> ""')
        assert there.gateway.stop() == 0
        events = [record["values"] for record in there.gateway.dump() if record["values"].get("event") == "settings_changed"]
        assert [event["detail"] for event in events] == [f"applied by {entry.by}: {entry.words()}" for entry in (first, second)]
        assert "s3cret" not in there.gateway.log.read_text() + json.dumps(events)
