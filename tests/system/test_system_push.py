"""A meter pushes, the gateway is a process, ThingsBoard's stand-in is at the other end: in clear and ciphered, over a kill -9."""

import asyncio
import socket
from pathlib import Path

import pytest
from gateway_process import TOKEN, GatewayProcess
from push_site import AK, EK, GENERIC, TITLE, free_port, send_udp, simulated

from edge.demo.pusher import Pusher
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules

pytestmark = pytest.mark.system


async def test_a_push_reaches_thingsboard_and_no_replay_of_it_does(tmp_path: Path) -> None:
    meter, port, rules = simulated(), free_port(), Rules(TOKEN, gateway_name="gw-test")
    meter.settings.manners.passwords[16] = None
    ciphered = Pusher(meter, secured_sap=3)
    host, meter_port = await meter.start()
    (tmp_path / "ek").write_text(EK.hex())
    (tmp_path / "ak").write_text(AK.hex())
    async with ThingsBoard(rules) as server:
        gateway = GatewayProcess(
            tmp_path, uplink={"enabled": True, "host": "127.0.0.1", "port": server.port, "backoff_first_s": 0.2},
            push={"enabled": True, "listen": "127.0.0.1", "tcp_port": port, "udp_port": port}, poll={"interval_s": 0.5})
        with gateway:
            gateway.token(TOKEN)
            # Polled once a second as the public client, so that the scalers are known; its pushes come ciphered.
            await command(gateway, "meter", "add", "m", host, "--port", str(meter_port), "--client-sap", "16", "--authentication", "none")
            gateway.start()
            await status(gateway, lambda state: state["push"]["listening"] and state["meters"][0]["readings"])
            await Pusher(meter).push("127.0.0.1", port)
            await status(gateway, lambda state: state["push"]["accepted"] == 1)
            await command(gateway, "meter", "edit", "m", "--security", "both", "--meter-title", TITLE.hex())
            for kind, file in (("encryption", "ek"), ("authentication", "ak")):
                await command(gateway, "meter", "set-key", "m", kind, "--file", str(tmp_path / file))
            message = b"".join(ciphered.frames(ciphered.message()))
            send_udp(port, message)
            state = await status(gateway, lambda state: state["push"]["accepted"] == 2)
            assert state["meters"][0]["pushes"] == 2
            send_udp(port, *Pusher(meter).frames(Pusher(meter).message()))
            await status(gateway, lambda state: state["push"]["refused"] == 1)
            await received(server, int(meter.now() * 1000))
            gateway.kill()
            gateway.start()
            await status(gateway, lambda state: state["push"]["listening"])
            send_udp(port, message, *ciphered.frames(ciphered.message()))
            state = await status(gateway, lambda state: state["push"]["received"] == 2)
            assert (state["push"]["accepted"] + state["push"]["waiting"], state["push"]["refused"]) == (1, 1)
            assert "a replay" in state["push"]["refusals"][0]["reason"]
            shown = (await command(gateway, "status")).stdout
            assert "PUSH REFUSALS" in shown.upper()
            assert gateway.stop() == 0
            assert EK.hex() not in gateway.log.read_text()
            assert "Traceback" not in gateway.log.read_text()
    await meter.close()
    at = int(meter.now() * 1000)
    pushed = {key: value for (device, key, ts), value in server.contract.store.points.items() if (device, ts) == ("m", at)}
    assert set(pushed) == {spec.key for spec in GENERIC.objects}, "the keys of a poll, at the meter's own time, and no poll_ok"
    raw = list(meter.model.raw_values(meter.now()).values())
    assert pushed["voltage_l1"] == pytest.approx(raw[0] / 10)
    assert server.contract.store.conflicts == []


async def command(gateway: GatewayProcess, *words: str):
    return await asyncio.to_thread(gateway.command, *words)


async def status(gateway: GatewayProcess, condition):
    return await asyncio.to_thread(gateway.await_status, condition)


async def received(server: ThingsBoard, ts: int) -> None:
    async with asyncio.timeout(30):
        while not any(place[2] == ts for place in server.contract.store.points):
            await asyncio.sleep(0.1)


def test_a_port_that_is_taken_keeps_nothing_else_from_work(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with GatewayProcess(tmp_path, push={"enabled": True, "listen": "127.0.0.1", "tcp_port": port, "udp_port": 0}) as gateway:
            gateway.start()
            state = gateway.await_status(lambda state: state["push"]["problem"])
            assert state["push"]["problem"] == (
                f"the ports: cannot listen on 127.0.0.1 tcp port {port}: another program has this port; end it, or set another push.tcp_port")
            assert state["gateway"]["overdue"] == []
            taken.close()
            gateway.await_status(lambda state: state["push"]["listening"])
            assert gateway.stop() == 0
