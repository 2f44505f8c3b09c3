"""Link states -> ring records (pure). What a peer and a radio must offer is said here by shape, not by import.

A peer whose meter is known becomes a record of that meter; the gateway's own record counts all peers, names the worst,
and carries a pair of keys for each of the first peers that belong to no known meter. Keys: docs/adding-a-radio.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.model import Field, Kind, Record, Scalar, Schema, Stamp

STRANGERS_MAX = 16
TEXT_LIMIT = 120


class GradeView(Protocol):
    """A grade: a word, and a number that is higher when better; below zero it is not known."""

    @property
    def label(self) -> str: ...

    def __int__(self) -> int: ...


class RateView(Protocol):
    """A transmission rate."""

    @property
    def kbps(self) -> int | None: ...


class PeerView(Protocol):
    """A peer as `halow.model.LinkState` has it. Units are in the names, None is not known."""

    @property
    def mac(self) -> str: ...
    @property
    def grade(self) -> GradeView: ...
    @property
    def rssi_avg_dbm(self) -> float | None: ...
    @property
    def rssi_min_dbm(self) -> int | None: ...
    @property
    def rssi_max_dbm(self) -> int | None: ...
    @property
    def snr_db(self) -> float | None: ...
    @property
    def margin_db(self) -> float | None: ...
    @property
    def age_s(self) -> float | None: ...
    @property
    def retries_per_100(self) -> float | None: ...
    @property
    def failed_per_100(self) -> float | None: ...
    @property
    def tx_rate(self) -> RateView | None: ...
    @property
    def lost_because(self) -> str: ...


class FactsView(Protocol):
    """A radio's facts as `halow.model.RadioFacts` has them."""

    @property
    def noise_dbm(self) -> int | None: ...
    @property
    def channel(self) -> str: ...


class RadioView(Protocol):
    """A radio as `halow.model.RadioState` has it."""

    @property
    def present(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def absences(self) -> int: ...
    @property
    def facts(self) -> FactsView | None: ...
    @property
    def busy_pct(self) -> float | None: ...
    @property
    def duty_pct(self) -> float | None: ...
    @property
    def deaf_s(self) -> float: ...


METER_LINK = Schema(Kind.LINK, (
    Field("link_rssi_dbm", scaler=-1, unit="dBm"),
    Field("link_rssi_min_dbm", unit="dBm"),
    Field("link_rssi_max_dbm", unit="dBm"),
    Field("link_snr_db", scaler=-1, unit="dB"),
    Field("link_grade"),
    Field("link_age_s", scaler=-1, unit="s"),
    Field("link_tx_retry_pct", scaler=-1, unit="%"),
    Field("link_tx_fail_pct", scaler=-1, unit="%"),
    Field("link_tx_rate_kbps", unit="kbit/s"),
    Field("link_lost_reason"),
    Field("link_margin_db", scaler=-1, unit="dB"),
    Field("link_poll_rtt_ms", unit="ms"),
    Field("link_poll_loss_pct", scaler=-1, unit="%"),
))

GATEWAY_FIELDS = (
    Field("link_radio_state"),
    Field("link_radio_reason"),
    Field("link_radio_absences"),
    Field("link_channel"),
    Field("link_noise_dbm", unit="dBm"),
    Field("link_peer_count"),
    Field("link_lost_count"),
    Field("link_worst_rssi_dbm", scaler=-1, unit="dBm"),
    Field("link_worst_grade"),
    Field("link_worst_peer"),
    Field("link_busy_pct", scaler=-1, unit="%"),
    Field("link_duty_pct", scaler=-2, unit="%"),
    Field("link_deaf_s", unit="s"),
)

NO_RADIO = Schema(Kind.LINK, (Field("link_radio_state"), Field("link_deaf_s", unit="s")))


@dataclass(frozen=True, slots=True)
class Polls:
    """What polling a meter says of its link: round trip in seconds, and polls without an answer in percent."""

    round_trip_s: float | None = None
    loss_pct: float | None = None


def meter_link(device: str, peer: PeerView, stamp: Stamp, polls: Polls = Polls()) -> Record:
    """Return the link record of the meter `device`, whose radio is `peer`; `polls` since the record before."""
    return Record(METER_LINK, device, stamp, (
        tenths(peer.rssi_avg_dbm),
        peer.rssi_min_dbm,
        peer.rssi_max_dbm,
        tenths(peer.snr_db),
        peer.grade.label,
        tenths(peer.age_s),
        tenths(peer.retries_per_100),
        tenths(peer.failed_per_100),
        None if peer.tx_rate is None else peer.tx_rate.kbps,
        peer.lost_because[:TEXT_LIMIT] or None,
        tenths(peer.margin_db),
        None if polls.round_trip_s is None else round(polls.round_trip_s * 1000),
        tenths(polls.loss_pct),
    ))


def gateway_link(
    radio: RadioView, peers: Sequence[PeerView], stamp: Stamp, strangers: Sequence[PeerView] = (),
) -> Record:
    """Return the gateway's own link record over all `peers`; `strangers` are those that belong to no known meter.

    The first `STRANGERS_MAX` of them, by MAC, get keys of their own: link_peer_<mac without colons>_rssi_dbm, _grade.
    """
    facts = radio.facts if radio.present else None
    graded = [peer for peer in peers if int(peer.grade) >= 0]
    worst = min(graded, key=lambda peer: (int(peer.grade), _or(peer.rssi_avg_dbm, -999.0)), default=None)
    weakest = min((peer.rssi_avg_dbm for peer in graded if peer.rssi_avg_dbm is not None), default=None)
    values: list[Scalar] = [
        "present" if radio.present else "absent",
        radio.reason or None,
        radio.absences,
        None if facts is None else facts.channel[:TEXT_LIMIT],
        None if facts is None else facts.noise_dbm,
        sum(1 for peer in peers if int(peer.grade) != 0),
        sum(1 for peer in peers if int(peer.grade) == 0),
        tenths(weakest),
        None if worst is None else worst.grade.label,
        None if worst is None else worst.mac,
        tenths(radio.busy_pct) if radio.present else None,
        None if radio.duty_pct is None or not radio.present else round(radio.duty_pct * 100),
        round(radio.deaf_s) if radio.present else None,
    ]
    fields = list(GATEWAY_FIELDS)
    for peer in sorted(strangers, key=lambda peer: peer.mac)[:STRANGERS_MAX]:
        stem = f"link_peer_{peer.mac.replace(':', '')}"
        fields += [Field(f"{stem}_rssi_dbm", scaler=-1, unit="dBm"), Field(f"{stem}_grade")]
        values += [tenths(peer.rssi_avg_dbm), peer.grade.label]
    return Record(Schema(Kind.LINK, tuple(fields)), "", stamp, tuple(values))


def no_radio(stamp: Stamp) -> Record:
    """Return the gateway's link record where the settings want no radio: what the server saw of one before is over."""
    return Record(NO_RADIO, "", stamp, ("none", 0))


def tenths(value: float | None) -> int | None:
    """Return a figure in tenths, rounded to the nearest; None stays None."""
    return None if value is None else round(value * 10.0)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
