"""One MQTT connection through gmqtt 0.8.0 (I/O edge; the only importer of gmqtt).

gmqtt is transport only: its resend queue is replaced by one that keeps nothing, its reconnecting is off, and every
PUBACK's reason code is read, which it ignores itself. What stands behind each step: docs/decisions/0003-gmqtt.md.

In MQTT 5 a PUBACK has a reason code, and on `v1/gateway/*` ThingsBoard (4.2.1 on) says by it that it did not take a
message. In 3.1.1 the same PUBACK looks like success: what is done about it is `edge.uplink.settling`.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import count
from typing import Any, NoReturn

import gmqtt
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.mqtt.protocol import MQTTProtocol

from edge.clock import Clock, SystemClock
from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import Rejected, Retryable
from edge.model import Publish
from edge.uplink.arrivals import NO_MQTT, Ack, ClosedAtOnce, Loss, Message, OtherVersion, ended
from edge.uplink.dial import Dialer
from edge.uplink.dialect import Ceremony
from edge.uplink.nostore import NoStore
from edge.uplink.pace import LEAST_PACKET_BYTES
from edge.uplink.reasons import REFUSED_LOGIN, reason_text
from edge.uplink.settling import Settling
from edge.uplink.tls import certificate_refused, handshake_failed
from edge.uplink.versions import Version
from edge.uplink.way import Way, way_of

log = logging.getLogger(__name__)

# gmqtt's own words: only exceptions it swallowed are worth a line, everything else is said better here.
_gmqtt_log = logging.getLogger(f"{__name__}.gmqtt")
_gmqtt_log.setLevel(logging.ERROR)
_gmqtt_log.addFilter(lambda record: bool(record.exc_info))
logging.getLogger("gmqtt").setLevel(logging.ERROR)

WRITE_BUFFER_LIMIT_BYTES = 65_536      # gmqtt has no back-pressure; beyond this nothing more is handed over
CLOSE_TIMEOUT_S = 1.0                  # for a polite DISCONNECT; after it the socket is aborted
NO_RECONNECT = {"reconnect_retries": -2}   # 0 still reconnects once
PACKET_LIMIT_BYTES = 262_144           # no server has so much to say to a gateway; gmqtt collects up to 256 MiB
CONNACK, PINGRESP = 2, 13              # packet types (MQTT 5, 2.1.2)
WITH_WILL = 0x04                       # Disconnect with Will Message (MQTT 5, 3.14.2.1)
FIRST_OWN_ID = 65_536                  # of publications that have no packet id in MQTT
UNSUPPORTED_VERSION = (0x01, 0x84)     # as a 3.1.1 server says it (3.1.1, 3.2.2.3), and one of MQTT 5


class Session:
    """One connection, used once: `open`, then `publish` and the two drains, then `close` or `abort`.

    `activity` is set whenever there is something to take: acknowledgements, messages, or a loss. All calls belong to
    the loop that opened it. Which private names of gmqtt are used is held by tests/uplink/test_uplink_gmqtt.py.
    """

    def __init__(self, settings: UplinkSettings, *, client_id: str, login: Login, activity: asyncio.Event,
                 tls: ssl.SSLContext | None = None, version: Version = "5", way: Way | None = None,
                 dialer: Dialer | None = None, ceremony: Ceremony | None = None, clock: Clock | None = None) -> None:
        """Prepare only. The secrets of `login` are handed to gmqtt and kept nowhere else here.

        `way` None: as the settings say. `dialer` makes the connection, and knows more than a fresh one. With a
        `ceremony` there is a will, and publications go at QoS 0: an answered ping is their acknowledgement. `clock` is
        what is told of where a certificate's dates do not fit; None: the machine's.
        """
        self.activity = activity
        self.version = version
        self.loss: Loss | None = None
        self.answered = False          # by a CONNACK, whichever
        self._settings = settings
        self._way = way or way_of(settings)
        self._dialer = dialer or Dialer()
        self._tls = tls
        self._clock = clock
        self._login_source = login.source
        self._acks: deque[Ack] = deque()
        self._ceremony = ceremony
        self._settling = Settling() if version == "3.1.1" or ceremony is not None else None
        self._unnumbered = count(FIRST_OWN_ID)
        self._refused_version = False
        self._messages: deque[Message] = deque()
        self._lost = asyncio.Event()
        self._store = NoStore()
        # gmqtt counts characters where MQTT counts bytes: a client id beyond ASCII would corrupt CONNECT.
        ascii_id = client_id.encode("ascii", "replace").decode().replace("?", "-")
        self._client: Any = gmqtt.Client(ascii_id, clean_session=True, persistent_storage=self._store,
                                         logger=_gmqtt_log)
        self._client.set_config(NO_RECONNECT)
        if login.username or login.password is not None:
            self._client.set_auth_credentials(login.username, login.password)
        self._client._create_connection = self._connected
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._handler: Any = self._client._package_handler
        self._handler._handle_puback_packet = self._on_puback
        self._handle_packet = self._handler._handle_packet
        self._handler._handle_packet = self._on_packet

    def __repr__(self) -> str:
        return f"Session({self._way})"

    async def open(self) -> None:
        """Connect and log in. Raises Retryable (ClosedAtOnce), or Rejected for what only the operator can change.

        OtherVersion, a Rejected, is the server's word that it does not speak this version. Ends within
        `connect_timeout_s`; cancelling leaves no socket behind.
        """
        where = str(self._way)
        connecting = asyncio.ensure_future(self._client.connect(
            self._way.host, self._way.port, ssl=self._tls or False, keepalive=self._settings.keepalive_s,
            version=MQTTv50 if self.version == "5" else MQTTv311))
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            # gmqtt's connect() never returns if the server closes before its CONNACK, hence the race.
            await asyncio.wait({connecting, lost}, timeout=self._settings.connect_timeout_s,
                               return_when=asyncio.FIRST_COMPLETED)
            self._judge_connect(connecting, where)
            self._tend(self._client._connection)
            peer = self._client._connection._transport.get_extra_info("peername")
            if peer:      # None: lost since
                await self._dialer.reached(self._way, peer[0])
        except BaseException:
            self.abort()
            raise
        finally:
            for task in (connecting, lost):
                task.cancel()
            await asyncio.gather(connecting, lost, return_exceptions=True)

    async def _connected(self, *_: Any, ssl: "ssl.SSLContext | bool", clean_session: bool, keepalive: int,
                         **_others: Any) -> MQTTConnection:
        """Make gmqtt's connection in its place: over this way, within a time, and so that its bytes are counted."""
        connected = await self._dialer.connected(self._way, self._settings.connect_timeout_s)
        protocol: Any = MQTTProtocol(connection_state=self._client._connection_state,
                                     id_generator=self._handler.id_generator)
        made = protocol.connection_made

        def connection_made(transport: asyncio.Transport) -> None:
            made(transport)
            # Now, not after the wait below: lost in between, gmqtt's protocol misses its connection.
            MQTTConnection(transport, protocol, clean_session, keepalive, package_handler=self._handler,
                           logger=_gmqtt_log)

        protocol.connection_made = connection_made
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, sock=connected, ssl=ssl or None, server_hostname=self._way.tls_name if ssl else None)
        if self._ceremony is not None:
            will = await self._ceremony.will()
            self._client._will_message = gmqtt.Message(will.topic, will.payload, qos=1)
        return protocol._connection

    def _tend(self, connection: Any) -> None:
        """Set what gmqtt leaves to the server: how often to ping, and how large a packet may become."""
        ours_s = self._settings.keepalive_s
        # Silence is judged by our own keep alive: a server may ask for more pings, not for fewer.
        connection.keepalive = min(connection.keepalive or ours_s, ours_s)
        self._read_packet = connection._protocol._read_packet
        connection._protocol._read_packet = self._on_bytes
        self._send_ping = connection._protocol.send_ping_request
        connection._protocol.send_ping_request = self._ping

    def _judge_connect(self, connecting: "asyncio.Future[None]", where: str) -> None:
        try:
            self._handler.propagate_error()
            if connecting.done():
                connecting.result()
            else:
                self._raise_unfinished(where)
        except MQTTConnectError as error:
            code = int(error._code)
            if code in REFUSED_LOGIN:
                raise Rejected(f"{where} refused the login: {reason_text(code)}; it was {self._login_source}") from None
            raise Retryable(f"{where} refused the login: {reason_text(code)}") from None
        except ssl.SSLCertVerificationError as error:
            clock = self._clock or SystemClock()
            raise certificate_refused(error, where, self._way.tls_name, clock) from None
        except ssl.SSLError as error:
            raise handshake_failed(error, where) from None
        except OSError as error:
            raise Retryable(f"cannot reach {where}: {error.strerror or error}") from None
        except UnicodeError:
            raise Rejected(f"uplink.host: {self._way.host!r} cannot be a host name") from None
        if (limit_bytes := self.packet_limit_bytes) is not None and limit_bytes < LEAST_PACKET_BYTES:
            raise Rejected(f"{where} takes packets of up to {limit_bytes} bytes; a reading wants {LEAST_PACKET_BYTES}")

    def _raise_unfinished(self, where: str) -> NoReturn:
        """Raise for a connection on which no CONNACK came."""
        alert = self._stream_error()
        if self._refused_version:
            raise OtherVersion(f"{where} does not speak MQTT {self.version}; see uplink.mqtt")
        if isinstance(alert, ssl.SSLError):      # TLS 1.3: the server judges our certificate when we are through
            raise alert
        if self.loss == NO_MQTT:
            raise Retryable(f"{where}: {self.loss.text}")
        if self.loss:
            # A reset may swallow the alert that told why.
            hint = f"; it may want another certificate than {self._login_source}" if self._tls else ""
            raise ClosedAtOnce(f"{where} closed the connection before its CONNACK{hint}")
        raise Retryable(f"{where} gave no CONNACK within {self._settings.connect_timeout_s:g} s")

    def _stream_error(self) -> BaseException | None:
        """Return with what the stream ended; None where it did not, or just ended."""
        connection = self._client._connection
        closed = connection._protocol._closed if connection is not None else None
        return closed.exception() if closed is not None and closed.done() and not closed.cancelled() else None

    @property
    def receive_maximum(self) -> int | None:
        """How many publications the server takes un-acknowledged (CONNACK); None: it did not say, or none are."""
        return self._property("receive_maximum") if self._ceremony is None else None

    @property
    def packet_limit_bytes(self) -> int | None:
        """Largest packet the server takes (CONNACK, Maximum Packet Size); None: it did not say."""
        return self._property("maximum_packet_size")

    def _property(self, name: str) -> int | None:
        values = self._handler.properties.get(name)
        return int(values[0]) if values else None

    @property
    def writable(self) -> bool:
        """False once the link is lost, or while the socket does not take what was handed over."""
        return self.loss is None and self._buffered_bytes() <= WRITE_BUFFER_LIMIT_BYTES

    @property
    def last_received(self) -> float:
        """When the server was last heard (time.monotonic, seconds)."""
        return float(self._client._connection._last_data_in)

    def publish(self, publish: Publish) -> int:
        """Hand over one publication and return its packet id. Raises Retryable when the link is lost.

        At QoS 1; with a ceremony at QoS 0, and the id is one of our own.
        """
        if self.loss is not None:
            raise Retryable(self.loss.text)
        if self._ceremony is not None and self._settling is not None:
            self.publish_unacknowledged(self._ceremony.finished(publish))
            packet_id = next(self._unnumbered)
            self._settling.acked(packet_id)
            asyncio.get_running_loop().call_soon(self._ping_if_wanted, self._settling)      # one for many
            return packet_id
        self._store.last_packet_id = 0
        try:
            self._client.publish(publish.topic, publish.payload, qos=1)
        except OverflowError:
            raise Retryable("no packet id is free: the window is wider than the server's receive maximum") from None
        if not self._store.last_packet_id:
            raise Retryable("gmqtt gave the publication no packet id")
        return self._store.last_packet_id

    def publish_unacknowledged(self, publish: Publish) -> None:
        """Hand over one publication at QoS 0: for requests that nobody misses."""
        if self.loss is None:
            self._client.publish(publish.topic, publish.payload, qos=0)

    def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1. ThingsBoard keeps no session: again on every connection."""
        if self.loss is None:
            self._client.subscribe(topic, qos=1)

    def take_acks(self) -> list[Ack]:
        """Return the PUBACKs since the last call, in the order of their arrival; in 3.1.1 those that count by now."""
        acks = list(self._acks)
        self._acks.clear()
        return acks

    @property
    def unsettled(self) -> AbstractSet[int]:
        """Packet ids whose PUBACK came and counts only later (3.1.1)."""
        return self._settling.unsettled if self._settling is not None else frozenset()

    def awaited(self, packet_id: int) -> str:
        """Say what a publication still waits for: one at QoS 0 is acknowledged by the ping behind it alone."""
        if self._ceremony is not None:
            return "answer to the ping behind what was sent at QoS 0"
        return "answer to the ping behind a PUBACK" if packet_id in self.unsettled else "PUBACK"

    def take_messages(self) -> list[Message]:
        """Return what the server published since the last call."""
        messages = list(self._messages)
        self._messages.clear()
        return messages

    async def close(self) -> None:
        """Say goodbye if the link takes it at once, and end. Never longer than `CLOSE_TIMEOUT_S`."""
        try:
            if self.loss is None and self._client._connection is not None and not self._buffered_bytes():
                if self._ceremony is not None:
                    self.publish_unacknowledged(self._ceremony.farewell())
                self.loss = Loss("closed by the gateway")
                with suppress(OSError, TimeoutError):
                    # Not wait_for: before Python 3.12 it can swallow a cancellation that comes as the inner call ends.
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await self._client.disconnect(reason_code=WITH_WILL if self._ceremony is not None else 0)
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection now. transport.close() would wait for its write buffer, on a dead link for ever."""
        self.loss = self.loss or Loss("given up by the gateway")
        self._dialer.look()
        self._client._is_active = False
        connection = self._client._connection
        if connection is not None:
            if connection._keep_connection_callback:
                connection._keep_connection_callback.cancel()
            connection._transport.abort()

    def _buffered_bytes(self) -> int:
        return int(self._client._connection._transport.get_write_buffer_size())

    # gmqtt logs and swallows what a callback raises, so these only append and set.

    def _on_bytes(self, data: bytes) -> int:
        """Take whole packets out of what was received; -1 ends gmqtt's reading, which by itself tells nobody."""
        parsed = int(self._read_packet(data))
        if parsed < 0 or len(data) - parsed > PACKET_LIMIT_BYTES:
            self._malformed()
            return -1
        return parsed

    def _on_packet(self, command: int, packet: bytes) -> None:
        """Handle one packet, the last one if it is none of MQTT; gmqtt would log each and go on."""
        if self.loss is not None:
            return
        if command >> 4 == CONNACK:
            self.answered = True
            if self._client._connack_received.is_set():
                self._malformed()           # a second one
                return
            if packet[1:2] and packet[1] in UNSUPPORTED_VERSION:      # gmqtt would wait for ever for another CONNACK
                self._refused_version = True
                self._lost.set()
                return
        try:
            self._handle_packet(command, packet)
            if command >> 4 == PINGRESP and self._settling is not None:
                self._on_pong(self._settling)
        except Exception as error:      # noqa: BLE001 - the bytes are the server's: struct.error, IndexError, TypeError ...
            log.debug("a packet of type %d with %d bytes: %s", command >> 4, len(packet), error)
            self._malformed()

    def _malformed(self) -> None:
        self.loss = self.loss or NO_MQTT
        self._lost.set()
        self.activity.set()

    def _on_puback(self, _command: int, packet: bytes) -> None:
        packet_id = int.from_bytes(packet[:2], "big")
        if len(packet) < 2 or not packet_id:      # MQTT 5, 3.4.2
            raise ValueError("a PUBACK without a packet id")
        if self._settling is not None:
            self._settling.acked(packet_id)
            self._ping_if_wanted(self._settling)
        else:
            self._counts(Ack(packet_id, packet[2] if len(packet) > 2 else 0))

    def _counts(self, ack: Ack) -> None:
        self._handler.id_generator.free_id(ack.packet_id)
        self._acks.append(ack)
        self.activity.set()

    def _on_pong(self, settling: Settling) -> None:
        for packet_id in settling.answered():
            self._counts(Ack(packet_id, 0))
        self._ping_if_wanted(settling)

    def _ping_if_wanted(self, settling: Settling) -> None:
        if settling.wants_ping and self.loss is None:
            self._ping()

    def _ping(self) -> None:
        """Ping: for gmqtt's keep alive as for what waits here."""
        self._send_ping()
        if self._settling is not None:
            self._settling.pinged()

    def _on_message(self, _client: Any, topic: str, payload: bytes, _qos: int, _properties: Any) -> int:
        self._messages.append(Message(topic, bytes(payload)))
        self.activity.set()
        return 0

    def _on_disconnect(self, _client: Any, packet: Any, _exception: Any = None) -> None:
        if self.loss is None:
            self.loss = ended(packet[0] if isinstance(packet, bytes) and packet else None)
        self._lost.set()
        self.activity.set()
