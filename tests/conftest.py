"""For every test: hypothesis measures no wall time, because a busy machine says nothing about the code."""

from hypothesis import settings

settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")
