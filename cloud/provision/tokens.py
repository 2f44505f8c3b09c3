"""Access tokens of gateways, from the server into files that only their owner can read; never onto a screen."""

import os
from pathlib import Path

from cloud.errors import CloudError, LoginRefused, ServerError
from cloud.fleet import Fleet
from cloud.provision.kinds import DEVICE
from cloud.provision.reconcile import Outcome
from cloud.provision.server import Server
from cloud.provision.wanted import Ref


def write(server: Server, fleet: Fleet, outcome: Outcome, folder: Path) -> list[Path]:
    """Write `<gateway>.token` for each gateway that logs in by token; what the gateway's `uplink.token` is to hold.

    What cannot be fetched becomes a failure of the outcome. Raises CloudError where the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for gateway in fleet.gateway:
            device_id = outcome.ids.get(Ref(DEVICE, gateway.name))
            if gateway.certificate or device_id is None:
                continue
            try:
                credentials = server.credentials(device_id)
            except LoginRefused:
                raise
            except ServerError as error:
                outcome.failures.append(f"token of {gateway.name}: {error}")
                continue
            if credentials.get("credentialsType") != "ACCESS_TOKEN":
                outcome.failures.append(f"token of {gateway.name}: it logs in by {credentials.get('credentialsType')}")
                continue
            written.append(_keep(folder / f"{gateway.name}.token", str(credentials["credentialsId"])))
    except OSError as error:
        raise CloudError(f"{folder}: tokens cannot be written: {error.strerror}") from error
    return written


def _keep(path: Path, token: str) -> Path:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{token}\n")
    return fresh.replace(path)
