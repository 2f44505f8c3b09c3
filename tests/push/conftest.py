import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """The sockets are tried on both loops; the product's is uvloop, and what stands behind the sockets is tried there."""
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if item.path.name == "test_push_listener.py" else {"uvloop": uvloop.new_event_loop}
