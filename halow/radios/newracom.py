"""Newracom NRC7292, NRC7394: nrc80211.

Source: nrc7292_sw_pkg v1.5.2, nrc7394_sw_pkg v1.3.2. The driver marks each frame as acknowledged once it is handed to
the SPI bus, so retries and failures are zero by construction; it gives no transmit rate, and a receive rate index that
is always 0; what it calls expected throughput is a mesh metric. Widths are not shown: everything looks 20 MHz wide.
Its country is the kernel's (nrc_reg_notifier), which hostapd's country_code sets.
Its own release notes own up to invalid RSSI in weak fields, which the plausibility check of halow.quality catches.
"""

from halow.radios.vendor import Vendor

NEWRACOM = Vendor(
    name="newracom",
    drivers=("nrc*",),
    source="newracom/nrc7292_sw_pkg v1.5.2, nrc7394_sw_pkg v1.3.2",
    faked=frozenset({"tx_retries", "tx_failed", "expected_kbps"}),
    rates="none",
    country_from_kernel=True,
)
