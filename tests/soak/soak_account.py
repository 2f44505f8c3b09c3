"""What the meters gave against what the broker acknowledged: every reading is one number, so each can be asked for by name.

A simulated meter shows in its energy register how often that register was read. So a reading says by itself which one it is,
whatever the gateway makes of its time and whichever way it went.
"""

import json
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from soak_clock import Time
from wiretap import Acked, Published

from edge.demo.meter_model import key
from edge.demo.meter_objects import integer
from edge.demo.population import Member

COUNTER = "active_energy"


class Given:
    """What the meters gave: `at[name][n - 1]` is when reading `n` left the meter, in time.monotonic()."""

    def __init__(self) -> None:
        self.at: dict[str, array] = {}

    def count(self, member: Member) -> None:
        """Let a meter count its readings from now on."""
        model, times = member.simulated.model, array("d")
        self.at[member.row.name] = times
        spec = next(spec for spec in model.registers.specs if spec.key == COUNTER)
        obis, read = model.registers.obis(spec), model.read
        value, whole = key(3, obis, 2), key(3, obis, 0)

        def counting(descriptor: bytes, now: float, *, public: bool) -> bytes | int:
            if descriptor not in (value, whole):
                return read(descriptor, now, public=public)
            times.append(time.monotonic())
            if descriptor == value:
                return integer(spec.tag, len(times))
            model.hold(obis, len(times))          # the register with all its attributes, as some clients ask for it at first
            return read(descriptor, now, public=public)

        model.read = counting

    @property
    def total(self) -> int:
        return sum(map(len, self.at.values()))


@dataclass
class Received:
    """What the broker acknowledged, by the packets that passed the wire tap."""

    readings: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))     # meter -> n -> ts
    doubtful: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)              # (meter, n) -> what is said of its ts
    conflicts: list[tuple[str, int]] = field(default_factory=list)                             # came again with another ts
    again: int = 0
    failures: int = 0                                                                          # polls that say why there is no reading
    gaps: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)                 # (stream, loss number) -> reason, records

    def packet(self, what: str, packet: Published | Acked) -> None:
        """Take a packet of the wire tap."""
        if what != "acked" or packet.reason >= 0x80:
            return
        topic, body = packet.publish.topic, packet.publish.payload
        if topic == "v1/gateway/telemetry":
            for device, elements in json.loads(body).items():
                for element in elements:
                    self._element(device, element["ts"], element["values"])
        elif topic == "v1/devices/me/telemetry":
            for element in json.loads(body):
                self._gap(element["values"])

    def _element(self, device: str, ts: int, values: dict[str, Any]) -> None:
        if values.get("poll_ok") is False:
            self.failures += 1
        if COUNTER not in values:
            return
        n, known = int(values[COUNTER]), self.readings[device]
        if n in known:
            self.again += 1
            if known[n] != ts:
                self.conflicts.append((device, n))
        known[n] = ts
        if "ts_q" in values:
            self.doubtful[device, n] = {name: value for name, value in values.items() if name.startswith("ts_")}

    def _gap(self, values: dict[str, Any]) -> None:
        if "gap_count" in values:
            self.gaps[values["gap_stream"], int(values["gap_loss_no"])] = (values["gap_reason"], int(values["gap_count"]))

    def announced(self) -> Counter[str]:
        """How many records of each stream are said to be lost."""
        streams: Counter[str] = Counter()
        for (stream, _), (_, count) in self.gaps.items():
            streams[stream] += count
        return streams

    @property
    def reasons(self) -> Counter[str]:
        """How many records are said to be lost for each reason."""
        reasons: Counter[str] = Counter()
        for reason, count in self.gaps.values():
            reasons[reason] += count
        return reasons

    @property
    def total(self) -> int:
        return sum(map(len, self.readings.values()))


@dataclass(frozen=True)
class Disturbance:
    """Something that may cost readings that nobody was promised: from `start` until `end`, in time.monotonic()."""

    kind: str
    start: float
    end: float
    meter: str = ""                   # one meter, or all


@dataclass
class Boot:
    """A boot of the gateway's board, from `start` on; `told` is when it was first told that its wall clock is right."""

    start: float
    told: float | None


@dataclass
class Account:
    """The comparison. `missing` are readings that no cut of the gateway and no quarrel with a meter explains."""

    given: int = 0
    received: int = 0
    unpromised: int = 0               # lost with the gateway's memory at a kill, or on their way from a meter
    missing: list[tuple[str, int]] = field(default_factory=list)
    invented: list[tuple[str, int]] = field(default_factory=list)
    mistimed: list[tuple[str, int, float]] = field(default_factory=list)         # called right, and off by so many ms
    outside: list[tuple[str, int, int, int]] = field(default_factory=list)       # from and to of its bounds in s, the truth being 0
    merged: int = 0


def balance(given: Given, received: Received, disturbances: list[Disturbance], clock: Time, wrong: list[tuple[float, float]],
            boots: list[Boot], tolerance_ms: float) -> Account:
    """Compare. `wrong`: when a wall clock was wrong and called right; times given then are not judged, nor bounds made of it."""
    account = Account(given.total, received.total)
    starts = sorted(disturbances, key=lambda one: one.start)
    for meter, times in given.at.items():
        known = received.readings.get(meter, {})
        account.invented += [(meter, n) for n in known if not 1 <= n <= len(times)]
        for n, at in enumerate(times, 1):
            if n not in known:
                if any(one.start <= at <= one.end and one.meter in ("", meter) for one in starts):
                    account.unpromised += 1
                else:
                    account.missing.append((meter, n))
            elif not any(start <= at <= end for start, end in wrong):
                _judge_time(account, received, meter, n, clock.true_ms(_machine_ms(at)), tolerance_ms,
                            bounded=not _between_wrong_clocks(at, boots, wrong))
        account.merged += len(known) - len(set(known.values()))
    return account


def _judge_time(account: Account, received: Received, meter: str, n: int, true_ms: float, tolerance_ms: float, *,
                bounded: bool) -> None:
    said, ts = received.doubtful.get((meter, n)), received.readings[meter][n]
    if said is None:
        if abs(ts - true_ms) > tolerance_ms:
            account.mistimed.append((meter, n, ts - true_ms))
    elif said["ts_q"] == "bracket" and bounded:
        earliest, latest = said["ts_earliest_ms"] - true_ms, said.get("ts_latest_ms", true_ms) - true_ms
        if earliest > tolerance_ms or latest < -tolerance_ms:
            account.outside.append((meter, n, round(earliest / 1000), round(latest / 1000)))


def _between_wrong_clocks(at: float, boots: list[Boot], wrong: list[tuple[float, float]]) -> bool:
    """Tell whether a boot without a right clock has its bounds from one that called itself right, and was not.

    They are the end of the last boot before that was told the time, and what the first one after it was told first.
    """
    own = sum(boot.start <= at for boot in boots) - 1
    before = next((after.start for boot, after in zip(boots[own - 1 :: -1], boots[own:0:-1], strict=True)
                   if boot.told is not None), None) if own > 0 else None
    after = next((boot.told for boot in boots[own + 1 :] if boot.told is not None), None)
    return any(start <= moment <= end for start, end in wrong for moment in (before, after) if moment is not None)


def _machine_ms(monotonic_s: float) -> float:
    # the two run alike on a machine that is not suspended
    return monotonic_s * 1000 + _BOOTTIME_AHEAD_MS


_BOOTTIME_AHEAD_MS = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6 - time.monotonic() * 1000
