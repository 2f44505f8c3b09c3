"""The private names of gmqtt that edge/uplink/mqtt.py leans on, and the behaviour it counts on. Red: read the new release."""

import asyncio
import importlib.metadata
import inspect

import gmqtt
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError, MqttPackageHandler
from gmqtt.mqtt.package import Package
from gmqtt.mqtt.protocol import MQTTProtocol
from gmqtt.mqtt.utils import IdGenerator

from edge.uplink.mqtt import NO_RECONNECT
from edge.uplink.nostore import NoStore


def test_the_pinned_release():
    assert importlib.metadata.version("gmqtt") == "0.8.0"


async def test_names_of_the_client():
    client = gmqtt.Client("x", persistent_storage=NoStore())
    assert client._connection is None
    assert client._is_active is False
    assert hasattr(client._connection_state, "protocol_version")
    assert isinstance(client._package_handler, MqttPackageHandler)
    assert isinstance(client._package_handler.id_generator, IdGenerator)
    assert client._package_handler.has_error is False
    assert MQTTConnectError(0x87)._code == 0x87


async def test_our_store_is_used_although_empty():
    store = NoStore()
    assert gmqtt.Client("x", persistent_storage=store)._persistent_storage is store
    assert not hasattr(store, "__len__")
    assert set(dir(gmqtt.storage.PersistentStorage)) - set(dir(object)) - {"_check_empty", "_notify_waiters"} <= set(dir(store)) | {"__dict__", "__weakref__"}


def test_names_of_the_connection():
    source = inspect.getsource(MQTTConnection.__init__)
    for name in ("_transport", "_keep_connection_callback", "_last_data_in", "_protocol"):
        assert f"self.{name} =" in source, name


def test_who_makes_a_connection():
    """edge/uplink/mqtt.py puts its own in this place: bound to an interface, within a time, its bytes counted."""
    assert "self._connection = await self._create_connection(" in inspect.getsource(gmqtt.Client.connect)
    assert "self._protocol.set_connection(self)" in inspect.getsource(MQTTConnection.__init__)
    assert "self._connection = conn" in inspect.getsource(MQTTProtocol.set_connection)


def test_a_will_that_is_set_while_the_connection_is_made_goes_with_it():
    source = inspect.getsource(gmqtt.Client.connect)
    assert 0 < source.index("await self._create_connection(") < source.index("will_message=self._will_message")


def test_how_a_stream_ended_is_kept_by_the_protocol():
    """A TLS alert that comes after the handshake: asyncio's own future, which gmqtt does not touch on Python 3.7 and later."""
    assert issubclass(MQTTProtocol, asyncio.StreamReaderProtocol)
    assert "self._closed" in inspect.getsource(asyncio.StreamReaderProtocol.connection_lost)


async def test_a_replaced_packet_handler_is_the_one_called():
    seen = []
    handler = gmqtt.Client("x")._package_handler
    handler._handle_packet = lambda command, packet: seen.append((command, packet))
    handler(Package(0x40, b"\x00"))
    assert seen == [(0x40, b"\x00")]
    assert "self._read_packet(buf)" in inspect.getsource(MQTTProtocol._read_loop)
    assert "if parsed_size == -1" in inspect.getsource(MQTTProtocol._read_loop)
    assert isinstance(MQTTConnection.keepalive, property)


async def test_a_replaced_puback_handler_is_the_one_called():
    seen = []
    handler = gmqtt.Client("x")._package_handler
    handler._handle_puback_packet = lambda command, packet: seen.append((command, packet))
    handler(Package(0x40, b"\x00\x07\x97"))
    assert seen == [(0x40, b"\x00\x07\x97")]


async def test_the_id_is_told_inside_publish():
    store = NoStore()
    client = gmqtt.Client("x", persistent_storage=store)

    class Connection:
        def publish(self, message):
            return 41 + message.qos, b"raw"

    client._connection = Connection()
    client.publish("t", b"p", qos=1)
    assert store.last_packet_id == 42


async def test_minus_two_never_reconnects():
    client = gmqtt.Client("x")
    client.set_config(NO_RECONNECT)
    client._is_active = True
    assert client._allow_reconnect() is False
    client.set_config({"reconnect_retries": 0})
    assert client._allow_reconnect() is True, "0 would reconnect once"


async def test_a_refusal_of_mqtt_5_leaves_connect_waiting():
    """Why edge/uplink/mqtt.py takes that CONNACK away from it."""
    client = gmqtt.Client("x")
    client.set_config(NO_RECONNECT)
    client._connection_state.protocol_version = MQTTv50
    client._package_handler(Package(0x20, b"\x00\x01"))
    await asyncio.sleep(0)
    assert not client._connack_received.is_set()


def test_every_ping_is_sent_by_the_protocol():
    """Pings are counted there, the keep alive's too."""
    assert "self._protocol.send_ping_request()" in inspect.getsource(MQTTConnection._send_ping_request)
    assert "_send_ping_request()" in inspect.getsource(MQTTConnection._keep_connection)
    assert MQTTv311 == 4
