"""A driver nobody described yet: everything is taken as nl80211 shows it.

Covers ordinary Wi-Fi and the kernel's simulated radios. Drivers of kernels from 6.18 on that speak native S1G need
nothing else either: their rates and frequencies are what they say.
"""

from halow.radios.vendor import Vendor

GENERIC = Vendor(
    name="generic",
    drivers=("*",),
    source="linux/nl80211.h",
    halow=False,
)
