"""Polling: schedule, recovery ladder, one worker per meter."""
