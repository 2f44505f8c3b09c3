"""Radios: one file per vendor, one for the kernel's own interface, one that plays a trace."""

from halow.radios.generic import GENERIC
from halow.radios.morse import MORSE
from halow.radios.newracom import NEWRACOM
from halow.radios.vendor import Vendor

VENDORS: tuple[Vendor, ...] = (MORSE, NEWRACOM)


def vendor_of(driver: str) -> Vendor:
    """Return the vendor whose driver this is; GENERIC when nobody described it."""
    return next((vendor for vendor in VENDORS if vendor.drives(driver)), GENERIC)


def is_halow(driver: str) -> bool:
    """Tell whether a driver is known to be a HaLow radio's."""
    return vendor_of(driver).halow
