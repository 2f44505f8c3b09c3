"""Meters, their secrets and what was learned about them, in SQLite (I/O edge)."""
