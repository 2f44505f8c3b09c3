"""What of a status fits on one screen (pure): the daemon's answer in, a shorter one for `status.render` out.

Counters that are zero and say nothing new are left out; whatever is wrong is never left out. A part that the daemon
does not tell of is missing here too, so an older or newer daemon is shown as far as both understand each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Data = Mapping[str, Any]

_PEER = ("mac", "grade", "rssi_dbm", "rssi_avg_dbm", "trend_db", "snr_db", "age_s", "retries_per_100", "lost_because")


def compact(answer: Data) -> dict[str, Any]:
    """Choose and join. Sections that are not known pass through as they are."""
    shown = dict(answer)
    for key, view in (("gateway", _gateway), ("uplink", _uplink), ("ring", _ring), ("radio", _radio)):
        if isinstance(answer.get(key), Mapping):
            shown[key] = view(answer[key])
    if isinstance(answer.get("meters"), list):
        shown["meters"] = [_meter(meter) for meter in answer["meters"]] or "none"
    if isinstance(answer.get("alarms"), list):
        shown["alarms"] = [_alarm(alarm) for alarm in answer["alarms"]] or "none"
    if isinstance(answer.get("push"), Mapping):
        shown["push"] = _push(answer["push"])
        for key, title in (("unknown_senders", "push unknown senders"), ("refusals", "push refusals")):
            if answer["push"].get(key):
                shown[title] = answer["push"][key]
    paths = (answer.get("uplink") or {}).get("paths") or ()
    if len(paths) > 1:
        shown["uplink paths"] = list(paths)
    peers = (answer.get("radio") or {}).get("peers")
    if peers:
        shown["radio peers"] = [{key: peer.get(key) for key in _PEER} for peer in peers]
    return shown


def _alarm(alarm: Data) -> dict[str, Any]:
    shown = {"device": alarm.get("device") or "(gateway)", **{
        key: alarm.get(key) for key in ("name", "severity", "detail", "acknowledged_by")}}
    return shown if alarm.get("holds", True) else {**shown, "over": "waits for an acknowledgement"}


def _gateway(gateway: Data) -> dict[str, Any]:
    shown = {key: value for key, value in gateway.items() if key != "boot_id"}
    workers = shown.pop("workers", None) or {}
    idle = {name: ": ".join(filter(None, (worker.get("phase"), worker.get("last_error"))))
            for name, worker in workers.items() if worker.get("phase") != "running"}
    shown["workers"] = f"all {len(workers)} running" if workers and not idle else idle
    return shown


def _uplink(uplink: Data) -> dict[str, Any]:
    keep = {key: value for key, value in uplink.items() if value or key in ("connected", "acked_records")}
    for key in ("since", "paths", *(() if len(uplink.get("paths") or ()) > 1 else ("path", "path_why", "path_for_s"))):
        keep.pop(key, None)
    return keep


def _ring(ring: Data) -> dict[str, Any]:
    streams: Sequence[Data] = list((ring.get("streams") or {}).values())
    shown: dict[str, Any] = {key: ring.get(key) for key in ("healthy", "problem")} | {"waiting": ring.get("backlog")}
    for key in ("size_bytes", "quota_bytes", "written_bytes"):
        shown[key] = sum(stream.get(key, 0) for stream in streams) if streams else None
    for key in ("lost", "in_memory", "slots_quarantined", "slots_strange", "io_errors", "evictions",
                "damaged_pages"):
        total = sum(stream.get(key, 0) for stream in streams)
        shown[key] = total if total or (key == "lost" and streams) else None
    return shown


def _radio(radio: Data) -> dict[str, Any]:
    return {key: value for key, value in radio.items() if key != "peers"}


def _push(push: Data) -> dict[str, Any]:
    if not push.get("enabled"):
        return {"enabled": False}
    return {key: value for key, value in push.items()
            if key not in ("enabled", "unknown_senders", "refusals") and (value or key in ("received", "accepted"))}


def _backfill(backfill: Data | None) -> str | None:
    """One word, and how many intervals are missing; nothing for a meter without a load profile."""
    if not backfill or backfill.get("state") == "none":
        return None
    missing = backfill.get("missing")
    return f"{backfill.get('state')}, {missing} missing" if missing else str(backfill.get("state"))


def _meter(meter: Data) -> dict[str, Any]:
    readings, failed = meter.get("readings"), meter.get("failed")
    polls = readings + failed if isinstance(readings, int) and isinstance(failed, int) else None
    circuit = meter.get("circuit")
    return {
        "name": meter.get("name"),
        "state": meter.get("state"),
        "last_value_s": meter.get("last_reading_age_s"),
        "polls": polls,
        "good_percent": round(100 * readings / polls, 1) if polls and readings is not None else None,
        "pushes": meter.get("pushes") or None,
        "last_push_s": meter.get("last_push_age_s"),
        "circuit": None if circuit == "closed" else circuit,
        "recovery": meter.get("recovery"),
        "backfill": _backfill(meter.get("backfill")),
        "rssi_dbm": meter.get("rssi_dbm"),
        "link": meter.get("link_grade"),
        "why": meter.get("problem") or meter.get("last_failure") or meter.get("not_read"),
        "address": meter.get("address"),
    }
