"""A server of MQTT 5 and 3.1.1 with ThingsBoard's device contract, on 127.0.0.1: for demo and tests (I/O edge).

The protocol is moat-lib-mqtt's sans-IO server side (why: docs/decisions/0005-demo-broker.md), which knows MQTT 5 only:
`thingsboard_v311` translates. What a publication means is `thingsboard_contract`. Here are the sockets, one session per
identity, and outages to order:

    async with ThingsBoard(Rules(token="t")) as server:
        ...                      # server.port, server.contract.store
        await server.outage()    # refuses and cuts connections
        server.blackhole()       # keeps them, answers nothing
        await server.restore()
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from moat.lib.mqtt import (
    MQTTConnectPacket,
    MQTTDisconnectPacket,
    MQTTException,
    MQTTPacket,
    MQTTPublishAckPacket,
    MQTTPublishPacket,
    MQTTSubscribePacket,
    MQTTUnsubscribePacket,
    QoS,
    ReasonCode,
)
from moat.lib.mqtt.broker_state_machine import MQTTBrokerClientStateMachine

from edge.demo.thingsboard_contract import Contract, Rules, Verdict
from edge.demo.thingsboard_provision import RESPONSE_TOPIC, USER_NAME
from edge.demo.thingsboard_rules import Message, Store
from edge.demo.thingsboard_v311 import Tongue

log = logging.getLogger(__name__)

PROVISIONING_S = 60.0      # a session that provisions is closed so long after its login
HELD_S = 0.02              # PUBACKs that wait for others, where the rules hold them


def _nothing() -> None:
    pass


class _Connection(asyncio.Protocol):
    """One client. All work happens as its bytes arrive."""

    def __init__(self, server: "ThingsBoard") -> None:
        self._server = server
        self._machine = MQTTBrokerClientStateMachine()
        self._tongue = Tongue()
        self._transport: asyncio.Transport | None = None
        self.deaf = self._provisions = self._logged_in = False
        self._acks: list[tuple[int, ReasonCode]] = []                # held, to be sent last first
        self._awaited: dict[int, Callable[[], object]] = {}          # who wants to hear of a PUBACK
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)        # uvloop's is no subclass
        self._server.connections.add(self)
        if self._server.contract.blocked:
            self.cut()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.left(self)
        self.deaf = True
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        try:
            for packet in self._machine.feed_bytes(self._tongue.inbound(data)):
                if not self.deaf:           # a connection that is being closed hears nothing more
                    self._packet(packet)
        except MQTTException as error:
            log.info("stand-in: closes a connection: %s", error)
            self.cut()
            return
        self.flush()

    def _packet(self, packet: MQTTPacket) -> None:
        match packet:
            case MQTTConnectPacket():
                self._login(packet)
            case MQTTPublishPacket():
                payload = packet.payload.encode() if isinstance(packet.payload, str) else bytes(packet.payload)
                contract = self._server.contract
                verdict = (contract.provision(packet.topic, payload) if self._provisions
                           else contract.publication(packet.topic, payload, acknowledged=packet.qos > 0))
                self._answer(packet.packet_id, verdict)
            case MQTTSubscribePacket() if self._provisions:
                pass
            case MQTTSubscribePacket():
                granted = self._server.contract.subscribe(one.pattern.pattern for one in packet.subscriptions)
                self._machine.acknowledge_subscribe(packet.packet_id, granted)
            case MQTTUnsubscribePacket():
                self._server.contract.subscriptions.difference_update(
                    one.pattern for one in packet.patterns)
                self._machine.acknowledge_unsubscribe(packet.packet_id, [ReasonCode.SUCCESS] * len(packet.patterns))
            case MQTTPublishAckPacket():
                self._awaited.pop(packet.packet_id, _nothing)()
            case MQTTDisconnectPacket():
                self.end(None)
            case _:
                pass

    def _login(self, packet: MQTTConnectPacket) -> None:
        rules = self._server.contract.rules
        self._provisions = rules.provisioning is not None and USER_NAME in (packet.username, packet.client_id)
        reason = ReasonCode.SUCCESS if self._provisions else self._server.contract.login(
            packet.username, packet.password, packet.client_id, self._certificate())
        # Not through the library's broker object: its session_present is the clean-start flag, not its opposite.
        self._machine.acknowledge_connect(reason, packet.username, session_present=not packet.clean_start)
        self._logged_in = reason is ReasonCode.SUCCESS
        if not self._logged_in:
            self.end(None)
        elif self._provisions:
            asyncio.get_running_loop().call_later(PROVISIONING_S, self.end, None)
        else:
            self._server.take_over(self)

    def _certificate(self) -> str:
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        return ssl.DER_cert_to_PEM_cert(der) if der else ""

    def _answer(self, packet_id: int | None, verdict: Verdict) -> None:
        if self._tongue.old and verdict.reason is ReasonCode.PAYLOAD_FORMAT_INVALID:
            self.end(None)      # there is no other way to say it
            return
        if packet_id is not None and verdict.reason is not None:
            self._acknowledge(packet_id, verdict.reason)
        if verdict.answer is not None:
            self.send(verdict.answer)
        if verdict.close is not None:
            self._acknowledge_held()
            self.end(verdict.close)
        if verdict.cut:
            self.flush()
            self.cut()

    def _acknowledge(self, packet_id: int, reason: ReasonCode) -> None:
        """Send a PUBACK, or hold it for others: ThingsBoard's come from a pool of threads, in any order."""
        self._acks.append((packet_id, reason))
        together = self._server.contract.rules.acks_together
        if len(self._acks) >= together:
            self._acknowledge_held()
        elif len(self._acks) == 1:
            asyncio.get_running_loop().call_later(HELD_S, self._acknowledge_held)

    def _acknowledge_held(self) -> None:
        held, self._acks = self._acks, []
        for packet_id, reason in reversed(held if not self.deaf else ()):
            self._machine.acknowledge_publish(packet_id, reason)
        if held:
            self.flush()

    def send(self, message: Message, acknowledged: Callable[[], object] | None = None) -> None:
        """Publish to the client: at the QoS of subscriptions where a PUBACK is waited for."""
        if self.deaf or self._provisions is not (message[0] == RESPONSE_TOPIC) or not self._logged_in:
            return
        qos = QoS.AT_MOST_ONCE if acknowledged is None else QoS.AT_LEAST_ONCE
        packet_id = self._machine.deliver_publish(*message, qos=qos)
        if packet_id is not None and acknowledged is not None:
            self._awaited[packet_id] = acknowledged
        self.flush()

    def flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._tongue.outbound(bytes(self._machine.get_outbound_data())))

    def end(self, reason: ReasonCode | None) -> None:
        """Send what is due, a DISCONNECT with `reason` if there is one, and close."""
        self.flush()
        if self._transport is None:
            return
        if reason is not None and not self._transport.is_closing():
            buffer = bytearray()
            MQTTDisconnectPacket(reason_code=reason).encode(buffer)
            self._transport.write(self._tongue.outbound(bytes(buffer)))
        self.deaf = True
        self._transport.close()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class ThingsBoard:
    """The server; use as an async context manager."""

    def __init__(self, rules: Rules, *, port: int = 0, tls: ssl.SSLContext | None = None,
                 store: Store | None = None) -> None:
        """`port` 0: a free one, kept over outages. `tls`: as the server's context says, client certificates too.

        `store` None: a fresh one.
        """
        self.contract = Contract(rules, store=store)
        self.connections: set[_Connection] = set()
        self.port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._session: _Connection | None = None
        self._deaf = False

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.outage()

    async def outage(self) -> None:
        """Refuse new connections and cut those there are. What is stored stays; sessions never did."""
        if self._server is not None:
            self._server.close()
        ending = list(self.connections)
        for connection in ending:
            connection.cut()
        await asyncio.gather(*(connection.closed for connection in ending))
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def blackhole(self) -> None:
        """Keep the connections, read on, answer nothing: new ones get no CONNACK either."""
        self._deaf = True
        for connection in self.connections:
            connection.deaf = True

    def publish(self, topic: str, payload: bytes) -> None:
        """Send something down to whoever is connected, as ThingsBoard does to subscribers."""
        for connection in self.connections:
            connection.send((topic, payload))

    async def restore(self) -> None:
        """Serve again. Connections of a black hole never come back to life."""
        self._deaf = False
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, "127.0.0.1", self.port, reuse_address=True,
                                                    ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]

    def _connection(self) -> _Connection:
        connection = _Connection(self)
        connection.deaf = self._deaf
        return connection

    def take_over(self, newcomer: _Connection) -> None:
        """End the older session of the same identity (max_concurrent_sessions_per_device = 1), begin the new one."""
        for connection in list(self.connections):
            if connection is not newcomer:
                connection.end(ReasonCode.SESSION_TAKEN_OVER)
        self._session = newcomer
        self.contract.opened(newcomer.send)

    def left(self, connection: _Connection) -> None:
        """A connection is gone, and the session with it."""
        if connection is self._session:
            self._session = None
            self.contract.closed()
