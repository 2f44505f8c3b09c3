"""The gateway as Prometheus sees it: the figures of its telemetry, and per meter, peer, stream what they are made of.

What each telemetry key becomes stands in GATEWAY, or in LEFT_OUT with the reason; a test holds both to cloud/keys.toml.
docs/operations.md says what to watch.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from edge import __build__, __version__
from edge.clock import Clock
from edge.daemon.links import LinkDesk
from edge.daemon.vitals import Vitals
from edge.health.openmetrics import Family, Kind, Number, render
from edge.poll.fleet import Fleet
from edge.poll.state import LATENESS_BOUNDS_S, PollerState
from edge.ring.store import Ring
from edge.uplink.uplink import UplinkState

KEPT_S = 1.0                # whoever asks again within it gets the same text
AT_A_TIME = 10              # meters without a break
PEERS_MOST = 256

GATEWAY: Mapping[str, tuple[str, Kind, str, float]] = {
    "uptime_s": ("halow_gateway_uptime_seconds", "gauge", "Time since the gateway was started.", 1),
    "cpu_time_s": ("process_cpu_seconds", "counter", "CPU time of the process, user and system.", 1),
    "rss_bytes": ("process_resident_memory_bytes", "gauge", "Resident memory of the process.", 1),
    "open_fds": ("process_open_fds", "gauge", "Open file descriptors.", 1),
    "disk_free_bytes": ("halow_gateway_disk_free_bytes", "gauge", "Free on the file system of the state directory.", 1),
    "load_1min": ("halow_gateway_load1", "gauge", "Load average of one minute.", 1),
    "soc_temperature_c": ("halow_gateway_soc_temperature_celsius", "gauge", "Temperature of the SoC.", 1),
    "meters_total": ("halow_gateway_meters", "gauge", "Meters that are polled.", 1),
    "meters_ok": ("halow_gateway_meters_reading", "gauge", "Meters whose last poll was answered.", 1),
    "meters_resting": ("halow_gateway_meters_resting", "gauge", "Meters whose circuit is open.", 1),
    "polls_ok": ("halow_gateway_polls_answered", "counter", "Polls with values, of all meters.", 1),
    "polls_failed": ("halow_gateway_polls_failed", "counter", "Polls without values, of all meters.", 1),
    "polls_skipped": ("halow_gateway_polls_skipped", "counter", "Polls left out, of all meters.", 1),
    "oldest_unsent_age_s": ("halow_gateway_oldest_unsent_seconds", "gauge", "Age of the oldest record that waits.", 1),
    "storage_life_used_pct": ("halow_gateway_storage_life_used_ratio", "gauge", "Of the flash's life, used.", 0.01),
    "storage_forecast_days": ("halow_gateway_storage_forecast_seconds", "gauge", "Until the flash is worn.", 86_400),
    "storage_written_bytes_per_day": (
        "halow_gateway_storage_written_per_day_bytes", "gauge", "Written to the flash by everybody, per day.", 1),
    "board_under_voltage": ("halow_gateway_board_under_voltage", "gauge", "1 while the supply is too low.", 1),
    "uplink_connections": ("halow_uplink_connections", "counter", "Logins that the server took.", 1),
    "uplink_refused": ("halow_uplink_refused", "counter", "Publications that the server refused.", 1),
    "uplink_quarantined": ("halow_uplink_quarantined", "counter", "Records that no server takes, put aside.", 1),
    **{f"push_{what}": (f"halow_push_{what}", "counter", f"Pushes of meters: {what}.", 1)
       for what in ("received", "accepted", "unknown", "refused", "limited")},
}
"""Telemetry key -> (name, kind, help, factor to the base unit)."""

LEFT_OUT: Mapping[str, str] = {
    "read_success_pct": "a ratio of halow_gateway_polls_answered_total and ..._failed_total, over any time",
    "backlog_records": "by stream: halow_ring_backlog_records",
    "ring_lost_records": "by stream: halow_ring_lost_records_total",
    "ring_written_bytes": "by stream: halow_ring_written_bytes_total",
    "ring_written_bytes_per_day": "the rate of halow_ring_written_bytes_total",
    "ring_damaged_pages": "by stream: halow_ring_damaged_pages_total",
    "ring_problem": "text; halow_ring_healthy says whether",
    "storage_pre_eol": "text; halow_gateway_storage_life_used_ratio says how far",
    "version": "a label of halow_gateway_info",
    "path_[A-Za-z0-9_-]+_(sent|received)_bytes": "what a path cost is counted by the hour, for the bill",
    "load_(missing|absent)_intervals": "told once a day by the backfill; `backfill status` shows it",
    "load_oldest_missing_age_s": "the same",
    **dict.fromkeys(("fw_state", "fw_error", "sw_state", "sw_error"), "text of an update under way"),
    **dict.fromkeys(("current_fw_(title|version)", "current_sw_(title|version)"), "text, told once per start"),
}
"""Telemetry keys of the gateway's own that are no metric, and why."""


class MetricsDesk:
    """Gathers and renders."""

    def __init__(self, vitals: Vitals, fleet: Fleet, links: LinkDesk, ring: Ring,
                 uplink: Callable[[], UplinkState | str], clock: Clock) -> None:
        """`uplink` gives its state, or one line on why there is none."""
        self._vitals, self._fleet, self._links, self._ring = vitals, fleet, links, ring
        self._uplink = uplink
        self._clock = clock
        self._kept: dict[bool, tuple[float, str]] = {}
        self._turn = asyncio.Lock()

    async def answer(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `metrics`: the text that node_exporter's textfile collector reads."""
        return {"text": await self.text(openmetrics=False)}

    async def text(self, *, openmetrics: bool) -> str:
        """Return all metrics. Any number of scrapers costs one look in KEPT_S."""
        async with self._turn:
            until, text = self._kept.get(openmetrics, (0.0, ""))
            if not text or self._clock.monotonic() >= until:
                text = render(await self.families(), openmetrics=openmetrics)
                self._kept[openmetrics] = (self._clock.monotonic() + KEPT_S, text)
            return text

    async def families(self) -> list[Family]:
        """Look at everything; polls that are due go in between."""
        return [*await self._gateway(), *self._streams(), *self._uplinks(), *self._radio(), *await self._meters()]

    async def _gateway(self) -> list[Family]:
        figures = await self._vitals.exact()
        found = []
        for key, (name, kind, about, factor) in GATEWAY.items():
            family = Family(name, kind, about)
            value = figures.get(key)
            if isinstance(value, int | float):
                family.add(value if factor == 1 else value * factor)
            found.append(family)
        built = Family("halow_gateway", "info", "Which build runs.")
        built.add(1, version=__version__, build=__build__)
        started = Family("process_start_time_seconds", "gauge", "When the process began, Unix time.")
        if self._clock.synchronised():
            started.add(round(self._clock.stamp().wall_ms / 1000 - self._vitals.uptime_s, 0))
        return [built, started, *found]

    def _streams(self) -> list[Family]:
        status = self._ring.status()
        healthy = Family("halow_ring_healthy", "gauge", "0 while records are only kept in memory, or refused.")
        healthy.add(int(status.healthy))
        commits = Family("halow_ring_commits", "counter", "Commits with records.")
        commits.add(status.commits)
        rows: tuple[tuple[str, str, Kind, str], ...] = (
            ("size_bytes", "size_bytes", "gauge", "Flash that the stream takes."),
            ("quota_bytes", "quota_bytes", "gauge", "Flash that it may take."),
            ("backlog", "backlog_records", "gauge", "Durable records that nobody has acknowledged."),
            ("in_memory", "memory_records", "gauge", "Records that are not durable yet."),
            ("lost", "lost_records", "counter", "Records lost, since the ring was made."),
            ("turned_away", "refused_records", "counter", "Records refused because the stream is full."),
            ("written_bytes", "written_bytes", "counter", "Bytes written to flash."),
            ("syncs", "flushes", "counter", "Times that the flash was told to flush."),
            ("elided", "elided_records", "counter", "Records acknowledged before they had to be written."),
            ("evictions", "evictions", "counter", "Slots given up to make room."),
            ("io_errors", "io_errors", "counter", "Errors of the medium."),
            ("damaged_pages", "damaged_pages", "counter", "Damaged pages found at rest."),
            ("slots_quarantined", "quarantined_slots", "gauge", "Slots that are not written any more."))
        found = [healthy, commits]
        for attribute, name, kind, about in rows:
            family = Family(f"halow_ring_{name}", kind, about)
            for stream, state in status.streams.items():
                family.add(getattr(state, attribute), stream=stream)
            found.append(family)
        return found

    def _uplinks(self) -> list[Family]:
        state = self._uplink()
        connected = Family("halow_uplink_connected", "gauge", "1 while the server has taken the login.")
        connected.add(0 if isinstance(state, str) else int(state.connected))
        if isinstance(state, str):
            return [connected]
        found = [connected]
        numbers: tuple[tuple[str, Kind, str, int], ...] = (
            ("unacked_messages", "gauge", "Publications without a PUBACK yet.", state.in_flight_messages),
            ("unacked_bytes", "gauge", "Their bytes.", state.in_flight_bytes),
            ("sent_records", "counter", "Records handed to the link, repetitions included.", state.sent_records),
            ("delivered_records", "counter", "Records that the server acknowledged.", state.acked_records),
            ("takeovers", "counter", "Times another client came with the same login.", state.takeovers))
        for name, kind, about, value in numbers:
            family = Family(f"halow_uplink_{name}", kind, about)
            family.add(value)
            found.append(family)
        return found

    def _radio(self) -> list[Family]:
        radio = self._links.radio
        present = Family("halow_radio_present", "gauge", "1 while the radio is there.")
        duty = Family("halow_radio_duty_ratio", "gauge", "Own share of the last hour on the air.")
        busy = Family("halow_radio_busy_ratio", "gauge", "How much of the time the channel is taken.")
        signal = Family("halow_peer_signal_dbm", "gauge", "Average signal of a radio peer.")
        grade = Family("halow_peer_grade", "gauge", "1 with the grade of the link as a label.")
        age = Family("halow_peer_age_seconds", "gauge", "Since the peer was last heard.")
        if radio is not None:
            present.add(int(radio.present))
            duty.add(_share(radio.duty_pct))
            busy.add(_share(radio.busy_pct))
        for peer in self._links.states[:PEERS_MOST]:
            signal.add(peer.rssi_avg_dbm, peer=peer.mac)
            grade.add(1, peer=peer.mac, grade=peer.grade.label)
            age.add(peer.age_s, peer=peer.mac)
        return [present, duty, busy, signal, grade, age]

    async def _meters(self) -> list[Family]:
        polls = Family("halow_meter_polls", "counter", "Polls of a meter, by what came of them.")
        failures = Family("halow_meter_failures", "counter", "Polls without values, by reason.")
        late = Family("halow_meter_poll_lateness_seconds", "histogram", "From a poll's slot until it was asked.")
        last = Family("halow_meter_last_reading_timestamp_seconds", "gauge", "When it was last read, Unix time.")
        reading = Family("halow_meter_reading", "gauge", "1 where the last poll had values.")
        resting = Family("halow_meter_circuit_open", "gauge", "1 while it is left alone after failures.")
        now_s = self._clock.stamp().wall_ms / 1000 if self._clock.synchronised() else None
        for index, (name, state) in enumerate(self._fleet.states().items()):
            if index % AT_A_TIME == 0:
                await asyncio.sleep(0)
            for result, count in (("ok", state.readings), ("failed", state.failed), ("skipped", state.skipped)):
                polls.add(count, meter=name, result=result)
            for reason, count in state.failures.items():
                failures.add(count, meter=name, reason=reason)
            late.add_histogram(LATENESS_BOUNDS_S, state.lateness_counts, state.lateness_sum_s, meter=name)
            last.add(_moment(now_s, state), meter=name)
            reading.add(int(bool(state.readings) and not state.last_failure), meter=name)
            resting.add(int(state.ladder.circuit != "closed"), meter=name)
        return [polls, failures, late, last, reading, resting]


def _moment(now_s: float | None, state: PollerState) -> Number | None:
    age_s = state.last_reading_age_s
    return None if now_s is None or age_s is None else round(now_s - age_s, 3)


def _share(percent: float | None) -> Number | None:
    return None if percent is None else percent / 100
