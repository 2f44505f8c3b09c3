"""What only a vendor's own tools tell, and how it is laid over what the kernel shows (pure).

Each figure that is taken over names its source in `RadioFacts.sources`, so that a person who doubts it knows whom to
ask. The decoders are `radios/morse_words.py` and `radios/newracom_words.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from halow.model import LinkSample, RadioFacts, RadioSample, Rate
from halow.quality import plausible


@dataclass(frozen=True, slots=True)
class Signal:
    """A peer's signal as the vendor averages it."""

    rssi_dbm: int
    snr_db: int


@dataclass(frozen=True, slots=True)
class Extras:
    """The words of one tool; what it does not tell is None or empty. `rates` and `signals` by the peer's MAC."""

    source: str
    s1g_khz: int | None = None
    width_mhz: int | None = None
    primary_mhz: int | None = None
    primary_index: int | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    signals: Mapping[str, Signal] = field(default_factory=dict)


class BadWords(ValueError):
    """A tool said something that is not its documented form. The text is one line."""


def with_extras(sample: RadioSample, extras: Extras) -> RadioSample:
    """Return the sample with the tool's figures where they are truer than the kernel's, or the only ones."""
    facts = _channel(sample.facts, extras)
    known = {peer.mac for peer in sample.peers}
    if known & set(extras.rates):
        facts = replace(facts, sources=(*facts.sources, ("tx rate", extras.source)))
    if known & set(extras.signals):
        facts = replace(facts, sources=(*facts.sources, ("SNR", extras.source)))
    return replace(sample, facts=facts, peers=tuple(_peer(peer, extras) for peer in sample.peers))


def _channel(facts: RadioFacts, extras: Extras) -> RadioFacts:
    """Return the facts with the channel that the firmware itself names."""
    if extras.s1g_khz is None:
        return facts
    width = extras.width_mhz or facts.width_mhz
    told = replace(facts, s1g_khz=extras.s1g_khz, width_mhz=width, primary_mhz=extras.primary_mhz,
                   primary_index=extras.primary_index, sources=(*facts.sources, ("channel", extras.source)))
    if (facts.s1g_khz, facts.width_mhz) == (extras.s1g_khz, width):
        return told
    shown = f" (kernel {facts.kernel_mhz})" if facts.kernel_mhz is not None else ""
    wide = f", {width} MHz wide" if width else ""
    return replace(told, s1g_channel=None, channel=f"{extras.s1g_khz / 1000:.1f} MHz{wide}{shown}")


def _peer(peer: LinkSample, extras: Extras) -> LinkSample:
    rate, signal = extras.rates.get(peer.mac), extras.signals.get(peer.mac)
    if rate is not None:
        peer = replace(peer, tx_rate=rate)
    if signal is not None:
        peer = replace(peer, snr_db=signal.snr_db)
        if peer.signal_dbm is None and plausible(signal.rssi_dbm):
            peer = replace(peer, signal_dbm=signal.rssi_dbm)
    return peer
