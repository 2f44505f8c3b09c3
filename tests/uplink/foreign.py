"""A foreign client (paho) with which the ThingsBoard stand-in is looked at, in MQTT 5 or 3.1.1."""

import asyncio
import json
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from uplink_bench import TOKEN


class Foreign:
    """A paho client whose thread stays out of the loop's way."""

    def __init__(self, port, token=TOKEN, client_id="foreign", version=paho.MQTTv5):
        self.version = version
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=False)
        self.client.username_pw_set(token)
        self.acks, self.messages, self.login, self.ends, self.granted = {}, [], [], [], {}
        self._news = threading.Condition()
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self._note(lambda: self.login.append(reason.value))
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self._note(lambda: self.acks.__setitem__(mid, reason.value))
        self.client.on_message = lambda _c, _u, message: self._note(lambda: self.messages.append((message.topic, message.payload)))
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self._note(lambda: self.granted.__setitem__(mid, [code.value for code in codes]))
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self._note(lambda: self.ends.append(reason.value))
        self.port = port

    def _note(self, change):
        with self._news:
            change()
            self._news.notify_all()

    def _wait(self, condition, timeout_s):
        with self._news:
            return self._news.wait_for(condition, timeout_s)

    async def until(self, condition, timeout_s=5.0):
        assert await asyncio.to_thread(self._wait, condition, timeout_s)

    async def __aenter__(self):
        clean = {"clean_start": True, "properties": Properties(1)} if self.version == paho.MQTTv5 else {}
        await asyncio.to_thread(self.client.connect, "127.0.0.1", self.port, 60, **clean)
        self.client.loop_start()
        await self.until(lambda: self.login)
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self.client.disconnect)
        await asyncio.to_thread(self.client.loop_stop)
        del self.client      # its callbacks know this object: without the ring it closes its own sockets at once

    async def publish(self, topic, payload, qos=1):
        """Return the PUBACK's reason; None when there is none before the next ping round."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        info = self.client.publish(topic, body, qos=qos)
        fence = self.client.publish("v1/devices/me/rpc/request/9", b"{}", qos=1)      # answers come in order
        await self.until(lambda: fence.mid in self.acks or self.ends)
        return self.acks.get(info.mid)

    async def subscribe(self, *topics, qos=1):
        """Return the codes of the SUBACK."""
        _, mid = self.client.subscribe([(topic, qos) for topic in topics])
        await self.until(lambda: mid in self.granted)
        return self.granted[mid]

    async def next_message(self):
        """Return the next publication of the server: topic and body."""
        await self.until(lambda: self.messages)
        topic, payload = self.messages.pop(0)
        return topic, json.loads(payload)
