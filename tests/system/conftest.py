"""For every system test: meters and a server, where it asks for them."""

from gateway_site import framing, population, server

__all__ = ["framing", "population", "server"]
