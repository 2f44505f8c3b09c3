"""Promises, supervision, systemd notifications."""
