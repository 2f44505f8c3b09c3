"""Laptop mode: simulated meters over real TCP, a radio trace, a server that behaves like ThingsBoard."""
