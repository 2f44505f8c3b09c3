"""What is known of a radio and its peers: samples as they were taken, states as they are judged (pure).

    station dump ─► LinkSample ─► tracker ─► LinkState ─┐
    interface, survey ─► RadioSample ─► RadioState ─────┴─► callback

None always means "not known": the driver does not say, or says something that it makes up. It is never shown as zero.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

DEAF_S = 120.0
"""So long without a frame from anybody, although frames were sent to two peers, and the radio counts as deaf."""


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
    snr_db: int | None = None


@dataclass(frozen=True, slots=True)
class KernelRules:
    """What the kernel's regulatory domain says of the frequency that it shows, which HaLow drivers make up.

    `country` is "" while the kernel believes to be anywhere. `listen_only`: no access point may begin there.
    """

    country: str
    width_max_mhz: float | None = None
    eirp_max_dbm: float | None = None
    listen_only: bool = False

    def __str__(self) -> str:
        """Return it in one line."""
        if self.width_max_mhz is None or self.eirp_max_dbm is None:
            return "no rule for the channel shown"
        return (f"at most {self.width_max_mhz:g} MHz wide and {self.eirp_max_dbm:g} dBm EIRP on the channel shown"
                + (", listening only" if self.listen_only else ""))


@dataclass(frozen=True, slots=True)
class RadioFacts:
    """The radio itself. `kernel_mhz` is the frequency the kernel shows, which HaLow drivers make up.

    `channel` is for people: the true S1G channel where it can be told, else what the kernel shows, named as such.
    `primary_mhz` is the primary channel's width, `primary_index` its place among the 1 MHz channels from the lowest.
    `sources` are (figure, who says it) for what does not come from the kernel.
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
    country: str = ""
    primary_mhz: int | None = None
    primary_index: int | None = None
    kernel_rules: KernelRules | None = None
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """The channel in use as the driver surveyed it: noise, and counters in milliseconds that only grow."""

    noise_dbm: int | None = None
    time_ms: int | None = None
    busy_ms: int | None = None
    tx_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RadioSample:
    """One look: the radio and all its peers. `firmware_hangs_s`: so long ago the driver gave its firmware up."""

    facts: RadioFacts
    peers: tuple[LinkSample, ...]
    survey: Survey | None = None
    firmware_hangs_s: float | None = None


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
    `margin_db` is what the signal may lose before the slowest rate of the width fails.
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
    margin_db: float | None = None
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

    `busy_pct` is how much of the time the channel is taken, `duty_pct` our share of the last hour, `duty_limit_pct`
    what the country allows. `deaf_s`: for so long nobody was heard although frames were sent; 0.0 = we hear.
    `firmware_hangs_s`: so long ago the driver gave its firmware up, and nobody was heard since.
    """

    present: bool
    since: float
    reason: str = ""
    detail: str = ""
    facts: RadioFacts | None = None
    absences: int = 0
    busy_pct: float | None = None
    duty_pct: float | None = None
    duty_limit_pct: float | None = None
    deaf_s: float = 0.0
    firmware_hangs_s: float | None = None

    @property
    def deaf(self) -> bool:
        """Tell whether the radio is up and hears nothing: its firmware hangs, or its antenna is gone."""
        return self.present and self.deaf_s >= DEAF_S
