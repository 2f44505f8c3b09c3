"""HaLow edge gateway: DLMS/COSEM meters over Wi-Fi HaLow, a flash ring, ThingsBoard."""

__version__ = "0.1.0"

__build__ = ""
"""The commit a binary was built from; tools/binary/build.py writes it in. Empty when run from source."""
