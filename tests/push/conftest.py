import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """The sockets are tried on both loops; the product's is uvloop, and what stands behind the sockets is tried there."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    only = {"test_push_listener.py": ("asyncio", "uvloop"), "test_push_entries.py": ("asyncio",)}      # uvloop's takes no patch
    return {name: loops[name] for name in only.get(item.path.name, ("uvloop",))}
