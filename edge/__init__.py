"""HaLow edge gateway: DLMS/COSEM meters over Wi-Fi HaLow, a flash ring, ThingsBoard."""

__version__ = "0.1.0"
