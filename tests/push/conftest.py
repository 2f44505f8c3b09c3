import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """Everything that awaits runs on both loops: the product's is uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
