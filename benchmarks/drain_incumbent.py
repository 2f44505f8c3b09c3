"""The ThingsBoard IoT Gateway as a sender of `benchmarks/drain.py`: all of it, with a backlog in its SQLite storage.

Run as a script it is a process in that gateway's own environment, which has nothing of ours: hence no import of ours.
It has the configuration that it ships with, but for the broker (which answers no request for configuration), the
storage's kind, and the size of its packs.
"""

import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event

PACK = 1_000                       # records that it takes at once; it ships with 10, which is slower


class IotGateway:
    """The incumbent, as it is installed in the environment of `python`."""

    name = "iot-gateway"

    def __init__(self, place: Path, events: Iterable[str], python: Path) -> None:
        self._place, self._events, self._python = place, events, python

    def fill(self) -> None:
        """Let its own storage write the readings."""
        (self._place / "data").mkdir()
        (self._place / "logs").mkdir()
        (self._place / "readings.jsonl").write_text("".join(f"{event}\n" for event in self._events))
        subprocess.run([self._python, __file__, self._place], check=True, cwd=self._place)

    def command(self, port: int) -> list[str]:
        """Return the command that runs it, without connectors."""
        config = shipped(self._python)
        config["thingsboard"] |= {"host": "127.0.0.1", "port": port, "remoteConfiguration": False}
        config["storage"] = storage_settings(config["storage"], self._place)
        (self._place / "tb_gateway.json").write_text(json.dumps(config))
        return ["env", "-C", str(self._place), f"TB_GW_CONFIG_DIR={self._place}/", str(self._python), "-c",
                "from thingsboard_gateway.tb_gateway import daemon; daemon()"]


def shipped(python: Path) -> dict:
    """Return the configuration in its package."""
    packages = python.parent.parent / "lib"
    path, = packages.glob("python3*/site-packages/thingsboard_gateway/config/tb_gateway.json")
    return json.loads(path.read_text())


def storage_settings(settings: dict, place: Path) -> dict:
    """Return its storage's settings for `place`."""
    where = f"{place}/data/"
    return {**settings, "type": "sqlite", "data_folder_path": where, "data_file_path": where,
            "max_read_records_count": PACK}


def fill(place: Path) -> None:
    """Put every line of `readings.jsonl` into its storage."""
    from thingsboard_gateway.storage.sqlite.sqlite_event_storage import SQLiteEventStorage

    class Quiet(logging.Logger):
        def trace(self, *_arguments: object, **_named: object) -> None:
            """Say nothing."""

    settings = storage_settings(shipped(Path(sys.executable))["storage"], place)
    storage = SQLiteEventStorage(settings, Quiet("storage", logging.CRITICAL), Event())
    count = 0
    with (place / "readings.jsonl").open() as lines:
        for line in lines:
            count += 1
            if not storage.put(line.rstrip()):
                raise SystemExit("its storage took no more")
    while stored(place) < count:                 # a thread of its own writes, and `stop` lets go of what it has in hand
        time.sleep(0.1)
    storage.stop()


def stored(place: Path) -> int:
    """Return how many readings are in its database."""
    database = sqlite3.connect(f"file:{place}/data/data.db?mode=ro", uri=True)
    try:
        return database.execute("SELECT count(*) FROM messages").fetchone()[0]
    finally:
        database.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
