"""The official Protocol Buffers runtime as judge of Sparkplug payloads, and a host application on paho that uses it.

The message types are built here from the table of the specification (Eclipse Sparkplug 3.0.0, 6.4.1); nothing of the
product's codec takes part.
"""

import json

from foreign import Foreign
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
SCALARS = [("int_value", F.TYPE_UINT32), ("long_value", F.TYPE_UINT64), ("float_value", F.TYPE_FLOAT), ("double_value", F.TYPE_DOUBLE),
           ("boolean_value", F.TYPE_BOOL), ("string_value", F.TYPE_STRING)]


def _message(file, name, *fields, oneof=()):
    message = file.message_type.add(name=name)
    for number, (label, kind, field_name) in fields:
        one = message.field.add(name=field_name, number=number, label=F.LABEL_REPEATED if label == "repeated" else F.LABEL_OPTIONAL)
        if isinstance(kind, str):
            one.type, one.type_name = F.TYPE_MESSAGE, f".sparkplug.{kind}"
        else:
            one.type = kind
    if oneof:
        message.oneof_decl.add(name="value")
        for number, (field_name, kind) in oneof:
            message.field.add(name=field_name, number=number, label=F.LABEL_OPTIONAL, type=kind, oneof_index=0)


def _payload_class():
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_table.proto", package="sparkplug", syntax="proto2")
    _message(file, "PropertyValue", (1, ("optional", F.TYPE_UINT32, "type")), (2, ("optional", F.TYPE_BOOL, "is_null")),
             oneof=list(enumerate(SCALARS, 3)))
    _message(file, "PropertySet", (1, ("repeated", F.TYPE_STRING, "keys")), (2, ("repeated", "PropertyValue", "values")))
    _message(file, "Metric", (1, ("optional", F.TYPE_STRING, "name")), (2, ("optional", F.TYPE_UINT64, "alias")),
             (3, ("optional", F.TYPE_UINT64, "timestamp")), (4, ("optional", F.TYPE_UINT32, "datatype")),
             (5, ("optional", F.TYPE_BOOL, "is_historical")), (6, ("optional", F.TYPE_BOOL, "is_transient")),
             (7, ("optional", F.TYPE_BOOL, "is_null")), (9, ("optional", "PropertySet", "properties")),
             oneof=[*enumerate(SCALARS, 10), (16, ("bytes_value", F.TYPE_BYTES))])
    _message(file, "Payload", (1, ("optional", F.TYPE_UINT64, "timestamp")), (2, ("repeated", "Metric", "metrics")),
             (3, ("optional", F.TYPE_UINT64, "seq")), (4, ("optional", F.TYPE_STRING, "uuid")), (5, ("optional", F.TYPE_BYTES, "body")))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


Payload = _payload_class()


def value_of(metric):
    """The value as a host sees it: an Int64 is signed again (6.4.16)."""
    member = metric.WhichOneof("value")
    if member is None:
        assert metric.is_null, "neither a value nor null"
        return None
    value = getattr(metric, member)
    return value - 2**64 if member == "long_value" and value >= 2**63 else value


SIGNED = {4: "long_value", 10: "double_value", 11: "boolean_value", 12: "string_value"}


class Book:
    """What a host application knows of one edge node by its messages, and in what they break the rules.

    `values` are all that came, as (device, name, ms) -> value; `current` those of them that were no history, in order.
    """

    def __init__(self, group="utility", node="gw"):
        self.prefix, self.node = f"spBv1.0/{group}/", node
        self.faults, self.verbs, self.values, self.current, self.history = [], [], {}, [], []
        self.online, self.bdseq, self.deaths, self.births, self.declared = False, None, [], [], {}
        self.copies = 0
        self._seq, self._aliases, self._devices, self._last = None, {}, set(), {}

    def heard(self, topic, payload):
        assert topic.startswith(self.prefix), topic
        verb, node, *device = topic[len(self.prefix):].split("/")
        assert node == self.node
        if verb.endswith("CMD"):
            return
        message, device = Payload.FromString(payload), device[0] if device else ""
        self.verbs.append(f"{verb} {device}".strip())
        self._check((verb[0] == "D") == bool(device), f"{topic}: device or not")
        if verb == "NDEATH":
            self._death(message)
            return
        self._check(message.HasField("timestamp") and message.HasField("seq"), f"{topic}: no time or no seq")
        if verb == "NBIRTH":
            self._seq, self._aliases, self._devices, self.online = message.seq, {}, set(), True
            self._check(message.seq == 0, f"NBIRTH begins with {message.seq}")
            numbers = [metric.long_value for metric in message.metrics if metric.name == "bdSeq" and metric.datatype == 4]
            rebirth = [metric for metric in message.metrics if metric.name == "Node Control/Rebirth"]
            self._check(len(numbers) == 1, "NBIRTH without bdSeq")
            self._check(len(rebirth) == 1 and rebirth[0].boolean_value is False and rebirth[0].datatype == 11
                        and not rebirth[0].HasField("alias"), "NBIRTH without a Rebirth that is false and has no alias")
            self.bdseq = numbers[0]
            self.births.append(self.bdseq)
        else:
            self._check(self.online, f"{topic} before NBIRTH")
            self._check(message.seq == (self._seq + 1) % 256, f"{topic}: seq {message.seq} after {self._seq}")
            self._seq = message.seq
        if verb == "DBIRTH":
            self._devices.add(device)
            self._aliases = {alias: tag for alias, tag in self._aliases.items() if tag[0] != device}
        elif verb in ("DDATA", "DDEATH"):
            self._check(device in self._devices, f"{verb} of {device}, which is not born")
            if verb == "DDEATH":
                self._devices.discard(device)
        for metric in message.metrics:
            (self._declared if verb.endswith("BIRTH") else self._data)(device, metric, topic)

    def _check(self, right, text):
        if not right:
            self.faults.append(text)

    def _death(self, message):
        names = [metric.name for metric in message.metrics]
        self._check(names == ["bdSeq"] and not message.HasField("seq"), f"NDEATH tells {names}")
        self.deaths.append(message.metrics[0].long_value)
        if self.bdseq == self.deaths[-1]:
            self.online, self._devices = False, set()

    def _declared(self, device, metric, topic):
        self._check(metric.name and metric.HasField("timestamp") and metric.datatype in SIGNED, f"{topic}: {metric}")
        self.declared[device, metric.name] = value_of(metric)
        if metric.HasField("alias"):
            self._check(metric.alias not in self._aliases, f"{topic}: alias {metric.alias} twice")
            units = dict(zip(metric.properties.keys, (one.string_value for one in metric.properties.values), strict=True))
            self._aliases[metric.alias] = device, metric.name, metric.datatype, units.get("engUnit", "")
        self._check(metric.HasField("alias") or metric.name in ("bdSeq", "Node Control/Rebirth"), f"{topic}: {metric.name} without alias")

    def _data(self, device, metric, topic):
        self._check(not metric.HasField("name") and not metric.HasField("datatype"), f"{topic}: name or datatype in data")
        whose, name, datatype, _ = self._aliases.get(metric.alias, ("", "", 0, ""))
        self._check(name and whose == device, f"{topic}: alias {metric.alias} is none of {device!r}")
        self._check(metric.WhichOneof("value") == SIGNED.get(datatype), f"{topic}: {name} is no {datatype}")
        place, value = (device, name, metric.timestamp), value_of(metric)
        self.copies += place in self.values
        self._check(self.values.setdefault(place, value) == value, f"{topic}: {name} altered")
        if metric.is_historical:
            self.history.append(place)
            return
        self._check(metric.timestamp > self._last.get((device, name), 0), f"{topic}: {name} goes back in time")
        self._last[device, name] = metric.timestamp
        self.current.append(place)

    def units(self):
        return {(device, name): unit for device, name, _, unit in self._aliases.values() if unit}


class HostApplication(Foreign):
    """A host application on paho: it keeps a `Book`, tells its STATE, and can ask for a rebirth."""

    def __init__(self, port, group="utility", node="gw", host_id=""):
        super().__init__(port, client_id=f"host-{host_id or 'none'}")
        self.book, self.group, self.node, self.host_id = Book(group, node), group, node, host_id
        self.client.on_message = lambda _c, _u, message: self._note(lambda: self.book.heard(message.topic, message.payload))

    async def __aenter__(self):
        await super().__aenter__()
        assert await self.subscribe(f"spBv1.0/{self.group}/#") == [1]
        return self

    async def until(self, condition, timeout_s=30.0):
        await super().until(condition, timeout_s)

    def state(self, at_ms, *, online):
        body = json.dumps({"online": online, "timestamp": at_ms})
        self.client.publish(f"spBv1.0/STATE/{self.host_id}", body, qos=1, retain=True)

    def command(self, *metrics):
        """Write metrics: (name, value)."""
        message = Payload(timestamp=1)
        for name, value in metrics:
            message.metrics.add(name=name, datatype=11, boolean_value=value)
        self.client.publish(f"spBv1.0/{self.group}/NCMD/{self.node}", message.SerializeToString(), qos=0)
