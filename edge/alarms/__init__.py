"""Alarms: conditions as data over the figures of records, and which of them stand (pure)."""
