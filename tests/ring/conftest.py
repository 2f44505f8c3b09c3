"""Property tests of the ring have no deadline per example: on a loaded machine it finds the load, not a fault."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
