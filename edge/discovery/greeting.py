"""What the other side says before it has been asked anything (pure).

A meter never speaks first. A serial bridge that has a client already does, and so do most servers that are no meter at
all. What is none of these, such as a late frame of a former session, means nothing.
"""

from enum import StrEnum
from typing import NamedTuple

from edge.dlms.chatter import plain_text

_TELNET_COMMAND = 0xFF      # IAC, then WILL, WONT, DO or DONT (RFC 854)
_TELNET_VERBS = range(0xFB, 0xFF)
_OF_OTHERS = ("http/", "ssh-", "220 ", "220-", "+ok", "* ok", "rtsp/", "<html", "<!doctype")      # how they begin
_OF_BRIDGES = ("in use", "busy", "inactiv", "closing", "close", "already", "connected")


class Speaker(StrEnum):
    """Who seems to speak."""

    NOBODY = "nobody"
    BRIDGE = "bridge"          # a serial bridge that does not serve us now
    TELNET = "telnet"          # a serial bridge, or something else, that wants to negotiate
    STRANGER = "stranger"      # a server of another kind


class Greeting(NamedTuple):
    """Who speaks, and the words."""

    speaker: Speaker
    text: str


def greeting(octets: bytes) -> Greeting:
    """Judge octets that came unasked, or instead of an answer."""
    if len(octets) >= 2 and octets[0] == _TELNET_COMMAND and octets[1] in _TELNET_VERBS:
        return Greeting(Speaker.TELNET, octets[:12].hex(" "))
    text = plain_text(octets)
    if not text:
        return Greeting(Speaker.NOBODY, "")
    lower = text.lower()
    bridge = not lower.startswith(_OF_OTHERS) and any(word in lower for word in _OF_BRIDGES)
    return Greeting(Speaker.BRIDGE if bridge else Speaker.STRANGER, text)
