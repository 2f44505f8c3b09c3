"""Zero-touch provisioning: one connection as user "provision", one request, one answer (I/O edge).

Why the gateway draws its secret itself, and what a power cut does: docs/decisions/0025-provisioning.md.
"""

import asyncio

from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import Retryable
from edge.uplink.mqtt import Session
from edge.uplink.opening import opened, versions_of
from edge.uplink.pathwatch import PathWatch
from edge.uplink.provisionwords import RESPONSE_TOPIC, USER_NAME, Credential, granted, request
from edge.uplink.reasons import Judgement, judge, reason_text
from edge.uplink.tls import tls_context
from edge.uplink.way import way_of

PROVISIONER = Login("the user name of provisioning", USER_NAME)


async def ask(settings: UplinkSettings, name: str, secret: str, wanted: Credential,
              paths: PathWatch | None = None) -> Credential:
    """Ask the server for the device `name`; return what it gave, which may be something else than `wanted`.

    Raises ConfigError for a bad CA file, Rejected (AlreadyThere among them) where only the operator can help, Retryable
    else. Cancelling leaves no socket behind; the server may have made the device all the same.
    """
    where, activity = str(paths.way if paths is not None else way_of(settings)), asyncio.Event()
    session = await opened(settings, versions_of(settings), 0.0, client_id=name, login=PROVISIONER, activity=activity,
                           tls=tls_context(settings), paths=paths)
    try:
        session.subscribe(RESPONSE_TOPIC)      # ThingsBoard's provisioning session answers without, another may not
        session.publish(request(name, settings.provision_key, secret, wanted))
        async with asyncio.timeout(settings.ack_timeout_s):
            return granted(await _answer(session, activity, where), name, where)
    except TimeoutError:
        silent = f"{where} does not answer the provisioning request within {settings.ack_timeout_s:g} s"
        raise Retryable(silent) from None
    finally:
        await session.close()


async def _answer(session: Session, activity: asyncio.Event, where: str) -> bytes:
    while True:
        activity.clear()
        for message in session.take_messages():
            if message.topic == RESPONSE_TOPIC:
                return message.payload
        for ack in session.take_acks():
            if judge(ack.reason) is not Judgement.TAKEN:
                raise Retryable(f"{where} refuses the provisioning request: {reason_text(ack.reason)}")
        if session.loss is not None:
            raise Retryable(f"{where}, asked to provision: {session.loss.text}")
        await activity.wait()


async def accepted(settings: UplinkSettings, name: str, login: Login, paths: PathWatch | None = None) -> None:
    """Log in once and leave. Raises Rejected where the server refuses the login, Retryable where nothing is proven.

    ThingsBoard ends another session of the same device, so there must be none.
    """
    session = await opened(settings, versions_of(settings), 0.0, client_id=settings.client_id or name, login=login,
                           activity=asyncio.Event(), tls=tls_context(settings, login), paths=paths)
    await session.close()
