"""Settings of the meters' side: polling, looking for meters, their pushes, and what else is done on them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.config.values import Address, Period, Share, Text


class PollSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How meters are polled. A meter's own settings and its profile override interval and timing."""

    interval_s: Annotated[Period, "one poll per meter in this time"] = 60.0
    at_once: Annotated[int, Meta(ge=1, le=1_024), "meters asked at the same time, at most; how many is found out"] = 32
    connect_timeout_s: Annotated[Period, "TCP connection to a meter or its serial bridge"] = 10.0
    exchange_timeout_s: Annotated[Period, "one request until its whole answer"] = 8.0
    backoff_first_s: Annotated[Period, "first rest after a failed connection; doubles"] = 2.0
    backoff_max_s: Annotated[Period, "longest rest between two connections"] = 60.0
    breaker_failures: Annotated[int, Meta(ge=1, le=1_000), "failed connections in a row that open the circuit"] = 5
    breaker_open_s: Annotated[Period, "first rest of an open circuit; doubles"] = 120.0
    breaker_open_max_s: Annotated[Period, "longest rest of an open circuit"] = 1_800.0


class DiscoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Looking for meters whose address has changed. A meter is known again by the identity that was learned of it."""

    subnet: Annotated[Text, "where they are looked for, such as 10.30.0.0/24, at most a /22; empty: not at all"] = ""
    missing_after_s: Annotated[Period, "a meter that has not answered for so long is looked for"] = 900.0
    probe_interval_s: Annotated[Period, "one address is looked at in this time: the radio is one channel for all"] = 5.0
    sweep_rest_s: Annotated[Period, "rest between two rounds through the subnet"] = 3_600.0
    answer_s: Annotated[Period, "wait so long for a connection and an answer"] = 5.0


class PushSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The listener for what meters send by themselves (docs/push.md). The packet filter has to let them in, too."""

    enabled: Annotated[bool, "false: no port is open; pushes in polled associations are taken all the same"] = False
    listen: Annotated[Address, "own address to listen on; :: is all of them, IPv4 and IPv6"] = "::"
    tcp_port: Annotated[int, Meta(ge=0, le=65_535), "0: not by TCP"] = 4059
    udp_port: Annotated[int, Meta(ge=0, le=65_535), "0: not by UDP"] = 4059
    framing: Annotated[Literal["auto", "wrapper", "hdlc"], "auto tells them apart by the first octet"] = "auto"
    max_apdu_bytes: Annotated[int, Meta(ge=256, le=65_535), "no longer message is taken"] = 16_384
    max_connections: Annotated[int, Meta(ge=1, le=1_024), "TCP connections at the same time, from all meters"] = 64
    max_connections_per_address: Annotated[int, Meta(ge=1, le=1_024), "of these, from one address"] = 8
    messages_per_minute: Annotated[int, Meta(ge=1, le=100_000), "from one address; what is more is turned away"] = 120
    messages_per_minute_in_all: Annotated[int, Meta(ge=4, le=1_000_000), "a quarter of it for unknown senders"] = 1_200
    idle_timeout_s: Annotated[Period, "a connection in silence is closed"] = 120.0
    message_timeout_s: Annotated[Period, "and one whose message is not whole by then"] = 20.0


class DutySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is read from meters besides their polls, where the meter's profile has it. Nothing here changes a meter."""

    clock_interval_s: Annotated[Period, "each meter's clock is looked at this often"] = 3_600.0
    billing_interval_s: Annotated[Period, "billing registers: this often, and after each billing period"] = 86_400.0
    events_interval_s: Annotated[Period, "each event log is looked at this often"] = 900.0


class ClockSyncSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moving meters' clocks. Only while our own clock is synchronised."""

    allow: Annotated[bool, "false: clocks are read and their drift is told, none is moved"] = False
    threshold_s: Annotated[float, Meta(ge=1, le=3_600), "a clock that is less off is left alone"] = 10.0
    shift_max_s: Annotated[float, Meta(ge=0, le=900), "up to here by shift_time, beyond by writing the time"] = 120.0
    set_max_s: Annotated[float, Meta(ge=0, le=86_400), "a clock that is further off is not moved but told"] = 3_600.0
    beyond: Annotated[Literal["tell", "set"], "what happens to a clock beyond set_max_s"] = "tell"
    backwards: Annotated[Literal["refuse", "allow"], "setting back over the end of a load profile interval"] = "refuse"
    at_most_every_s: Annotated[float, Meta(ge=3_600, le=2_678_400), "one clock is moved once in this time"] = 86_400.0


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Switching meters' supply. Each meter needs a permission besides: `halow-gateway meter permit NAME relay`."""

    allow: Annotated[bool, "false: no meter is switched, whoever asks"] = False
    reading_max_age_s: Annotated[Period, "not while its last reading is older: then nobody knows what it is"] = 300.0
    load_limit_w: Annotated[float, Meta(ge=0, le=1e6), "not off above this load, nor while it is not known"] = 1_000.0
    min_between_s: Annotated[float, Meta(ge=0, le=86_400), "one switching after another"] = 60.0


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Firmware images for meters: `halow-gateway meter image`. Activating one is an order of its own."""

    allow: Annotated[bool, "false: no image is sent to any meter, none is activated"] = False
    blocks_per_step: Annotated[int, Meta(ge=1, le=256), "sent in one go between two polls, where there is room"] = 8
    line_share: Annotated[Share, "of a meter's time between polls that a transfer may take"] = 0.5


class OrderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An engineer's own requests to meters: `halow-gateway meter get`, `set`, `action`. Reading is always allowed."""

    allow_set: Annotated[bool, "write any attribute that the meter lets us write"] = False
    allow_action: Annotated[bool, "call any method that the meter lets us call"] = False


class BackfillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Reading from meters' load profiles what ThingsBoard does not have, where the meter's profile names one."""

    enabled: Annotated[bool, "false: load profiles are left alone"] = True
    order: Annotated[Literal["newest", "oldest"], "which of the missing intervals are read first"] = "newest"
    history_days: Annotated[int, Meta(ge=1, le=3_660), "how far back"] = 31
    line_share: Annotated[float, Meta(gt=0, le=1), "of the time between a meter's polls, at most"] = 0.5
