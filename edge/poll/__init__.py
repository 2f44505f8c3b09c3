"""Polling: one worker per meter, its slots and the time between them, the recovery ladder, the ways to a meter."""
