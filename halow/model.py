"""What is known of a radio and its peers: samples as they were taken, states as they are judged (pure).

    station dump ─► LinkSample ─► tracker ─► LinkState ─┐
    interface, survey ─► RadioSample ─► RadioState ─────┴─► callback

None always means "not known": the driver does not say, or says something that it makes up. It is never shown as zero.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Mode(StrEnum):
    """What the interface does on the air."""

    AP = "ap"
    STATION = "station"
    OTHER = "other"


class Grade(IntEnum):
    """How good a link is; a higher number is better. UNKNOWN takes part in no comparison."""

    UNKNOWN = -1
    LOST = 0
    POOR = 1
    FAIR = 2
    GOOD = 3
    EXCELLENT = 4

    @property
    def label(self) -> str:
        """Return the word for tables, records and telemetry."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rate:
    """A transmission rate as it is on the air. `width_mhz` is the S1G width (1..16) on a HaLow radio."""

    kbps: int | None
    mcs: int | None = None
    width_mhz: int | None = None
    short_gi: bool | None = None


@dataclass(frozen=True, slots=True)
class LinkSample:
    """One peer as the driver describes it at one moment. Counters count since the association began.

    `signal_dbm` is the RSSI of the last frame received, `inactive_ms` how long ago that was.
    """

    mac: str
    signal_dbm: int | None = None
    signal_avg_dbm: int | None = None
    beacon_signal_avg_dbm: int | None = None
    inactive_ms: int | None = None
    connected_s: int | None = None
    rx_packets: int | None = None
    tx_packets: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    tx_retries: int | None = None
    tx_failed: int | None = None
    beacon_loss: int | None = None
    expected_kbps: int | None = None
    tx_rate: Rate | None = None
    rx_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class RadioFacts:
    """The radio itself. `kernel_mhz` is the frequency the kernel shows, which HaLow drivers make up.

    `channel` is for people: the true S1G channel where it can be told, else what the kernel shows, named as such.
    """

    interface: str
    driver: str
    mac: str
    mode: Mode = Mode.OTHER
    vendor: str = ""
    ssid: str = ""
    noise_dbm: int | None = None
    kernel_mhz: int | None = None
    width_mhz: int | None = None
    s1g_channel: int | None = None
    s1g_khz: int | None = None
    channel: str = "unknown"


@dataclass(frozen=True, slots=True)
class RadioSample:
    """One look: the radio and all its peers."""

    facts: RadioFacts
    peers: tuple[LinkSample, ...]


class Change(StrEnum):
    """What an event says."""

    PEER_ADDED = "peer_added"
    PEER_REMOVED = "peer_removed"
    INTERFACE_ADDED = "interface_added"
    INTERFACE_GONE = "interface_gone"
    RESYNC = "resync"              # events were lost: look at everything again


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """Something happened on the radio. `mac` is the peer, "" when it is about the radio; `reason` as it was told."""

    change: Change
    mac: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LinkState:
    """One peer as it is judged now.

    `rssi_dbm` is the newest plausible one, `rssi_avg_dbm` the EWMA that the grade follows, min and max are of the
    sliding window. `age_s` is how old the newest frame from the peer is; `stale` means that the figures describe the
    past. Of a peer that is away only `rssi_dbm` and `age_s` stay. `trend_db` is positive while the signal gets better.
    `retries_per_100` and `failed_per_100` are per 100 frames sent within the window. `changed` is true when the grade
    changed with this look. `lost_because` is "" unless the grade is LOST.
    """

    mac: str
    grade: Grade
    changed: bool = False
    stale: bool = False
    rssi_dbm: int | None = None
    rssi_avg_dbm: float | None = None
    rssi_min_dbm: int | None = None
    rssi_max_dbm: int | None = None
    trend_db: float | None = None
    snr_db: float | None = None
    age_s: float | None = None
    connected_s: int | None = None
    samples: int = 0
    rejected: int = 0
    retries_per_100: float | None = None
    failed_per_100: float | None = None
    tx_rate: Rate | None = None
    rx_rate: Rate | None = None
    lost_because: str = ""


@dataclass(frozen=True, slots=True)
class RadioState:
    """Whether there is a radio, since when (monotonic seconds), and if not, why not.

    `reason` is an `AbsentReason` value, or "" while the radio is there; `detail` is the line for people. `absences`
    counts how often a radio that was there went away.
    """

    present: bool
    since: float
    reason: str = ""
    detail: str = ""
    facts: RadioFacts | None = None
    absences: int = 0
