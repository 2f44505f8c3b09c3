"""The words in which a level is asked for: by the command, the page and the remote call alike (pure)."""

from typing import Literal

FOR_MOST_S = 86_400.0
"""A level for a while is for no longer."""

Part = Literal["", "meters", "uplink", "radio", "ring"]
WHOLE: Part = ""
PARTS: dict[str, tuple[str, ...]] = {
    "meters": ("edge.poll", "edge.dlms", "edge.meters", "edge.errands", "edge.push", "edge.discovery"),
    "uplink": ("edge.uplink", "edge.remote", "edge.ota", "edge.daemon.admission"),
    "radio": ("halow", "edge.daemon.links", "edge.daemon.radiowatch", "edge.daemon.radiorecovery"),
    "ring": ("edge.ring",),
}
"""The loggers of each part."""

Wanted = Literal["debug", "info", "warning", "error", "default"]
DEFAULT = "default"
"""The word for what is usual."""
